use super::*;

#[test]
fn istios_agent_is_trusted_only_where_that_is_wanted() {
    let names = |trust_ztunnel| {
        let trusted = trusted("mesh", trust_ztunnel).into_iter();
        let name = |agent: TrustedAgent| format!("{}/{}", agent.namespace, agent.daemon_set);
        trusted.map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(false), ["mesh/ambit-node-agent"]);
    assert_eq!(
        names(true),
        ["mesh/ambit-node-agent", "istio-system/ztunnel"]
    );
}
