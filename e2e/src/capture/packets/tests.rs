use super::{MAGIC, Protocol, parse, server_hello_version};

/// A capture file that holds these Ethernet frames.
fn file(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend([0; 16]);
    bytes.extend(1_u32.to_le_bytes());
    for frame in frames {
        bytes.extend([0; 8]);
        let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
        bytes.extend(length);
        bytes.extend(length);
        bytes.extend(frame);
    }
    bytes
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x1f, 0x90, 0x3a, 0xa0];
    segment.extend([0; 8]);
    segment.extend([0x50, 0, 0, 0, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

fn ipv4(segment: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(u16::try_from(20 + segment.len()).unwrap().to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(segment);
    frame
}

#[test]
fn the_payload_of_a_tcp_packet_is_found_without_the_frames_padding() {
    let mut frame = ipv4(&tcp(b"hi"));
    frame.extend([0; 6]);
    let packets = parse(&file(&[frame])).unwrap();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].payload, b"hi");
    assert_eq!(packets[0].protocol, Protocol::Tcp);
    assert_eq!(packets[0].source.to_string(), "10.0.0.1:8080");
    assert_eq!(packets[0].destination.to_string(), "10.0.0.2:15008");
}

#[test]
fn an_ipv6_packet_is_read() {
    let segment = tcp(b"six");
    let mut frame = vec![0; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend(u16::try_from(segment.len()).unwrap().to_be_bytes());
    frame.extend([6, 64]);
    frame.extend([0xfd; 16]);
    frame.extend([0xfe; 16]);
    frame.extend(&segment);
    let packets = parse(&file(&[frame])).unwrap();
    assert_eq!(packets[0].payload, b"six");
    assert!(packets[0].source.is_ipv6());
}

#[test]
fn a_record_that_is_still_being_written_is_left_out() {
    let whole = file(&[ipv4(&tcp(b"one")), ipv4(&tcp(b"two"))]);
    for cut in 1..20 {
        assert_eq!(parse(&whole[..whole.len() - cut]).unwrap().len(), 1);
    }
}

#[test]
fn a_file_that_is_no_capture_is_an_error() {
    assert!(parse(b"").is_err());
    assert!(parse(b"hello, world").is_err());
}

/// A server hello whose extensions are `extensions`.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![22, 3, 3, 0, 0, 2, 0, 0, 0, 3, 3];
    body.extend([7; 32]);
    body.push(2);
    body.extend([9, 9]);
    body.extend([0x13, 0x01, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    body
}

#[test]
fn a_server_hello_tells_the_version_that_was_selected() {
    let thirteen = hello(&[0, 51, 0, 2, 0, 29, 0, 43, 0, 2, 3, 4]);
    assert_eq!(server_hello_version(&thirteen), Some(0x0304));
    assert_eq!(
        server_hello_version(&hello(&[0, 51, 0, 2, 0, 29])),
        Some(0x0303)
    );
    assert_eq!(server_hello_version(b"GET / HTTP/1.1\r\n"), None);
    assert_eq!(server_hello_version(&thirteen[..40]), None);
}
