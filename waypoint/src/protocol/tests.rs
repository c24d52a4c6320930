//! First bytes of many protocols, and every beginning of them.

use super::*;

#[test]
fn first_bytes_tell_the_protocol() {
    let cases: &[(&[u8], Protocol)] = &[
        (b"GET / HTTP/1.1\r\n", Protocol::Http1),
        (b"OPTIONS * HTTP/1.1\r\n", Protocol::Http1),
        (b"M-SEARCH / HTTP/1.0\n", Protocol::Http1),
        (b"\r\n\nGET / HTTP/1.1\r\n", Protocol::Http1),
        (b"\r\nSET key value\r\n", Protocol::Tcp),
        (b"CONNECT shop:443 HTTP/1.1\r\n", Protocol::Http1),
        (PREFACE, Protocol::Http2),
        (&[0x16, 0x03, 0x01, 0x02], Protocol::Tls),
        (b"*1\r\n$4\r\nPING\r\n", Protocol::Tcp),
        (b"SET key value\r\n", Protocol::Tcp),
        (b"PING\r\n", Protocol::Tcp),
        (&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], Protocol::Tcp),
        (b"hello", Protocol::Tcp),
        (b"PRINT / \n", Protocol::Tcp),
        (b"AVERYLONGWORDINUPPERCASELETTERS ", Protocol::Tcp),
    ];
    for (bytes, expected) in cases {
        assert_eq!(sniff(bytes), Sniffed::Is(*expected), "{bytes:?}");
        for end in 0..bytes.len() {
            let early = sniff(&bytes[..end]);
            let agrees = early == Sniffed::More || early == Sniffed::Is(*expected);
            assert!(agrees, "{:?} is {early:?}", &bytes[..end]);
        }
    }
}

#[test]
fn a_line_without_an_end_is_not_waited_for_for_ever() {
    let long = [b"GET /".as_slice(), &[b'a'; 20_000]].concat();
    assert_eq!(sniff(&long), Sniffed::Is(Protocol::Tcp));
    // Nor does it matter whether its end has come with it.
    let whole = [long.as_slice(), b" HTTP/1.1\r\n"].concat();
    assert_eq!(sniff(&whole), Sniffed::Is(Protocol::Tcp));
}

#[test]
fn only_settings_of_http2_are_taken_for_them() {
    assert!(is_settings(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"));
    assert!(is_settings(b"\0\0\0\x04\0\0\0\0\0"));
    for other in [
        &b"220 speaks first\r\n"[..],
        b"",
        b"\0\0\x05\x04\0\0\0\0\0\0\x03\0\0\0",
        b"\0\0\x06\x04\x01\0\0\0\0",
        b"\x4a\0\0\0\x0a8.0.36\0",
    ] {
        assert!(!is_settings(other), "{other:?}");
    }
}
