//! Endpoints that are known by a name.

use ambit_balance::Ask;
use ambit_model::{Change, Health};

use super::*;
use crate::fixtures::{endpoint, entry, name, service};

fn view(changes: impl IntoIterator<Item = Change>) -> View {
    let mut view = View::new(name("waypoint"), "10.1.0.5".parse().unwrap());
    for change in changes {
        view.apply(change, Instant::now());
    }
    view
}

fn resolve(view: &mut View, host: &str, addresses: &[&str]) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
    view.resolved(&host.into(), &addresses, Instant::now());
}

/// Addresses that requests to the service `api` go to.
fn picked(view: &View) -> Vec<String> {
    let mut picked: Vec<String> = (0..64_u64)
        .filter_map(|random| {
            let ask = Ask {
                now: Instant::now(),
                random: random << 58 | random,
                hash: None,
                tried: &[],
            };
            let pick = view.cluster(&name("api"), 80, None)?.endpoints.pick(&ask);
            Some(pick.ok()?.endpoint().payload.address.to_string())
        })
        .collect();
    picked.sort();
    picked.dedup();
    picked
}

#[test]
fn every_address_of_a_name_is_an_endpoint_whatever_came_first() {
    let parts = [service("api"), entry("e", "api", "Api.Example.COM.")];
    let mut forth = view(parts.clone());
    assert_eq!(picked(&forth), Vec::<String>::new());
    resolve(
        &mut forth,
        "api.example.com",
        &["93.184.216.34", "93.184.216.35"],
    );
    assert_eq!(picked(&forth), ["93.184.216.34:8080", "93.184.216.35:8080"]);
    // The service comes again, with what is known.
    forth.apply(service("api"), Instant::now());
    let mut back = view([parts[1].clone()]);
    resolve(
        &mut back,
        "api.example.com",
        &["93.184.216.34", "93.184.216.35"],
    );
    back.apply(parts[0].clone(), Instant::now());
    assert_eq!(picked(&forth), picked(&back));
}

#[test]
fn endpoints_follow_what_the_name_says_and_go_with_it() {
    let mut view = view([service("api"), entry("e", "api", "api.example.com")]);
    resolve(
        &mut view,
        "api.example.com",
        &["93.184.216.34", "93.184.216.35"],
    );
    resolve(
        &mut view,
        "api.example.com",
        &["93.184.216.35", "93.184.216.36"],
    );
    assert_eq!(picked(&view), ["93.184.216.35:8080", "93.184.216.36:8080"]);
    // Of a name that nobody is known by, nothing is kept.
    resolve(&mut view, "other.example.com", &["93.184.216.40"]);
    assert_eq!(view.outside_names().count(), 1);
    view.apply(entry("e", "api", "www.example.com"), Instant::now());
    assert_eq!(picked(&view), Vec::<String>::new());
    assert_eq!(
        view.outside_names()
            .map(|wanted| wanted.name)
            .map(|key| &**key)
            .collect::<Vec<_>>(),
        ["www.example.com"]
    );
    resolve(&mut view, "www.example.com", &["93.184.216.50"]);
    assert_eq!(picked(&view), ["93.184.216.50:8080"]);
    let Change::PutWorkload(workload) = entry("e", "api", "www.example.com") else {
        panic!("no workload")
    };
    let face = WorkloadUid::new(format!("{}/93.184.216.50", workload.uid));
    assert!(view.face(&face).is_some());
    view.apply(Change::RemoveWorkload(workload.uid.clone()), Instant::now());
    assert_eq!(picked(&view), Vec::<String>::new());
    assert!(view.face(&face).is_none());
    assert_eq!(view.outside_names().count(), 0);
}

#[test]
fn a_workload_that_gets_addresses_is_gone_to_at_those() {
    let mut view = view([service("api"), entry("e", "api", "api.example.com")]);
    resolve(&mut view, "api.example.com", &["93.184.216.34"]);
    let Change::PutWorkload(workload) = entry("e", "api", "api.example.com") else {
        panic!("no workload")
    };
    let known = Workload {
        addresses: vec!["93.184.216.99".parse().unwrap()],
        ..Workload::clone(&workload)
    };
    view.apply(Change::PutWorkload(Arc::new(known)), Instant::now());
    assert_eq!(picked(&view), ["93.184.216.99:8080"]);
}

#[test]
fn a_name_does_not_lead_to_this_host_its_link_the_waypoint_or_a_pod_of_the_mesh() {
    let pod = endpoint("web-0", "web", "10.244.0.7", Health::Healthy);
    let mut view = view([
        service("api"),
        service("web"),
        pod,
        entry("e", "api", "api.example.com"),
    ]);
    let addresses = [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "10.1.0.5",
        "::ffff:10.1.0.5",
        "10.244.0.7",
        "240.240.0.9",
        "93.184.216.34",
    ];
    resolve(&mut view, "api.example.com", &addresses);
    assert_eq!(picked(&view), ["93.184.216.34:8080"]);
    // Whoever writes the records has no say in who is at an address.
    assert!(
        view.mesh
            .workloads_at("93.184.216.34".parse().unwrap())
            .next()
            .is_none()
    );
}

#[test]
fn a_name_does_not_lead_to_a_service_of_the_cluster() {
    let Change::PutService(web) = service("web") else {
        panic!("no service")
    };
    let vip = ambit_model::NetworkAddress {
        network: "".into(),
        address: "10.96.0.7".parse().unwrap(),
    };
    let mut web = ambit_model::Service::clone(&web);
    (web.vips, web.canonical) = (vec![(vip, 32)], true);
    let mut view = view([
        service("api"),
        Change::PutService(Arc::new(web.clone())),
        entry("e", "api", "api.example.com"),
    ]);
    resolve(&mut view, "api.example.com", &["10.96.0.7"]);
    assert_eq!(picked(&view), Vec::<String>::new());
    // An outside host may be at the address that its own entry gives. Nobody has to resolve the name again.
    web.canonical = false;
    view.apply(Change::PutService(Arc::new(web.clone())), Instant::now());
    view.look_at_names_again(Instant::now());
    assert_eq!(picked(&view), ["10.96.0.7:8080"]);
    web.canonical = true;
    view.apply(Change::PutService(Arc::new(web)), Instant::now());
    view.look_at_names_again(Instant::now());
    assert_eq!(picked(&view), Vec::<String>::new());
}
