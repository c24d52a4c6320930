//! Prometheus in the cluster, in the mesh and outside, finds everything that is to be scraped and
//! answers what published dashboards ask, with the numbers of what was sent.

mod shop;

use ambit_e2e::cluster::{Cluster, Prometheus, SYSTEM, Sandbox};
use ambit_e2e::queries;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::shop::{LINE, Shop};
use super::said::said;

/// Requests that are answered well and badly, after the first of each.
const GOOD: u32 = 60;
const BAD: u32 = 20;
/// Lines through the waypoint, and without one.
const THROUGH: u32 = 3;
const DIRECT: u32 = 5;

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let image = cluster.prometheus_image()?;
    cluster.install_gateway_api()?;
    let outside = cluster.sandbox("dashboards-outside")?;
    Prometheus::create(&outside, &image)?;
    let sandbox = cluster.sandbox("dashboards")?;
    sandbox.enrol()?;
    Prometheus::create(&sandbox, &image)?;
    let shop = Shop::open(&sandbox)?;
    // For pods too, so that scrapes of the server go through it.
    let apply = ["waypoint", "apply", "-n", &sandbox.name, "--for", "all"];
    let bind = ["--enroll-namespace", "--wait"];
    said(cluster, &[&apply[..], &bind].concat(), 0)?;
    shop.await_waypoint()?;

    let both = [Prometheus::ready(&sandbox)?, Prometheus::ready(&outside)?];
    // One of each kind is seen before the others, so that rates know where they begin.
    shop.ask("broken", 1, "502")?;
    for prometheus in &both {
        prometheus.find_pods()?;
    }
    for prometheus in &both {
        prometheus.await_exactly(&requests(&shop, ""), 2)?;
    }
    shop.ask("hello", GOOD, "200")?;
    shop.ask("broken", BAD, "502")?;
    shop.lines("server", THROUGH)?;
    shop.lines("plain", DIRECT)?;
    let mut said = String::new();
    for prometheus in &both {
        targets(cluster, &sandbox, prometheus)?;
        counts(&shop, prometheus)?;
        labels(&shop, prometheus)?;
        said = dashboards(&sandbox, prometheus)?;
    }
    Ok(said)
}

/// Everything that asks to be scraped is, once.
fn targets(cluster: &Cluster, sandbox: &Sandbox, prometheus: &Prometheus<'_>) -> Result<()> {
    let mut asking = 0_u32;
    for namespace in [SYSTEM, &sandbox.name] {
        let pods: Vec<Value> = cluster.kubectl.list(&["-n", namespace, "get", "pods"])?;
        let scraped = pods.iter().filter(|pod| {
            let annotation = "/metadata/annotations/prometheus.io~1scrape";
            pod.pointer(annotation).is_some_and(|value| value == "true")
        });
        asking = asking.saturating_add(u32::try_from(scraped.count())?);
    }
    // The control plane, an agent on each node, the waypoint, and the server.
    ensure!(asking >= 5, "only {asking} pods ask to be scraped");
    let up = format!("up{{namespace=~\"{SYSTEM}|{}\"}}", sandbox.name);
    prometheus.await_exactly(&format!("count({up})"), asking)?;
    prometheus.await_exactly(&format!("sum({up})"), asking)
}

/// The number of requests of the client.
fn requests(shop: &Shop<'_>, labels: &str) -> String {
    of_client(shop, "istio_requests_total", "server", labels)
}

/// A sum over what the client sent to a server, by the reporter at the end of the way.
fn of_client(shop: &Shop<'_>, metric: &str, server: &str, labels: &str) -> String {
    let namespace = &shop.sandbox.name;
    format!(
        "sum({metric}{{reporter=\"destination\",source_workload=\"client\",\
         destination_service_name=\"{server}\",destination_service_namespace=\"{namespace}\"{labels}}})"
    )
}

/// What was sent is what is counted.
fn counts(shop: &Shop<'_>, prometheus: &Prometheus<'_>) -> Result<()> {
    let (good, bad) = (GOOD.saturating_add(1), BAD.saturating_add(1));
    let all = good.saturating_add(bad);
    let codes = |codes: &str| requests(shop, &format!(",response_code=~\"{codes}\""));
    let duration = "istio_request_duration_milliseconds_count";
    let length = u32::try_from(LINE.len())?;
    let tcp = |metric: &str, server: &str| of_client(shop, metric, server, "");
    for (query, number) in [
        (codes("200"), good),
        (codes("5.."), bad),
        (requests(shop, ""), all),
        (of_client(shop, duration, "server", ""), all),
        (tcp("istio_tcp_connections_opened_total", "server"), THROUGH),
        (
            tcp("istio_tcp_received_bytes_total", "server"),
            THROUGH.saturating_mul(length),
        ),
        (tcp("istio_tcp_connections_opened_total", "plain"), DIRECT),
        (
            tcp("istio_tcp_received_bytes_total", "plain"),
            DIRECT.saturating_mul(length),
        ),
        (
            tcp("istio_tcp_sent_bytes_total", "plain"),
            DIRECT.saturating_mul(length),
        ),
    ] {
        prometheus.await_exactly(&query, number)?;
        // The agent at the client's end counts connections too, if there is no waypoint between.
        if query.contains("\"plain\"") {
            let source = query.replace("reporter=\"destination\"", "reporter=\"source\"");
            prometheus.await_exactly(&source, number)?;
        }
    }
    Ok(())
}

