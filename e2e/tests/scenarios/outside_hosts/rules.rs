//! VirtualServices, DestinationRules and AuthorizationPolicies of hosts outside, and names that lead
//! elsewhere after a while.

use std::net::Ipv4Addr;
use std::time::Duration;

use ambit_e2e::mesh::sum_of;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::{Scene, entry, policy, rule};

const PORTS: &str = "ports: [{number: 80, name: http, protocol: HTTP}]";
/// How long a name may lead to where it led before: it is asked for every five seconds.
const HOLDS: Duration = Duration::from_secs(12);

fn objects() -> String {
    let dns = format!("resolution: DNS, {PORTS}");
    let parts = format!(
        "{dns}, endpoints: [{{address: one.example.test, labels: {{version: v1}}}}, \
         {{address: two.example.test, labels: {{version: v2}}}}]"
    );
    let hosts = ["main", "one", "two", "both", "moving"];
    let entries = hosts.map(|name| entry(name, &format!("{name}.example.test"), &dns));
    let main = "
- {name: aborted, match: [{uri: {prefix: /aborted}}], fault: {abort: {percentage: {value: 100}, httpStatus: 418}},
   route: [{destination: {host: main.example.test}}]}
- {name: added, match: [{uri: {prefix: /added}}], headers: {request: {add: {x-added: 'yes'}}},
   route: [{destination: {host: main.example.test}}]}
- {name: renamed, match: [{uri: {prefix: /before}}], rewrite: {uri: /after, authority: two.example.test},
   route: [{destination: {host: two.example.test}}]}
- {name: split, match: [{uri: {prefix: /split}}], route: [{destination: {host: one.example.test}, weight: 50},
   {destination: {host: two.example.test}, weight: 50}]}
- {name: retried, match: [{uri: {prefix: /fails/again}}], retries: {attempts: 3, retryOn: 5xx},
   route: [{destination: {host: both.example.test}}]}
- {name: part, match: [{uri: {prefix: /part}}], route: [{destination: {host: parts.example.test, subset: second}}]}
- {name: rest, route: [{destination: {host: main.example.test}}]}
";
    let http = main.replace('\n', "\n  ");
    let routes = format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: main, namespace: shop}}\nspec:\n  hosts: [main.example.test]\n  http:{http}\n"
    );
    let subsets = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                   metadata: {name: parts, namespace: shop}\nspec:\n  host: parts.example.test\n  \
                   subsets: [{name: second, labels: {version: v2}}]\n";
    let allowed = "action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]";
    entries.concat()
        + &entry("parts", "parts.example.test", &parts)
        + &routes
        + subsets
        + &policy("one-client", "main", allowed)
}

fn records([one, two]: [Ipv4Addr; 2], moving: Ipv4Addr) -> Vec<String> {
    [
        ("main", one),
        ("one", one),
        ("two", two),
        ("both", one),
        ("both", two),
        ("moving", moving),
    ]
    .map(|(name, at)| format!("--host-record={name}.example.test,{at}"))
    .to_vec()
}

#[test]
fn hosts_outside_have_routes_rules_and_policies_and_move() {
    let mut scene = Scene::start(|sites| records(sites, sites[0]));
    let hosts = ["main", "one", "two", "both", "parts", "moving"];
    let hosts = hosts.map(|name| format!("{name}.example.test"));
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    scene.apply("hosts", &objects(), &hosts);
    for host in &hosts {
        scene.await_status(&format!("http://{host}/ready"), 200);
    }
    routes_of_a_host(&scene);
    one_client_only(&scene);
    a_site_that_fails(&scene);
    a_host_that_moves(&mut scene);
}

