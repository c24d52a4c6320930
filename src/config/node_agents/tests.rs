use super::*;
use crate::config::fixture::Folder;

const NODES: &str = "
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {taints: [{key: a, effect: NoSchedule}, {key: b, effect: NoExecute, timeAdded: '2026-01-02T00:00:00Z'}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
spec: {taints: null}
";

fn pod(name: &str, owner: &str, more: &str, ready: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: mesh{more}, ownerReferences: \
         [{{kind: DaemonSet, name: {owner}, controller: true}}]}}\nspec: {{nodeName: n1}}\n\
         status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}\n"
    )
}

#[test]
fn an_agent_counts_while_it_is_to_stay() {
    let leaving = ", deletionTimestamp: '2026-01-02T00:00:00Z'";
    let ready = pod("a", "agent", "", "True");
    let unready = pod("b", "agent", "", "False");
    let going = pod("c", "agent", leaving, "True");
    let other = pod("d", "other", "", "True");
    for (pods, expected) in [
        (vec![], Agent::None),
        (vec![&other, &going], Agent::None),
        (vec![&unready, &going, &other], Agent::Unready),
        (vec![&unready, &ready], Agent::Ready),
    ] {
        let pods: String = pods.into_iter().map(String::as_str).collect();
        let folder = Folder::of(&format!("{NODES}{pods}"));
        let found = folder.configuration.node_agents("mesh", "agent");
        let [n1, n2] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(n1.taints, ["a".into(), "b".into()]);
        assert_eq!(n1.agent, expected, "{pods}");
        assert_eq!((n2.taints.len(), n2.agent), (0, Agent::None));
    }
}
