use std::os::fd::AsFd;

use ambit_netsys::sockets::{APP_MARK, WORLD_MARK};
use nix::sys::socket::{getsockopt, sockopt};

use super::*;
use crate::host::testing::Namespace;

const KINDS: [SocketKind; 4] = [
    SocketKind::World4,
    SocketKind::World6,
    SocketKind::App4,
    SocketKind::App6,
];

fn order(
    namespace: &Namespace,
    kind: SocketKind,
    count: u8,
) -> (Order, tokio::sync::mpsc::Receiver<Parcel>) {
    let (reply, answers) = tokio::sync::mpsc::channel(4);
    let uid = PodUid::parse("u-1").unwrap();
    (
        Order {
            uid,
            netns: namespace.open(),
            kind,
            count,
            reply,
        },
        answers,
    )
}

fn supply() -> (Supply, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    (Supply::start(Arc::clone(&counters)).unwrap(), counters)
}

#[tokio::test]
async fn sockets_have_the_mark_of_their_kind_and_live_in_the_pods_namespace() {
    let namespace = Namespace::make("sockets");
    let (supply, counters) = supply();
    for kind in KINDS {
        let (order, mut answers) = order(&namespace, kind, LARGEST_BATCH);
        supply.order(order, Instant::now());
        let parcel = answers.recv().await.unwrap();
        assert_eq!(parcel.descriptors.len(), usize::from(LARGEST_BATCH));
        let mark = if matches!(kind, SocketKind::App4 | SocketKind::App6) {
            APP_MARK
        } else {
            WORLD_MARK
        };
        for socket in &parcel.descriptors {
            assert_eq!(getsockopt(&socket.as_fd(), sockopt::Mark).unwrap(), mark);
        }
        // SO_COOKIE is unique per kernel; that the socket is the namespace's shows in `ss`.
        let fd = parcel.descriptors[0].as_fd().try_clone_to_owned().unwrap();
        nix::sys::socket::bind(
            std::os::fd::AsRawFd::as_raw_fd(&fd),
            &nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 7777),
        )
        .or_else(|error| {
            if kind == SocketKind::World4 {
                Err(error)
            } else {
                Ok(())
            }
        })
        .unwrap();
        if kind == SocketKind::World4 {
            nix::sys::socket::listen(&fd, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
            assert!(namespace.shell("ss -Hltn").contains("127.0.0.1:7777"));
        }
    }
    assert_eq!(counters.numbers()["sockets_made"], 4 * 64);
}

#[tokio::test]
async fn a_request_beyond_the_bounds_is_answered_with_none() {
    let namespace = Namespace::make("bounds");
    let (supply, counters) = supply();
    for count in [0, LARGEST_BATCH + 1, 255] {
        let (order, mut answers) = order(&namespace, SocketKind::World4, count);
        supply.order(order, Instant::now());
        assert!(
            answers.recv().await.unwrap().descriptors.is_empty(),
            "{count}"
        );
    }
    assert_eq!(counters.numbers()["sockets_refused"], 3);
}

#[tokio::test]
async fn one_pod_cannot_have_sockets_at_any_rate() {
    let namespace = Namespace::make("rate");
    let (supply, counters) = supply();
    let now = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..BURST / u32::from(LARGEST_BATCH) + 1 {
        let (order, answers) = order(&namespace, SocketKind::World4, LARGEST_BATCH);
        supply.order(order, now);
        waiting.push(answers);
    }
    assert!(
        waiting
            .pop()
            .unwrap()
            .recv()
            .await
            .unwrap()
            .descriptors
            .is_empty()
    );
    assert_eq!(counters.numbers()["sockets_refused"], 1);
}

#[tokio::test]
async fn a_proxy_that_does_not_read_gets_no_more_sockets() {
    let namespace = Namespace::make("unread");
    let (supply, counters) = supply();
    let (reply, mut answers) = tokio::sync::mpsc::channel(4 * UNSENT);
    for _ in 0..2 * UNSENT {
        let (mut order, _) = order(&namespace, SocketKind::World4, 1);
        order.reply = reply.clone();
        supply.order(order, Instant::now());
    }
    let all_answered = async {
        while answers.len() < 2 * UNSENT {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(10), all_answered);
    in_time.await.unwrap();
    let mut made = 0;
    for _ in 0..2 * UNSENT {
        made += answers.recv().await.unwrap().descriptors.len();
    }
    assert_eq!(made, UNSENT);
    assert!(counters.numbers()["sockets_refused"] > 0);
}
