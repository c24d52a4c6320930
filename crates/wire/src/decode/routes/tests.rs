use ambit_model::{HttpMatch, PathMatch, PortRoutes, RouteList, ServiceName, TcpRoute};
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
    reader.read(&name, &entry.version, &entry.body).unwrap()
}

/// What leads from routes to others.
fn edit(before: &ServiceRoutes, now: &ServiceRoutes) -> Option<Bytes> {
    let ((_, before), (_, now)) = (encode::routes_entry(before), encode::routes_entry(now));
    encode::routes_edit(&before.version, &before.body, &now.body)
}

/// Reads routes after others, told in fewer bytes if they can be.
fn go_on(
    reader: &mut RoutesReader,
    before: &ServiceRoutes,
    now: &ServiceRoutes,
) -> Arc<ServiceRoutes> {
    let (name, entry) = encode::routes_entry(now);
    let body = edit(before, now).unwrap_or(entry.body);
    reader.read(&name, &entry.version, &body).unwrap()
}

/// What becomes of an edit that somebody else has made, of three rules of which the second has changed.
fn strange(change: impl Fn(&mut waypoint::ServiceRoutes)) -> String {
    let (before, now) = (one_list(&[1, 2, 3]), one_list(&[1, 4, 3]));
    let mut reader = RoutesReader::default();
    let first = read(&mut reader, &before);
    let body = edit(&before, &now).unwrap();
    let mut message = waypoint::ServiceRoutes::decode(body).unwrap();
    change(&mut message);
    let body = message.encode_to_vec().into();
    let (name, entry) = encode::routes_entry(&now);
    let error = reader.read(&name, &entry.version, &body).unwrap_err();
    assert!(Arc::ptr_eq(&reader.last(&name).unwrap(), &first));
    error.to_string()
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
    let error = changed(|message| message.http[0].rules[0].more[0] = more.clone());
    assert!(error.contains("rate_limit"), "{error}");
    let more: Bytes = r#"{"body":"b"}"#.into();
    let error = changed(|message| message.http[0].matches[0].more[0] = more.clone());
    assert!(error.contains("body"), "{error}");
}

