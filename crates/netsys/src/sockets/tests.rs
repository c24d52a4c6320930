use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::NetNs;

/// A namespace of its own with `lo` up, the routes and settings that a captured pod has.
fn pod() -> NetNs {
    std::thread::spawn(|| {
        crate::process::unshare_network().expect("making a network namespace needs root");
        for line in [
            "link set lo up",
            "rule add fwmark 0x539 lookup 100",
            "route add local default dev lo table 100",
            "-6 rule add fwmark 0x539 lookup 100",
            "-6 route add local default dev lo table 100",
        ] {
            let ip = std::process::Command::new("ip")
                .args(line.split(' '))
                .status();
            assert!(ip.expect("ip").success(), "ip {line}");
        }
        std::fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1").expect("sysctl");
        NetNs::current().expect("namespace")
    })
    .join()
    .expect("thread")
}

fn blocking(fd: OwnedFd) -> Socket {
    let socket = Socket::from(fd);
    socket.set_nonblocking(false).expect("blocking");
    socket
}

#[test]
fn both_families_listen_on_one_port() {
    let first = listener("127.0.0.1:0".parse().expect("address"), 16).expect("listen");
    let port = TcpListener::from(first)
        .local_addr()
        .expect("address")
        .port();
    let pod = pod();
    pod.run(|| {
        let four = listener((Ipv4Addr::UNSPECIFIED, port).into(), 16).expect("IPv4");
        let six =
            listener((Ipv6Addr::UNSPECIFIED, port).into(), 16).expect("IPv6 on the same port");
        assert!(is_listening(&four).expect("ask") && is_listening(&six).expect("ask"));
        let error = listener((Ipv4Addr::UNSPECIFIED, port).into(), 16).expect_err("taken");
        assert!(
            error.to_string().contains(&format!("0.0.0.0:{port}")),
            "{error}"
        );
    })
    .expect("run");
}

#[test]
fn outgoing_sockets_carry_their_mark_and_are_no_listeners() {
    for (kind, mark) in [
        (Outgoing::World4, 0x53a),
        (Outgoing::World6, 0x53a),
        (Outgoing::App4, 0x539),
        (Outgoing::App6, 0x539),
    ] {
        let fd = outgoing(kind).expect("marked sockets need root");
        assert!(!is_listening(&fd).expect("ask"));
        let socket = Socket::from(fd);
        assert_eq!(socket.mark().expect("mark"), mark, "{kind:?}");
        assert!(socket.tcp_nodelay().expect("nodelay"));
        assert!(socket.nonblocking().expect("flags"));
        let transparent = match kind {
            Outgoing::World4 | Outgoing::App4 => socket.ip_transparent_v4(),
            _ => socket.ip_transparent_v6(),
        };
        assert_eq!(transparent.expect("transparent"), mark == 0x539, "{kind:?}");
    }
}

#[test]
fn sockets_for_datagrams_carry_the_mark_and_those_that_listen_none() {
    let pod = pod();
    for (kind, address) in [
        (Outgoing::Datagram4, "127.0.0.1:15053"),
        (Outgoing::Datagram6, "[::1]:15053"),
    ] {
        pod.run(|| {
            let listener = datagram_listener(address.parse().expect("address")).expect("bind");
            let marked = outgoing(kind).expect("marked sockets need root");
            assert!(is_datagram(&listener).expect("ask") && is_datagram(&marked).expect("ask"));
            let (listener, marked) = (Socket::from(listener), Socket::from(marked));
            assert_eq!(listener.mark().expect("mark"), 0);
            assert_eq!(marked.mark().expect("mark"), WORLD_MARK);
            assert!(listener.nonblocking().expect("flags") && marked.nonblocking().expect("flags"));
            let own = listener.local_addr().expect("address");
            assert!(is_listening(&listener).expect("ask"));
            listener.connect(&own).expect("connect");
            assert!(!is_listening(&listener).expect("ask"));
            disconnect(&listener).expect("disconnect");
            assert!(is_listening(&listener).expect("ask"));
            let kept = listener.local_addr().expect("address").as_socket();
            assert_eq!(kept, own.as_socket());
        })
        .expect("run");
    }
}

#[test]
fn the_application_sees_the_foreign_client_with_its_port() {
    let pod = pod();
    for (kind, client, local) in [
        (Outgoing::App4, "192.0.2.7:40001", "127.0.0.1:0"),
        (Outgoing::App6, "[2001:db8::7]:40001", "[::1]:0"),
    ] {
        pod.run(|| {
            let application = TcpListener::bind(local).expect("listen");
            let socket = outgoing(kind).expect("socket");
            let client: SocketAddr = client.parse().expect("address");
            assert_eq!(bind_foreign(&socket, client).expect("bind"), Source::Exact);
            let socket = blocking(socket);
            socket
                .connect(&application.local_addr().expect("address").into())
                .expect("connect");
            let (mut accepted, from) = application.accept().expect("accept");
            assert_eq!(from, client);
            (&socket).write_all(b"hello").expect("write");
            drop(socket);
            let mut text = String::new();
            accepted.read_to_string(&mut text).expect("read");
            assert_eq!(text, "hello");
        })
        .expect("run");
    }
}

