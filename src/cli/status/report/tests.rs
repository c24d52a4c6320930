use serde_json::{Value, from_value, json};

use super::*;
use crate::cli::standing::{self, tests as objects};

/// Some time in 2026.
const NOW: i64 = 1_790_000_000;

fn process(name: &str, node: &str, is_ready: bool) -> Pod {
    let ready = if is_ready { "True" } else { "False" };
    from_value(json!({
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": []},
        "status": {
            "startTime": "2026-09-21T00:00:00Z",
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }))
    .unwrap()
}

/// A mesh that is well: one control plane, one agent, one captured pod.
pub(in crate::cli::status) fn healthy() -> Facts {
    let documents = vec![
        objects::namespace("shop", true),
        objects::pod("shop", "web", "enabled", "Running"),
    ];
    let configuration = objects::configuration(documents);
    let mut pods = standing::of_pods(&configuration);
    pods[0].older_connections = Some(0);
    let metrics = format!(
        "istio_build{{component=\"ambit-node-agent\",tag=\"0.1.0\"}} 1\nambit_pods 1\n\
         ambit_control_plane_connected 1\nambit_config_staleness_seconds 0\n\
         ambit_certificate_expiry_timestamp_seconds{{identity=\"a\"}} {}\n",
        NOW + 3600
    );
    let authority = json!({
        "phase": "steady", "roots": {"0a": "2036-01-01T00:00:00Z"}, "made_by": "this control plane",
        "waiting_for_connected": [], "waiting_for_away": [],
    });
    let streams = json!({"sequence": 7, "streams": [stream(7, None)]});
    let page = |pod: &str, path, text: String| ((pod.to_owned(), path), Ok(text));
    Facts {
        now: NOW,
        control_planes: Ok(vec![process("cp-1", "n2", true)]),
        agents: Ok(vec![process("agent-1", "n1", true)]),
        agent_nodes: Ok(1),
        nodes: vec!["n1".to_owned(), "n2".to_owned()],
        leader: Ok(Some(("cp-1_0a1b".to_owned(), NOW - 3))),
        pages: BTreeMap::from([
            page(
                "cp-1",
                "/metrics",
                "ambit_build_info{version=\"0.1.0\"} 1\n".to_owned(),
            ),
            page("cp-1", "/ca", authority.to_string()),
            page("cp-1", "/debug/agents", streams.to_string()),
            page("agent-1", "/metrics", metrics),
        ]),
        later: BTreeMap::new(),
        pods,
        namespaces: vec!["shop".to_owned()],
        problems: configuration.problems(),
        policies: Vec::new(),
        unread: Vec::new(),
    }
}

fn stream(acknowledged: u64, last_rejection: Option<&str>) -> Value {
    json!({
        "node": "n1", "acknowledged": acknowledged,
        "rejections": u8::from(last_rejection.is_some()), "last_rejection": last_rejection,
    })
}

/// Health and findings after a change to a mesh that was well.
fn after(change: impl FnOnce(&mut Facts)) -> (Health, Vec<String>) {
    let mut facts = healthy();
    change(&mut facts);
    let report = Report::of(&facts);
    let whats = report.findings.into_iter().map(|finding| finding.what);
    (report.health, whats.collect())
}

#[test]
fn a_mesh_that_is_well_has_no_findings() {
    assert_eq!(after(|_| {}), (Health::Healthy, Vec::new()));
    let report = Report::of(&healthy());
    assert!(report.control_planes[0].leads);
    assert_eq!(report.agents[0].version.as_deref(), Some("0.1.0"));
    assert_eq!(report.namespaces[0].captured, 1);
}

type Change = fn(&mut Facts);

#[test]
fn what_is_wrong_is_said_and_decides() {
    let changes: [(Change, &str); 9] = [
        (
            |facts| facts.control_planes = Ok(vec![]),
            "no control plane runs",
        ),
        (
            |facts| facts.agents = Ok(vec![process("agent-1", "n1", false)]),
            "agent agent-1 on n1 is not ready",
        ),
        (
            |facts| facts.agent_nodes = Ok(2),
            "1 of 2 nodes that are to have an agent have none; there is none on n2",
        ),
        (|facts| facts.leader = Ok(None), "no control plane leads"),
        (
            |facts| facts.leader = Ok(Some(("cp-1_0a".to_owned(), NOW - 61))),
            "no control plane leads",
        ),
        (
            |facts| facts.now = 2_080_000_000,
            "a certificate of agent agent-1 on n1 has expired",
        ),
        (
            |facts| facts.pods[0].standing = Standing::Pending,
            "shop/web on n1 is not captured: its agent has not said why",
        ),
        (
            |facts| {
                let page = json!({"sequence": 7, "streams": [stream(7, Some("bad"))]});
                let key = ("cp-1".to_owned(), "/debug/agents");
                facts.pages.insert(key, Ok(page.to_string()));
            },
            "the agent of n1 rejected configuration 1 times, last: bad",
        ),
        (
            |facts| {
                facts.policies = vec![json!({
                    "kind": "AuthorizationPolicy", "metadata": {"namespace": "shop", "name": "p"},
                    "status": {"conditions": [
                        {"type": "Accepted", "status": "False", "message": "no such field"},
                    ]},
                })];
            },
            "AuthorizationPolicy shop/p is not accepted: no such field",
        ),
    ];
    for (change, what) in changes {
        let (health, findings) = after(change);
        assert_eq!(health, Health::Wrong, "{what}");
        assert!(
            findings.iter().any(|f| f.starts_with(what)),
            "{what}: {findings:?}"
        );
    }
}

#[test]
fn an_agent_is_stale_if_it_is_behind_for_longer_than_a_moment() {
    let behind = |facts: &mut Facts| {
        let page = json!({"sequence": 7, "streams": [stream(5, None)]});
        let key = ("cp-1".to_owned(), "/debug/agents");
        facts.pages.insert(key, Ok(page.to_string()));
    };
    let caught_up = |acknowledged: u64| -> BTreeMap<String, Streams> {
        let page = json!({"sequence": 9, "streams": [stream(acknowledged, None)]});
        BTreeMap::from([("cp-1".to_owned(), from_value(page).unwrap())])
    };
    let (health, _) = after(|facts| {
        behind(facts);
        facts.later = caught_up(7);
    });
    assert_eq!(health, Health::Healthy);
    let (health, findings) = after(|facts| {
        behind(facts);
        facts.later = caught_up(5);
    });
    assert_eq!(health, Health::Wrong);
    assert_eq!(findings, ["the agent of n1 is stale: it has change 5 of 7"]);
}

/// Another process answers there, or another version.
fn garble(facts: &mut Facts, pod: &str, path: &'static str) {
    let page = Ok("<html>".to_owned());
    facts.pages.insert((pod.to_owned(), path), page);
}

#[test]
fn what_cannot_be_seen_is_not_taken_for_well_nor_for_wrong() {
    let changes: [Change; 8] = [
        |facts| garble(facts, "cp-1", "/metrics"),
        |facts| garble(facts, "cp-1", "/ca"),
        |facts| garble(facts, "cp-1", "/debug/agents"),
        |facts| garble(facts, "agent-1", "/metrics"),
        |facts| facts.agent_nodes = Err("forbidden".to_owned()),
        |facts| facts.unread = vec!["pods: forbidden".to_owned()],
        |facts| facts.leader = Err("forbidden".to_owned()),
        |facts| {
            let key = ("agent-1".to_owned(), "/metrics");
            facts.pages.insert(key, Err("not allowed".to_owned()));
        },
    ];
    for change in changes {
        assert_eq!(after(change).0, Health::Unknown);
    }
    let (health, _) = after(|facts| {
        facts.unread = vec!["pods: forbidden".to_owned()];
        facts.leader = Ok(None);
    });
    assert_eq!(health, Health::Wrong, "known to be wrong");
}

#[test]
fn older_connections_and_pods_just_made_are_nothing_wrong() {
    let (health, findings) = after(|facts| {
        facts.pods[0].older_connections = Some(3);
    });
    assert_eq!(health, Health::Healthy);
    assert_eq!(
        findings,
        ["3 connections in shop are older than the capture and go around the mesh"]
    );
    let (health, _) = after(|facts| {
        facts.pods[0].standing = Standing::Pending;
        facts.pods[0].created = Some("2026-09-21T14:13:15Z".into());
    });
    assert_eq!(health, Health::Healthy);
}

#[test]
fn the_exit_code_is_for_scripts() {
    let codes = [Health::Healthy, Health::Wrong, Health::Unknown].map(Health::exit_code);
    assert_eq!(codes, [0, 1, 2]);
}
