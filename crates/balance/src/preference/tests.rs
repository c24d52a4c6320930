use std::sync::Arc;

use ambit_model::LoadBalancingMode::{Failover, Passthrough, Strict, Unspecified};
use ambit_model::{LoadBalancing, LoadBalancingMode, Locality};

use super::{Distribute, LocalitySetting, Preference, RegionFailover};
use crate::place::Place;

fn place(text: &str) -> Place {
    let mut parts = text.split('/').map(Into::into);
    let mut part = || parts.next().unwrap_or_default();
    Place {
        locality: Locality {
            region: part(),
            zone: part(),
            subzone: part(),
        },
        node: part(),
        cluster: part(),
        network: part(),
        ..Place::default()
    }
}

fn preference(scopes: &[i32], mode: LoadBalancingMode) -> Preference {
    let balancing = LoadBalancing {
        routing_preference: scopes.to_vec(),
        mode,
        ..LoadBalancing::default()
    };
    Preference::new(&balancing, place("r/z/s/n/c/w"))
}

/// Scopes, then mode, then the endpoint's place, then its rank.
const RANKS: &[(&[i32], LoadBalancingMode, &str, Option<usize>)] = &[
    (&[], Failover, "x/x/x/x/x/x", Some(0)),
    (&[], Strict, "x/x/x/x/x/x", Some(0)),
    // Failover: shared scopes count up to the first that is not shared.
    (&[1, 2, 3], Failover, "r/z/s/x/x/x", Some(0)),
    (&[1, 2, 3], Failover, "r/z/x/x/x/x", Some(1)),
    (&[1, 2, 3], Failover, "r/x/s/x/x/x", Some(2)),
    (&[1, 2, 3], Failover, "x/z/s/n/c/w", Some(3)),
    (&[6, 5, 1, 2, 4], Failover, "r/z/x/x/c/w", Some(1)),
    // Strict: all of them or nothing.
    (&[4], Strict, "x/x/x/n/x/x", Some(0)),
    (&[4], Strict, "r/z/s/x/c/w", None),
    (&[5, 6], Strict, "x/x/x/x/c/w", Some(0)),
    (&[5, 6], Strict, "r/z/s/n/c/x", None),
    // A scope that is not known is never shared.
    (&[1, 9], Failover, "r/z/s/n/c/w", Some(1)),
    (&[9], Strict, "r/z/s/n/c/w", None),
    // Other modes have no preference.
    (&[1], Unspecified, "x/x/x/x/x/x", Some(0)),
    (&[1], Passthrough, "x/x/x/x/x/x", Some(0)),
];

#[test]
fn ranks_are_the_scopes_that_are_not_shared() {
    for (scopes, mode, endpoint, rank) in RANKS {
        let preference = preference(scopes, *mode);
        let found = preference.rank(&place(endpoint));
        assert_eq!(
            found, *rank,
            "{endpoint} by scopes {scopes:?} in mode {mode:?}"
        );
        assert!(found.is_none_or(|rank| rank < preference.ranks()));
    }
}

/// A place with labels behind it, as `key=value`.
fn labelled(text: &str, labels: &[(&str, &str)]) -> Place {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    Place {
        labels: Arc::new(labels.collect()),
        ..place(text)
    }
}

fn regions(pairs: &[(&str, &str)]) -> Vec<RegionFailover> {
    let pairs = pairs.iter().map(|(from, to)| RegionFailover {
        from: (*from).into(),
        to: (*to).into(),
    });
    pairs.collect()
}

fn by_labels(labels: &[&str]) -> LocalitySetting {
    LocalitySetting {
        failover_priority: labels.iter().map(|label| (*label).into()).collect(),
        ..LocalitySetting::default()
    }
}

#[track_caller]
fn assert_ranks(preference: &Preference, ranks: &[(&str, Option<usize>)]) {
    for (endpoint, rank) in ranks {
        let found = preference.rank(&place(endpoint));
        assert_eq!(found, *rank, "{endpoint}");
        assert!(found.is_none_or(|rank| rank < preference.ranks()));
    }
}

#[test]
fn failover_goes_by_subzone_zone_region_and_the_region_that_is_named() {
    let mut setting = LocalitySetting::default();
    let anywhere = Preference::by_locality(&setting, place("r/z/s"));
    let near = [
        ("r/z/s", Some(0)),
        ("r/z/x", Some(1)),
        ("r/x/s", Some(2)),
        ("x/z/s", Some(3)),
        ("y/z/s", Some(3)),
    ];
    assert_ranks(&anywhere, &near);
    setting.failover = regions(&[("q", "x"), ("r", "y"), ("r", "x")]);
    let to_y = Preference::by_locality(&setting, place("r/z/s"));
    assert_ranks(&to_y, &near[..3]);
    assert_ranks(&to_y, &[("y/z/s", Some(3)), ("x/z/s", Some(4))]);
    let others = Preference::by_locality(&setting, place("p/z/s"));
    assert_ranks(&others, &[("y/z/s", Some(3)), ("x/z/s", Some(3))]);
    assert!(to_y.minds_illness() && !preference(&[1], Failover).minds_illness());
}

#[test]
fn a_rule_that_is_disabled_prefers_nothing() {
    let setting = LocalitySetting {
        disabled: true,
        ..LocalitySetting::default()
    };
    let none = Preference::by_locality(&setting, place("r/z/s"));
    assert_eq!(none, Preference::default());
    assert_ranks(&none, &[("r/z/s", Some(0)), ("x/x/x", Some(0))]);
}

