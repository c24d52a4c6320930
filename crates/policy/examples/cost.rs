//! What judging a request costs by a number of rules, none of which matches but the last.
//!
//! `cargo run --release -p ambit-policy --example cost [RULES]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program"
)]

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::{
    Condition, Operation, PolicyName, RequestAction, RequestPolicy, RequestRule, Source, SpiffeId,
};
use ambit_policy::{Attributes, Claims, Headers, Policy, Request, joined};
use serde_json::json;

const JUDGED: u32 = 200_000;

#[derive(Debug)]
struct Lines(Vec<(&'static str, &'static str)>);

impl Headers for Lines {
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let lines = self.0.iter().filter(|(key, _)| *key == name);
        joined(lines.map(|(_, value)| value.as_bytes()))
    }

    fn any_line(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut lines = self.0.iter().filter(|(key, _)| *key == name);
        lines.any(|(_, value)| is(value.as_bytes()))
    }
}

/// A rule about one path and who may ask for it, with a template or a condition each.
fn rule(number: usize) -> RequestRule {
    let own: Arc<str> = "shop".into();
    let mut source = Source::default();
    let principal = format!("cluster.local/ns/shop/sa/client-{number}");
    source.put("principals", &[principal], &own).unwrap();
    let mut operation = Operation::default();
    operation.put("methods", &["GET", "HEAD"]).unwrap();
    let paths = [
        format!("/api/v1/kind-{number}*"),
        format!("/api/v1/{{*}}/kind-{number}/{{**}}"),
    ];
    operation.put("paths", &paths).unwrap();
    let keys = ["request.headers[x-tier]", "request.auth.claims[groups]"];
    let value = [format!("value-{number}")];
    let none: [&str; 0] = [];
    let when = keys.map(|key| Condition::parse(key, &value, &none, &own).unwrap());
    let (from, to) = (vec![source], vec![operation]);
    match number % 3 {
        // Told apart by who asks, by what for, or by what else is said.
        0 => RequestRule {
            from,
            ..RequestRule::default()
        },
        1 => RequestRule {
            from,
            to,
            ..RequestRule::default()
        },
        _ => RequestRule {
            when: when.to_vec(),
            ..RequestRule::default()
        },
    }
}

fn main() {
    let count = std::env::args()
        .nth(1)
        .map_or(100, |arg| arg.parse().unwrap());
    let mut rules: Vec<RequestRule> = (0..count).map(rule).collect();
    rules.push(RequestRule::default());
    let policy = RequestPolicy {
        name: PolicyName::new("shop", "p"),
        action: RequestAction::Allow,
        dry_run: false,
        rules,
    };
    let began = Instant::now();
    let policy = Policy::new(&policy);
    println!("compiled in {:?}", began.elapsed());

    let peer = SpiffeId::from_parts("cluster.local", "shop", "web");
    let headers = Lines(vec![
        ("accept", "*/*"),
        ("user-agent", "x"),
        ("x-tier", "gold"),
    ]);
    let payload = json!({"iss": "https://idp.org", "sub": "jane", "groups": ["a", "b"]});
    let claims = Claims::new(payload.as_object().unwrap().clone());
    let attributes = Attributes {
        peer: Some(&peer),
        source_ip: "10.0.0.9".parse().unwrap(),
        remote_ip: "10.0.0.9".parse().unwrap(),
        destination: "10.0.0.1:8080".parse().unwrap(),
        sni: None,
        request: Some(Request {
            method: "GET",
            host: Some("shop.example.com"),
            path: "/api/v1/things/other/7",
            headers: &headers,
            claims: Some(&claims),
        }),
    };
    let began = Instant::now();
    for _ in 0..JUDGED {
        let matched = black_box(policy.matched_by(black_box(&attributes)));
        assert_eq!(matched, Some(count));
    }
    let each = began.elapsed() / JUDGED;
    println!("{count} rules: {each:?} for each request");
}
