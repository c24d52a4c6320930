use super::*;

fn pod(uid: &str, older_connections: u32) -> CapturedPod {
    CapturedPod {
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: format!("pod-{uid}"),
        older_connections,
    }
}

fn listed(all: &Reported, node: &str) -> Option<Vec<(String, u32)>> {
    let pods = all.list().remove(node)?;
    Some(
        pods.into_iter()
            .map(|pod| (pod.uid, pod.older_connections))
            .collect(),
    )
}

#[test]
fn the_last_word_of_an_agent_stands_until_its_stream_ends() {
    let all = Reported::default();
    let first = all.of_stream(&"n1".into());
    first.captured(&pod("a", 0));
    first.captured(&pod("a", 3));
    first.captured(&pod("b", 0));
    first.released("b");
    assert_eq!(listed(&all, "n1"), Some(vec![("a".to_owned(), 3)]));
    let second = all.of_stream(&"n1".into());
    second.captured(&pod("c", 1));
    first.captured(&pod("d", 1));
    drop(first);
    assert_eq!(listed(&all, "n1"), Some(vec![("c".to_owned(), 1)]));
    second.begin();
    assert_eq!(listed(&all, "n1"), Some(vec![]));
    drop(second);
    assert_eq!(listed(&all, "n1"), None);
}

#[test]
fn of_a_name_no_more_is_kept_than_an_object_can_have() {
    let all = Reported::default();
    let of_stream = all.of_stream(&"n1".into());
    let long = CapturedPod {
        namespace: "n".repeat(100_000),
        name: "p".repeat(100_000),
        ..pod("a", 0)
    };
    of_stream.captured(&long);
    let kept = all.list().remove("n1").unwrap().remove(0);
    assert_eq!((kept.namespace.len(), kept.name.len()), (253, 253));
}
