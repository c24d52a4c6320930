use std::net::IpAddr;

use ambit_model::Visibility;

use super::*;
use crate::fixtures::{mesh, question, service, with_edns};
use crate::reply::Reply;

const WEB: &str = "web.shop.svc.cluster.local";

/// Whoever asks, with families that are not known.
const CLIENT: (&str, Families) = (
    "shop",
    Families {
        v4: false,
        v6: false,
    },
);

fn addresses(mesh: &Mesh, name: &str, kind: u16) -> Option<Vec<IpAddr>> {
    told(mesh, Families::default(), name, kind)
}

fn told(mesh: &Mesh, families: Families, name: &str, kind: u16) -> Option<Vec<IpAddr>> {
    let packet = question(name, kind);
    let query = Query::read(&packet).unwrap();
    match answer(mesh, ("shop", families), &query, Transport::Udp) {
        Answer::Forward => None,
        Answer::Here {
            packet: answered,
            addresses,
        } => {
            // What is sent says the same, as another reads it.
            let reply = Reply::to(&packet, &answered).unwrap();
            assert_eq!(
                (reply.code(), reply.addresses().all),
                (0, addresses.clone())
            );
            Some(addresses)
        }
    }
}

#[test]
fn addresses_of_services_are_answered_and_all_else_is_forwarded() {
    let mesh = mesh(vec![
        service("shop", WEB, &["10.96.0.1/32"]),
        service(
            "shop",
            "dual.shop.svc.cluster.local",
            &["10.96.0.2/32", "fd00::2/128"],
        ),
        service("shop", "six.shop.svc.cluster.local", &["fd00::3/128"]),
        service("shop", "headless.shop.svc.cluster.local", &[]),
        service("shop", "block.example.com", &["192.0.2.0/24"]),
        service(
            "shop",
            "both.example.com",
            &["192.0.2.0/24", "240.240.0.7/32"],
        ),
    ]);
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let cases: &[(&str, u16, Option<&[&str]>)] = &[
        (WEB, A, Some(&["10.96.0.1"])),
        (WEB, AAAA, Some(&[])),
        ("WEB.shop.SVC.cluster.local", A, Some(&["10.96.0.1"])),
        ("dual.shop.svc.cluster.local", A, Some(&["10.96.0.2"])),
        ("dual.shop.svc.cluster.local", AAAA, Some(&["fd00::2"])),
        ("six.shop.svc.cluster.local", A, Some(&[])),
        ("six.shop.svc.cluster.local", AAAA, Some(&["fd00::3"])),
        ("both.example.com", A, Some(&["240.240.0.7"])),
        ("headless.shop.svc.cluster.local", A, None),
        ("block.example.com", A, None),
        (WEB, SVCB, Some(&[])),
        (WEB, HTTPS, Some(&[])),
        ("headless.shop.svc.cluster.local", HTTPS, None),
        ("example.com", HTTPS, None),
        (WEB, 33, None),
        (WEB, 255, None),
        ("web.shop", A, None),
        ("0.web.shop.svc.cluster.local", A, None),
        ("example.com", A, None),
    ];
    for (name, kind, wanted) in cases {
        let wanted = wanted.map(|texts| texts.iter().copied().map(ip).collect::<Vec<_>>());
        assert_eq!(addresses(&mesh, name, *kind), wanted, "{name} {kind}");
    }
}

