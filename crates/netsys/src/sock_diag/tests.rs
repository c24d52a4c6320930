use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use super::*;

fn number_of(socket: &TcpStream) -> u32 {
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    let text = link.to_str().unwrap();
    let digits = text.trim_start_matches("socket:[").trim_end_matches(']');
    digits.parse().unwrap()
}

#[test]
fn the_socket_of_a_connection_is_found_from_either_end() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let found = tcp_socket(from, to).unwrap().unwrap();
        assert_eq!(found.inode, number_of(&client), "{address}");
        assert_eq!(found.uid, nix::unistd::geteuid().as_raw());
        let other_end = tcp_socket(to, from).unwrap().unwrap();
        assert_eq!(other_end.inode, number_of(&server), "{address}");
    }
}

#[test]
fn without_a_connection_nothing_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let from = "127.0.0.1:1".parse().unwrap();
    // The listener is no connection from there.
    let found = tcp_socket(from, to).unwrap();
    assert_eq!(found, None);
    // Nor is the one on the port that the connection would be from.
    assert_eq!(tcp_socket(to, from).unwrap(), None);
    let mixed = tcp_socket("[::1]:1".parse().unwrap(), to).unwrap_err();
    assert_eq!(mixed.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn short_answers_are_errors() {
    for length in 0..HEADER + INODE_AT + 4 {
        let ends = [(IpAddr::from([0; 16]), 0); 2];
        assert!(read(&vec![0; length], ends).is_err(), "{length}");
    }
}
