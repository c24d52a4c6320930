//! Flows in a namespace of its own.

use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::NetNs;

fn namespace() -> NetNs {
    let made = std::thread::spawn(|| {
        crate::process::unshare_network().expect("making a network namespace needs root");
        run("ip", &["link", "set", "lo", "up"]);
        NetNs::current().expect("namespace")
    });
    made.join().expect("thread")
}

fn run(program: &str, arguments: &[&str]) {
    let status = std::process::Command::new(program).args(arguments).status();
    assert!(status.expect("run").success(), "{program} {arguments:?}");
}

fn listen(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).expect("bind");
    let short = Some(Duration::from_millis(200));
    socket.set_read_timeout(short).expect("patience");
    socket
}

#[test]
fn a_flow_that_is_forgotten_begins_anew_and_others_go_on() {
    namespace()
        .run(|| {
            let track = "add table inet t; add chain inet t c { type filter hook output priority 0; }; \
                         add rule inet t c ct state new counter";
            run("nft", &[track]);
            let redirect = "add table inet n; \
                            add chain inet n c { type nat hook output priority -100; }; \
                            add rule inet n c udp dport {53, 54} redirect to :1053";
            run("nft", &[redirect]);
            for ip in ["127.0.0.1", "[::1]"] {
                let to = |port: u16| format!("{ip}:{port}");
                let (own, other, mesh) = (listen(&to(53)), listen(&to(54)), listen(&to(1053)));
                let client = listen(&to(0));
                let send = |port: u16| client.send_to(b"?", to(port)).expect("send");
                let hears = |socket: &UdpSocket| socket.recv(&mut [0; 8]).is_ok();
                for port in [53, 54] {
                    send(port);
                    assert!(hears(&mesh), "{ip} {port} is redirected");
                }
                run("nft", &["flush chain inet n c"]);
                send(53);
                assert!(hears(&mesh), "{ip}: it goes on");
                assert_eq!(forget_udp(53).expect("forget"), 1, "{ip}");
                send(53);
                assert!(hears(&own), "{ip}: it begins anew");
                send(54);
                assert!(hears(&mesh) && !hears(&other), "{ip}: the other goes on");
                assert_eq!(forget_udp(53).expect("forget"), 1);
                assert_eq!(forget_udp(53).expect("forget"), 0);
                run("nft", &["add rule inet n c udp dport {53, 54} redirect to :1053"]);
            }
        })
        .expect("run");
}
