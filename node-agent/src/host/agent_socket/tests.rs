use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;

use super::*;
use crate::host::client;
use crate::host::testing::{Ground, Namespace, Node, names};

fn run(ground: &Ground) -> (Node, PathBuf) {
    let node = ground.run(true);
    let path = ground.folder.path().join("agent.sock");
    let listener = bind(&path).unwrap();
    node.host
        .tasks
        .spawn("agent.sock", serve(Arc::clone(&node.host), listener));
    (node, path)
}

/// Says something on a new connection and returns all that comes back.
async fn say(path: &Path, bytes: Vec<u8>) -> String {
    let path = path.to_owned();
    let talk = move || {
        let mut stream = StdStream::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        // The other side may hang up in the middle.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer));
        answer
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

async fn ask(path: &Path, request: Request) -> Answer {
    let path = path.to_owned();
    let asked = tokio::task::spawn_blocking(move || client::ask(&path, &request));
    asked.await.unwrap().unwrap()
}

fn enrolment(uid: &str, netns: Option<String>) -> Request {
    let names = names(uid);
    Request::Enrol(EnrolRequest {
        netns,
        uid: names.uid,
        namespace: names.namespace,
        name: names.name,
        service_account: names.service_account,
        ips: names.ips,
    })
}

#[tokio::test]
async fn pods_are_enrolled_listed_and_released_over_the_socket() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let (_node, path) = run(&ground);
    let answer = ask(&path, enrolment("a", Some(pod.path()))).await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    let list = ask(&path, Request::List(api::Nothing {})).await;
    assert_eq!(
        list.pods.unwrap()[0].netns.as_deref(),
        Some(pod.path().as_str())
    );
    assert_eq!(list.proxies.unwrap().len(), 1);
    assert_eq!(list.counters.unwrap()["enrolled"], 1);
    let release = api::ReleaseRequest {
        uid: names("a").uid,
    };
    let answer = ask(&path, Request::Release(release)).await;
    assert_eq!(answer.state.as_deref(), Some("draining"));
}

#[tokio::test]
async fn a_namespace_may_come_as_a_descriptor_and_nothing_else_may() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let (_node, path) = run(&ground);
    let send = |uid: &str, descriptor: OwnedFd| {
        let mut line = serde_json::to_vec(&enrolment(uid, None)).unwrap();
        line.push(b'\n');
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let stream = StdStream::connect(path).unwrap();
            passing::send(&stream, &line, &[descriptor.as_fd()]).unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            serde_json::from_str::<Answer>(&answer).unwrap()
        })
    };
    let file = fs::File::open("/proc/self/ns/uts").unwrap();
    let answer = send("a", file.into()).await.unwrap();
    assert_eq!(answer.reason.as_deref(), Some("no_namespace"));
    let netns = fs::File::open(pod.path()).unwrap();
    assert!(send("a", netns.into()).await.unwrap().ok);
}

#[tokio::test]
async fn the_plugin_is_answered_over_the_socket() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let (node, path) = run(&ground);
    let names = names("a");
    let asked = api::CniPod {
        netns: Some(pod.path()),
        uid: names.uid.clone(),
        namespace: names.namespace,
        name: names.name,
        ips: names.ips,
        container: "c-1".to_owned(),
    };
    ask(&path, enrolment("a", Some(pod.path()))).await;
    let answer = ask(&path, Request::CniCheck(asked)).await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    let end = api::CniEnd {
        uid: names.uid,
        container: "c-1".to_owned(),
    };
    assert!(ask(&path, Request::CniDel(end)).await.ok);
    assert_eq!(node.host.pod_views().len(), 1);
}

#[tokio::test]
async fn garbage_is_refused_counted_and_survived() {
    let ground = Ground::make();
    let (node, path) = run(&ground);
    for garbage in [
        "\n",
        "{}\n",
        "GET / HTTP/1.1\r\n\r\n",
        "{\"op\":\"enrol\"}\n",
        "half a line",
    ] {
        let answer = say(&path, garbage.as_bytes().to_vec()).await;
        assert!(answer.contains("bad_request"), "{garbage:?}: {answer:?}");
    }
    assert_eq!(say(&path, vec![b'x'; LINE_BYTES * 4]).await, "");
    assert_eq!(say(&path, Vec::new()).await, "");
    assert!(say(&path, vec![0xff; 100]).await.contains("bad_request"));
    assert!(node.host.counters.numbers()["requests_rejected"] >= 7);
    assert!(
        say(&path, b"{\"op\":\"list\"}".to_vec())
            .await
            .contains("\"ok\":true")
    );
}

#[tokio::test]
async fn the_socket_is_roots_alone() {
    let ground = Ground::make();
    let (_node, path) = run(&ground);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (ours, _theirs) = StdStream::pair().unwrap();
    assert_eq!(passing::peer_credentials(&ours).unwrap().uid, 0);
}
