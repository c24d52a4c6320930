use super::*;

const ISTIOS: &str = "cni.istio.io/not-ready";

fn node(name: &str, agent: Agent, taints: &[&str]) -> NodeAgents {
    NodeAgents {
        node: name.into(),
        taints: taints.iter().map(|key| (*key).into()).collect(),
        agent,
    }
}

/// What is to be done at once to one such node.
fn act(agent: Agent, taints: &[&str], leaving: bool) -> Option<Act> {
    let nodes = [node("n1", agent, taints)];
    let plan = Watchman::default().plan(&nodes, leaving, clock::now());
    plan.acts.first().map(|(_, act)| *act)
}

#[test]
fn a_taint_goes_when_the_agent_is_ready_or_the_mesh_leaves() {
    let (startup, own) = (Some(Act::Clear(&STARTUP)), Some(Act::Clear(&[TAINT])));
    for (agent, taints, leaving, expected) in [
        (Agent::Ready, &[TAINT, "other"][..], false, startup),
        (Agent::Ready, &[ISTIOS], false, startup),
        (Agent::Ready, &["other"], false, None),
        (Agent::Unready, &[TAINT, ISTIOS], false, None),
        (Agent::None, &[TAINT, ISTIOS], false, None),
        (Agent::None, &[], false, None),
        (Agent::Ready, &[TAINT], true, own),
        (Agent::Unready, &[TAINT], true, own),
        (Agent::None, &[TAINT], true, own),
        (Agent::None, &[ISTIOS], true, None),
    ] {
        assert_eq!(
            act(agent, taints, leaving),
            expected,
            "{agent:?} {taints:?} {leaving}"
        );
    }
}

#[test]
fn a_node_is_tainted_when_its_agent_has_not_been_ready_for_a_while() {
    let mut watchman = Watchman::default();
    let start = clock::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let nodes = |agent| [node("n1", agent, &[]), node("n2", Agent::Ready, &[])];
    let wait = |seconds| Plan {
        acts: Vec::new(),
        again: Some(at(seconds)),
    };
    assert_eq!(
        watchman.plan(&nodes(Agent::Unready), false, at(0)),
        wait(10)
    );
    assert_eq!(
        watchman.plan(&nodes(Agent::Unready), false, at(9)),
        wait(10)
    );
    assert_eq!(
        watchman.plan(&nodes(Agent::Ready), false, at(9)),
        Plan::default()
    );
    assert_eq!(
        watchman.plan(&nodes(Agent::Unready), false, at(10)),
        wait(20)
    );
    assert_eq!(
        watchman.plan(&nodes(Agent::None), false, at(15)),
        Plan::default()
    );
    assert_eq!(
        watchman.plan(&nodes(Agent::Unready), false, at(16)),
        wait(26)
    );
    let due = watchman.plan(&nodes(Agent::Unready), false, at(26));
    assert_eq!(due.acts, [("n1".into(), Act::Set)]);
    let again = watchman.plan(&nodes(Agent::Unready), false, at(27));
    assert_eq!(again, due, "as long as it is not seen to be there");
    let leaves = watchman.plan(&nodes(Agent::Unready), true, at(28));
    assert_eq!(leaves, Plan::default(), "not while the mesh leaves");
}

#[test]
fn taints_of_others_stay_as_they_are() {
    let taint = |key: &str, effect: &str| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    };
    let other = taint("other", "NoExecute");
    let set = Act::Set.on(vec![other.clone()]);
    assert_eq!(set, Some(vec![other.clone(), taint(TAINT, "NoSchedule")]));
    assert_eq!(Act::Set.on(vec![taint(TAINT, "NoExecute")]), None);
    let all = vec![
        taint(TAINT, "NoExecute"),
        other.clone(),
        taint(ISTIOS, "NoSchedule"),
    ];
    assert_eq!(Act::Clear(&STARTUP).on(all), Some(vec![other.clone()]));
    assert_eq!(Act::Clear(&STARTUP).on(vec![other]), None);
}
