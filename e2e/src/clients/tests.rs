use super::parse;

#[test]
fn a_plain_answer_is_read() {
    let answer = parse(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nnothing").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (404, "nothing"));
}

#[test]
fn a_chunked_answer_is_joined() {
    let bytes =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
    assert_eq!(parse(bytes).unwrap().body, "abcde");
}

#[test]
fn what_is_no_http_is_not_taken_for_it() {
    assert!(parse(b"").is_none());
    assert!(parse(b"SSH-2.0-x\r\n\r\n").is_none());
    assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc").is_none());
}