fn routes_of_a_host(scene: &Scene) {
    let [one, two] = &scene.sites;
    let at = |path: &str| format!("http://main.example.test{path}");
    assert_eq!(scene.status(&at("/aborted")), 418);
    scene.assert_refused("/aborted", "FI", "fault_injected");
    scene.assert_unheard("/aborted");

    assert_eq!(scene.status(&at("/added")), 200);
    let added: Vec<_> = one
        .await_at("/added", 1)
        .into_iter()
        .map(|seen| seen.added)
        .collect();
    assert_eq!(added, ["yes"]);

    let (status, body) = scene.get("client", &[&at("/before")]);
    assert_eq!((status, body.as_str()), (200, "site 2"));
    let hosts: Vec<_> = two
        .await_at("/after", 1)
        .into_iter()
        .map(|seen| seen.host)
        .collect();
    assert_eq!(hosts, ["two.example.test"]);
    scene.assert_unheard("/before");

    let urls = vec![at("/split"); 40];
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let (_, bodies) = scene.get("client", &urls);
    let shares = ["site 1", "site 2"].map(|site| bodies.matches(site).count());
    assert!(
        shares.iter().sum::<usize>() == 40 && shares.iter().all(|share| *share >= 6),
        "{shares:?}"
    );
    for (site, share) in scene.sites.iter().zip(shares) {
        assert_eq!(site.await_at("/split", share).len(), share);
    }

    for _ in 0..4 {
        assert_eq!(scene.get("client", &[&at("/part")]).1, "site 2");
    }
}

fn one_client_only(scene: &Scene) {
    let url = "http://main.example.test/other";
    assert_eq!(scene.get("other", &[url]).0, 403);
    let line = scene.assert_refused("/other", "-", "no_matching_allow");
    assert_eq!(
        line["src.identity"], "spiffe://cluster.local/ns/shop/sa/other",
        "{line}"
    );
    scene.assert_unheard("/other");
    assert_eq!(
        scene.get("other", &["http://one.example.test/other-1"]).0,
        200
    );
}

/// The second of two addresses of a name answers 503: what is tried again gets an answer, and once a rule says
/// so the site is not asked any more.
fn a_site_that_fails(scene: &Scene) {
    let two = &scene.sites[1];
    let retried = vec!["http://main.example.test/fails/again"; 12];
    let (_, bodies) = scene.get("client", &retried);
    assert_eq!(bodies.matches("site 1").count(), 12, "{bodies}");
    two.await_at("/fails/again", 1);

    let outliers = "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 120s, maxEjectionPercent: 50}";
    let text = rule("both", "both.example.test", outliers);
    scene.apply("outliers", &text, &[]);
    let cluster = "cluster_name=\"outbound|80||both.example.test\"";
    let ejected = || {
        let page = scene.fronted.waypoint.metrics().unwrap();
        let name = "envoy_cluster_outlier_detection_ejections_active";
        scene.get("client", &["http://both.example.test/fails"; 4]);
        sum_of(&page, name, &[cluster]) >= 1.0
    };
    wait_until("the ejection", SPREAD, ejected).unwrap();
    let before = two.seen().len();
    let (_, bodies) = scene.get("client", &["http://both.example.test/fails"; 12]);
    assert_eq!(bodies.matches("site 1").count(), 12, "{bodies}");
    assert_eq!(two.seen().len(), before);
}

fn a_host_that_moves(scene: &mut Scene) {
    let url = "http://moving.example.test/moved";
    assert_eq!(scene.get("client", &[url]).1, "site 1");
    let sites = [scene.sites[0].pod.v4, scene.sites[1].pod.v4];
    scene.resolve(&records(sites, sites[1]));
    let mut failed = Vec::new();
    let moved = wait_until("requests to follow", HOLDS, || {
        let (status, body) = scene.get("client", &[url]);
        if status != 200 {
            failed.push((status, body.clone()));
        }
        body == "site 2"
    });
    moved.unwrap();
    let urls = [url; 8];
    let (_, bodies) = scene.get("client", &urls);
    assert_eq!(bodies.matches("site 2").count(), 8, "{bodies}");
    assert!(failed.is_empty(), "{failed:?}");
}