#[test]
fn a_client_that_can_use_no_address_of_a_service_has_the_resolvers_answer() {
    let dual = "dual.shop.svc.cluster.local";
    let mesh = mesh(vec![
        service("shop", WEB, &["240.240.0.1/32"]),
        service("shop", dual, &["10.96.0.2/32", "fd00::2/128"]),
    ]);
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let families = |texts: &[&str]| {
        let addresses: Vec<IpAddr> = texts.iter().map(|text| ip(text)).collect();
        Families::of(&addresses)
    };
    let six = families(&["fd00::99"]);
    for kind in [A, AAAA, HTTPS] {
        assert_eq!(told(&mesh, six, WEB, kind), None);
    }
    assert_eq!(told(&mesh, six, dual, AAAA), Some(vec![ip("fd00::2")]));
    assert_eq!(told(&mesh, six, dual, HTTPS), Some(vec![]));
    for usable in [
        families(&["10.0.0.9"]),
        families(&["::ffff:10.0.0.9"]),
        families(&["10.0.0.9", "fd00::99"]),
        families(&[]),
    ] {
        assert_eq!(told(&mesh, usable, WEB, A), Some(vec![ip("240.240.0.1")]));
        assert_eq!(told(&mesh, usable, WEB, AAAA), Some(vec![]));
    }
}

#[test]
fn the_answer_byte_by_byte() {
    let mesh = mesh(vec![service("shop", WEB, &["10.96.0.1/32"])]);
    let packet = with_edns("WeB.shop.svc.cluster.local", 1, 1232);
    let query = Query::read(&packet).unwrap();
    let Answer::Here { packet: answer, .. } = answer(&mesh, CLIENT, &query, Transport::Udp) else {
        panic!("forwarded");
    };
    let mut wanted = vec![0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 1];
    wanted.extend(&packet[12..packet.len() - 11]);
    wanted.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 1]);
    wanted.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    assert_eq!(answer, wanted);
}

#[test]
fn an_answer_that_does_not_fit_says_so_by_udp_and_is_whole_by_tcp() {
    let vips: Vec<String> = (1..=60).map(|n| format!("10.96.0.{n}/32")).collect();
    let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
    let mesh = mesh(vec![service("shop", WEB, &vips)]);
    for (packet, transport, room, cut) in [
        (question(WEB, A), Transport::Udp, 512, true),
        (with_edns(WEB, A, 700), Transport::Udp, 700, true),
        (with_edns(WEB, A, 1232), Transport::Udp, 1232, false),
        (question(WEB, A), Transport::Tcp, 65_535, false),
    ] {
        let query = Query::read(&packet).unwrap();
        let Answer::Here { packet: answer, .. } = answer(&mesh, CLIENT, &query, transport) else {
            panic!("forwarded");
        };
        let reply = Reply::to(&packet, &answer).unwrap();
        assert!(answer.len() <= room, "{} of {room}", answer.len());
        assert_eq!(reply.is_truncated(), cut, "{room}");
        let told = reply.addresses().all.len();
        assert!(if cut {
            told < 60 && answer.len() + 16 > room
        } else {
            told == 60
        });
    }
}

#[test]
fn names_with_a_star_and_names_of_some_namespaces_only() {
    let hidden = Service {
        visibility: Visibility::Namespaces(vec!["other".into()]),
        ..service("other", "hidden.example.com", &["240.240.0.1/32"])
    };
    let own = service("shop", "two.example.com", &["240.240.0.3/32"]);
    let mesh = mesh(vec![
        hidden,
        service("other", "two.example.com", &["240.240.0.2/32"]),
        own,
        service("other", "*.wild.example.com", &["240.240.0.4/32"]),
        service("other", "exact.wild.example.com", &["240.240.0.5/32"]),
    ]);
    for (name, wanted) in [
        ("hidden.example.com", None),
        ("two.example.com", Some("240.240.0.3")),
        ("a.wild.example.com", Some("240.240.0.4")),
        ("A.b.Wild.example.com", Some("240.240.0.4")),
        ("exact.wild.example.com", Some("240.240.0.5")),
        ("wild.example.com", None),
        ("*.wild.example.com", Some("240.240.0.4")),
        ("awild.example.com", None),
    ] {
        let wanted = wanted.map(|text| vec![text.parse::<IpAddr>().unwrap()]);
        assert_eq!(addresses(&mesh, name, A), wanted, "{name}");
    }
}
