use std::time::Instant;

use ambit_model::Change;

use super::*;
use crate::call::{Asked, Client};
use crate::drain::Drain;
use crate::fixtures::{bound, empty, name};

#[test]
fn nothing_is_passed_on_where_the_routes_are_not_known() {
    let Change::PutService(service) = bound("cart", Some("waypoint")) else {
        panic!("a service");
    };
    let port = service.ports[0];
    let call = Call {
        client: Client {
            identity: None,
            address: "10.0.0.2:4000".parse().unwrap(),
            workload: None,
            _presence: None,
        },
        asked: Asked::Service(Arc::clone(&service), port),
        destination: "10.96.0.1:80".parse().unwrap(),
        tie: Arc::new(Drain::new()),
    };
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    view.apply(Change::PutService(service), Instant::now());
    let refused = |view: &View| {
        target(view, &call, None)
            .err()
            .map(|refusal| refusal.reason)
    };
    assert_eq!(refused(&view), Some(Reason::InvalidRoute));
    view.apply(empty("cart"), Instant::now());
    assert_eq!(refused(&view), None);
    view.apply(Change::RemoveRoutes(name("cart")), Instant::now());
    view.reject_routes(name("cart"));
    assert_eq!(refused(&view), Some(Reason::InvalidRoute));
}