/// Every label that dashboards and alerts select by.
fn labels(shop: &Shop<'_>, prometheus: &Prometheus<'_>) -> Result<()> {
    let namespace = shop.sandbox.name.as_str();
    let identity = |account: &str| format!("spiffe://cluster.local/ns/{namespace}/sa/{account}");
    let host = |service: &str| format!("{service}.{namespace}.svc.cluster.local");
    for (metric, server, of_kind) in [
        (
            "istio_requests_total",
            "server",
            [("request_protocol", "http"), ("response_flags", "-")],
        ),
        (
            "istio_tcp_received_bytes_total",
            "plain",
            [("request_protocol", "tcp"), ("response_flags", "-")],
        ),
    ] {
        let chosen = format!(
            "{metric}{{reporter=\"destination\",source_workload=\"client\",\
             destination_workload=\"{server}\",source_workload_namespace=\"{namespace}\"}}"
        );
        let series = prometheus.ask(&chosen)?;
        ensure!(!series.is_empty(), "no {chosen}");
        let (client_id, server_id, host) = (identity("client"), identity(server), host(server));
        let of_all = [
            ("source_app", "client"),
            ("source_canonical_service", "client"),
            ("source_principal", &client_id),
            ("destination_app", server),
            ("destination_canonical_service", server),
            ("destination_principal", &server_id),
            ("destination_workload_namespace", namespace),
            ("destination_service", &host),
            ("destination_service_name", server),
            ("destination_service_namespace", namespace),
            ("connection_security_policy", "mutual_tls"),
        ];
        for sample in &series {
            for (name, value) in of_all.iter().chain(&of_kind) {
                let seen = sample.label(name);
                ensure!(seen == *value, "{name} is {seen:?}: {sample:?}");
            }
        }
    }
    let services = prometheus.label_values("istio_requests_total", "destination_service_name")?;
    ensure!(services.iter().any(|name| name == "server"), "{services:?}");
    Ok(())
}

/// What dashboards draw of the server, and how much of everything is secured.
fn dashboards(sandbox: &Sandbox, prometheus: &Prometheus<'_>) -> Result<String> {
    let server = |query: &str| {
        let series = prometheus.ask(query)?;
        let mut series = series.into_iter();
        let sample = series.find(|sample| sample.label("destination_service_name") == "server");
        sample.with_context(|| format!("{query} says nothing of the server"))
    };
    let rate = server(queries::named("request rate")?)?.value();
    ensure!(rate > 0.0, "{rate} requests/s");
    let percent = server(queries::named("error percentage")?)?.value();
    // Rates are extrapolated: what is drawn is near the truth.
    let truth = 100.0 * f64::from(BAD) / f64::from(GOOD.saturating_add(BAD));
    ensure!(
        (truth - 5.0..truth + 5.0).contains(&percent),
        "{percent} % errors, {truth} in truth"
    );
    let mut quantiles = Vec::new();
    for query in queries::LATENCIES {
        let value = server(queries::named(query)?)?.value();
        ensure!(value > 0.0 && value < 10_000.0, "{query} is {value}");
        quantiles.push(value);
    }
    ensure!(quantiles.is_sorted(), "{quantiles:?}");
    prometheus.await_exactly(queries::named("mTLS coverage")?, 100)?;
    prometheus.await_exactly(queries::named("secured share")?, 1)?;
    scrapes(sandbox, prometheus)?;
    Ok(format!(
        "{rate:.1} requests/s, {percent:.0} % errors, p50 {:.1} ms, all of it secured",
        quantiles.first().unwrap_or(&f64::NAN)
    ))
}

/// Who is in the mesh scrapes the server through the waypoint, which tells of it.
fn scrapes(sandbox: &Sandbox, prometheus: &Prometheus<'_>) -> Result<()> {
    prometheus.await_exactly(
        &format!("application_up{{namespace=\"{}\"}}", sandbox.name),
        1,
    )?;
    let scrapes = "sum(istio_requests_total{source_workload=\"prometheus\",\
                   destination_workload=\"server\",response_code=\"200\",\
                   connection_security_policy=\"mutual_tls\"})";
    prometheus.await_number(scrapes, |scrapes| scrapes >= 1.0)?;
    Ok(())
}
