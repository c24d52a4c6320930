//! What a change copies, counted: every copied node of a map holds its objects once more, so the
//! references to objects tell how much two snapshots do not share.

use super::*;

/// A mesh of this many workloads, ten to a service.
fn mesh_of(size: u32) -> Mesh {
    let mut mesh = Mesh::default();
    for number in 0..size {
        mesh.apply(Change::PutWorkload(Arc::new(numbered(number))));
        if number % 10 == 0 {
            mesh.apply(Change::PutService(Arc::new(service_of(number))));
        }
    }
    mesh
}

fn numbered(number: u32) -> Workload {
    let mut made = workload("shop", &format!("web-{number}"), &[]);
    made.addresses = vec![IpAddr::V4((0x0a00_0000 + number).into())];
    made.pod_uid = Some(format!("uid-{number}").into());
    made.services
        .insert(service_of(number).name, port_map(80, 8080));
    made
}

fn service_of(number: u32) -> Service {
    let mut made = service(
        "shop",
        &format!("svc-{}", number / 10),
        &[("10.96.0.1", 32)],
    );
    made.vips[0].0.address = IpAddr::V4((0x0a60_0000 + number / 10).into());
    made
}

/// How many references to objects there are.
fn references(mesh: &Mesh) -> usize {
    let workloads: usize = mesh.workloads().map(Arc::strong_count).sum();
    workloads + mesh.services().map(Arc::strong_count).sum::<usize>()
}

/// The most references that one change of a pod adds beside an older snapshot, over several pods.
fn cost_of_one_change(size: u32) -> usize {
    let old = mesh_of(size);
    let cost = |number: u32| {
        let before = references(&old);
        let mut new = old.clone();
        assert_eq!(references(&old), before, "a clone copies nothing");
        let mut moved = numbered(number);
        moved.addresses = vec![IpAddr::V4((0x0b00_0000 + number).into())];
        new.apply(Change::PutWorkload(Arc::new(moved)));
        references(&old) - before
    };
    (0..20).map(|step| cost(step * size / 20)).max().unwrap()
}

#[test]
fn one_changed_pod_costs_a_path_through_each_index_however_large_the_mesh_is() {
    let (small, large) = (cost_of_one_change(2_000), cost_of_one_change(20_000));
    // Six indexes, in each a path of nodes; ten times the size adds at most a level to each path.
    assert!(large < 200, "{large} references copied of more than 80,000");
    assert!(
        large <= small * 2,
        "{large} copied at 20,000 workloads, {small} at 2,000"
    );
}

#[test]
fn one_changed_endpoint_of_a_large_service_does_not_copy_the_others() {
    let mut old = Mesh::default();
    let large = ServiceName::new("shop", "large.shop");
    for number in 0..5_000 {
        let mut made = numbered(number);
        made.services = BTreeMap::from([(large.clone(), port_map(80, 8080))]);
        old.apply(Change::PutWorkload(Arc::new(made)));
    }
    let before = references(&old);
    let mut new = old.clone();
    new.apply(Change::RemoveWorkload(numbered(7).uid));
    assert_eq!(new.endpoints(&large).count(), 4_999);
    assert_eq!(old.endpoints(&large).count(), 5_000);
    let copied = references(&old) - before;
    assert!(copied < 600, "{copied} references copied of 20,000");
}
