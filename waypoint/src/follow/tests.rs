//! Routes as they come over the wire.

use std::time::Instant;

use ambit_model::{HttpMatch, HttpRoutes, HttpRule, PathMatch, Pattern, PortRoutes, RouteList};
use ambit_model::{RoutedMatch, TextMatch};
use ambit_route::Head;
use ambit_wire::delta::Rejection;
use ambit_wire::encode;

use super::*;
use crate::fixtures::{bound, name};
use crate::view::Routes;

/// Routes of the cart with a rule for `/` of each path test.
fn routes(paths: &[PathMatch]) -> ServiceRoutes {
    let rule = |index| HttpRule {
        name: format!("HTTPRoute/shop/cart/{index}").into(),
        ..HttpRule::default()
    };
    let matches = paths.iter().zip(0..).map(|(path, rule)| RoutedMatch {
        when: HttpMatch {
            path: Some(path.clone()),
            method: Some(TextMatch::Present),
            ..HttpMatch::default()
        },
        rule,
    });
    let http = HttpRoutes {
        matches: matches.collect(),
        rules: (0..paths.len()).map(|at| Arc::new(rule(at))).collect(),
    };
    let port = PortRoutes {
        producer: Some(RouteList::Http(http)),
        ..PortRoutes::default()
    };
    ServiceRoutes {
        service: name("cart"),
        ports: [(80, port)].into(),
    }
}

fn received(routes: &ServiceRoutes) -> Received {
    let (name, entry) = encode::routes_entry(routes);
    Received {
        name,
        version: entry.version,
        body: entry.body,
    }
}

/// What the check makes of resources.
fn update(all: Vec<Received>) -> Update {
    let (mut changed, mut rejected) = (Vec::new(), Vec::new());
    for one in all {
        match readable_routes(&one.body) {
            Ok(()) => changed.push(one),
            Err(reason) => rejected.push(Rejection {
                name: one.name,
                reason,
            }),
        }
    }
    Update {
        nonce: String::new(),
        changed,
        removed: Vec::new(),
        rejected,
        complete: true,
    }
}

/// What becomes of a request for `/`.
fn found(view: &View) -> &'static str {
    let request = http::Request::get("/").body(()).unwrap().into_parts().0;
    match view.routes(&name("cart"), 80, None).map(AsRef::as_ref) {
        Some(Routes::Http(http)) => match http.find(&Head::of(&request)) {
            Some(found) if found.rule.broken.is_none() => "routed",
            _ => "not found",
        },
        Some(Routes::Unusable) => "refused",
        _ => "unrouted",
    }
}

fn view() -> View {
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    view.apply(bound("cart", Some("waypoint")), Instant::now());
    view
}

#[tokio::test]
async fn a_rule_that_cannot_be_used_is_told_and_the_others_are_in_force() {
    let mut view = view();
    let typo = PathMatch::Regex(Pattern("(".into()));
    let given = routes(&[typo, PathMatch::Exact("/".into())]);
    let wrong = bring_in_routes(&mut view, &update(vec![received(&given)])).await;
    assert_eq!(wrong, [name("cart")]);
    assert_eq!(found(&view), "routed");
    let good = received(&routes(&[PathMatch::Exact("/".into())]));
    assert!(
        bring_in_routes(&mut view, &update(vec![good]))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_unless_there_was_something_before() {
    let mut view = view();
    let good = received(&routes(&[PathMatch::Exact("/".into())]));
    let bad = Received {
        body: bytes::Bytes::from_static(b"\x0a\x01{"),
        ..good.clone()
    };
    let unreadable = update(vec![bad]);
    assert_eq!(unreadable.rejected.len(), 1);
    bring_in_routes(&mut view, &unreadable).await;
    assert_eq!(found(&view), "refused");
    assert!(view.tie(&name("cart"), Instant::now()).is_some());
    bring_in_routes(&mut view, &update(vec![good.clone()])).await;
    assert_eq!(found(&view), "routed");
    bring_in_routes(&mut view, &unreadable).await;
    assert_eq!(found(&view), "routed");
    let gone = Update {
        removed: vec![good.name],
        ..update(Vec::new())
    };
    bring_in_routes(&mut view, &gone).await;
    assert_eq!(found(&view), "refused");
    assert!(view.tie(&name("cart"), Instant::now()).is_none());
}
