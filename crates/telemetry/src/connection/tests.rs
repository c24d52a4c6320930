//! Lines are valid JSON under the names that users of Istio's node proxy know.

use super::*;
use ambit_decide::Reason;

#[test]
fn a_refusal_names_its_reason_and_policy() {
    let refusal = Refusal {
        reason: Reason::ALL[0],
        policy: Some(ambit_model::PolicyName::new("shop", "no-carts")),
        rule: None,
        detail: "said no".into(),
    };
    let connection = Connection {
        direction: "inbound",
        ends: &Ends::default(),
        source: "10.0.0.1:40000".parse().unwrap(),
        forwarded: None,
        destination: "10.0.0.2:80".parse().unwrap(),
        host: Some("api.example.com"),
        tunnel: None,
        sent: 1,
        received: 2,
        duration: Duration::from_millis(13),
        refusal: Some(&refusal),
        error: None,
    };
    let line = connection.to_line();
    assert_eq!(line.last(), Some(&b'\n'));
    let json: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
    assert_eq!(json["reason"], Reason::ALL[0].word());
    assert_eq!(json["policy"], "shop/no-carts");
    assert_eq!(json["direction"], "inbound");
    assert!(json["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(json["duration"], "13ms");
    assert_eq!(json["src.addr"], "10.0.0.1:40000");
    assert_eq!(json["dst.host"], "api.example.com");
    assert!(json.get("dst.hbone_addr").is_none());
    assert!(json.get("src.forwarded_addr").is_none());
}
