//! A waypoint waits for what the agent learns late; nobody else does, and nobody for ever.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Change, GatewayAddress, PortMapping, ServiceName, SpiffeId, Workload, WorkloadUid,
};
use tokio::time::Instant;

use super::*;
use crate::proxy::fixtures::{data_path, pod, record};

const GATE: &str = "10.0.0.9";

fn waypoint() -> ServiceName {
    ServiceName::new("shop", "waypoint.shop.svc.cluster.local")
}

/// A pod that its waypoint alone may call, bound to it or not, and the waypoint.
fn mesh(is_bound: bool) -> Mesh {
    let tunnels = PortMapping {
        service_port: 15008,
        target_port: 15008,
    };
    let gate = Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", "gate"),
        pod_uid: Some("gate".into()),
        name: "gate".into(),
        service_account: "gate".into(),
        addresses: vec![GATE.parse().unwrap()],
        services: [(waypoint(), vec![tunnels])].into(),
        ..record()
    };
    let web = Workload {
        waypoint: is_bound.then(|| GatewayAddress::Service(waypoint(), 15008)),
        waypoint_only: true,
        ..record()
    };
    let mut mesh = Mesh::default();
    for workload in [gate, web] {
        mesh.apply(Change::PutWorkload(Arc::new(workload)));
    }
    mesh
}

/// What becomes of a stream of this client while the mesh may change, and how long that took.
async fn asked(path: &DataPath, source: &str, account: &str) -> (Result<bool, Reason>, Duration) {
    let began = Instant::now();
    let (pod, mesh) = (pod(), path.mesh());
    let source: IpAddr = source.parse().unwrap();
    let peer = SpiffeId::from_parts("cluster.local", "shop", account);
    let query = InboundQuery {
        workload: &pod.workload(&mesh).unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
        source,
        peer: Some(&peer),
    };
    let refusal = ambit_decide::inbound(&mesh, &query).unwrap_err();
    let admitted = admit(path, &pod, &mesh, &query, refusal).await;
    let admitted = admitted.map(|admission| admission.from_waypoint);
    let admitted = admitted.map_err(|refusal| refusal.reason);
    (admitted, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_waypoint_is_admitted_as_soon_as_the_binding_is_known() {
    let path = data_path();
    path.publish(mesh(false));
    let told = {
        let path = Arc::clone(&path);
        async move {
            tokio::time::sleep(TOLD_LATE / 4).await;
            // Something else comes first.
            path.publish(mesh(false));
            tokio::time::sleep(TOLD_LATE / 4).await;
            path.publish(mesh(true));
        }
    };
    let ((admitted, took), ()) = tokio::join!(asked(&path, GATE, "gate"), told);
    assert_eq!(admitted, Ok(true));
    assert!(took < TOLD_LATE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waypoint_that_is_bound_to_nothing_here_is_refused_in_time_and_others_at_once() {
    let path = data_path();
    path.publish(mesh(false));
    let refused = Err(Reason::WaypointRequired);
    let (admitted, took) = asked(&path, GATE, "gate").await;
    assert_eq!(admitted, refused);
    assert!(took >= TOLD_LATE, "{took:?}");
    for (source, account) in [(GATE, "web"), ("10.0.0.7", "gate"), ("10.0.0.1", "web")] {
        let (admitted, took) = asked(&path, source, account).await;
        assert_eq!(admitted, refused, "{account} from {source}");
        assert!(took.is_zero(), "{took:?}");
    }
    // No more wait than there is room for.
    path.late.close();
    let (admitted, took) = asked(&path, GATE, "gate").await;
    assert_eq!((admitted, took.is_zero()), (refused, true));
}
