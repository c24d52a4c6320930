//! What an address stands for, to whom.

use ambit_model::{Change, NetworkAddress, Visibility};

use super::*;
use crate::fixtures::{bound, empty, name};

#[test]
fn a_service_that_is_for_others_is_none_to_a_client() {
    let Change::PutService(plain) = bound("api", Some("waypoint")) else {
        panic!("no service")
    };
    let vip = NetworkAddress {
        network: "".into(),
        address: "240.240.0.1".parse().unwrap(),
    };
    let mut api = Service::clone(&plain);
    api.vips = vec![(vip, 32)];
    api.visibility = Visibility::Namespaces(vec!["shop".into()]);
    let now = Instant::now();
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    view.apply(empty("api"), now);
    view.apply(Change::PutService(Arc::new(api)), now);
    let at = SocketAddr::from(([240, 240, 0, 1], 80));
    assert!(asked_for(&view, Some("shop"), at, now).is_ok());
    for stranger in ["other", ""] {
        let refusal = asked_for(&view, Some(stranger), at, now).unwrap_err();
        assert_eq!(refusal.reason, Reason::WrongDestination);
    }
}