#[test]
fn a_taken_source_port_falls_back_to_any_port() {
    let pod = pod();
    pod.run(|| {
        // A wildcard listener on the client's port is in the way of an exact bind.
        let taken = TcpListener::bind("0.0.0.0:0").expect("listen");
        let port = taken.local_addr().expect("address").port();
        let client = SocketAddr::from(([192, 0, 2, 7], port));
        let application = TcpListener::bind("127.0.0.1:0").expect("listen");
        let socket = outgoing(Outgoing::App4).expect("socket");
        assert_eq!(
            bind_foreign(&socket, client).expect("bind"),
            Source::OtherPort
        );
        let socket = blocking(socket);
        socket
            .connect(&application.local_addr().expect("address").into())
            .expect("connect");
        let (_, from) = application.accept().expect("accept");
        assert_eq!(from.ip(), client.ip());
        assert_ne!(from.port(), port);
    })
    .expect("run");
}

#[test]
fn a_live_source_port_is_told_apart_from_other_failures() {
    let pod = pod();
    pod.run(|| {
        let application = TcpListener::bind("127.0.0.1:0").expect("listen");
        let to = application.local_addr().expect("address");
        let client: SocketAddr = "192.0.2.7:40002".parse().expect("address");
        let first = outgoing(Outgoing::App4).expect("socket");
        bind_foreign(&first, client).expect("bind");
        let first = blocking(first);
        first.connect(&to.into()).expect("connect");
        let second = outgoing(Outgoing::App4).expect("socket");
        let failed = match bind_foreign(&second, client) {
            Ok(Source::Exact) => blocking(second).connect(&to.into()).expect_err("in use"),
            Ok(Source::OtherPort) => return,
            Err(error) => error,
        };
        assert!(wants_other_port(&failed), "{failed}");
    })
    .expect("run");
    assert!(!wants_other_port(&io::Error::from_raw_os_error(
        libc::ECONNREFUSED
    )));
}

#[test]
fn an_unredirected_connection_names_the_address_it_came_in_on() {
    let pod = pod();
    for (local, table) in [("127.0.0.1:0", "ip"), ("[::1]:0", "ip6")] {
        pod.run(|| {
            // Any rule that uses conntrack makes the namespace track connections.
            let rule = format!(
                "add table {table} t\nadd chain {table} t c {{ type filter hook output priority 0; }}\n\
                 add rule {table} t c ct state new counter\n"
            );
            load(&rule);
            let application = TcpListener::bind(local).expect("listen");
            let address = application.local_addr().expect("address");
            let _client = TcpStream::connect(address).expect("connect");
            let (accepted, _) = application.accept().expect("accept");
            assert_eq!(original_destination(&accepted).expect("original"), address);
        })
        .expect("run");
    }
}

#[test]
fn a_redirected_connection_names_where_it_wanted_to_go() {
    let pod = pod();
    for (local, wanted, table) in [
        ("127.0.0.1:0", "192.0.2.9:80", "ip"),
        ("[::1]:0", "[2001:db8::9]:80", "ip6"),
    ] {
        pod.run(|| {
            let agent = TcpListener::bind(local).expect("listen");
            let port = agent.local_addr().expect("address").port();
            load(&format!(
                "add table {table} r\n\
                 add chain {table} r c {{ type nat hook output priority -100; }}\n\
                 add rule {table} r c tcp dport 80 redirect to :{port}\n"
            ));
            let route = if table == "ip" {
                "192.0.2.0/24"
            } else {
                "2001:db8::/32"
            };
            let mut ip = std::process::Command::new("ip");
            let added = ip.args(["route", "add", route, "dev", "lo"]).status();
            assert!(added.expect("ip").success());
            let wanted: SocketAddr = wanted.parse().expect("address");
            let client = TcpStream::connect_timeout(&wanted, Duration::from_secs(5));
            let _client = client.expect("connect");
            let (accepted, _) = agent.accept().expect("accept");
            assert_eq!(original_destination(&accepted).expect("original"), wanted);
        })
        .expect("run");
    }
}

fn load(rules: &str) {
    let mut nft = std::process::Command::new("nft")
        .args(["-f", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("nft");
    nft.stdin
        .take()
        .expect("stdin")
        .write_all(rules.as_bytes())
        .expect("write");
    assert!(nft.wait().expect("nft").success(), "{rules}");
}
