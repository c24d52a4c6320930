use std::time::Instant;

use ambit_model::Change;

use super::*;
use crate::call::Asked;
use crate::fixtures::{bound, call, empty, name};

#[test]
fn nothing_is_passed_on_where_the_routes_are_not_known() {
    let Change::PutService(service) = bound("cart", Some("waypoint")) else {
        panic!("a service");
    };
    let call = Call {
        asked: Asked::Service(Arc::clone(&service), service.ports[0]),
        ..call("10.0.0.2:4000")
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
