use proptest::prelude::*;

use super::*;
use crate::fixtures::{answered, labels, question, record};
use crate::question::Query;

const NAME: &[u8] = &[0xC0, 12];

/// Records, the addresses that they give, and for how long.
type Case<'a> = (&'a [Vec<u8>], &'a [&'a str], u32);

fn a(name: &[u8], ttl: u32, last: u8) -> Vec<u8> {
    record(name, A, ttl, &[192, 0, 2, last])
}

#[test]
fn addresses_are_those_of_the_name_and_of_what_it_stands_for() {
    let asked = question("api.example.com", A);
    let alias = labels("edge.example.net");
    let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let cases: &[Case<'_>] = &[
        (
            &[a(NAME, 300, 1), a(NAME, 200, 2)],
            &["192.0.2.1", "192.0.2.2"],
            200,
        ),
        (
            &[record(NAME, CNAME, 60, &alias), a(&alias, 300, 3)],
            &["192.0.2.3"],
            60,
        ),
        // In any order, and never of a name that was not asked about.
        (
            &[a(&alias, 300, 3), record(NAME, CNAME, 600, &alias)],
            &["192.0.2.3"],
            300,
        ),
        (&[a(&alias, 300, 3)], &[], 0),
        (
            &[a(&labels("evil.com"), 300, 9), a(NAME, 5, 1)],
            &["192.0.2.1"],
            5,
        ),
        (&[record(NAME, AAAA, 9, &six)], &["2001:db8::1"], 9),
        (&[record(NAME, A, 9, &six)], &[], 0),
        (
            &[record(NAME, CNAME, 60, &labels("api.example.com"))],
            &[],
            0,
        ),
        (&[], &[], 0),
    ];
    for (records, wanted, ttl) in cases {
        let packet = answered(&asked, records);
        let found = Reply::to(&asked, &packet).unwrap().addresses();
        let all: Vec<String> = found.all.iter().map(ToString::to_string).collect();
        assert_eq!(
            (&all[..], found.ttl),
            (
                &wanted.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                *ttl
            ),
            "{records:?}"
        );
    }
}

#[test]
fn only_the_answer_to_what_was_sent_is_one() {
    let asked = question("api.Example.com", A);
    let good = answered(&asked, &[a(NAME, 300, 1)]);
    assert!(Reply::to(&asked, &good).is_some());
    let other_case = answered(&question("API.example.com", A), &[a(NAME, 300, 1)]);
    assert!(Reply::to(&asked, &other_case).is_some());
    let mut other_number = good.clone();
    other_number[1] ^= 1;
    let other_name = answered(&question("apj.example.com", A), &[a(NAME, 300, 1)]);
    let other_kind = answered(&question("api.example.com", AAAA), &[a(NAME, 300, 1)]);
    let mut no_question = vec![0x12, 0x34, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0];
    no_question.extend(a(&labels("api.example.com"), 300, 1));
    for packet in [
        &asked,
        &other_number,
        &other_name,
        &other_kind,
        &no_question,
    ] {
        assert!(Reply::to(&asked, packet).is_none(), "{packet:?}");
    }
    // An error may come without the question, and says nothing then but the error.
    no_question[3] = 0x81;
    let error = Reply::to(&asked, &no_question).unwrap();
    assert_eq!((error.code(), error.addresses().all.len()), (1, 0));
}

#[test]
fn names_that_go_in_circles_end() {
    let asked = question("a.b", A);
    for target in [17_u8, 21, 200] {
        let packet = answered(&asked, &[a(&[0xC0, target], 300, 1)]);
        assert!(
            Reply::to(&asked, &packet)
                .unwrap()
                .addresses()
                .all
                .is_empty()
        );
    }
}

#[test]
fn what_is_asked_can_be_read() {
    let packet = ask(7, "api.example.com.", AAAA).unwrap();
    let query = Query::read(&packet).unwrap();
    assert_eq!(
        (query.name(), query.kind(), query.room()),
        (Some("api.example.com"), Some(AAAA), 1232)
    );
    let long = format!("{}.com", "x".repeat(64));
    let longer = ["x".repeat(63).as_str(); 5].join(".");
    for name in [
        "",
        ".",
        "a..b",
        "a b",
        "*.example.com",
        "ä.de",
        &long,
        &longer,
    ] {
        assert_eq!(ask(7, name, A), None, "{name}");
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back(mut bytes in proptest::collection::vec(any::<u8>(), 12..600)) {
        let asked = question("a.b", A);
        bytes[..asked.len().min(12)].copy_from_slice(&answered(&asked, &[])[..12]);
        bytes.splice(12..12, asked[12..].iter().copied());
        bytes[7] = 9;
        if let Some(reply) = Reply::to(&asked, &bytes) {
            prop_assert!(reply.addresses().all.len() <= MOST_ADDRESSES);
        }
    }
}
