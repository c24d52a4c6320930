use ambit_kit::metrics::Registry;

use super::*;
use crate::config::objects::ObjectKey;
use crate::config::store::ObjectEvent;

fn change(kind: Kind, namespace: &str) -> Batch {
    let event = ObjectEvent::Remove {
        file: "cluster".into(),
        key: ObjectKey::new(kind, namespace, "one"),
    };
    Batch {
        events: vec![event],
        ..Batch::default()
    }
}

fn feed() -> (NodeFeed, watch::Receiver<Arc<Vec<NodeAgents>>>) {
    let (sender, nodes) = watch::channel(Arc::default());
    let feed = NodeFeed {
        namespace: "mesh".into(),
        daemon_set: "agent".into(),
        sender,
    };
    (feed, nodes)
}

#[test]
fn changes_that_come_close_together_are_looked_over_once() {
    let mut survey = Survey::new(None, None, None);
    let start = clock::now();
    for after in 0..1000 {
        let now = start + Duration::from_millis(after);
        survey.note(&change(Kind::Pod, "shop"), now);
    }
    let expected = [
        (Look::Policies, start + LATER),
        (Look::Problems, start + SELDOM),
    ];
    assert_eq!(survey.due, BTreeMap::from(expected));
    let metrics = Metrics::new(&Registry::new());
    survey.look(&Configuration::default(), &metrics, start + SELDOM);
    assert_eq!(
        survey.due,
        BTreeMap::from([(Look::Policies, start + LATER)])
    );
}

#[test]
fn nodes_are_looked_over_when_one_or_an_agent_changes_and_somebody_wants_to_know() {
    let now = clock::now();
    for (kind, namespace, expected) in [
        (Kind::Node, "", true),
        (Kind::Pod, "mesh", true),
        (Kind::Pod, "shop", false),
        (Kind::Service, "mesh", false),
    ] {
        let (feed, mut nodes) = feed();
        let mut survey = Survey::new(None, Some(feed), None);
        survey.note(&change(kind, namespace), now);
        let metrics = Metrics::new(&Registry::new());
        survey.look(&Configuration::default(), &metrics, now + SOON);
        assert_eq!(
            nodes.has_changed().unwrap(),
            expected,
            "{kind:?} {namespace}"
        );
        let mut nobody = Survey::new(None, None, None);
        nobody.note(&change(kind, namespace), now);
        assert!(!nobody.due.contains_key(&Look::Nodes));
        nodes.mark_unchanged();
    }
}

#[test]
fn waypoints_are_told_of_once_they_are_others_than_before() {
    let (sender, mut told) = watch::channel(None);
    let mut survey = Survey::new(None, None, Some(WaypointFeed(sender)));
    let metrics = Metrics::new(&Registry::new());
    let now = clock::now();
    let mut look = |batch: &Batch| {
        survey.note(batch, now);
        survey.look(&Configuration::default(), &metrics, now + LATER);
        let is_told = told.has_changed().unwrap();
        told.mark_unchanged();
        is_told
    };
    let shown = Batch {
        shown: vec![(ObjectKey::new(Kind::Gateway, "shop", "w"), None)],
        ..Batch::default()
    };
    assert!(look(&shown), "the first time");
    assert!(!look(&shown), "nothing new");
    assert!(!look(&change(Kind::Pod, "shop")));
}
