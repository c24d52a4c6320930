use std::fs;

use super::*;

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web}
status: {podIPs: [{ip: 10.1.0.2}, {ip: 'fd00:1::2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: shop, labels: {app: db}}
spec: {nodeName: n2, serviceAccountName: db}
status: {podIPs: [{ip: 10.2.0.2}, {ip: 'fd00:2::2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: legacy, namespace: old}
spec: {nodeName: n1}
status: {podIP: 10.1.0.3}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, clusterIPs: [10.96.0.5, 'fd00:96::5'], ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: db-headless, namespace: shop}
spec: {selector: {app: db}, clusterIP: None, ports: [{port: 8080}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
    to: [{operation: {ports: ['8080']}}]
";

struct Answer {
    code: ExitCode,
    out: String,
    err: String,
}

fn ask(source: &str, destination: &str, captured: Captured) -> Answer {
    ask_of(SHOP, source, destination, captured)
}

fn ask_of(objects: &str, source: &str, destination: &str, captured: Captured) -> Answer {
    let none = RequestArgs::default();
    ask_for(objects, (source, destination), &none, captured)
}

fn ask_for(
    objects: &str,
    (source, destination): (&str, &str),
    request: &RequestArgs,
    captured: Captured,
) -> Answer {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("shop.yaml"), objects).expect("written");
    let args = Args {
        from: Some(DirectoryPath(folder.path().to_owned())),
        source: source.to_owned(),
        destination: destination.to_owned(),
        captured,
        egress: Some(EgressMode::RegistryOnly),
        request: request.clone(),
        cluster: Cluster::default(),
        names: MeshNames::default(),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err).expect("written to memory");
    let text = |bytes| {
        let text = String::from_utf8(bytes).expect("text");
        text.replace(&format!("{}/", folder.path().display()), "")
    };
    Answer {
        code,
        out: text(out),
        err: text(err),
    }
}

#[test]
fn an_allowed_connection_is_told_from_end_to_end() {
    let answer = ask("shop/web-1", "db:80", Captured::Enrolled);
    assert_eq!(answer.code, ExitCode::SUCCESS);
    insta::assert_snapshot!(answer.out);
}

#[test]
fn a_refused_connection_names_what_refuses_it() {
    let plaintext = ask("old/legacy", "db.shop:80", Captured::Enrolled);
    assert_eq!(plaintext.code, REFUSED.into());
    let own = ask("shop/db-1", "shop/db:80", Captured::Enrolled);
    assert_eq!(own.code, ExitCode::SUCCESS, "to itself: {}", own.out);
    let captured = ask("old/legacy", "db.shop:80", Captured::All);
    assert_eq!(captured.code, REFUSED.into());
    insta::assert_snapshot!(format!("{}\n{}", plaintext.out, captured.out));
}

/// A waypoint for service `db`, whose pods are told by the labels and the account of their Gateway.
const WAYPOINT: &str = "\
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate, namespace: shop}
spec:
  gatewayClassName: ambit-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: v1
kind: Pod
metadata:
  name: gate-1
  namespace: shop
  labels: {gateway.networking.k8s.io/gateway-name: gate}
spec: {nodeName: n2, serviceAccountName: gate}
status: {podIPs: [{ip: 10.2.0.9}]}
---
apiVersion: v1
kind: Service
metadata:
  name: gate
  namespace: shop
  labels: {gateway.networking.k8s.io/gateway-name: gate}
spec:
  selector: {gateway.networking.k8s.io/gateway-name: gate}
  clusterIPs: [10.96.0.9]
  ports: [{port: 15008}]
";

#[test]
fn the_way_through_a_waypoint_is_told_with_what_the_destination_makes_of_it() {
    let bound = SHOP.replace(
        "{name: db, namespace: shop}\nspec: {selector",
        "{name: db, namespace: shop, labels: {ambit.mesh/use-waypoint: gate}}\nspec: {selector",
    );
    let with_waypoint = format!("{bound}{WAYPOINT}");
    let told = ask_of(&with_waypoint, "shop/web-1", "db:80", Captured::Enrolled);
    assert_eq!(told.code, ExitCode::SUCCESS, "{}", told.out);
    let other = ask_of(&with_waypoint, "shop/db-1", "db:80", Captured::Enrolled);
    assert_eq!(other.code, REFUSED.into(), "{}", other.out);
    assert!(
        !other.out.contains("\ninbound"),
        "refused by the waypoint: {}",
        other.out
    );
    let without = ask_of(&bound, "shop/web-1", "db:80", Captured::Enrolled);
    assert_eq!(without.code, REFUSED.into(), "{}", without.out);
    insta::assert_snapshot!(format!("{}\n{}", told.out, without.out));
}

#[test]
fn a_request_is_told_with_the_policy_that_decides_at_the_waypoint() {
    let bound = SHOP.replace(
        "{name: db, namespace: shop}\nspec: {selector",
        "{name: db, namespace: shop, labels: {ambit.mesh/use-waypoint: gate}}\nspec: {selector",
    );
    let policies = "\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: '', name: db}]
  rules: [{to: [{operation: {methods: [GET]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  action: DENY
  rules: [{to: [{operation: {paths: [/admin*]}}]}]
";
    let objects = format!("{bound}{WAYPOINT}{policies}");
    let ask = |method: Option<&str>, path: &str, header: &str| {
        let request = RequestArgs {
            method: method.map(ToOwned::to_owned),
            path: Some(path.to_owned()),
            headers: vec![header.to_owned()],
            ..RequestArgs::default()
        };
        let places = ("shop/web-1", "db:80");
        ask_for(&objects, places, &request, Captured::Enrolled)
    };
    let read = ask(None, "/cart", "x-a: b");
    assert_eq!(read.code, ExitCode::SUCCESS, "{}", read.out);
    let written = ask(Some("POST"), "/cart", "x-a: b");
    assert_eq!(written.code, REFUSED.into(), "{}", written.out);
    let admin = ask(Some("GET"), "/x/../%61dmin", "host: db");
    assert_eq!(admin.code, REFUSED.into(), "{}", admin.out);
    insta::assert_snapshot!(format!("{}\n{}\n{}", read.out, written.out, admin.out));
    for (path, header) in [("cart", "a:b"), ("/", "no colon"), ("/", "b\u{e4}d name:x")] {
        let usage = ask(None, path, header);
        assert_eq!(usage.code, USAGE.into(), "{path} {header}");
    }
}

/// Two versions of `db`, and routes to them and to another service that only `db` may ask.
const ROUTES: &str = "\
---
apiVersion: v1
kind: Pod
metadata: {name: db-2, namespace: shop, labels: {app: db, version: v2}}
spec: {nodeName: n2, serviceAccountName: db}
status: {podIPs: [{ip: 10.2.0.3}]}
---
apiVersion: v1
kind: Service
metadata: {name: archive, namespace: shop, labels: {ambit.mesh/use-waypoint: gate}}
spec: {selector: {app: db}, clusterIP: 10.96.0.6, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: archive, namespace: shop}
spec:
  targetRefs: [{kind: Service, group: '', name: archive}]
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/db]}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec: {host: db, subsets: [{name: new, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db]
  http:
  - {name: gone, match: [{uri: {prefix: /gone}}], redirect: {uri: /here}}
  - {name: sorry, match: [{uri: {prefix: /no}}], directResponse: {status: 503}}
  - {name: bad, match: [{uri: {prefix: /bad}}], fault: {abort: {percentage: {value: 100}, httpStatus: 500}},
     route: [{destination: {host: db}}]}
  - {name: none, match: [{uri: {prefix: /absent}}], route: [{destination: {host: db, subset: old}}]}
  - name: canary
    match: [{headers: {x-team: {exact: blue}}}]
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s}
    route: [{destination: {host: db, subset: new}}]
  - {name: archive, match: [{uri: {prefix: /archive}}], route: [{destination: {host: archive}}]}
  - name: usual
    match: [{uri: {prefix: /cart}}]
    fault: {delay: {percentage: {value: 5}, fixedDelay: 1s}}
    mirror: {host: archive}
    route: [{destination: {host: db}, weight: 90}, {destination: {host: archive}, weight: 10}]
";

/// The service `db` behind the waypoint, on a port for requests.
fn behind_waypoint() -> String {
    let bound = SHOP.replace(
        "{name: db, namespace: shop}\nspec: {selector: {app: db}, clusterIPs: [10.96.0.5, 'fd00:96::5'], ports: [{",
        "{name: db, namespace: shop, labels: {ambit.mesh/use-waypoint: gate}}\n\
         spec: {selector: {app: db}, clusterIPs: [10.96.0.5, 'fd00:96::5'], ports: [{name: http, ",
    );
    assert!(bound.contains("name: http"));
    bound + WAYPOINT
}

#[test]
fn a_request_is_followed_to_where_its_routes_lead() {
    let objects = behind_waypoint() + ROUTES;
    let ask = |path: &str, header: &str| {
        let request = RequestArgs {
            path: Some(path.to_owned()),
            headers: vec![header.to_owned()],
            ..RequestArgs::default()
        };
        ask_for(
            &objects,
            ("shop/web-1", "db:80"),
            &request,
            Captured::Enrolled,
        )
    };
    let at_waypoint = |answer: &Answer| {
        let told = answer
            .out
            .split_once("\nwaypoint ")
            .map(|it| it.1)
            .unwrap_or_default();
        let told = told.split("\nobjects:").next().unwrap_or_default();
        let verdict = answer.out.lines().last().unwrap_or_default();
        format!("waypoint {told}{verdict}\n")
    };
    let (refused, allowed) = (ExitCode::from(REFUSED), ExitCode::SUCCESS);
    let mut told = String::new();
    for (path, header, code) in [
        ("/cart", "x-team: blue", allowed),
        ("/cart", "x-team: red", refused),
        ("/archive", "x-team: red", refused),
        ("/gone", "x-team: red", allowed),
        ("/no", "x-team: red", refused),
        ("/bad", "x-team: red", refused),
        ("/absent", "x-team: red", refused),
        ("/other", "x-team: red", refused),
    ] {
        let answer = ask(path, header);
        assert_eq!(answer.code, code, "{path} {header}: {}", answer.out);
        told += &at_waypoint(&answer);
    }
    insta::assert_snapshot!(told);
    let answer = ask("/cart", "x-team: blue");
    let places = "VirtualService shop/db: shop.yaml: document";
    assert!(answer.out.contains(places), "{}", answer.out);
}

/// The owner of a service has its routes, but no say in what is bound to those of other namespaces.
#[test]
fn what_a_route_of_another_namespace_changes_is_judged_as_it_is_sent() {
    let objects = "---
apiVersion: v1
kind: Service
metadata:
  name: ledger
  namespace: pay
  labels: {ambit.mesh/use-waypoint: gate, ambit.mesh/use-waypoint-namespace: shop}
spec: {selector: {app: ledger}, clusterIP: 10.96.0.7, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ledger-1, namespace: pay, labels: {app: ledger}}
spec: {nodeName: n2}
status: {podIP: 10.2.0.7}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: pay}
spec:
  targetRefs: [{kind: Service, group: '', name: ledger}]
  action: DENY
  rules: [{to: [{operation: {paths: [/admin]}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db]
  http:
  - match: [{uri: {exact: /cart}}]
    rewrite: {uri: /admin}
    route: [{destination: {host: ledger.pay.svc.cluster.local}}]
  - route: [{destination: {host: ledger.pay.svc.cluster.local}}]
";
    let shared = "protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}";
    let objects = behind_waypoint().replace("protocol: HBONE}", shared) + objects;
    for (path, code) in [
        ("/cart", ExitCode::from(REFUSED)),
        ("/admin", REFUSED.into()),
        ("/other", ExitCode::SUCCESS),
    ] {
        let request = RequestArgs {
            path: Some(path.to_owned()),
            ..RequestArgs::default()
        };
        let places = ("shop/web-1", "db:80");
        let answer = ask_for(&objects, places, &request, Captured::Enrolled);
        assert_eq!(answer.code, code, "{path}: {}", answer.out);
        let is_changed = answer
            .out
            .contains("is judged as it is sent, too: GET /admin of");
        assert_eq!(is_changed, path == "/cart", "{path}: {}", answer.out);
    }
}

#[test]
fn unknown_destinations_are_refused_where_egress_is() {
    let answer = ask("10.1.0.2", "192.0.2.1:443", Captured::Enrolled);
    assert_eq!(answer.code, REFUSED.into());
    insta::assert_snapshot!(answer.out);
}

#[test]
fn places_can_be_written_in_many_ways() {
    let cases = [
        ("shop/web-1", "10.96.0.5:80", "10.96.0.5:80"),
        ("shop/web-1", "[fd00:96::5]:80", "[fd00:96::5]:80"),
        ("10.1.0.2", "db:80", "10.96.0.5:80"),
        ("fd00:1::2", "db.shop.svc:80", "10.96.0.5:80"),
        ("shop/web-1", "db.shop.svc.cluster.local:80", "10.96.0.5:80"),
        (
            "shop/web-1",
            "db.shop.svc.cluster.local.:80",
            "10.96.0.5:80",
        ),
        ("shop/web-1", "shop/db:80", "10.96.0.5:80"),
        ("shop/web-1", "shop/db-1:8080", "10.2.0.2:8080"),
        ("shop/web-1", "db-headless:8080", "10.2.0.2:8080"),
        ("old/legacy", "shop/db-1:8080", "10.2.0.2:8080"),
    ];
    for (source, destination, address) in cases {
        let answer = ask(source, destination, Captured::Enrolled);
        assert!(
            answer.out.contains(&format!("\nto   {address}\n")),
            "{destination}: {}",
            answer.out
        );
    }
}

#[test]
fn without_capture_nothing_is_refused() {
    let answer = ask("old/legacy", "db.shop:80", Captured::None);
    assert_eq!(answer.code, ExitCode::SUCCESS, "{}", answer.out);
}

#[test]
fn questions_that_cannot_be_answered_are_usage_errors() {
    for (source, destination) in [
        ("shop/nobody", "db:80"),
        ("web-1", "db:80"),
        ("192.0.2.1", "db:80"),
        ("shop/web-1", "db"),
        ("shop/web-1", "db:0"),
        ("shop/web-1", "db:http"),
        ("shop/web-1", "nothing:80"),
    ] {
        let answer = ask(source, destination, Captured::Enrolled);
        assert_eq!(answer.code, USAGE.into(), "{source} {destination}");
        assert!(
            answer.out.is_empty() && !answer.err.is_empty(),
            "{source} {destination}"
        );
    }
}

/// What an agent says that has these of everything that the folder makes.
fn dump_of(configuration: &Configuration, has_policies: bool) -> String {
    let mesh = configuration.mesh();
    let policies: Vec<_> = mesh.policies().filter(|_| has_policies).collect();
    serde_json::json!({
        "egress": "ALLOW_ANY",
        "workloads": mesh.workloads().map(AsRef::as_ref).collect::<Vec<&ambit_model::Workload>>(),
        "services": mesh.services().map(AsRef::as_ref).collect::<Vec<&ambit_model::Service>>(),
        "policies": policies.iter().map(AsRef::as_ref).collect::<Vec<&ambit_model::Policy>>(),
    })
    .to_string()
}

#[test]
fn what_an_agent_knows_decides_where_it_was_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("shop.yaml"), SHOP).expect("written");
    let mut configuration = Configuration::new(MeshNames::default().settings());
    configuration.apply(Scanner::new(folder.path(), None).scan());
    for pod in ["shop.web-1", "shop.db-1"] {
        configuration.set_captured(pod, true);
    }
    let question = Question {
        source: "shop/web-1",
        destination: "192.0.2.1:443",
        egress: EgressMode::RegistryOnly,
        request: &RequestArgs::default(),
    };
    let told = |question: &Question<'_>, views: &Views| {
        let story = Story::of(&configuration, question, views).expect("places that are there");
        (story.allowed, story.text)
    };
    assert!(!told(&question, &Views::default()).0);
    let views = Views::told("n1", &dump_of(&configuration, true));
    let (allowed, text) = told(&question, &views);
    assert!(allowed, "its agent lets it out: {text}");
    assert!(text.contains("outbound, decided on node n1, with what its agent knows:"));

    let question = Question {
        destination: "db:80",
        ..question
    };
    assert!(told(&question, &Views::default()).0);
    let behind = Views::told("n2", &dump_of(&configuration, false));
    let (allowed, text) = told(&question, &behind);
    assert!(!allowed, "a policy that is not known refuses: {text}");
    let broken = Views::told("n2", "<html>");
    let (allowed, text) = told(&question, &broken);
    assert!(allowed && text.contains("its agent cannot be asked: its dump has another form"));
}

#[test]
fn a_host_of_a_service_entry_is_a_destination_for_those_who_may_know_it() {
    let entry = |namespace: &str| {
        format!(
            "{SHOP}---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: outside, namespace: {namespace}}}\n\
             spec: {{hosts: [api.example.com], addresses: [198.51.100.7], resolution: STATIC, exportTo: [.], \
             ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 192.0.2.7}}]}}\n"
        )
    };
    let to = "api.example.com:80";
    let answer = ask_of(&entry("shop"), "shop/web-1", to, Captured::Enrolled);
    assert!(
        answer.out.contains("to   198.51.100.7:80"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.contains("ServiceEntry shop/outside"),
        "{}",
        answer.out
    );
    let answer = ask_of(&entry("other"), "shop/web-1", to, Captured::Enrolled);
    assert!(
        answer.err.contains("neither an address, nor a service"),
        "{}",
        answer.err
    );
}

/// Two entries have the address, and the other one is not for the client.
#[test]
fn what_is_bound_to_an_entry_is_told_to_those_who_may_know_it() {
    let entry = |namespace: &str, labels: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: outside, namespace: {namespace}{labels}}}\n\
             spec: {{hosts: [{namespace}.example.com], addresses: [198.51.100.7], resolution: STATIC, exportTo: [.], \
             ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 192.0.2.7}}]}}\n"
        )
    };
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                  metadata: {name: none, namespace: shop}\nspec:\n  action: DENY\n  rules: [{}]\n  \
                  targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: outside}]\n";
    let own = entry("shop", ", labels: {ambit.mesh/use-waypoint: gate}");
    let objects = format!("{SHOP}{WAYPOINT}{own}{}{policy}", entry("aaa", ""));
    let to = "198.51.100.7:80";
    let answer = ask_of(&objects, "shop/web-1", to, Captured::Enrolled);
    assert_eq!(answer.code, REFUSED.into(), "{}", answer.out);
    let bound = "by what is bound to shop.example.com, or to the waypoint";
    assert!(answer.out.contains(bound), "{}", answer.out);
}
