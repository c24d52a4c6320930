//! The proxy role under its confinement.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;

use ambit_netsys::confine::PROXY_ID;
use ambit_netsys::sockets::{self, Outgoing};
use ambit_node_agent::link::ToHost;
use ambit_wire::node::{HostToProxy, PodAttached, host_to_proxy};
use tokio::time::timeout;

use crate::{PATIENCE, Proxy, assert_powerless, namespace, status};

pub(crate) async fn has_no_power() {
    let proxy = Proxy::start("rest", None).await;
    proxy.hears(ToHost::Ready).await;
    let pid = proxy.child.pid();
    assert_powerless(pid, PROXY_ID);
    for kind in ["mnt", "net", "pid", "ipc", "uts", "cgroup"] {
        assert_ne!(
            namespace(&pid.to_string(), kind),
            namespace("self", kind),
            "{kind}"
        );
    }
    let root = fs::read_dir(format!("/proc/{pid}/root/")).expect("root directory");
    assert_eq!(root.count(), 0, "its root directory is not empty");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).expect("mounts");
    assert!(
        mounts.lines().count() == 1 && mounts.contains(" / tmpfs ro,"),
        "{mounts}"
    );
    let addresses = fs::read_to_string(format!("/proc/{pid}/net/fib_trie")).expect("addresses");
    assert_eq!(addresses, "", "its network namespace has addresses");
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("environment");
    assert_eq!(environment, b"", "it inherited an environment");
    assert_eq!(status(pid, "NSpid").split_whitespace().last(), Some("1"));
    assert_eq!(
        fs::read_to_string(format!("/proc/{pid}/comm")).expect("comm"),
        "ambit-proxy\n"
    );
    assert_only_its_sockets(pid);
    // The nodes' own mounts are untouched: /proc is still there to be asked, with us in it.
    assert_eq!(
        status(std::process::id(), "Uid").split_whitespace().next(),
        Some("0")
    );
    proxy.end().await;
}

/// Standard output and error, nothing of ours, and what a runtime makes for itself.
fn assert_only_its_sockets(pid: u32) {
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors") {
        let path = entry.expect("entry").path();
        let number: u32 = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .expect("number");
        let target = fs::read_link(&path).expect("link").display().to_string();
        let harmless = number <= 2
            || ["socket:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]"]
                .iter()
                .any(|kind| target.starts_with(kind));
        assert!(harmless, "descriptor {number} is {target}");
    }
}

pub(crate) async fn serves() {
    let proxy = Proxy::start("serve", None).await;
    let address = "127.0.0.1:0".parse().expect("address");
    let listener = sockets::listener(address, 16).expect("listen");
    let through = TcpListener::from(listener.try_clone().expect("copy"));
    let through = through.local_addr().expect("address");
    let outgoing = [
        sockets::outgoing(Outgoing::World4).expect("socket"),
        sockets::outgoing(Outgoing::World4).expect("socket"),
    ];
    let passed = [listener.as_fd(), outgoing[0].as_fd(), outgoing[1].as_fd()];
    let kind = Some(host_to_proxy::Kind::Pod(PodAttached::default()));
    proxy
        .link
        .send(&HostToProxy { kind }, &passed)
        .await
        .expect("send");
    proxy.hears(ToHost::Ready).await;
    let server = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = server.local_addr().expect("address").port();
    let shouting = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = server.accept().expect("accept");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("read");
            stream
                .write_all(text.to_uppercase().as_bytes())
                .expect("write");
        }
    });
    for _ in 0..2 {
        tokio::task::spawn_blocking(move || crate::child::relay_answers(through, port))
            .await
            .expect("relay");
    }
    shouting.join().expect("server");
    proxy.hears(ToHost::Drained).await;
    let Proxy { mut child, .. } = proxy;
    let status = timeout(PATIENCE, child.wait())
        .await
        .expect("ends")
        .expect("status");
    assert!(status.success(), "{status}");
}

pub(crate) async fn speaks_tls() {
    let mut proxy = Proxy::start("shake", None).await;
    proxy.hears(ToHost::Ready).await;
    let status = timeout(PATIENCE, proxy.child.wait())
        .await
        .expect("ends")
        .expect("status");
    assert!(status.success(), "{status}");
}

pub(crate) async fn is_terminated() {
    let mut proxy = Proxy::start("rest", None).await;
    proxy.hears(ToHost::Ready).await;
    proxy.child.terminate().expect("signal");
    let status = timeout(PATIENCE, proxy.child.wait())
        .await
        .expect("ends")
        .expect("status");
    assert!(status.success(), "{status}");
    assert_eq!(proxy.child.ended(), Some(status));
    assert!(
        proxy.child.kill().is_err(),
        "a process that ended takes no signal"
    );
}

pub(crate) async fn ends_over_its_memory() {
    let mut proxy = Proxy::start("eat", None).await;
    proxy.hears(ToHost::Ready).await;
    let status = timeout(PATIENCE, proxy.child.wait())
        .await
        .expect("ends")
        .expect("status");
    assert!(
        status.signal().is_some() && !status.core_dumped(),
        "{status}"
    );
    assert_eq!(proxy.link.recv().await.expect("the end"), None);
}

/// A link that is a number without a descriptor behind it.
pub(crate) fn refuses_a_bad_start() {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args([
        "proxy",
        "--host-fd",
        "999",
        "--feed-fd",
        "998",
        "--generation",
        "1",
    ]);
    command.args(["--memory", "1000000", "--scene", "rest"]);
    let status = command.status().expect("start");
    assert_eq!(status.code(), Some(7));
}
