//! Tables of what passes, what does not, and how it may be cut into pieces.

use super::*;

mod naive;

const LIMITS: Limits = Limits {
    line: 256,
    head: 1024,
    fields: 16,
};

/// Everything at once.
fn scan(text: &str) -> (usize, Result<(), Fault>) {
    Scanner::new(LIMITS).passable(text.as_bytes())
}

/// Byte by byte, each shown again until it is taken.
fn scan_slowly(text: &str) -> (usize, Result<(), Fault>) {
    let mut scanner = Scanner::new(LIMITS);
    let mut passed = 0;
    for end in 1..=text.len() {
        let (taken, result) = scanner.passable(&text.as_bytes()[passed..end]);
        passed += taken;
        if result.is_err() {
            return (passed, result);
        }
    }
    (passed, Ok(()))
}

#[test]
fn what_has_one_reading_passes_whole() {
    let cases = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nA: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\nHost: a\r\nX: \u{e4}\t b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\n\r\0anything",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\n\r\0anything",
        "GET / HTTP/1.1\r\nhost:a\r\nEmpty:\r\n\r\n",
    ];
    for case in cases {
        assert_eq!(scan(case), (case.len(), Ok(())), "{case:?}");
        assert_eq!(scan_slowly(case), (case.len(), Ok(())), "{case:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_a_fault() {
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let chunked = |body: &str| format!("{}{body}", head("Transfer-Encoding: chunked\r\n"));
    let cases = [
        (
            head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            Fault::Ambiguous,
        ),
        (
            head("Content-Length: 3\r\nContent-Length: 3\r\n"),
            Fault::Length,
        ),
        (head("Content-Length: 3, 3\r\n"), Fault::Length),
        (head("Content-Length: +3\r\n"), Fault::Length),
        (head("Content-Length: 0x3\r\n"), Fault::Length),
        (head("Content-Length:\r\n"), Fault::Length),
        (
            head("Content-Length: 9999999999999999999\r\n"),
            Fault::Length,
        ),
        (
            head("Transfer-Encoding: chunked, chunked\r\n"),
            Fault::Encoding,
        ),
        (
            head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            Fault::Encoding,
        ),
        (head("Transfer-Encoding: identity\r\n"), Fault::Encoding),
        (head("Transfer-Encoding: xchunked\r\n"), Fault::Encoding),
        (head("Transfer-Encoding: \u{b}chunked\r\n"), Fault::Value),
        (head("Transfer-Encoding : chunked\r\n"), Fault::Name),
        (head("A: b\r\n c\r\n"), Fault::Folded),
        (head("A: b\r\n\tc\r\n"), Fault::Folded),
        (head("A: b\nC: d\r\n"), Fault::LineEnd),
        (head("A: b\rC: d\r\n"), Fault::LineEnd),
        (head("A: b\0\r\n"), Fault::Value),
        (head("A\u{7f}: b\r\n"), Fault::Name),
        (head("A b: c\r\n"), Fault::Name),
        (head(": c\r\n"), Fault::Name),
        (head("no colon\r\n"), Fault::Name),
        (head("Host: b\r\n"), Fault::Host),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Fault::Host),
        (
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
            Fault::Host,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned(),
            Fault::Host,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
            Fault::Host,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Fault::Encoding,
        ),
        ("GET  / HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET / HTTP/1.1 \r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET / a HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET\t/ HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET /\u{1} HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("G@T / HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET /\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET admin HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET ?a HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET * HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        (
            "GET \\admin HTTP/1.1\r\n\r\n".to_owned(),
            Fault::RequestLine,
        ),
        (
            "GET http:/a HTTP/1.1\r\n\r\n".to_owned(),
            Fault::RequestLine,
        ),
        ("GET ://a HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET /a#b HTTP/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET / http/1.1\r\n\r\n".to_owned(), Fault::RequestLine),
        ("GET / HTTP/1.2\r\n\r\n".to_owned(), Fault::Version),
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), Fault::Version),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), Fault::LineEnd),
        ("\nGET / HTTP/1.1\r\n\r\n".to_owned(), Fault::LineEnd),
        (chunked("3 \r\nabc\r\n0\r\n\r\n"), Fault::Chunk),
        (chunked("0x3\r\nabc\r\n0\r\n\r\n"), Fault::Chunk),
        (chunked("\r\nabc\r\n0\r\n\r\n"), Fault::Chunk),
        (chunked("-1\r\n"), Fault::Chunk),
        (chunked("1000000000000000\r\n"), Fault::Chunk),
        (chunked("3\nabc\r\n0\r\n\r\n"), Fault::LineEnd),
        (chunked("3;a\rb\r\nabc\r\n"), Fault::LineEnd),
        (chunked("3;a\0b\r\nabc\r\n"), Fault::Chunk),
        (chunked("3\r\nabcd\r\n"), Fault::Chunk),
        (chunked("3\r\nabc\n0\r\n\r\n"), Fault::Chunk),
        (chunked("0\r\nContent-Length: 3\r\n\r\n"), Fault::Trailer),
        (chunked("0\r\nHost: b\r\n\r\n"), Fault::Trailer),
        (chunked("0\r\n a: b\r\n\r\n"), Fault::Folded),
    ];
    for (case, fault) in cases {
        let (passed, result) = scan(&case);
        assert_eq!(result, Err(fault), "{case:?}");
        assert_eq!(scan_slowly(&case), (passed, Err(fault)), "{case:?}");
    }
}

#[test]
fn nothing_of_a_bad_head_is_handed_on() {
    let good = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = format!("{good}GET /2 HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n");
    assert_eq!(scan(&bad), (good.len(), Err(Fault::Name)));
    assert_eq!(scan_slowly(&bad), (good.len(), Err(Fault::Name)));
}

#[test]
fn a_head_that_does_not_end_is_a_fault_and_not_a_growing_buffer() {
    let endless = |begin: &str, piece: &str| {
        let mut text = begin.to_owned();
        while text.len() < 4096 {
            text.push_str(piece);
        }
        scan(&text).1
    };
    assert_eq!(endless("GET /", "a"), Err(Fault::LineTooLong));
    let begin = "GET / HTTP/1.1\r\nHost: a\r\n";
    assert_eq!(endless(begin, "a"), Err(Fault::HeadTooLarge));
    assert_eq!(endless(begin, "a: b\r\n"), Err(Fault::TooMany));
    let long = format!("a: {}\r\n", "b".repeat(200));
    assert_eq!(endless(begin, &long), Err(Fault::HeadTooLarge));
    let chunked = format!("{begin}Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(endless(&chunked, "0"), Err(Fault::Chunk));
    let trailers = format!("{chunked}0\r\n");
    assert_eq!(endless(&trailers, "a: b\r\n"), Err(Fault::TooMany));
}

#[test]
fn what_comes_next_is_a_head_or_the_rest_of_a_request() {
    let mut scanner = Scanner::new(LIMITS);
    assert_eq!(scanner.awaits(), Awaits::Head);
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    let (_, last) = request.split_at(request.len() - 1);
    scanner.passable(&request[..request.len() - 1]).1.unwrap();
    assert_eq!(scanner.awaits(), Awaits::Rest);
    scanner.passable(last).1.unwrap();
    assert_eq!(scanner.awaits(), Awaits::Head);
}
