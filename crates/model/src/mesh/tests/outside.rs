//! What anybody may write, a name or an address in an entry, takes nothing from the mesh, and opens no more
//! than it says.

use super::*;
use crate::names::WorkloadUid;
use crate::service::Visibility;
use crate::workload::{GatewayAddress, TunnelProtocol};

/// A service that is none of the cluster's.
fn entry(namespace: &str, host: &str, vips: &[(&str, u8)]) -> Service {
    Service {
        name: ServiceName::new(namespace, host),
        canonical: false,
        ..service(namespace, "entry", vips)
    }
}

/// A server that an entry names.
fn server(name: &str, address: &str, of: &Service) -> Workload {
    let mut server = workload(&of.name.namespace, name, &[address]);
    server.uid = WorkloadUid::new(format!(
        "Kubernetes/networking.istio.io/ServiceEntry/{name}"
    ));
    server.protocol = TunnelProtocol::None;
    server.services.insert(of.name.clone(), port_map(80, 8080));
    server
}

fn put_service(mesh: &mut Mesh, service: Service) -> Arc<Service> {
    let service = Arc::new(service);
    mesh.apply(Change::PutService(Arc::clone(&service)));
    service
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn an_entry_takes_neither_a_pods_address_nor_that_of_a_service_of_the_cluster() {
    let mut mesh = Mesh::default();
    let pod = put(&mut mesh, workload("shop", "web-0", &["10.0.0.1"]));
    let web = put_service(&mut mesh, service("shop", "web", &[("10.96.0.1", 32)]));
    let own = put_service(&mut mesh, entry("aaa", "a.example", &[("203.0.113.1", 32)]));
    let all = [("10.0.0.1", 32), ("10.96.0.1", 32), ("10.0.0.0", 8)];
    let greedy = put_service(&mut mesh, entry("aaa", "greedy.example", &all));
    let thief = server("thief", "10.0.0.1", &greedy);
    put(&mut mesh, thief);

    assert_eq!(
        mesh.target_for("any", at("10.0.0.1:80")),
        Target::Workload(&pod)
    );
    assert_eq!(mesh.workload_at(ip("10.0.0.1"), 8080), Some(&pod));
    let of_web = Target::Service(&web, web.ports[0]);
    assert_eq!(mesh.target_for("any", at("10.96.0.1:80")), of_web);
    // What nobody else has is theirs.
    assert_eq!(
        mesh.target_for("any", at("203.0.113.1:80")),
        Target::Service(&own, own.ports[0])
    );
    let around = Target::Service(&greedy, greedy.ports[0]);
    assert_eq!(mesh.target_for("any", at("10.0.0.2:80")), around);
    // On the ports that it lists. What the mesh has given to it is all its own.
    assert_eq!(mesh.target_for("any", at("10.0.0.2:81")), Target::Unknown);
    assert_eq!(
        mesh.target_for("any", at("203.0.113.1:81")),
        Target::Unknown
    );
    let given = put_service(&mut mesh, entry("aaa", "b.example", &[("240.240.0.1", 32)]));
    let without = Target::ServiceWithoutPort(&given);
    assert_eq!(mesh.target_for("any", at("240.240.0.1:81")), without);
}

#[test]
fn a_server_outside_is_known_on_the_ports_of_services_that_the_client_may_know() {
    let mut mesh = Mesh::default();
    let mut open = entry("shop", "api.example", &[("240.240.0.1", 32)]);
    open.visibility = Visibility::Namespaces(vec!["shop".into()]);
    let known = put(&mut mesh, server("one", "192.0.2.1", &open));
    // The same server in another entry is no riddle.
    put(&mut mesh, server("two", "192.0.2.1", &open));
    put_service(&mut mesh, open.clone());
    let to = at("192.0.2.1:8080");
    assert_eq!(mesh.target_for("shop", to), Target::Workload(&known));
    assert_eq!(mesh.target_for("other", to), Target::Unknown);
    assert_eq!(mesh.target_for("shop", at("192.0.2.1:22")), Target::Unknown);
    // Who must pass a waypoint does not pass it by.
    let waypoint = ServiceName::new("shop", "waypoint.shop.svc.cluster.local");
    open.waypoint = Some(GatewayAddress::Service(waypoint, 15008));
    put_service(&mut mesh, open);
    assert_eq!(mesh.target_for("shop", to), Target::Unknown);
}

#[test]
fn a_name_means_the_closest_service_that_the_client_may_know() {
    let mut mesh = Mesh::default();
    let exact = put_service(&mut mesh, entry("z", "api.example.com", &[]));
    let near = put_service(&mut mesh, entry("z", "*.api.example.com", &[]));
    let wide = put_service(&mut mesh, entry("a", "*.example.com", &[]));
    let mut private = entry("shop", "api.example.com", &[]);
    private.visibility = Visibility::Namespaces(vec!["shop".into()]);
    let private = put_service(&mut mesh, private);
    for (client, host, expected) in [
        ("shop", "api.example.com", Some(&private)),
        ("other", "api.example.com", Some(&exact)),
        ("other", "v1.api.example.com", Some(&near)),
        ("other", "a.b.example.com", Some(&wide)),
        ("other", "example.com", None),
        ("other", "badexample.com", None),
        ("other", ".example.com", None),
    ] {
        assert_eq!(
            mesh.service_named(client, host),
            expected,
            "{host} for {client}"
        );
    }
    // One of the cluster is the one, wherever it is.
    let mut of_cluster = entry("zz", "api.example.com", &[]);
    of_cluster.canonical = true;
    let of_cluster = put_service(&mut mesh, of_cluster);
    assert_eq!(
        mesh.service_named("shop", "api.example.com"),
        Some(&of_cluster)
    );
    mesh.apply(Change::RemoveService(near.name.clone()));
    assert_eq!(
        mesh.service_named("other", "v1.api.example.com"),
        Some(&wide)
    );
}
