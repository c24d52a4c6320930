//! Services of every kind behave for an enrolled namespace as they did before it was enrolled.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, HTTP, Pod, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::BITE;

/// Asked so often, an even choice among four pods would show.
const TIMES: usize = 12;
const PODS: usize = 4;
/// Until a load balancer has an address.
const ADDRESS: Duration = Duration::from_secs(30);

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("services")?;
    let web = Echo {
        replicas: PODS,
        ..Echo::one("web")
    };
    let client = Echo::one("client").on(cluster.node(0)?);
    shop.apply(&web.objects(&shop))?;
    shop.apply(&client.objects(&shop))?;
    shop.apply(&stateful(&shop)?)?;
    shop.apply(&services(&shop))?;
    shop.ready(&web.selector(), PODS)?;
    shop.ready("app=db", 2)?;
    let client = shop.ready_one(&client.selector())?;
    let asked = all(cluster, &shop, &client).context("without the mesh")?;
    shop.enrol()?;
    shop.captured("", BITE)?;
    all(cluster, &shop, &client).context("with the mesh")?;
    Ok(format!("as before: {}", asked.join(", ")))
}

/// Asks all of them; answers which ones there are.
fn all(cluster: &Cluster, shop: &Sandbox, client: &Pod) -> Result<Vec<&'static str>> {
    let many = |host: &str| {
        let url = format!("http://{host}.{}:{HTTP}/", shop.name);
        let ask = format!("for i in $(seq {TIMES}); do curl -sS --fail -m 5 {url} || exit; done");
        let said = shop.exec(client.name(), &["sh", "-c", &ask])?;
        let names = said.lines().filter_map(|line| line.split(' ').next());
        anyhow::Ok(names.map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let is_only = |host: &str, pod: &str| anyhow::Ok(many(host)?.iter().eq([pod]));
    let web = shop.pods("app=web")?;
    let on_node = |node: &str| -> BTreeSet<String> {
        let pods = web.iter().filter(|pod| pod.node() == node);
        pods.map(|pod| pod.name().to_owned()).collect()
    };
    let near = on_node(client.node());
    ensure!(
        !near.is_empty() && near.len() < web.len(),
        "all pods are on one node"
    );

    ensure!(
        is_only("db-0.db", "db-0")?,
        "another pod of the set answers"
    );
    ensure!(
        is_only("db-1.db", "db-1")?,
        "another pod of the set answers"
    );
    ensure!(!many("elsewhere")?.is_empty());
    ensure!(!many("headless")?.is_empty());
    ensure!(many("plain")?.len() > 1, "one pod gets all requests");
    ensure!(many("sticky")?.len() == 1, "a client went to several pods");
    for host in ["local", "close"] {
        let answered = many(host)?;
        ensure!(
            answered.is_subset(&near),
            "{host}: {answered:?} answered, on the client's node are {near:?}"
        );
    }
    let mut asked = vec![
        "ClusterIP",
        "headless",
        "names of a StatefulSet",
        "ExternalName",
        "sessionAffinity",
        "internalTrafficPolicy",
        "trafficDistribution",
    ];
    if outside(cluster, shop)? {
        asked.extend(["NodePort", "LoadBalancer"]);
    }
    Ok(asked)
}

/// Asks from outside of the cluster, if there is somebody to do so.
fn outside(cluster: &Cluster, shop: &Sandbox) -> Result<bool> {
    let get = |kind: &str, name: &str, path: &str| {
        let path = format!("jsonpath={path}");
        shop.kubectl
            .run(&["-n", &shop.name, "get", kind, name, "-o", &path])
    };
    let curl = |to: SocketAddr| {
        let url = format!("http://{to}/");
        cluster.outside("curl", &["-sS", "--fail", "-m", "5", &url])
    };
    let node = get("node", cluster.node(1)?, "{.status.addresses[0].address}")?;
    let port = get("service", "balanced", "{.spec.ports[0].nodePort}")?;
    let Some(said) = curl(SocketAddr::new(node.parse()?, port.parse()?)) else {
        return Ok(false);
    };
    ensure!(
        said?.starts_with("web-"),
        "another pod answers by the NodePort"
    );
    let address = || -> Option<IpAddr> {
        let path = "{.status.loadBalancer.ingress[0].ip}";
        get("service", "balanced", path).ok()?.parse().ok()
    };
    wait_until("an address of the load balancer", ADDRESS, || {
        address().is_some()
    })?;
    let said = curl(SocketAddr::new(address().context("no address")?, HTTP));
    let said = said.context("nobody is outside any more")??;
    ensure!(
        said.starts_with("web-"),
        "another pod answers by the load balancer"
    );
    Ok(true)
}

fn services(shop: &Sandbox) -> Vec<Value> {
    let external = format!("plain.{}.svc.cluster.local", shop.name);
    vec![
        service("plain", &json!({})),
        service("headless", &json!({ "clusterIP": "None" })),
        service("sticky", &json!({ "sessionAffinity": "ClientIP" })),
        service("local", &json!({ "internalTrafficPolicy": "Local" })),
        service("close", &json!({ "trafficDistribution": "PreferClose" })),
        service("balanced", &json!({ "type": "LoadBalancer" })),
        service(
            "elsewhere",
            &json!({ "type": "ExternalName", "externalName": external, "selector": null }),
        ),
    ]
}

fn service(name: &str, more: &Value) -> Value {
    let mut spec = json!({
        "selector": { "app": "web" },
        "ports": [{ "name": "http", "port": HTTP, "targetPort": HTTP }],
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

/// Two pods with names of their own, and the service that makes these known.
fn stateful(shop: &Sandbox) -> Result<Vec<Value>> {
    let db = Echo {
        replicas: 2,
        ..Echo::one("db")
    };
    let mut objects = db.objects(shop);
    for object in &mut objects {
        let fields = object.as_object_mut().context("not an object")?;
        let kind = fields
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let changed = match kind {
            "Deployment" => ("serviceName", json!("db")),
            "Service" => ("clusterIP", json!("None")),
            _ => continue,
        };
        if kind == "Deployment" {
            fields.insert("kind".to_owned(), json!("StatefulSet"));
        }
        let spec = fields.get_mut("spec").and_then(Value::as_object_mut);
        spec.context("no spec")?
            .insert(changed.0.to_owned(), changed.1);
    }
    Ok(objects)
}
