//! Under STRICT nobody without an identity gets in: not another pod, not by a NodePort, not from a
//! host's network, not at the port that is probed.

use std::net::SocketAddr;

use ambit_e2e::cluster::{Cluster, Echo, HTTP, peer_authentication};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::BITE;

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let (near, far) = (cluster.node(0)?, cluster.node(1)?);
    let shop = cluster.sandbox("strict")?;
    let strangers = cluster.sandbox("strangers")?;
    shop.enrol()?;
    let (server, friend) = (Echo::one("server").on(far), Echo::one("friend").on(near));
    shop.apply(&server.objects(&shop))?;
    shop.apply(&friend.objects(&shop))?;
    shop.apply(&[node_port()])?;
    let (stranger, host) = (
        Echo::one("stranger").on(near),
        host_client(&strangers.image, far),
    );
    strangers.apply(&stranger.objects(&strangers))?;
    strangers.apply(&[host])?;
    let server = shop.ready(&server.selector(), 1)?;
    let friend = shop.ready(&friend.selector(), 1)?;
    let stranger = strangers.ready(&stranger.selector(), 1)?;
    strangers.ready("app=host", 1)?;
    shop.captured("", BITE)?;

    let friend = friend.first().context("no friend")?.name();
    let stranger = stranger.first().context("no stranger")?.name();
    let ip = server.first().and_then(|pod| pod.ip());
    let pod = format!(
        "http://{}/",
        SocketAddr::new(ip.context("no address")?, HTTP)
    );
    let service = format!("http://server.{}/", shop.name);
    // The node's rules for a new service come a moment after its pods are ready.
    let known = || strangers.curl(stranger, &service).is_ok();
    wait_until("the service to be reached", BITE, known)?;
    for (client, url) in [(stranger, &pod), (stranger, &service), ("host", &pod)] {
        strangers
            .curl(client, url)
            .context("PERMISSIVE lets strangers in")?;
    }
    let known = || {
        let said = by_node_port(cluster, &shop.name, far);
        matches!(said, Ok(None | Some(Ok(_))))
    };
    wait_until("PERMISSIVE to let clients outside in", BITE, known)?;
    shop.apply(&[peer_authentication("STRICT")])?;
    strangers.becomes_refused(stranger, &pod, BITE)?;
    strangers.refused(stranger, &service)?;
    strangers.refused("host", &pod)?;
    for url in [&pod, &service] {
        shop.curl(friend, url).context("a client of the mesh")?;
    }
    let mut ways = vec!["a pod", "a service", "a host's network on the pod's node"];
    if let Some(said) = by_node_port(cluster, &shop.name, far)? {
        if let Ok(answer) = said {
            bail!("a client outside got {answer:?} by the NodePort");
        }
        ways.push("a NodePort");
    }
    let pods = shop.pods("")?;
    ensure!(
        pods.iter().all(|pod| pod.is_ready()),
        "probes of the server fail"
    );
    Ok(format!("refused: {}", ways.join(", ")))
}

/// What a client outside gets at the service's port of a node; none if there is no such client.
fn by_node_port(cluster: &Cluster, namespace: &str, node: &str) -> Result<Option<Result<String>>> {
    let field = |kind, name, path: &str| {
        let args = ["-n", namespace, "get", kind, name, "-o", path];
        cluster.kubectl.run(&args)
    };
    let port = field("service", "outward", "jsonpath={.spec.ports[0].nodePort}")?;
    let addresses = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
    let addresses = field("node", node, addresses)?;
    let ip = addresses
        .split_whitespace()
        .next()
        .context("a node without an address")?;
    let to = SocketAddr::new(ip.parse()?, port.trim().parse()?);
    Ok(cluster.outside(
        "curl",
        &["-sS", "--fail", "-m", "5", &format!("http://{to}/")],
    ))
}

fn node_port() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "outward" },
        "spec": {
            "type": "NodePort", "selector": { "app": "server" },
            "ports": [{ "port": 80, "targetPort": 8080 }],
        },
    })
}

/// A pod in the network of the server's own node: its address is that of the kubelet.
fn host_client(image: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "host", "labels": { "app": "host" } },
        "spec": {
            "hostNetwork": true, "terminationGracePeriodSeconds": 1,
            "nodeSelector": { "kubernetes.io/hostname": node },
            "containers": [{
                "name": "host", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
            }],
        },
    })
}
