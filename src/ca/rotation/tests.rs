use std::time::UNIX_EPOCH;

use super::*;

const PATIENCE: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn distributing(agents: &[&str]) -> Rotation {
    let mut rotation = Rotation::resumed(Phase::Steady, &BTreeSet::new());
    for agent in agents {
        rotation.connected(agent);
        rotation.held(agent, 1);
    }
    let phase = rotation.beginning(2, at(0), PATIENCE);
    rotation.performed(phase);
    rotation
}

#[test]
fn the_next_root_signs_only_after_every_connected_agent_holds_it() {
    let mut rotation = distributing(&["n1", "n2"]);
    assert_eq!(rotation.due(at(1), &[]), None);
    rotation.held("n1", 2);
    assert_eq!(rotation.due(at(1), &[]), None);
    // Time alone does not change that, as long as it is connected.
    assert_eq!(rotation.due(at(100_000), &[]), None);
    assert_eq!(rotation.waiting_for(&[]), (vec!["n2"], vec![]));
    rotation.held("n2", 2);
    assert_eq!(rotation.due(at(1), &[]), Some(Step::SignWithNext));
}

#[test]
fn an_agent_that_is_away_is_waited_for_but_not_for_ever() {
    let mut rotation = distributing(&["n1", "n2"]);
    rotation.held("n1", 2);
    rotation.gone("n2");
    assert_eq!(rotation.due(at(599), &[]), None);
    assert_eq!(rotation.waiting_for(&[]), (vec![], vec!["n2"]));
    assert_eq!(rotation.due(at(600), &[]), Some(Step::SignWithNext));
    // Back again, it has to hold the bundle first.
    rotation.connected("n2");
    assert_eq!(rotation.due(at(600), &[]), None);
    rotation.held("n2", 2);
    assert_eq!(rotation.due(at(600), &[]), Some(Step::SignWithNext));
}

#[test]
fn an_agent_that_comes_in_between_has_to_hold_the_bundle_too() {
    let mut rotation = distributing(&["n1"]);
    rotation.connected("n3");
    rotation.held("n1", 2);
    assert_eq!(rotation.due(at(1), &[]), None);
    rotation.gone("n3");
    assert_eq!(
        rotation.due(at(1), &[]),
        Some(Step::SignWithNext),
        "it never had a certificate"
    );
}

#[test]
fn two_connections_of_one_agent_are_one_agent() {
    let mut rotation = distributing(&["n1"]);
    rotation.connected("n1");
    rotation.gone("n1");
    assert_eq!(rotation.waiting_for(&[]), (vec!["n1"], vec![]));
    rotation.gone("n1");
    assert_eq!(rotation.waiting_for(&[]), (vec![], vec!["n1"]));
}

#[test]
fn after_a_restart_agents_are_waited_for_until_they_are_back() {
    let phase = distributing(&["n1", "n2"]).phase;
    let text = serde_json::to_string(&phase).unwrap();
    let mut rotation = Rotation::resumed(serde_json::from_str(&text).unwrap(), &BTreeSet::new());
    assert_eq!(rotation.due(at(5), &[]), None);
    rotation.connected("n1");
    rotation.held("n1", 2);
    assert_eq!(rotation.due(at(5), &[]), None);
    rotation.connected("n2");
    rotation.held("n2", 2);
    assert_eq!(rotation.due(at(5), &[]), Some(Step::SignWithNext));
}

#[test]
fn an_agent_that_lost_what_it_held_counts_as_one_that_holds_nothing() {
    let mut rotation = distributing(&["n1"]);
    rotation.held("n1", 2);
    rotation.held("n1", 0);
    assert_eq!(rotation.due(at(1), &[]), None);
}

#[test]
fn the_old_root_goes_when_its_last_leaf_has_expired() {
    let mut rotation = Rotation::resumed(Phase::Retiring { until: at(50) }, &BTreeSet::new());
    assert_eq!(rotation.due(at(49), &[]), None);
    assert_eq!(rotation.due(at(50), &[]), Some(Step::DropOld));
    rotation.performed(Phase::Steady);
    assert_eq!(rotation.due(at(1_000_000), &[]), None);
}

#[test]
fn agents_of_an_earlier_life_are_waited_for_once() {
    let known = ["n1", "n2"].map(str::to_owned).into();
    let mut rotation = Rotation::resumed(Phase::Steady, &known);
    let phase = rotation.beginning(2, at(0), PATIENCE);
    rotation.performed(phase);
    assert_eq!(rotation.due(at(1), &[]), None, "nobody is back yet");
    rotation.connected("n1");
    rotation.held("n1", 2);
    assert_eq!(rotation.waiting_for(&[]), (vec![], vec!["n2"]));
    assert_eq!(rotation.due(at(600), &[]), Some(Step::SignWithNext));
    rotation.performed(Phase::Retiring { until: at(700) });
    rotation.performed(Phase::Steady);
    let phase = rotation.beginning(3, at(800), PATIENCE);
    rotation.performed(phase);
    rotation.held("n1", 3);
    assert_eq!(
        rotation.due(at(800), &[]),
        Some(Step::SignWithNext),
        "n2 never came back"
    );
}

