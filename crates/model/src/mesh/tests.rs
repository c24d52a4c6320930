use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{ip, policy, port_map, service, workload};
use crate::policy::Scope;
use crate::service::PortMapping;

mod naive;
mod outside;
mod sharing;

fn put(mesh: &mut Mesh, workload: Workload) -> Arc<Workload> {
    let workload = Arc::new(workload);
    mesh.apply(Change::PutWorkload(Arc::clone(&workload)));
    workload
}

#[test]
fn a_replaced_workload_leaves_nothing_behind() {
    let mut mesh = Mesh::default();
    let web = ServiceName::new("shop", "web.shop");
    let mut old = workload("shop", "web-0", &["10.0.0.1", "fd00::1"]);
    old.pod_uid = Some("first".into());
    old.services.insert(web.clone(), port_map(80, 8080));
    put(&mut mesh, old);
    let mut new = workload("shop", "web-0", &["10.0.0.2"]);
    new.pod_uid = Some("second".into());
    let new = put(&mut mesh, new);

    assert_eq!(mesh.workload_at(ip("10.0.0.1"), 80), None);
    assert_eq!(mesh.workload_at(ip("fd00::1"), 80), None);
    assert_eq!(mesh.workload_at(ip("10.0.0.2"), 80), Some(&new));
    assert_eq!(mesh.workload_by_pod_uid("first"), None);
    assert_eq!(mesh.workload_by_pod_uid("second"), Some(&new));
    assert_eq!(mesh.workload_by_pod("shop", "web-0"), Some(&new));
    assert_eq!(mesh.endpoints(&web).count(), 0);
    assert!(mesh.endpoint_set(&web).is_none());
    assert_eq!(mesh.workload_count(), 1);
}

#[test]
fn the_end_of_one_owner_of_an_address_does_not_take_it_from_the_next() {
    let mut mesh = Mesh::default();
    let old = put(&mut mesh, workload("shop", "old", &["10.0.0.1"]));
    let new = put(&mut mesh, workload("shop", "new", &["10.0.0.1"]));
    assert_eq!(
        mesh.workload_at(ip("10.0.0.1"), 80),
        None,
        "it cannot be told which"
    );
    assert_eq!(mesh.workloads_at(ip("10.0.0.1")).count(), 2);
    assert_eq!(mesh.target("10.0.0.1:80".parse().unwrap()), Target::Unknown);

    mesh.apply(Change::RemoveWorkload(old.uid.clone()));
    assert_eq!(mesh.workload_at(ip("10.0.0.1"), 80), Some(&new));
    mesh.apply(Change::RemoveWorkload(old.uid.clone()));
    assert_eq!(mesh.workload_at(ip("10.0.0.1"), 80), Some(&new));
}

