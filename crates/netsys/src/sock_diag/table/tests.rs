use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::netlink::{DONE, bodies};

/// Both ends of a connection on the loopback.
fn pair(on: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(on).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn listed(stream: &TcpStream) -> Option<Connection> {
    let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let ends = (canonical(local), canonical(remote));
    let all = connections().unwrap();
    all.into_iter()
        .find(|found| (found.local, found.remote) == ends)
}

#[test]
fn both_ends_of_a_connection_are_listed_while_it_is_established() {
    for on in ["127.0.0.1:0", "[::1]:0"] {
        let (mut client, server) = pair(on);
        assert!(
            listed(&client).is_some() && listed(&server).is_some(),
            "{on}"
        );
        assert_eq!(listed(&client).unwrap().mark, 0);
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert!(listed(&client).is_none(), "half closed");
    }
}

#[test]
fn an_address_of_ipv4_is_one_in_a_socket_of_ipv6_too() {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert!(server.local_addr().unwrap().is_ipv6());
    assert!(listed(&server).is_some_and(|found| found.local.is_ipv4()));
    drop(client);
}

#[test]
fn a_destroyed_connection_is_reset_and_no_other() {
    let (mut client, mut server) = pair("127.0.0.1:0");
    let (mut other, mut others) = pair("127.0.0.1:0");
    let found = listed(&client).unwrap();
    assert!(destroy(&found).unwrap());
    let aborted = client.read(&mut [0]).unwrap_err();
    assert_eq!(aborted.kind(), ErrorKind::ConnectionAborted);
    let reset = server.read(&mut [0]).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert!(!destroy(&found).unwrap(), "it has ended");
    other.write_all(b"x").unwrap();
    others.read_exact(&mut [0]).unwrap();
}

#[test]
fn what_is_cut_short_is_no_answer() {
    let mut found = Vec::new();
    for answer in [&[0; 3][..], &[16, 0, 0, 0], &[255, 0, 0, 0, 20, 0, 0, 0]] {
        assert!(take(answer, &mut found).is_err());
    }
    let mut done = request(DONE, 0, 0, 0, &[0; ID]);
    assert!(take(&done, &mut found).unwrap());
    done.truncate(20);
    assert!(take(&done, &mut found).is_err());
    assert!(found.is_empty());
}

fn take(answer: &[u8], found: &mut Vec<Connection>) -> io::Result<bool> {
    bodies(answer, |message| {
        found.push(connection(message)?);
        Ok(())
    })
}
