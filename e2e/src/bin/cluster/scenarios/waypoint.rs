//! A waypoint from beginning to end: made by one command, taken over by traffic, put right where it
//! was changed, told of in statuses, and deleted.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Pod, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::BITE;
use super::said::{make_waypoint, said};

/// Label of the pods of a waypoint.
const MADE: &str = "gateway.networking.k8s.io/gateway-name=waypoint";
/// Until what was deleted is made again and ready.
const REPAIR: Duration = Duration::from_secs(60);
/// What is made for a Gateway.
const PARTS: [&str; 4] = ["deployment", "service", "serviceaccount", "pdb"];

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster.install_gateway_api()?;
    let shop = cluster.sandbox("waypoint")?;
    shop.enrol()?;
    let (client, web) = (Echo::one("client"), Echo::one("web"));
    shop.apply(&client.objects(&shop))?;
    shop.apply(&web.objects(&shop))?;
    let itself = client.selector();
    let client = shop.ready_one(&itself)?;
    let web = shop.ready_one(&web.selector())?;
    shop.captured("", BITE)?;
    let caller = |limit, from: &str| calls_from(&shop, &client, &web, from, limit);
    caller(BITE, &itself)?;

    let name = shop.name.as_str();
    make_waypoint(cluster, name)?;
    let waypoints = shop.pods(MADE)?;
    ensure!(!waypoints.is_empty(), "it has no pod");
    caller(BITE, MADE)?;
    let list = said(cluster, &["waypoint", "list", "-n", name], 0)?;
    let row = format!("{name} waypoint ambit-waypoint service True True ");
    let listed = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ").starts_with(&row)
    };
    ensure!(list.lines().any(listed), "not listed: {list}");
    said(cluster, &["waypoint", "status", "-n", name], 0)?;
    statuses(&shop, &client)?;
    repaired(&shop)?;
    caller(REPAIR, MADE)?;

    let bound = format!("{}-", "ambit.mesh/use-waypoint");
    shop.kubectl.label_namespace(name, &bound)?;
    caller(BITE, &itself)?;
    said(cluster, &["waypoint", "delete", "-n", name, "waypoint"], 0)?;
    wait_until("what was made to go", REPAIR, || {
        PARTS.iter().all(|part| get(&shop, part, "").is_err())
    })?;
    Ok(format!("{} pods; {}", waypoints.len(), list.trim()))
}

/// Waits until the server sees a pod of these labels as its client.
fn calls_from(shop: &Sandbox, client: &Pod, web: &Pod, from: &str, limit: Duration) -> Result<()> {
    let mut last = Ok(String::new());
    let mut these = Vec::new();
    let seen = wait_until("the server to be called by another", limit, || {
        last = shop.curl(client.name(), "http://web/");
        let answer = last.as_deref().unwrap_or_default().trim();
        let (server, address) = answer.split_once(' ').unwrap_or_default();
        let pods = shop.pods(from).unwrap_or_default();
        these = pods.iter().filter_map(Pod::ip).collect();
        server == web.name() && these.iter().any(|ip| ip.to_string() == address)
    });
    seen.with_context(|| format!("the last answer was {last:?}, not from {these:?} of {from}"))?;
    Ok(())
}

/// Routes that are wrong say so, in their status and in answers; others go on.
fn statuses(shop: &Sandbox, client: &Pod) -> Result<()> {
    let empty = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "empty" },
        "spec": { "selector": { "app": "nobody" }, "ports": [{ "port": 80 }] },
    });
    shop.apply(&[empty, route("missing"), route("empty"), route("web")])?;
    for (backend, status, resolved) in [
        ("missing", 500, "False BackendNotFound"),
        ("empty", 503, "True ResolvedRefs"),
        ("web", 200, "True ResolvedRefs"),
    ] {
        let url = format!("http://web/{backend}");
        let code = [
            "curl",
            "-s",
            "-m",
            "5",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ];
        let answered = || {
            shop.exec(client.name(), &code)
                .is_ok_and(|said| said == status.to_string())
        };
        wait_until(
            &format!("{backend} to be answered with {status}"),
            BITE,
            answered,
        )?;
        let condition = "{.status.parents[0].conditions[?(@.type==\"ResolvedRefs\")]";
        let path = ["status", "reason", "observedGeneration"]
            .map(|field| format!("{condition}.{field}}}"));
        let told = || get(shop, &format!("httproute/{backend}"), &path.join(" "));
        let wanted = format!("{resolved} 1");
        wait_until(&format!("the status of route {backend}"), BITE, || {
            told().is_ok_and(|told| told == wanted)
        })
        .with_context(|| format!("it is {:?}, not {wanted}", told()))?;
    }
    shop.kubectl
        .run(&["-n", &shop.name, "delete", "httproute", "--all"])?;
    Ok(())
}

/// What is below the path of its name goes to that service.
fn route(backend: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": { "name": backend },
        "spec": {
            "parentRefs": [{ "group": "", "kind": "Service", "name": "web" }],
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": format!("/{backend}") } }],
                "backendRefs": [{ "name": backend, "port": 80 }],
            }],
        },
    })
}

/// What somebody deletes or changes is made again.
fn repaired(shop: &Sandbox) -> Result<()> {
    let run = |args: &[&str]| shop.kubectl.run(&[&["-n", &shop.name][..], args].concat());
    run(&["delete", "deployment/waypoint"])?;
    let other = r#"{"spec":{"ports":[{"name":"hbone","port":15008,"targetPort":1}]}}"#;
    run(&["patch", "service/waypoint", "--type=merge", "-p", other])?;
    wait_until("what was changed to be put right", REPAIR, || {
        let port = get(
            shop,
            "service",
            "{.spec.ports[?(@.port==15008)].targetPort}",
        );
        let ready = get(shop, "deployment", "{.status.readyReplicas}");
        port.is_ok_and(|port| port == "15008") && ready.is_ok_and(|count| !count.is_empty())
    })?;
    Ok(())
}

/// A field of an object; of the waypoint's, if only the kind is named.
fn get(shop: &Sandbox, object: &str, path: &str) -> Result<String> {
    let output = format!("jsonpath={path}");
    let named = match object.contains('/') {
        true => object.to_owned(),
        false => format!("{object}/waypoint"),
    };
    shop.kubectl
        .run(&["-n", &shop.name, "get", &named, "-o", &output])
}