#[test]
fn of_pods_on_the_node_s_address_the_one_that_serves_the_port_is_meant() {
    let mut mesh = Mesh::default();
    let serving = |name: &str, port: u16| {
        let mut on_host = workload("shop", name, &["192.0.2.1"]);
        on_host.host_network = true;
        let service = ServiceName::new("shop", format!("{name}.shop"));
        on_host.services.insert(service, port_map(80, port));
        on_host
    };
    let exporter = put(&mut mesh, serving("exporter", 9100));
    let ingress = put(&mut mesh, serving("ingress", 443));
    put(&mut mesh, serving("ingress-too", 8443));
    put(&mut mesh, serving("ingress-as-well", 8443));

    let node = ip("192.0.2.1");
    assert_eq!(mesh.workload_at(node, 9100), Some(&exporter));
    assert_eq!(mesh.workload_at(node, 443), Some(&ingress));
    assert_eq!(
        mesh.workload_at(node, 80),
        None,
        "a service's port is not the pod's"
    );
    assert_eq!(mesh.workload_at(node, 8443), None, "two serve it");
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_the_same_address() {
    let mut mesh = Mesh::default();
    let web = put(&mut mesh, workload("shop", "web-0", &["::ffff:10.0.0.1"]));
    let vip = Arc::new(service("shop", "web", &[("10.96.0.1", 32)]));
    mesh.apply(Change::PutService(Arc::clone(&vip)));

    assert_eq!(mesh.workload_at(ip("10.0.0.1"), 80), Some(&web));
    assert_eq!(mesh.workload_at(ip("::ffff:10.0.0.1"), 80), Some(&web));
    assert_eq!(mesh.service_at(ip("::ffff:10.96.0.1")), Some(&vip));
}

#[test]
fn a_destination_is_a_vip_before_a_workload_and_a_workload_before_a_range() {
    let mut mesh = Mesh::default();
    let range = Arc::new(service("shop", "range", &[("10.0.0.0", 8)]));
    let vip = Arc::new(service("shop", "vip", &[("10.96.0.1", 32)]));
    mesh.apply(Change::PutService(Arc::clone(&range)));
    mesh.apply(Change::PutService(Arc::clone(&vip)));
    put(&mut mesh, workload("shop", "on-the-vip", &["10.96.0.1"]));
    let web = put(&mut mesh, workload("shop", "web-0", &["10.0.0.1"]));
    put(&mut mesh, workload("shop", "twin-a", &["10.0.0.2"]));
    put(&mut mesh, workload("shop", "twin-b", &["10.0.0.2"]));

    let target = |text: &str| mesh.target(text.parse().unwrap());
    assert_eq!(target("10.96.0.1:80"), Target::Service(&vip, vip.ports[0]));
    assert_eq!(target("10.96.0.1:81"), Target::ServiceWithoutPort(&vip));
    assert_eq!(target("10.0.0.1:81"), Target::Workload(&web));
    assert_eq!(
        target("10.0.0.2:80"),
        Target::Unknown,
        "a range does not settle who is meant"
    );
    assert_eq!(
        target("10.7.7.7:80"),
        Target::Service(&range, range.ports[0])
    );
    assert_eq!(target("192.0.2.9:80"), Target::Unknown);
}

#[test]
fn a_prefix_length_that_the_family_does_not_have_means_the_single_address() {
    let mut mesh = Mesh::default();
    let odd = Arc::new(service("shop", "odd", &[("10.96.0.1", 64)]));
    mesh.apply(Change::PutService(Arc::clone(&odd)));
    assert_eq!(mesh.service_at(ip("10.96.0.1")), Some(&odd));
    mesh.apply(Change::RemoveService(odd.name.clone()));
    assert_eq!(mesh.service_at(ip("10.96.0.1")), None);
}

#[test]
fn services_of_one_host_name_in_two_namespaces_are_both_kept() {
    let mut mesh = Mesh::default();
    let mut services = ["a", "b"].map(|namespace| service(namespace, "api", &[("10.96.0.1", 32)]));
    for service in &mut services {
        service.name.hostname = "api.example.com".into();
        mesh.apply(Change::PutService(Arc::new(service.clone())));
    }
    assert_eq!(
        mesh.service_by_hostname("api.example.com").unwrap().name,
        services[0].name
    );
    mesh.apply(Change::RemoveService(services[0].name.clone()));
    assert_eq!(
        mesh.service_by_hostname("api.example.com").unwrap().name,
        services[1].name
    );
    assert_eq!(
        mesh.service_at(ip("10.96.0.1")).unwrap().name,
        services[1].name
    );
    mesh.apply(Change::RemoveService(services[1].name.clone()));
    assert_eq!(mesh.service_by_hostname("api.example.com"), None);
    assert_eq!(mesh.service_at(ip("10.96.0.1")), None);
}

#[test]
fn a_workload_s_policies_are_those_of_mesh_namespace_and_its_own_list_each_once() {
    let mut mesh = Mesh::default();
    for (namespace, name, scope) in [
        ("", "everywhere", Scope::Global),
        ("shop", "here", Scope::Namespace),
        ("bank", "elsewhere", Scope::Namespace),
        ("shop", "listed", Scope::Workload),
        ("shop", "not-listed", Scope::Workload),
    ] {
        mesh.apply(Change::PutPolicy(Arc::new(policy(namespace, name, scope))));
    }
    let mut web = workload("shop", "web-0", &["10.0.0.1"]);
    web.policies = ["shop/listed", "shop/here", "/everywhere", "shop/missing"]
        .map(|name| PolicyName::parse(name).unwrap())
        .to_vec();
    let names: Vec<_> = mesh
        .policies_for(&web)
        .map(|policy| policy.name.to_string())
        .collect();
    assert_eq!(names, ["/everywhere", "shop/here", "shop/listed"]);
}

#[test]
fn a_policy_that_changes_its_scope_leaves_the_old_one() {
    let mut mesh = Mesh::default();
    let web = workload("shop", "web-0", &["10.0.0.1"]);
    for (scope, applies) in [
        (Scope::Global, 1),
        (Scope::Namespace, 1),
        (Scope::Workload, 0),
        (Scope::Global, 1),
    ] {
        mesh.apply(Change::PutPolicy(Arc::new(policy("shop", "moving", scope))));
        assert_eq!(mesh.policies_for(&web).count(), applies, "{scope:?}");
        assert_eq!(mesh.policy_count(), 1);
    }
    mesh.apply(Change::RemovePolicy(PolicyName::new("shop", "moving")));
    assert_eq!(mesh.policies_for(&web).count(), 0);
}

#[test]
fn meshes_are_equal_by_content_however_they_came_to_it() {
    let (mut a, mut b) = (Mesh::default(), Mesh::default());
    let names = ["one", "two", "three"];
    for name in names {
        put(&mut a, workload("shop", name, &["10.0.0.1"]));
    }
    for name in names.into_iter().rev() {
        put(&mut b, workload("shop", name, &["10.0.0.2"]));
        put(&mut b, workload("shop", name, &["10.0.0.1"]));
    }
    assert_eq!(a, b);
    b.apply(Change::PutService(Arc::new(service("shop", "web", &[]))));
    assert_ne!(a, b);
    assert_eq!(
        a.workloads().map(|w| &*w.name).collect::<Vec<_>>(),
        ["one", "three", "two"]
    );
}

#[test]
fn an_endpoint_s_port_is_its_own_and_never_zero() {
    let name = ServiceName::new("shop", "web.shop");
    let mut web = workload("shop", "web-0", &[]);
    let ports = vec![
        PortMapping {
            service_port: 80,
            target_port: 8080,
        },
        PortMapping {
            service_port: 81,
            target_port: 0,
        },
    ];
    web.services = BTreeMap::from([(name.clone(), ports)]);
    assert_eq!(web.target_port(&name, 80), Some(8080));
    assert_eq!(web.target_port(&name, 81), None);
    assert_eq!(web.target_port(&name, 82), None);
    assert_eq!(
        web.target_port(&ServiceName::new("shop", "api.shop"), 80),
        None
    );
}
