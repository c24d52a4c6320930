use std::os::fd::AsRawFd;

use ambit_netsys::{NetNs, sockets};
use nix::sys::socket::{Shutdown, shutdown};

use super::*;
use crate::host::enrol;
use crate::host::testing::{Ground, Namespace, names};

#[tokio::test]
async fn a_listener_that_a_proxy_stopped_is_made_anew_and_handed_out() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(&node.host, names("a"), netns, None)
        .await
        .unwrap();
    let proxy = node.fakes.proxy(1).await;
    shutdown(proxy.listeners.lock()["a"][1].as_raw_fd(), Shutdown::Both).unwrap();
    renew_pods(&node.host);
    assert_eq!(node.host.counters.numbers()["listeners_renewed"], 1);
    let all_listen = || {
        let listeners = proxy.listeners.lock();
        listeners["a"].len() == 6
            && listeners["a"]
                .iter()
                .all(|l| sockets::is_listening(l).unwrap())
    };
    node.fakes.until(all_listen).await;
    renew_pods(&node.host);
    assert_eq!(node.host.counters.numbers()["listeners_renewed"], 1);
}

#[tokio::test]
async fn a_page_that_a_proxy_stopped_is_made_anew_too() {
    let ground = Ground::make();
    let node = ground.run(true);
    let serves = || node.host.generations.lock().serving().is_some();
    node.fakes.until(serves).await;
    let stopped = node.host.pages.lock()[0].socket.as_raw_fd();
    shutdown(stopped, Shutdown::Both).unwrap();
    renew_pages(&node.host);
    assert_eq!(node.host.counters.numbers()["listeners_renewed"], 1);
    let all_listen = |page: &Listener| sockets::is_listening(&page.socket).unwrap();
    assert!(node.host.pages.lock().iter().all(all_listen));
}
