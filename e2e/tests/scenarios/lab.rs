//! The lab itself: its wires carry what they should, and it leaves nothing behind.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use ambit_e2e::lab::address::Family;
use ambit_e2e::lab::{Lab, Pod, remains};

/// One connection: the server sees `from`'s address, and a byte comes back.
fn call(from: &Pod, to: &Pod, family: Family) -> IpAddr {
    let at = SocketAddr::new(to.ip(family), 8080);
    let listener = to
        .namespace()
        .run(|| TcpListener::bind(at))
        .unwrap()
        .unwrap();
    let server = thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(b"!").unwrap();
        peer.ip()
    });
    let mut answer = [0];
    let mut stream = from
        .namespace()
        .run(|| TcpStream::connect(at))
        .unwrap()
        .unwrap();
    stream.read_exact(&mut answer).unwrap();
    server.join().unwrap()
}

#[test]
fn pods_of_one_node_and_of_two_reach_each_other_over_both_families() {
    let lab = Lab::new(2).unwrap();
    let client = lab.pod(1, "client").unwrap();
    let neighbour = lab.pod(1, "neighbour").unwrap();
    let remote = lab.pod(2, "remote").unwrap();
    for family in Family::BOTH {
        assert_eq!(call(&client, &neighbour, family), client.ip(family));
        assert_eq!(call(&client, &remote, family), client.ip(family));
        assert_eq!(call(&remote, &client, family), remote.ip(family));
    }
}

#[test]
fn programs_in_a_pod_find_names_in_the_pods_own_hosts_file() {
    let lab = Lab::new(1).unwrap();
    let pod = lab.pod(1, "alone").unwrap();
    pod.set_hosts("10.96.0.10 catalog\n").unwrap();
    let found = pod.run("getent", &["ahostsv4", "catalog"]).unwrap();
    assert!(found.starts_with("10.96.0.10"), "{found}");
}

#[test]
fn a_dropped_lab_leaves_nothing_behind_even_if_programs_still_run() {
    let lab = Lab::new(2).unwrap();
    let prefix = lab.prefix().to_owned();
    let pod = lab.pod(1, "busy").unwrap();
    // Left its process group, as daemons do.
    pod.run(
        "sh",
        &["-c", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &"],
    )
    .unwrap();
    let program = pod.start("sleep", &["1000"]).unwrap();
    let pid = program.pid();
    assert!(remains(&prefix).len() >= 6, "{:?}", remains(&prefix));
    drop((program, pod, lab));
    assert_eq!(remains(&prefix), Vec::<std::path::PathBuf>::new());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_panicking_owner_leaves_nothing_behind() {
    let owner = thread::spawn(|| {
        let lab = Lab::new(1).unwrap();
        let prefix = lab.prefix().to_owned();
        let pod = lab.pod(1, "client").unwrap();
        std::panic::panic_any((prefix, pod.v4));
    });
    let payload = owner.join().unwrap_err();
    let (prefix, _) = payload
        .downcast_ref::<(String, std::net::Ipv4Addr)>()
        .unwrap();
    assert_eq!(remains(prefix), Vec::<std::path::PathBuf>::new());
}
