use ambit_model::{PathMatch, PortRoutes, RouteList, ServiceName, TcpRoute};
use proptest::prelude::*;

use super::*;
use crate::encode;

fn rule(number: u8) -> Arc<HttpRule> {
    Arc::new(HttpRule {
        name: format!("rule-{number}").into(),
        timeout: Some(std::time::Duration::from_millis(1500)),
        ..HttpRule::default()
    })
}

fn when(number: u8) -> Arc<HttpMatch> {
    Arc::new(HttpMatch {
        path: Some(PathMatch::Segments(format!("/{number}").into())),
        ..HttpMatch::default()
    })
}

/// A list with these rules, each with a match of the same number.
fn http(numbers: &[u8]) -> HttpRoutes {
    let matches = numbers.iter().zip(0..).map(|(number, rule)| RoutedMatch {
        when: when(*number),
        rule,
    });
    HttpRoutes {
        matches: matches.collect(),
        rules: numbers.iter().map(|number| rule(*number)).collect(),
    }
}

fn service(ports: impl IntoIterator<Item = (u16, PortRoutes)>) -> ServiceRoutes {
    ServiceRoutes {
        service: ServiceName::new("shop", "cart.shop.svc.cluster.local"),
        ports: ports.into_iter().collect(),
    }
}

fn port(list: HttpRoutes) -> PortRoutes {
    PortRoutes {
        producer: Some(RouteList::Http(list)),
        ..PortRoutes::default()
    }
}

/// One list on port 80.
fn one_list(numbers: &[u8]) -> ServiceRoutes {
    service([(80, port(http(numbers)))])
}

fn read(reader: &mut RoutesReader, routes: &ServiceRoutes) -> Arc<ServiceRoutes> {
    let (name, entry) = encode::routes_entry(routes);
    reader.read(&name, &entry.body).unwrap()
}

/// What becomes of routes whose message somebody else has made.
fn changed(change: impl Fn(&mut waypoint::ServiceRoutes)) -> String {
    let mut message = encode::routes_to_wire(&one_list(&[1]));
    change(&mut message);
    let body = message.encode_to_vec();
    routes_from_bytes(&body).unwrap_err().to_string()
}

#[test]
fn routes_come_back_as_they_went() {
    let tcp = RouteList::Tcp(TcpRoute {
        name: "TCPRoute/shop/db/0".into(),
        backends: Vec::new(),
    });
    let mixed = PortRoutes {
        producer: Some(tcp),
        consumers: [
            ("a".into(), RouteList::Http(http(&[1, 2]))),
            ("b".into(), RouteList::Tls(Vec::new())),
            ("c".into(), RouteList::Http(http(&[]))),
        ]
        .into(),
    };
    for before in [
        service([]),
        one_list(&[1]),
        service([(80, mixed), (81, port(http(&[2, 3])))]),
    ] {
        let (name, entry) = encode::routes_entry(&before);
        assert_eq!(&*name, "shop/cart.shop.svc.cluster.local");
        assert_eq!(routes_from_bytes(&entry.body).unwrap(), before);
    }
}

#[test]
fn a_route_that_asks_for_more_than_is_known_is_rejected_as_a_whole() {
    let more: Bytes = r#"{"name":"a","rate_limit":5}"#.into();
    let error = changed(|message| message.http[0].rules[0] = more.clone());
    assert!(error.contains("rate_limit"), "{error}");
    let more: Bytes = r#"{"body":"b"}"#.into();
    let error = changed(|message| message.http[0].matches[0] = more.clone());
    assert!(error.contains("body"), "{error}");
}

#[test]
fn routes_that_do_not_fit_together_are_rejected() {
    let error = changed(|message| message.http[0].leads_to[0] = 1);
    assert!(error.contains("`leads_to` is `1`"), "{error}");
    let error = changed(|message| message.http[0].leads_to.clear());
    assert!(error.contains("`leads_to` is `0`"), "{error}");
    let error = changed(|message| message.http.clear());
    assert!(error.contains("`http` is empty"), "{error}");
    let error = changed(|message| message.http.push(waypoint::HttpRoutes::default()));
    assert!(error.contains("more lists"), "{error}");
    let error = changed(|message| message.frame = Bytes::new());
    assert!(error.contains("not a message"), "{error}");
    let whole = serde_json::to_vec(&one_list(&[1])).unwrap();
    let error = changed(|message| message.frame = whole.clone().into());
    assert!(error.contains("`frame`"), "{error}");
}

#[test]
fn what_has_not_changed_is_the_very_object_that_it_was() {
    let mut reader = RoutesReader::default();
    let first = read(&mut reader, &one_list(&[1, 2, 3]));
    let again = read(&mut reader, &one_list(&[1, 2, 3]));
    assert!(Arc::ptr_eq(&first, &again), "nothing has changed");
    // One new, one gone, the others in another order, and in a list for other clients.
    let mut next = one_list(&[3, 4, 1]);
    let consumers = &mut next.ports.get_mut(&80).unwrap().consumers;
    consumers.insert("team".into(), RouteList::Http(http(&[1])));
    let next = read(&mut reader, &next);
    let (was, is): (Vec<_>, Vec<_>) = (first.http_lists().collect(), next.http_lists().collect());
    for (list, place, before) in [(0, 0, 2), (0, 2, 0), (1, 0, 0)] {
        let (now, old) = (is[list], was[0]);
        assert!(Arc::ptr_eq(&now.rules[place], &old.rules[before]));
        let (now, old) = (&now.matches[place].when, &old.matches[before].when);
        assert!(Arc::ptr_eq(now, old));
    }
    assert_eq!(is[0].rules[1], rule(4));
}

#[test]
fn what_is_gone_is_forgotten_and_what_cannot_be_read_leaves_what_was_before() {
    let mut reader = RoutesReader::default();
    let first = read(&mut reader, &one_list(&[1]));
    let (name, _) = encode::routes_entry(&one_list(&[1]));
    assert!(
        reader
            .read(&name, &Bytes::from_static(b"\x12\x01{"))
            .is_err()
    );
    assert!(Arc::ptr_eq(&first, &read(&mut reader, &one_list(&[1]))));
    reader.forget(&name);
    assert!(reader.last.is_empty());
    assert!(!Arc::ptr_eq(&first, &read(&mut reader, &one_list(&[1]))));
}

proptest! {
    #[test]
    fn what_is_read_depends_on_nothing_that_was_read_before(
        states in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(0..6_u8, 0..6), 0..3),
            1..6,
        ),
    ) {
        let mut reader = RoutesReader::default();
        for lists in states {
            let ports = (80..).zip(lists.iter().map(|numbers| port(http(numbers))));
            let routes = service(ports);
            prop_assert_eq!(&*read(&mut reader, &routes), &routes);
        }
    }
}
