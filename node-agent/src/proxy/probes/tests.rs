use ambit_wire::node::{Pod, PodAttached};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::proxy::pods::{Caps, Place};
use crate::proxy::stock::Stock;

fn pod() -> LocalPod {
    pod_of("u-1")
}

fn pod_of(uid: &str) -> LocalPod {
    let attached = PodAttached {
        pod: Some(Pod {
            uid: uid.to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            service_account: "web".to_owned(),
            ips: vec!["10.0.0.1".to_owned()],
        }),
        node_ips: vec!["10.244.1.1".to_owned()],
        ..PodAttached::default()
    };
    let place = Place {
        node: "n1".into(),
        cluster: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
    };
    let caps = Caps {
        connections: 1,
        handshakes: 1,
    };
    let stock = Stock::new(uid.into(), mpsc::channel(1).0);
    LocalPod::new(&attached, &place, caps, stock, CancellationToken::new()).unwrap()
}

async fn answered(is_probe: bool) -> bool {
    let (probes, mut questions) = Probes::new();
    let host = async {
        let question = questions.recv().await.unwrap();
        let ToHost::AskProbe {
            pod_uid,
            source,
            port,
        } = question
        else {
            panic!("{question:?}");
        };
        // Another flow's answer is nobody's.
        for (port, is_probe) in [(u32::from(port) + 1, true), (port.into(), is_probe)] {
            probes.answered(&ProbeAnswer {
                pod_uid: pod_uid.to_string(),
                source: source.to_string(),
                port,
                is_probe,
            });
        }
    };
    // As the kernel tells it to a listener of both families.
    let source = "[::ffff:10.244.1.1]:40000".parse().unwrap();
    let pod = pod();
    let (is_probe, ()) = tokio::join!(probes.is_probe(&pod, source, 80), host);
    assert!(probes.waiting.lock().is_empty());
    is_probe
}

#[tokio::test]
async fn the_host_roles_word_counts() {
    assert!(answered(true).await);
    assert!(!answered(false).await);
}

#[tokio::test]
async fn nobody_is_asked_about_flows_from_elsewhere() {
    let (probes, mut questions) = Probes::new();
    let stranger = "10.9.9.9:40000".parse().unwrap();
    assert!(!probes.is_probe(&pod(), stranger, 80).await);
    assert!(questions.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_is_no_probe() {
    let (probes, _questions) = Probes::new();
    let source = "10.244.1.1:40000".parse().unwrap();
    assert!(!probes.is_probe(&pod(), source, 80).await);
    assert!(probes.waiting.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_pod_cannot_have_those_of_others_left_unasked() {
    let (probes, mut questions) = Probes::new();
    let source = |port| SocketAddr::from(([10, 244, 1, 1], port));
    let busy = pod();
    for port in (1..).take(QUESTIONS_OF_A_POD) {
        let flow = (Arc::clone(&busy.uid), source(port), 80);
        probes.waiting.lock().insert(flow, oneshot::channel().0);
    }
    assert!(!probes.is_probe(&busy, source(40_000), 80).await);
    assert!(questions.try_recv().is_err());
    assert!(!probes.is_probe(&pod_of("u-2"), source(40_000), 80).await);
    assert!(questions.try_recv().is_ok());
}
