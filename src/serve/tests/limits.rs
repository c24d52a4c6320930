//! What an agent that means ill cannot use up.

use super::*;

fn many(count: usize) -> CaptureReport {
    let pod = |number: usize| CapturedPod {
        uid: format!("uid-{number}"),
        namespace: "shop".to_owned(),
        name: format!("pod-{number}"),
        older_connections: 0,
    };
    CaptureReport {
        snapshot: (0..count).map(pod).collect(),
        is_snapshot: true,
        ..CaptureReport::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_pods_are_kept_than_a_node_can_have_nor_longer_uids() {
    let plane = Plane::new(DAY).await;
    let mut reports = plane.agent("n1").reports().await;
    reports.send(many(claims::MAX_PER_NODE + 1)).await;
    let refused = reports.next().await;
    assert_eq!(refused.refused, format!("uid-{}", claims::MAX_PER_NODE));
    assert!(refused.message.contains("more than"), "{}", refused.message);
    reports.send(captured(&"x".repeat(100_000))).await;
    let refused = reports.next().await;
    assert_eq!(refused.refused.len(), claims::MAX_UID);
    reports.send(withdraw(&"x".repeat(100_000))).await;
    reports.until_ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_opens_only_so_many_streams_of_reports() {
    let plane = Plane::new(DAY).await;
    let agent = plane.agent("n1");
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(agent.reports().await);
    }
    let refused = agent.try_reports().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(plane.agent("n2").try_reports().await.is_ok());
    drop(open);
}