fn report(generation: u64, holding: &[&str], lacking: &[&str]) -> Report {
    let owned = |nodes: &[&str]| nodes.iter().map(|&node| node.to_owned()).collect();
    Report {
        generation,
        holding: owned(holding),
        lacking: owned(lacking),
    }
}

#[test]
fn agents_of_other_replicas_hold_a_rotation_up_too() {
    let mut rotation = distributing(&["n1"]);
    rotation.held("n1", 2);
    let cases = [
        (vec![], Some(Step::SignWithNext)),
        (vec![report(2, &[], &[])], Some(Step::SignWithNext)),
        (vec![report(2, &["n2"], &[])], Some(Step::SignWithNext)),
        (vec![report(2, &["n2"], &["n3"])], None),
        (vec![report(3, &[], &[])], Some(Step::SignWithNext)),
        // It serves the old bundle still: what its agents hold is not known.
        (vec![report(1, &[], &[])], None),
        (vec![report(2, &[], &[]), report(1, &["n2"], &[])], None),
    ];
    for (others, step) in cases {
        assert_eq!(rotation.due(at(1), &others), step, "{others:?}");
        let late = others
            .iter()
            .all(|o| o.generation >= 2 && o.lacking.is_empty());
        assert_eq!(rotation.due(at(100_000), &others).is_some(), late);
    }
}

#[test]
fn an_agent_is_away_only_if_it_is_with_no_replica() {
    let mut rotation = distributing(&["n1", "n2"]);
    rotation.held("n1", 2);
    rotation.gone("n2");
    let moved = [report(2, &["n2"], &[])];
    assert_eq!(rotation.due(at(1), &moved), Some(Step::SignWithNext));
    let behind = [report(2, &[], &["n2"])];
    assert_eq!(rotation.waiting_for(&behind), (vec!["n2"], vec![]));
    assert_eq!(rotation.due(at(600), &behind), None, "it is connected");
    assert_eq!(rotation.due(at(1), &[]), None);
    assert_eq!(rotation.due(at(600), &[]), Some(Step::SignWithNext));
    // Half-open connections: as long as one replica says that it lacks the bundle, it lacks it.
    let both = [report(2, &["n2"], &[]), report(2, &[], &["n2"])];
    assert_eq!(rotation.due(at(600), &both), None);
}

#[test]
fn a_report_tells_who_holds_the_bundle_and_is_short_otherwise() {
    let mut rotation = distributing(&["n1", "n2", "n3"]);
    rotation.held("n1", 2);
    rotation.held("n2", 2);
    rotation.gone("n2");
    rotation.gone("n3");
    rotation.connected("n4");
    assert_eq!(rotation.report(2), report(2, &["n1", "n2"], &["n4"]));
    rotation.performed(Phase::Retiring { until: at(5) });
    rotation.performed(Phase::Steady);
    assert_eq!(rotation.report(3), report(3, &[], &[]));
}

#[test]
fn a_waypoint_holds_a_rotation_up_while_it_is_connected_and_is_forgotten_when_it_goes() {
    let mut rotation = distributing(&["n1", "waypoint/shop/w-1", "waypoint/shop/w-2"]);
    rotation.held("n1", 2);
    rotation.held("waypoint/shop/w-1", 2);
    assert_eq!(rotation.due(at(100_000), &[]), None);
    let late = vec!["waypoint/shop/w-2"];
    assert_eq!(rotation.waiting_for(&[]), (late.clone(), vec![]));
    assert_eq!(rotation.report(2), report(2, &["n1"], &late));
    let elsewhere = [report(2, &[], &["waypoint/shop/w-3"])];
    rotation.gone("waypoint/shop/w-2");
    assert_eq!(rotation.due(at(1), &elsewhere), None);
    assert_eq!(rotation.due(at(1), &[]), Some(Step::SignWithNext));
    // The word of one that has gone is no presence.
    rotation.held("waypoint/shop/w-2", 1);
    assert_eq!(rotation.due(at(1), &[]), Some(Step::SignWithNext));
    // Nor is any of them written down.
    assert_eq!(rotation.heard_of(), ["n1".to_owned()].into());
    assert_eq!(
        rotation.connected_beside(&["n1".to_owned()].into()),
        [""; 0]
    );
}
