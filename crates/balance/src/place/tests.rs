use ambit_model::{LoadBalancing, Locality};

use super::{Place, Preference};

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
    }
}

fn preference(scopes: &[i32], mode: i32) -> Preference {
    let balancing = LoadBalancing {
        routing_preference: scopes.to_vec(),
        mode,
        ..LoadBalancing::default()
    };
    Preference::new(&balancing, place("r/z/s/n/c/w"))
}

/// Scopes, then mode, then the endpoint's place, then its rank.
const RANKS: &[(&[i32], i32, &str, Option<usize>)] = &[
    (&[], 2, "x/x/x/x/x/x", Some(0)),
    (&[], 1, "x/x/x/x/x/x", Some(0)),
    // Failover: shared scopes count up to the first that is not shared.
    (&[1, 2, 3], 2, "r/z/s/x/x/x", Some(0)),
    (&[1, 2, 3], 2, "r/z/x/x/x/x", Some(1)),
    (&[1, 2, 3], 2, "r/x/s/x/x/x", Some(2)),
    (&[1, 2, 3], 2, "x/z/s/n/c/w", Some(3)),
    (&[6, 5, 1, 2, 4], 2, "r/z/x/x/c/w", Some(1)),
    // Strict: all of them or nothing.
    (&[4], 1, "x/x/x/n/x/x", Some(0)),
    (&[4], 1, "r/z/s/x/c/w", None),
    (&[5, 6], 1, "x/x/x/x/c/w", Some(0)),
    (&[5, 6], 1, "r/z/s/n/c/x", None),
    // A scope that is not known is never shared.
    (&[1, 9], 2, "r/z/s/n/c/w", Some(1)),
    (&[9], 1, "r/z/s/n/c/w", None),
    // Other modes have no preference.
    (&[1], 0, "x/x/x/x/x/x", Some(0)),
    (&[1], 3, "x/x/x/x/x/x", Some(0)),
];

#[test]
fn ranks_are_the_scopes_that_are_not_shared() {
    for (scopes, mode, endpoint, rank) in RANKS {
        let preference = preference(scopes, *mode);
        let found = preference.rank(&place(endpoint));
        assert_eq!(
            found, *rank,
            "{endpoint} by scopes {scopes:?} in mode {mode}"
        );
        assert!(found.is_none_or(|rank| rank < preference.ranks()));
    }
}
