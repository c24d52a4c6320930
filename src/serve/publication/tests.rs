use std::sync::Arc;

use ambit_model::{
    Action, Policy, PolicyName, PolicyOrigin, PortRoutes, Scope, Service, ServiceName, WorkloadUid,
};
use ambit_wire::delta::Catalog;

use super::*;

fn policy(name: &str, dry_run: bool) -> Change {
    Change::PutPolicy(Arc::new(Policy {
        name: PolicyName::new("shop", name),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: Vec::new(),
        dry_run,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    }))
}

fn service(hostname: &str, vip: &str) -> Change {
    let vip = ambit_model::NetworkAddress {
        network: "".into(),
        address: vip.parse().unwrap(),
    };
    Change::PutService(Arc::new(Service {
        name: ServiceName::new("shop", hostname),
        short_name: hostname.into(),
        vips: vec![(vip, 32)],
        ports: Vec::new(),
        subject_alt_names: Vec::new(),
        waypoint: None,
        load_balancing: ambit_model::LoadBalancing::default(),
        ip_families: ambit_model::IpFamilies::Automatic,
        traffic: None,
        authentications: Vec::new(),
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }))
}

struct Source {
    mesh: Mesh,
    publisher: Publisher,
}

impl Source {
    fn new() -> Self {
        Self {
            mesh: Mesh::default(),
            publisher: Publisher::new(Instant::now()),
        }
    }

    fn change(&mut self, changes: impl IntoIterator<Item = Change>) -> Option<Arc<Publication>> {
        for change in changes {
            self.publisher.apply(&change);
            self.mesh.apply(change);
        }
        self.publisher.publish(&self.mesh, Instant::now())
    }
}

fn names(set: &BTreeSet<Arc<str>>) -> Vec<&str> {
    set.iter().map(|name| &**name).collect()
}

#[test]
fn the_first_publication_is_made_even_if_there_is_nothing() {
    let mut source = Source::new();
    assert_eq!(source.change([]).unwrap().sequence, 1);
    assert!(source.change([]).is_none());
}

#[test]
fn only_what_really_changed_is_published() {
    let mut source = Source::new();
    let first = source
        .change([policy("a", false), service("web", "10.0.0.1")])
        .unwrap();
    assert!(
        source
            .change([policy("a", false), service("web", "10.0.0.1")])
            .is_none()
    );
    let second = source.change([policy("a", true)]).unwrap();
    let changes: Vec<_> = second.since(first.sequence).unwrap().collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(names(&changes[0].policies), ["shop/a"]);
    assert!(changes[0].addresses.is_empty());
    // The earlier one is as it was.
    assert_ne!(first.policies.get("shop/a"), second.policies.get("shop/a"));
}

#[test]
fn a_removed_policy_is_remembered_as_it_was_unless_it_comes_back_at_once() {
    let mut source = Source::new();
    let first = source.change([policy("a", false)]).unwrap();
    let removal = Change::RemovePolicy(PolicyName::new("shop", "a"));
    let gone = source.change([removal.clone()]).unwrap();
    let changes: Vec<_> = gone.since(first.sequence).unwrap().collect();
    assert_eq!(&*changes[0].removed_policies[0].0, "shop/a");
    assert!(changes[0].policies.is_empty());

    let back = source.change([policy("a", false)]).unwrap();
    let again = source.change([removal, policy("a", true)]).unwrap();
    let changes: Vec<_> = again.since(back.sequence).unwrap().collect();
    assert!(changes[0].removed_policies.is_empty());
    assert_eq!(names(&changes[0].policies), ["shop/a"]);
}

#[test]
fn the_log_is_bounded_and_says_when_it_does_not_reach_back() {
    let mut source = Source::new();
    let first = source.change([]).unwrap();
    let mut last = Arc::clone(&first);
    for round in 0..LOG_LENGTH {
        last = source.change([policy("a", round % 2 == 0)]).unwrap();
    }
    assert!(last.since(first.sequence - 1).is_none());
    assert_eq!(last.since(first.sequence).unwrap().count(), LOG_LENGTH);
    assert_eq!(last.since(last.sequence).unwrap().count(), 0);
}

#[test]
fn resources_are_found_by_their_addresses_until_they_move() {
    let mut source = Source::new();
    source.change([service("web", "10.0.0.1")]);
    let moved = source.change([service("web", "10.0.0.2")]).unwrap();
    assert_eq!(
        moved.addresses.named_by("/10.0.0.2").as_deref(),
        Some("shop/web")
    );
    assert_eq!(moved.addresses.named_by("/10.0.0.1"), None);
    let removal = Change::RemoveService(ServiceName::new("shop", "web"));
    let gone = source
        .change([removal, Change::RemoveWorkload(WorkloadUid::new("x"))])
        .unwrap();
    assert_eq!(gone.addresses.named_by("/10.0.0.2"), None);
    assert_eq!(
        names(
            &gone
                .since(moved.sequence)
                .unwrap()
                .next()
                .unwrap()
                .addresses
        ),
        ["shop/web"]
    );
}

#[test]
fn a_service_has_routes_if_only_empty_ones() {
    let name = ServiceName::new("shop", "web");
    let shown = |publication: &Publication| {
        let entry = publication.routes.get("shop/web")?;
        let read = ambit_wire::decode::routes_from_bytes(&entry.body).unwrap();
        Some(read.ports.len())
    };
    let put = Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name.clone(),
        ports: [(80, PortRoutes::default())].into(),
    }));
    let mut source = Source::new();
    let bare = source.change([service("web", "10.0.0.1")]).unwrap();
    assert_eq!(shown(&bare), Some(0));
    let routed = source
        .change([service("web", "10.0.0.2"), put.clone()])
        .unwrap();
    assert_eq!(shown(&routed), Some(1));
    let moved = source.change([service("web", "10.0.0.3")]).unwrap();
    assert_eq!(shown(&moved), Some(1));
    let bare = source.change([Change::RemoveRoutes(name.clone())]).unwrap();
    assert_eq!(shown(&bare), Some(0));
    source.change([put]);
    let gone = [
        Change::RemoveRoutes(name.clone()),
        Change::RemoveService(name),
    ];
    assert_eq!(shown(&source.change(gone).unwrap()), None);
}

#[test]
fn a_pod_that_is_bound_to_a_waypoint_moves_bindings_when_it_comes_changes_and_goes() {
    use crate::serve::scope::tests::bound_pod;
    let mut source = Source::new();
    let Change::PutWorkload(bound) = bound_pod("ledger-0", "bank") else {
        panic!("no workload")
    };
    let free = || {
        Change::PutWorkload(Arc::new(ambit_model::Workload {
            waypoint: None,
            ..ambit_model::Workload::clone(&bound)
        }))
    };
    let bind = || Change::PutWorkload(Arc::clone(&bound));
    let gone = || Change::RemoveWorkload(bound.uid.clone());
    for (change, moves) in [
        (free(), false),
        (bind(), true),
        (free(), true),
        (gone(), false),
        (bind(), true),
        (gone(), true),
    ] {
        let published = source.change([change]).unwrap();
        let changes = published.log.last().unwrap();
        assert_eq!(changes.bindings, moves, "{changes:?}");
    }
}
