//! Writes the binary seeds of `fuzz/corpus`: `cargo run -p ambit-fuzz-bodies --example seeds`.
#![expect(
    clippy::unwrap_used,
    reason = "a tool for developers that stops where it fails"
)]

use std::path::Path;

use ambit_model::{
    Action, Clause, Health, HttpMatch, HttpRoutes, HttpRule, Locality, Match, PathMatch, Policy,
    PolicyName, PolicyOrigin, PortRoutes, RouteList, RoutedMatch, Rule, Scope, ServiceName,
    ServiceRoutes, StringMatch, TextMatch, TunnelProtocol, Workload, WorkloadType, WorkloadUid,
};
use ambit_node_agent::link::{PodUid, ToHost};
use ambit_wire::{discovery, encode, node, waypoint};
use prost::Message as _;

fn main() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../corpus")
            .join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    let (_, workload) = encode::workload_entry(&workload());
    let (_, policy) = encode::policy_entry(&policy());
    write("address", "workload", &workload.body);
    write("policy", "deny", &policy.body);
    write("discovery_request", "first", &request().encode_to_vec());
    write(
        "discovery_response",
        "one",
        &response(&workload.body).encode_to_vec(),
    );
    let (_, routes) = encode::routes_entry(&routes());
    write("service_routes", "http", &routes.body);
    write("service_routes", "edit", &edit().encode_to_vec());
    let uid = PodUid::new("5b1e0000-0000-4000-8000-000000000001").unwrap();
    let kind = node::SocketKind::App6;
    let need = ToHost::NeedSockets {
        pod_uid: uid,
        kind,
        count: 16,
    };
    write("proxy_record", "need_sockets", &need.encode());
    write("proxy_record", "ready", &ToHost::Ready.encode());
    let forget = node::feed::Kind::ForgetIdentity("spiffe://cluster.local/ns/a/sa/b".into());
    write(
        "feed",
        "forget",
        &node::Feed { kind: Some(forget) }.encode_to_vec(),
    );
    let mut params = rcgen::CertificateParams::default();
    let uri = "spiffe://cluster.local/ns/shop/sa/web".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    let key = rcgen::KeyPair::generate().unwrap();
    write(
        "certificate",
        "spiffe",
        params.clone().self_signed(&key).unwrap().der(),
    );
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    write("signing_request", "spiffe", request.as_bytes());
}

fn workload() -> Workload {
    Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", "web-0"),
        pod_uid: Some("5b1e0000-0000-4000-8000-000000000001".into()),
        name: "web-0".into(),
        namespace: "shop".into(),
        trust_domain: "cluster.local".into(),
        service_account: "web".into(),
        addresses: vec![
            "10.244.1.2".parse().unwrap(),
            "fd00:244:1::2".parse().unwrap(),
        ],
        hostname: "".into(),
        network: "".into(),
        node: "node-1".into(),
        cluster: "Kubernetes".into(),
        protocol: TunnelProtocol::Hbone,
        host_network: false,
        workload_name: "web".into(),
        workload_type: WorkloadType::Deployment,
        canonical_name: "web".into(),
        canonical_revision: "v1".into(),
        services: Default::default(),
        waypoint: None,
        waypoint_only: true,
        policies: vec![PolicyName::new("shop", "deny")],
        applicable_policies: Some(vec![PolicyName::new("shop", "deny")]),
        authentications: vec![PolicyName::new("shop", "tokens")],
        asked_authentications: Vec::new(),
        labels: [("app".into(), "web".into())].into(),
        health: Health::Healthy,
        locality: Locality::default(),
        capacity: 1,
    }
}

fn routes() -> ServiceRoutes {
    let when = HttpMatch {
        path: Some(PathMatch::Segments("/cart".into())),
        method: Some(TextMatch::Exact("GET".into())),
        ..HttpMatch::default()
    };
    let http = HttpRoutes {
        matches: vec![RoutedMatch {
            when: when.into(),
            rule: 0,
        }],
        rules: vec![HttpRule::default().into()],
    };
    let port = PortRoutes {
        producer: Some(RouteList::Http(http)),
        consumers: Default::default(),
    };
    ServiceRoutes {
        service: ServiceName::new("shop", "cart.shop.svc.cluster.local"),
        ports: [(80, port)].into(),
    }
}

/// A rule and a match more than the routes have that the target has.
fn edit() -> waypoint::ServiceRoutes {
    let rules = waypoint::Rules {
        from: 0,
        count: 2,
        more: vec![r#"{"name":"2"}"#.into()],
    };
    let matches = waypoint::Matches {
        from: 0,
        count: 2,
        more: vec!["{}".into()],
        leads_to: vec![2],
    };
    waypoint::ServiceRoutes {
        since: "1".to_owned(),
        http: vec![waypoint::HttpRoutes {
            of: 1,
            rules: vec![rules],
            matches: vec![matches],
        }],
        ..waypoint::ServiceRoutes::default()
    }
}

fn policy() -> Policy {
    let matched = Match {
        principals: vec![StringMatch::Prefix("cluster.local/ns/shop".into())],
        not_source_ips: vec!["10.0.0.0/8".parse().unwrap()],
        destination_ports: vec![80, 443],
        ..Match::default()
    };
    Policy {
        name: PolicyName::new("shop", "deny"),
        scope: Scope::Workload,
        action: Action::Deny,
        rules: vec![Rule {
            clauses: vec![Clause {
                matches: vec![matched],
            }],
        }],
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    }
}

fn request() -> discovery::DeltaDiscoveryRequest {
    discovery::DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/istio.workload.Address".into(),
        resource_names_subscribe: vec!["*".into()],
        initial_resource_versions: [("a".to_owned(), "1".to_owned())].into(),
        ..Default::default()
    }
}

fn response(body: &[u8]) -> discovery::DeltaDiscoveryResponse {
    let resource = discovery::Resource {
        name: "Kubernetes//Pod/shop/web-0".into(),
        version: "1".into(),
        resource: Some(discovery::Any {
            type_url: "type.googleapis.com/istio.workload.Address".into(),
            value: body.to_vec().into(),
        }),
        ..Default::default()
    };
    discovery::DeltaDiscoveryResponse {
        resources: vec![resource],
        ..Default::default()
    }
}
