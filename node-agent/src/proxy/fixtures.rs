//! Objects for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_decide::EgressMode;
use ambit_model::{
    AppProtocol, IpFamilies, LoadBalancing, Mesh, NetworkAddress, Service, ServiceName,
    ServicePort, Visibility, Workload,
};
use ambit_netsys::NetNs;
use ambit_wire::node::{Pod, PodAttached, SocketKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::access_log::AccessLog;
use super::datapath::DataPath;
use super::identities::Identities;
use super::ledger::Ledger;
use super::pods::{Caps, LocalPod, Place};
use super::probes::Probes;
use super::stock::Stock;

/// Kubernetes' uid of [`pod`].
pub(crate) const UID: &str = "5b1e0000-0000-4000-8000-000000000001";

/// A data path with nothing in force.
pub(crate) fn data_path() -> Arc<DataPath> {
    let (wanted, _) = mpsc::channel(1);
    let ledger = Ledger::default();
    Arc::new(DataPath::new(
        Identities::new(wanted),
        Probes::new().0,
        ambit_tunnel::Settings::default(),
        EgressMode::AllowAny,
        "cluster.local".into(),
        (ledger.clone(), AccessLog::start(ledger).unwrap()),
    ))
}

/// Where its pods run.
pub(crate) fn place() -> Place {
    Place {
        node: "n1".into(),
        cluster: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
    }
}

/// A pod of this node, `shop/web-0` at 10.0.0.1.
pub(crate) fn pod() -> LocalPod {
    let pod = pod_without_sockets();
    stocked(&pod.stock);
    pod
}

/// The same with sockets of this network namespace.
pub(crate) fn pod_in(netns: &NetNs) -> LocalPod {
    let pod = pod_without_sockets();
    netns.run(|| stocked(&pod.stock)).unwrap();
    pod
}

fn pod_without_sockets() -> LocalPod {
    let pod = Pod {
        uid: UID.into(),
        namespace: "shop".into(),
        name: "web-0".into(),
        service_account: "web".into(),
        ips: vec!["10.0.0.1".into()],
    };
    let attached = PodAttached {
        pod: Some(pod),
        ..PodAttached::default()
    };
    let caps = Caps {
        connections: 2,
        handshakes: 2,
    };
    let stock = Stock::new(UID.into(), mpsc::channel(1).0);
    LocalPod::new(&attached, &place(), caps, stock, CancellationToken::new()).unwrap()
}

/// Its record, as our control plane tells it.
pub(crate) fn record() -> Workload {
    let mut record = Workload::clone(&pod().as_source(&Mesh::default()));
    record.applicable_policies = Some(Vec::new());
    record
}

/// A data path that asks these resolvers.
pub(crate) fn resolving(resolvers: &[SocketAddr]) -> Arc<DataPath> {
    let path = Arc::into_inner(data_path()).unwrap();
    Arc::new(path.with_resolvers(resolvers.to_vec()))
}

/// A service of namespace `shop` with this host name and address, on port 80.
pub(crate) fn service(host: &str, vip: &str) -> Service {
    Service {
        name: ServiceName::new("shop", host),
        short_name: host.into(),
        vips: vec![(
            NetworkAddress {
                network: "".into(),
                address: vip.parse().unwrap(),
            },
            if vip.contains(':') { 128 } else { 32 },
        )],
        ports: vec![ServicePort {
            service_port: 80,
            target_port: 80,
            app_protocol: AppProtocol::Unknown,
        }],
        subject_alt_names: Vec::new(),
        waypoint: None,
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::default(),
        traffic: None,
        authentications: Vec::new(),
        visibility: Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }
}

/// Sockets as the host role makes them, without their marks.
fn stocked(stock: &Stock) {
    for (kind, of) in [
        (SocketKind::Datagram4, socket2::Type::DGRAM),
        (SocketKind::World4, socket2::Type::STREAM),
    ] {
        let make = |_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, of, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.into()
        };
        stock.put(kind, (0..64).map(make).collect());
    }
}
