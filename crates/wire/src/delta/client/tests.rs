//! Tables for the subscribing end.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::discovery::Any;

const TYPE: &str = "type.example/thing";

fn resource(name: &str, version: &str, type_url: &str) -> Resource {
    Resource {
        name: name.into(),
        version: version.into(),
        resource: Some(Any {
            type_url: type_url.into(),
            value: Bytes::from(version.to_owned()),
        }),
        aliases: Vec::new(),
    }
}

fn response(resources: Vec<Resource>, removed: &[&str]) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: TYPE.into(),
        nonce: "7".into(),
        resources,
        removed_resources: removed.iter().map(|n| (*n).to_owned()).collect(),
        system_version_info: String::new(),
    }
}

#[test]
fn the_first_request_is_a_wildcard_with_the_versions_held() {
    let mut client = Client::new(TYPE);
    client.restore("a", "1");
    let request = client.connect(Node::default());
    assert!(request.resource_names_subscribe.is_empty());
    assert!(request.response_nonce.is_empty());
    assert_eq!(
        request
            .initial_resource_versions
            .get("a")
            .map(String::as_str),
        Some("1")
    );
}

#[test]
fn a_good_response_is_acked_and_remembered() {
    let mut client = Client::new(TYPE);
    client.restore("gone", "1");
    let update = client.receive(response(vec![resource("a", "2", TYPE)], &["gone"]), |_| {
        Ok(())
    });
    assert!(update.complete);
    assert_eq!(update.removed, [Arc::from("gone")]);
    let ack = client.answer(&update.nonce, &update.rejected);
    assert_eq!(ack.response_nonce, "7");
    assert_eq!(ack.error_detail, None);
    let versions = client.connect(Node::default()).initial_resource_versions;
    assert_eq!(
        versions.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), "2".to_owned())]
    );
}

#[test]
fn a_bad_resource_is_named_in_the_nack_and_the_rest_is_applied() {
    let mut client = Client::new(TYPE);
    client.restore("bad", "1");
    let update = client.receive(
        response(
            vec![resource("bad", "2", TYPE), resource("a", "1", TYPE)],
            &[],
        ),
        |r| {
            if &*r.name == "bad" {
                Err("port 0".to_owned())
            } else {
                Ok(())
            }
        },
    );
    assert_eq!(update.changed.len(), 1);
    let nack = client.answer(&update.nonce, &update.rejected);
    assert_eq!(nack.error_detail.unwrap().message, "bad: port 0");
    let versions = client.connect(Node::default()).initial_resource_versions;
    assert_eq!(versions["bad"], "", "asked for again on the next stream");
    assert_eq!(versions["a"], "1");
}

#[test]
fn what_has_no_name_no_body_or_another_type_is_rejected_unseen() {
    let cases = [
        resource("", "1", TYPE),
        resource("x", "1", "type.example/other"),
        Resource {
            name: "y".into(),
            ..Resource::default()
        },
    ];
    for case in cases {
        let mut client = Client::new(TYPE);
        let update = client.receive(response(vec![case], &[]), |_| panic!("must not be checked"));
        assert_eq!((update.changed.len(), update.rejected.len()), (0, 1));
    }
}

#[test]
fn a_nack_of_many_bad_resources_stays_small() {
    let client = Client::new(TYPE);
    let rejected: Vec<_> = (0..10_000)
        .map(|n| Rejection {
            name: format!("n{n}").into(),
            reason: "ü".repeat(10_000),
        })
        .collect();
    let message = client.answer("1", &rejected).error_detail.unwrap().message;
    assert!(message.len() < 32 * 1024, "{}", message.len());
    assert!(message.ends_with("and 9968 more"));
}

#[test]
fn a_state_in_several_responses_is_complete_with_the_last() {
    let mut client = Client::new(TYPE);
    let mut first = response(vec![resource("a", "1", TYPE)], &[]);
    first.system_version_info = MORE.to_owned();
    assert!(!client.receive(first, |_| Ok(())).complete);
    assert!(client.receive(response(vec![], &[]), |_| Ok(())).complete);
}
