use serde_json::{Value, json};

use super::*;
use crate::config::objects::{Object, read};

fn rule(spec: &Value) -> Result<DestinationRule, String> {
    let document = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "r", "namespace": "shop"}, "spec": spec,
    });
    match read(document) {
        Ok(Object::DestinationRule(rule)) => Ok(*rule),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(format!("{}: {}", error.finding.field, error.finding.what)),
    }
}

/// The same with this in the policy of the whole service.
fn with(policy: &Value) -> Result<DestinationRule, String> {
    rule(&json!({"host": "web", "trafficPolicy": policy}))
}

#[test]
fn what_is_read_is_written_the_same() {
    let rule = rule(&json!({
        "host": "web.shop.svc.cluster.local",
        "exportTo": ["."],
        "trafficPolicy": {
            "connectionPool": {
                "tcp": {"maxConnections": 100, "connectTimeout": "5s"},
                "http": {
                    "h2UpgradePolicy": "DEFAULT", "http1MaxPendingRequests": 50, "http2MaxRequests": 100,
                    "maxRequestsPerConnection": 10, "maxRetries": 3, "idleTimeout": "1h",
                },
            },
            "outlierDetection": {
                "consecutive5xxErrors": 3, "interval": "10s", "baseEjectionTime": "30s",
                "maxEjectionPercent": 50, "minHealthPercent": 30,
            },
            "loadBalancer": {
                "simple": "LEAST_REQUEST",
                "localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a/b": 80, "c/*": 20}}]},
            },
            "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "ISTIO_MUTUAL"}}],
        },
        "subsets": [
            {"name": "v1", "labels": {"version": "v1"}},
            {"name": "V2", "labels": {"version": "v2"}, "trafficPolicy": {"loadBalancer": {
                "consistentHash": {"httpCookie": {"name": "c", "ttl": "0s"}, "maglev": {"tableSize": 101}},
                "warmup": {"duration": "30s", "aggression": 1.5},
            }}},
        ],
    }))
    .unwrap();
    let again = serde_json::to_value(&rule).unwrap();
    assert_eq!(
        serde_json::from_value::<DestinationRule>(again).unwrap(),
        rule
    );
    assert_eq!(rule.labels(), BTreeSet::from(["version".into()]));
}

#[test]
fn what_istio_refuses_is_refused_with_its_field() {
    for (policy, expected) in [
        (json!({}), "spec.trafficPolicy: empty"),
        (json!({"loadBalancer": {"simpel": "RANDOM"}}), "simpel"),
        (
            json!({"loadBalancer": {"simple": "FASTEST"}}),
            "spec.trafficPolicy.loadBalancer.simple",
        ),
        (
            json!({"loadBalancer": {"simple": "RANDOM", "consistentHash": {"useSourceIp": true}}}),
            "both simple and consistentHash",
        ),
        (
            json!({"loadBalancer": {"consistentHash": {"useSourceIp": true, "httpHeaderName": "x"}}}),
            "more than one of",
        ),
        (
            json!({"loadBalancer": {"consistentHash": {"httpCookie": {"ttl": "1s"}}}}),
            "httpCookie.name",
        ),
        (json!({"loadBalancer": {"warmup": {}}}), "warmup.duration"),
        (json!({"connectionPool": {}}), "neither tcp nor http"),
        (
            json!({"connectionPool": {"tcp": {"maxConnections": -1}}}),
            "maxConnections",
        ),
        (
            json!({"connectionPool": {"tcp": {"maxConnections": 3_000_000_000_u32}}}),
            "maxConnections",
        ),
        (
            json!({"connectionPool": {"tcp": {"connectTimeout": "5us"}}}),
            "connectTimeout",
        ),
        (
            json!({"connectionPool": {"http": {"useClientProtocol": true, "h2UpgradePolicy": "UPGRADE"}}}),
            "useClientProtocol",
        ),
        (
            json!({"outlierDetection": {"maxEjectionPercent": 101}}),
            "maxEjectionPercent",
        ),
        (json!({"outlierDetection": {"interval": "0s"}}), "interval"),
        (json!({"tls": {"mode": "MUTUAL"}}), "tls.clientCertificate"),
        (
            json!({"portLevelSettings": [{"tls": {"mode": "DISABLE"}}]}),
            "portLevelSettings[0].port",
        ),
        (
            json!({"loadBalancer": {"localityLbSetting": {"distribute": [{"from": "a", "to": {"a": 99}}]}}}),
            "weights",
        ),
        (
            json!({"loadBalancer": {"localityLbSetting": {"distribute": [{"from": "a/*/b", "to": {"a": 100}}]}}}),
            "no locality",
        ),
        (
            json!({"loadBalancer": {"localityLbSetting": {"failover": [{"from": "a", "to": "a"}]}}}),
            "fails over to itself",
        ),
        (
            json!({"loadBalancer": {"localityLbSetting": {
                "failover": [{"from": "a", "to": "b"}], "distribute": [{"from": "a", "to": {"a": 100}}],
            }}}),
            "distribute beside failover",
        ),
    ] {
        let error = with(&policy).unwrap_err();
        assert!(error.contains(expected), "{policy}: {error}");
    }
    for (spec, expected) in [
        (json!({}), "host"),
        (json!({"host": "Not a name"}), "spec.host"),
        (
            json!({"host": "web", "exportTo": ["~", "a"]}),
            "spec.exportTo",
        ),
        (
            json!({"host": "web", "subsets": [{"name": "a b"}]}),
            "spec.subsets[0].name",
        ),
        (
            json!({"host": "web", "subsets": [{"name": "a"}, {"name": "a"}]}),
            "spec.subsets[1].name",
        ),
        (
            json!({"host": "web", "subsets": [{"name": "a", "labels": {"v": "a b"}}]}),
            "labels.v",
        ),
        (json!({"host": "web", "subset": []}), "subset"),
    ] {
        let error = rule(&spec).unwrap_err();
        assert!(error.contains(expected), "{spec}: {error}");
    }
}
