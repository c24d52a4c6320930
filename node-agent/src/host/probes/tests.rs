use std::net::{TcpListener, TcpStream};

use ambit_wire::node::{NodePod, RosterUpdate};

use super::*;
use crate::host::testing::{Ground, names};

#[test]
fn a_flow_of_another_process_is_no_probe() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let own = Path::new("/proc/self");
    let inode = sock_diag::tcp_socket(from, to).unwrap().unwrap().inode;
    assert!(holds(own, inode), "this process has it");
    let kubelets = Kubelets::default();
    assert!(
        !is_of_kubelet(&kubelets, from, to, clock::now()),
        "and is no kubelet"
    );
    drop(client);
    assert!(!holds(own, inode));
}

/// A process that is called as the kubelet is, and connects.
#[test]
fn a_flow_of_the_kubelet_is_a_probe() {
    let (kubelets, now) = (Kubelets::default(), clock::now());
    assert!(!kubelets.hold(0, now), "searched for, before it is there");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(KUBELET);
    fs::copy("/usr/bin/bash", &program).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let line = format!("exec 3<>/dev/tcp/127.0.0.1/{}; read -u 3 end", to.port());
    let mut kubelet = std::process::Command::new(program)
        .args(["-c", &line])
        .spawn()
        .unwrap();
    let (server, from) = listener.accept().unwrap();
    assert!(
        !is_of_kubelet(&kubelets, from, to, now),
        "not searched for with every question"
    );
    let later = now + SEARCH_EVERY;
    assert!(is_of_kubelet(&kubelets, from, to, later));
    assert!(is_of_kubelet(&kubelets, from, to, later), "known by now");
    drop(server);
    kubelet.wait().unwrap();
    assert!(!is_of_kubelet(&kubelets, from, to, later), "it has ended");
}

#[tokio::test]
async fn only_ports_that_are_probed_count() {
    let node = Ground::make().run(true);
    let uid = names("a").uid;
    let source: SocketAddr = "10.244.1.1:40000".parse().unwrap();
    assert!(
        !is_probe(&node.host, &uid, source, 80).await,
        "an unknown pod"
    );
    node.host.roster.take(RosterUpdate {
        pods: vec![NodePod {
            uid: "a".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            service_account: "web".to_owned(),
            ips: vec!["10.0.0.2".to_owned()],
            enrolled: true,
            probe_ports: vec![80],
            cut_existing: 0,
            no_dns_capture: false,
        }],
        ..RosterUpdate::default()
    });
    for (source, port) in [
        (source, 81),
        ("10.0.0.9:40000".parse().unwrap(), 80),
        (source, 80),
    ] {
        assert!(
            !is_probe(&node.host, &uid, source, port).await,
            "no such flow"
        );
    }
}