#[test]
fn routes_that_do_not_fit_together_are_rejected() {
    let error = changed(|message| message.http[0].matches[0].leads_to[0] = 1);
    assert!(error.contains("`leads_to` is `1`"), "{error}");
    let error = changed(|message| message.http[0].matches[0].leads_to.clear());
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
fn an_edit_that_does_not_fit_is_rejected_and_what_was_before_stays() {
    let error = strange(|message| message.since = "other".into());
    assert!(error.contains("`since` is `other`"), "{error}");
    let error = strange(|message| message.http[0].of = 2);
    assert!(error.contains("`of` is `2`"), "{error}");
    let error = strange(|message| message.http[0].of = 0);
    assert!(error.contains("`count`"), "{error}");
    let error = strange(|message| message.http[0].rules[0].from = u32::MAX);
    assert!(error.contains("`count`"), "{error}");
    let error = strange(|message| message.http[0].rules[0].count = u32::MAX);
    assert!(error.contains("`count`"), "{error}");
    let error = strange(|message| message.http[0].rules[1].from = 0);
    assert!(error.contains("a rule that is left"), "{error}");
    let error = strange(|message| message.http[0].rules.truncate(1));
    assert!(error.contains("whose rules are still there"), "{error}");
    let error = strange(|message| {
        let again = message.http[0].matches[0].clone();
        message.http[0].matches.extend(vec![again; 3]);
    });
    assert!(error.contains("as many matches as are left"), "{error}");
    let error = strange(|message| message.http.clear());
    assert!(error.contains("`http` is empty"), "{error}");
    assert!(
        routes_from_bytes(&edit(&one_list(&[1, 2]), &one_list(&[1, 3])).unwrap()).is_err(),
        "nothing was before"
    );
}

#[test]
fn what_has_not_changed_is_the_very_object_that_it_was() {
    let mut reader = RoutesReader::default();
    let before = one_list(&[1, 2, 3]);
    let first = read(&mut reader, &before);
    // One new, one gone, the others in another order, and a list for other clients.
    let mut next = one_list(&[3, 4, 1]);
    let consumers = &mut next.ports.get_mut(&80).unwrap().consumers;
    consumers.insert("team".into(), RouteList::Http(http(&[1])));
    let now = go_on(&mut reader, &before, &next);
    assert_eq!(*now, next);
    let (was, is): (Vec<_>, Vec<_>) = (first.http_lists().collect(), now.http_lists().collect());
    for (place, before) in [(0, 2), (2, 0)] {
        let (now, old) = (is[0], was[0]);
        assert!(Arc::ptr_eq(&now.rules[place], &old.rules[before]));
        let (now, old) = (&now.matches[place].when, &old.matches[before].when);
        assert!(Arc::ptr_eq(now, old));
    }
    // A list keeps what it has when one before it goes.
    let consumers = next.ports.remove(&80).unwrap().consumers;
    let port = PortRoutes {
        producer: None,
        consumers,
    };
    let last = go_on(&mut reader, &now, &service([(80, port)]));
    let rule = &last.http_lists().next().unwrap().rules[0];
    assert!(Arc::ptr_eq(rule, &is[1].rules[0]));
}

#[test]
fn of_a_thousand_routes_only_the_changed_one_is_told() {
    let numbered = |numbers: &[u16]| {
        let mut all = one_list(&[]);
        let list = all.http_lists_mut().next().unwrap();
        for (number, rule) in numbers.iter().zip(0..) {
            let mut named = HttpRule::clone(&self::rule(0));
            named.name = format!("rule-{number}").into();
            list.rules.push(named.into());
            let when = HttpMatch {
                path: Some(PathMatch::Segments(format!("/{number}").into())),
                ..HttpMatch::default()
            };
            list.matches.push(RoutedMatch {
                when: when.into(),
                rule,
            });
        }
        // Matches are in another order than rules.
        list.matches.sort_by_key(|routed| routed.rule % 7);
        all
    };
    let before: Vec<u16> = (0..1000).collect();
    let whole = encode::routes_entry(&numbered(&before)).1.body.len();
    assert!(whole > 50_000, "{whole}");
    let told = |now: &[u16]| edit(&numbered(&before), &numbered(now)).unwrap().len();
    let mut changed = before.clone();
    changed[500] = 5000;
    let last = before[..999].to_vec();
    let more = [&before[..], &[5000]].concat();
    assert_eq!(numbered(&before), numbered(&before.clone()));
    for now in [&before, &changed, &last, &more] {
        let bytes = told(now);
        assert!(bytes < 250, "{bytes}");
    }
    let mut reader = RoutesReader::default();
    read(&mut reader, &numbered(&before));
    let now = go_on(&mut reader, &numbered(&before), &numbered(&changed));
    assert_eq!(*now, numbered(&changed));
}

#[test]
fn services_that_have_the_same_routes_change_one_by_one() {
    let mut reader = RoutesReader::default();
    let (first, mut second) = (one_list(&[1, 2]), one_list(&[1, 2]));
    second.service = ServiceName::new("shop", "db.shop.svc.cluster.local");
    for routes in [&first, &second] {
        read(&mut reader, routes);
    }
    go_on(&mut reader, &first, &one_list(&[3, 2]));
    let (name, _) = encode::routes_entry(&second);
    assert_eq!(*reader.last(&name).unwrap(), second);
}

#[test]
fn what_is_gone_is_forgotten_and_what_cannot_be_read_leaves_what_was_before() {
    let mut reader = RoutesReader::default();
    let first = read(&mut reader, &one_list(&[1]));
    let (name, entry) = encode::routes_entry(&one_list(&[1]));
    let unreadable = Bytes::from_static(b"\x12\x01{");
    assert!(reader.read(&name, &"2".into(), &unreadable).is_err());
    reader.forget(&name);
    let last = reader.last(&name).unwrap();
    assert!(Arc::ptr_eq(&first, &last), "nobody knew it when it went");
    reader.forget(&name);
    assert!(reader.last(&name).is_none());
    let edit = edit(&one_list(&[1, 2]), &one_list(&[1, 3])).unwrap();
    assert!(reader.read(&name, &entry.version, &edit).is_err());
}

proptest! {
    #[test]
    fn what_is_read_depends_on_nothing_that_was_read_before(
        states in prop::collection::vec(
            prop::collection::vec(
                (prop::collection::vec(0..6_u8, 0..6), 0..3_usize),
                0..3,
            ),
            1..6,
        ),
    ) {
        let mut reader = RoutesReader::default();
        let mut before: Option<ServiceRoutes> = None;
        for lists in states {
            let list = |(numbers, turned): &(Vec<u8>, usize)| {
                let mut list = http(numbers);
                list.matches.rotate_left((*turned).min(numbers.len()));
                port(list)
            };
            let routes = service((80..).zip(lists.iter().map(list)));
            let read = match &before {
                Some(before) => go_on(&mut reader, before, &routes),
                None => read(&mut reader, &routes),
            };
            prop_assert_eq!(&*read, &routes);
            before = Some(routes);
        }
    }
}