#[test]
fn labels_count_until_the_first_that_differs() {
    let own = labelled("r/z/s/n/c/w", &[("version", "v1"), ("tier", "a")]);
    let preference = Preference::by_locality(&by_labels(&["version", "tier"]), own.clone());
    let rank = |preference: &Preference, labels: &[(&str, &str)]| {
        preference.rank(&labelled("x/x/x/x/x/x", labels)).unwrap()
    };
    assert_eq!(rank(&preference, &[("version", "v1"), ("tier", "a")]), 0);
    assert_eq!(rank(&preference, &[("version", "v1"), ("tier", "b")]), 1);
    assert_eq!(rank(&preference, &[("version", "v1")]), 1);
    assert_eq!(rank(&preference, &[("version", "v2"), ("tier", "a")]), 2);
    assert_eq!(rank(&preference, &[]), 2);
    // What neither has is equal.
    let preference = Preference::by_locality(&by_labels(&["colour"]), own.clone());
    assert_eq!(rank(&preference, &[("version", "v2")]), 0);
    // With a value, the caller's does not matter.
    let preference = Preference::by_locality(&by_labels(&["version=v2", "tier"]), own);
    assert_eq!(rank(&preference, &[("version", "v2"), ("tier", "a")]), 0);
    assert_eq!(rank(&preference, &[("version", "v1"), ("tier", "a")]), 2);
}

#[test]
fn some_labels_stand_for_the_place() {
    let own = place("r/z/s/n/c/w");
    let labels = [
        "topology.istio.io/network",
        "topology.istio.io/cluster=c",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
        "kubernetes.io/hostname",
    ];
    assert_ranks(
        &Preference::by_locality(&by_labels(&labels), own),
        &[
            ("r/z/s/n/c/w", Some(0)),
            ("r/z/s/x/c/w", Some(1)),
            ("r/z/x/n/c/w", Some(2)),
            ("r/x/s/n/c/w", Some(3)),
            ("x/z/s/n/c/w", Some(4)),
            ("r/z/s/n/x/w", Some(5)),
            ("r/z/s/n/c/x", Some(6)),
        ],
    );
}

#[test]
fn with_labels_and_regions_labels_go_first() {
    let setting = LocalitySetting {
        failover: regions(&[("r", "y")]),
        ..by_labels(&["topology.istio.io/network"])
    };
    assert_ranks(
        &Preference::by_locality(&setting, place("r/z/s/n/c/w")),
        &[
            ("r/z/s/n/c/w", Some(0)),
            ("r/x/s/n/c/w", Some(2)),
            ("y/z/s/n/c/w", Some(3)),
            ("x/z/s/n/c/w", Some(4)),
            ("r/z/s/n/c/x", Some(5)),
            ("x/z/s/n/c/x", Some(9)),
        ],
    );
}

fn distribute(from: &str, to: &[(&str, u32)]) -> Distribute {
    Distribute {
        from: from.into(),
        to: to
            .iter()
            .map(|(to, weight)| ((*to).into(), *weight))
            .collect(),
    }
}

#[test]
fn parts_go_to_the_pattern_that_names_the_most() {
    let setting = LocalitySetting {
        distribute: vec![
            distribute("r/x/*", &[("*", 100)]),
            distribute(
                "r/*",
                &[
                    ("*", 10),
                    ("r/z/s", 40),
                    ("y/*/t", 30),
                    ("r/z/*", 20),
                    ("y/q", 0),
                ],
            ),
            distribute("r/z/s", &[("never", 100)]),
        ],
        ..LocalitySetting::default()
    };
    let preference = Preference::by_locality(&setting, place("r/z/s"));
    assert_eq!(preference.weights(), Some(vec![40, 30, 20, 0, 10]));
    assert_ranks(
        &preference,
        &[
            ("r/z/s", Some(0)),
            ("y/q/t", Some(1)),
            ("y/p/t", Some(1)),
            ("r/z/t", Some(2)),
            ("r/z", Some(2)),
            // A part of nothing gets nothing.
            ("y/q/u", None),
            ("y/p/u", Some(4)),
            ("", Some(4)),
        ],
    );
    let elsewhere = Preference::by_locality(&setting, place("q/z/s"));
    assert_eq!(
        elsewhere,
        Preference {
            own: place("q/z/s"),
            ..Preference::default()
        }
    );
}

#[test]
fn what_no_part_names_gets_nothing() {
    let setting = LocalitySetting {
        distribute: vec![distribute("*", &[("r", 80), ("x/z/s", 20)])],
        // Without effect beside it.
        failover: regions(&[("r", "y")]),
        ..LocalitySetting::default()
    };
    assert_ranks(
        &Preference::by_locality(&setting, place("r/z/s")),
        &[
            ("r/a/b", Some(1)),
            ("x/z/s", Some(0)),
            ("x/z/t", None),
            ("y/z/s", None),
            ("", None),
        ],
    );
}

#[test]
fn ranks_are_not_without_bound() {
    let many: Vec<_> = (0..1000).map(|key| format!("key{key}=x")).collect();
    let setting = LocalitySetting {
        failover_priority: many.clone(),
        failover: regions(&[("r", "y")]),
        ..LocalitySetting::default()
    };
    assert_eq!(Preference::by_locality(&setting, place("r")).ranks(), 85);
    let to: Vec<_> = many.iter().map(|name| (name.as_str(), 1)).collect();
    let setting = LocalitySetting {
        distribute: vec![distribute("*", &to)],
        ..LocalitySetting::default()
    };
    assert_eq!(Preference::by_locality(&setting, place("r")).ranks(), 100);
}
