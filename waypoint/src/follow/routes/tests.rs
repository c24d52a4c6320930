//! Good ones, ones that cannot be used or read, and changed ones.

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
        }
        .into(),
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

/// What is told of routes to somebody who has others.
fn edit(before: &ServiceRoutes, now: &ServiceRoutes) -> Received {
    let (before, now) = (received(before), received(now));
    let body = encode::routes_edit(&before.version, &before.body, &now.body);
    Received {
        body: body.unwrap(),
        ..now
    }
}

/// What the check makes of resources.
fn update(reader: &SharedReader, all: Vec<Received>) -> Update {
    let (mut changed, mut rejected) = (Vec::new(), Vec::new());
    for one in all {
        match readable_routes(reader, &one) {
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
    let (mut view, reader) = (view(), SharedReader::default());
    let typo = PathMatch::Regex(Pattern("(".into()));
    let given = routes(&[typo, PathMatch::Exact("/".into())]);
    let wrong = bring_in_routes(&mut view, &reader, &update(&reader, vec![received(&given)])).await;
    assert_eq!(wrong, [name("cart")]);
    assert_eq!(found(&view), "routed");
    let good = received(&routes(&[PathMatch::Exact("/".into())]));
    assert!(
        bring_in_routes(&mut view, &reader, &update(&reader, vec![good]))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_unless_there_was_something_before() {
    let (mut view, reader) = (view(), SharedReader::default());
    let good = received(&routes(&[PathMatch::Exact("/".into())]));
    let bad = Received {
        body: bytes::Bytes::from_static(b"\x12\x01{"),
        ..good.clone()
    };
    let unreadable = update(&reader, vec![bad]);
    assert_eq!(unreadable.rejected.len(), 1);
    bring_in_routes(&mut view, &reader, &unreadable).await;
    assert_eq!(found(&view), "refused");
    assert!(view.tie(&name("cart"), Instant::now()).is_some());
    bring_in_routes(&mut view, &reader, &update(&reader, vec![good.clone()])).await;
    assert_eq!(found(&view), "routed");
    bring_in_routes(&mut view, &reader, &unreadable).await;
    assert_eq!(found(&view), "routed");
    let gone = Update {
        removed: vec![good.name],
        ..update(&reader, Vec::new())
    };
    bring_in_routes(&mut view, &reader, &gone).await;
    assert_eq!(found(&view), "refused");
    assert!(view.tie(&name("cart"), Instant::now()).is_none());
}

/// The rule that a request for a path meets.
fn rule_of(view: &View, path: &str) -> Option<Arc<ambit_route::Rule>> {
    let request = http::Request::get(path).body(()).unwrap().into_parts().0;
    match view.routes(&name("cart"), 80, None).map(AsRef::as_ref) {
        Some(Routes::Http(http)) => Some(Arc::clone(http.find(&Head::of(&request))?.rule)),
        _ => None,
    }
}

#[tokio::test]
async fn of_changed_routes_only_what_has_changed_is_made_anew() {
    let (mut view, reader) = (view(), SharedReader::default());
    let exact = |path: &str| PathMatch::Exact(path.into());
    let first = routes(&[exact("/a"), exact("/b"), exact("/c")]);
    bring_in_routes(&mut view, &reader, &update(&reader, vec![received(&first)])).await;
    let old = view.clone();

    let mut second = routes(&[exact("/a"), exact("/new"), exact("/c")]);
    let list = second.http_lists_mut().next().unwrap();
    list.matches.reverse();
    Arc::make_mut(&mut list.rules[0]).name = "HTTPRoute/shop/cart/other".into();
    let next = update(&reader, vec![edit(&first, &second)]);
    let wrong = bring_in_routes(&mut view, &reader, &next).await;
    assert_eq!(wrong, []);
    let same = |view: &View, path: &str| {
        let (was, is) = (rule_of(&old, path).unwrap(), rule_of(view, path).unwrap());
        Arc::ptr_eq(&was, &is)
    };
    assert!(same(&view, "/c"));
    assert!(!same(&view, "/a"), "it has another name");
    assert!(rule_of(&view, "/b").is_none() && rule_of(&view, "/new").is_some());
    assert!(
        rule_of(&old, "/b").is_some(),
        "who has the old view keeps it"
    );

    // What is told next may be read before this is brought in.
    let third = routes(&[exact("/x"), exact("/y"), exact("/c")]);
    let fourth = routes(&[exact("/x"), exact("/z"), exact("/c")]);
    let early = update(&reader, vec![edit(&second, &third)]);
    let late = update(&reader, vec![edit(&third, &fourth)]);
    assert_eq!((early.rejected.len(), late.rejected.len()), (0, 0));
    for next in [early, late] {
        bring_in_routes(&mut view, &reader, &next).await;
    }
    assert!(rule_of(&view, "/a").is_none() && rule_of(&view, "/y").is_none());
    assert!(rule_of(&view, "/z").is_some() && same(&view, "/c"));
}

#[tokio::test]
async fn an_edit_of_what_is_not_there_is_rejected_and_serves_nothing_but_what_was_there() {
    let exact = |path: &str| PathMatch::Exact(path.into());
    let first = routes(&[exact("/"), exact("/a")]);
    let second = routes(&[exact("/"), exact("/b")]);
    let third = routes(&[exact("/"), exact("/c")]);
    let (mut view, reader) = (view(), SharedReader::default());
    let early = update(&reader, vec![edit(&first, &second)]);
    assert_eq!(early.rejected.len(), 1);
    bring_in_routes(&mut view, &reader, &early).await;
    assert_eq!(found(&view), "refused");
    bring_in_routes(&mut view, &reader, &update(&reader, vec![received(&first)])).await;
    let strange = update(&reader, vec![edit(&second, &third)]);
    assert_eq!(strange.rejected.len(), 1);
    bring_in_routes(&mut view, &reader, &strange).await;
    assert!(rule_of(&view, "/a").is_some() && rule_of(&view, "/c").is_none());
}

#[tokio::test]
async fn what_came_back_before_it_was_taken_out_stays() {
    let (mut view, reader) = (view(), SharedReader::default());
    let exact = |path: &str| PathMatch::Exact(path.into());
    let (first, second) = (routes(&[exact("/a")]), routes(&[exact("/a"), exact("/b")]));
    bring_in_routes(&mut view, &reader, &update(&reader, vec![received(&first)])).await;
    let gone = Update {
        removed: vec![received(&first).name],
        ..update(&reader, Vec::new())
    };
    let back = update(&reader, vec![received(&second)]);
    bring_in_routes(&mut view, &reader, &gone).await;
    assert!(rule_of(&view, "/a").is_none());
    bring_in_routes(&mut view, &reader, &back).await;
    assert!(rule_of(&view, "/b").is_some());
}

#[tokio::test]
async fn what_a_service_may_take_outlives_a_change_of_its_routes() {
    let (mut view, reader) = (view(), SharedReader::default());
    let exact = |path: &str| PathMatch::Exact(path.into());
    let first = update(&reader, vec![received(&routes(&[exact("/a")]))]);
    bring_in_routes(&mut view, &reader, &first).await;
    let old = view.clone();
    let next = update(&reader, vec![received(&routes(&[exact("/b")]))]);
    bring_in_routes(&mut view, &reader, &next).await;
    let flow = |view: &View| {
        let cluster = view.cluster(&name("cart"), 80, None).unwrap();
        Arc::clone(&cluster.terms.flow)
    };
    assert!(Arc::ptr_eq(&flow(&old), &flow(&view)));
    let (was, is) = (old.copies(&name("cart")), view.copies(&name("cart")));
    assert!(Arc::ptr_eq(was.unwrap(), is.unwrap()));
}
