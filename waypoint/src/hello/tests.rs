//! Names out of hellos, whole, in pieces, and of things that are none.

use proptest::prelude::*;

use super::*;

fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}

/// A hello with these extensions, in records of at most so many bytes.
pub(crate) fn hello(extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
    let extensions = extensions.iter().flat_map(|(kind, body)| {
        let kind = kind.to_be_bytes();
        [&kind[..], &vector16(body)].concat()
    });
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0]);
    body.extend(vector16(&[0x13, 1]));
    body.extend([1, 0]);
    body.extend(vector16(&extensions.collect::<Vec<_>>()));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    let records = message.chunks(record);
    records
        .flat_map(|part| [&[22, 3, 1][..], &vector16(part)].concat())
        .collect()
}

/// The extension with this name.
pub(crate) fn named(name: &str) -> (u16, Vec<u8>) {
    let host = [&[0][..], &vector16(name.as_bytes())].concat();
    (0, vector16(&host))
}

fn name(text: &str) -> Hello {
    Hello::Name(Some(text.to_owned()))
}

#[test]
fn the_name_is_found_wherever_it_stands_and_however_it_comes() {
    let extensions = [
        (43, vec![2, 3, 4]),
        named("shop.example"),
        (51, vec![0; 1200]),
    ];
    for record in [1, 5, 700, 16_000] {
        let bytes = hello(&extensions, record);
        for end in 0..bytes.len() {
            assert_eq!(server_name(&bytes[..end]), Hello::More, "{end} of {record}");
        }
        assert_eq!(server_name(&bytes), name("shop.example"));
    }
}

#[test]
fn a_name_has_one_form() {
    for same in ["SHOP.Example", "shop.example.", "Shop.example."] {
        assert_eq!(
            server_name(&hello(&[named(same)], 999)),
            name("shop.example")
        );
    }
}

#[test]
fn what_names_nobody_or_is_no_hello_has_no_name() {
    let none = Hello::Name(None);
    assert_eq!(server_name(&hello(&[(43, vec![2, 3, 4])], 999)), none);
    assert_eq!(server_name(&hello(&[named("a b")], 999)), none);
    assert_eq!(server_name(b"GET / HTTP/1.1\r\n"), none);
    let mut server_hello = hello(&[named("shop.example")], 999);
    server_hello[5] = 2;
    assert_eq!(server_name(&server_hello), none);
    // The end of a hello that is longer than any.
    let mut endless = hello(&[(51, vec![0; 20_000])], 500);
    endless.truncate(LONGEST);
    assert_eq!(server_name(&endless), Hello::Endless);
}

#[test]
fn what_servers_pass_over_hides_no_name() {
    let said = hello(&[named("shop.example")], 999);
    let warned = [&[21, 3, 1, 0, 2, 1, 90][..], &said].concat();
    assert_eq!(server_name(&warned), name("shop.example"));
    assert_eq!(server_name(&warned[..6]), Hello::More);
    let host = [&[0][..], &vector16(b"shop.example")].concat();
    let names = [&[1][..], &vector16(b"else"), &host].concat();
    let said = hello(&[(0, vector16(&names))], 999);
    assert_eq!(server_name(&said), name("shop.example"));
    for (first, may) in [(21, true), (22, true), (23, false), (b'G', false)] {
        assert_eq!(may_begin(&[first, 2]), may);
    }
    assert!(!may_begin(&[]));
}

proptest! {
    #[test]
    fn no_bytes_are_read_beyond_the_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = bytes;
        let _hello = server_name(&bytes);
        bytes.splice(..0, [22, 3, 1, 1, 0, 1, 0, 0, 250]);
        let _hello = server_name(&bytes);
    }
}
