//! What the team's panels and alerts answer, in calm and in trouble.

use std::time::{Duration, Instant};

use ambit_e2e::cluster::{Prometheus, Sample};
use ambit_e2e::queries;
use ambit_e2e::wait::wait_with_pauses;
use anyhow::{Context as _, Result, bail, ensure};

use super::shop::Shop;

/// Time for what happened to be scraped.
const SCRAPED: Duration = Duration::from_secs(30);
/// An alert that has to hold for a minute, and may begin anew when an endpoint comes back.
const FIRES: Duration = Duration::from_secs(170);
/// An alert about the last two minutes: at the latest when these are over.
const ENDS: Duration = Duration::from_secs(150);
const PAUSE: Duration = Duration::from_millis(500);

/// Of nothing that services do wrong there is an answer in calm.
const SILENT: [&str; 9] = [
    "error percentage",
    "CircuitBreakerActive",
    "MTLSCoverageDrop",
    "ServiceHighErrorRate",
    "ServiceCriticalErrorRate",
    "ServiceHighLatency",
    "burn fast",
    "burn sustained",
    "burn slow",
];
/// By service and by cluster.
const OF_SERVICES: [&str; 5] = [
    "request rate",
    "latency p50",
    "latency p95",
    "latency p99",
    "success ratio",
];
const OF_CLUSTERS: [&str; 3] = [
    "ejected endpoints",
    "connection overflow",
    "pending overflow",
];

/// A shop, and the Prometheus that looks at it.
pub(super) struct Panels<'a> {
    shop: &'a Shop<'a>,
    prometheus: &'a Prometheus<'a>,
}

impl<'a> Panels<'a> {
    pub(super) fn of(shop: &'a Shop<'a>, prometheus: &'a Prometheus<'a>) -> Self {
        Self { shop, prometheus }
    }

    /// Has Prometheus see a request for each service, so that rates know where they begin.
    pub(super) fn begin(&self) -> Result<()> {
        self.prometheus.find_pods()?;
        for service in Shop::services() {
            self.shop.ask(service, "", 1)?;
        }
        for service in Shop::services() {
            let seen = format!(
                "sum(istio_requests_total{{reporter=\"destination\",destination_service_name=\"{service}\"}})"
            );
            self.prometheus.await_number(&seen, |count| count >= 1.0)?;
        }
        Ok(())
    }

    /// All expressions, while nothing is wrong.
    pub(super) fn calm(&self) -> Result<()> {
        for service in Shop::services() {
            self.shop.ask(service, "", 60)?;
        }
        for service in Shop::services() {
            for name in OF_SERVICES {
                let value = self.await_of(name, service, |value| value > 0.0)?;
                ensure!(value < 10_000.0, "{name} of {service} is {value}");
            }
            let ratio = self.await_of("success ratio", service, |_| true)?;
            ensure!(near(ratio, 1.0), "success ratio of {service}: {ratio}");
            let quantiles: Result<Vec<f64>> = queries::LATENCIES
                .iter()
                .map(|name| self.await_of(name, service, |_| true))
                .collect();
            ensure!(quantiles?.is_sorted(), "quantiles of {service}");
            let cluster = self.shop.cluster(service);
            for name in OF_CLUSTERS {
                self.await_of(name, &cluster, |value| near(value, 0.0))?;
            }
        }
        for name in SILENT {
            let said = self.prometheus.ask(queries::named(name)?)?;
            let about = said.iter().find(|sample| self.is_ours(sample));
            ensure!(about.is_none(), "{name} in calm: {about:?}");
        }
        self.prometheus
            .await_exactly(queries::named("mTLS coverage")?, 100)?;
        self.prometheus
            .await_exactly(queries::named("secured share")?, 1)?;
        // What was asked of outside is counted.
        let refused = "sum(ambit_refusals_total{reason=\"unknown_destination\"})";
        self.prometheus
            .await_number(refused, |count| count >= 1.0)?;
        // Every expression is one that Prometheus understands.
        for (name, expression) in queries::all() {
            self.prometheus
                .ask(expression)
                .with_context(|| format!("{name}: {expression}"))?;
        }
        Ok(())
    }

    /// Endpoints fail, pools overflow and answers are slow: what tells of it does. A sentence.
    pub(super) fn trouble(&self) -> Result<String> {
        let began = Instant::now();
        // Endpoints that fail twice in a row are ejected, three in ten of them at the most: one of four,
        // at each waypoint.
        let inventory = "inventory-service";
        self.fail(inventory)?;
        let cluster = self.shop.cluster(inventory);
        let ejected = self.await_of("ejected endpoints", &cluster, |count| count >= 1.0)?;
        ensure!(
            ejected <= self.waypoints()?,
            "{ejected} endpoints are ejected"
        );
        self.await_of("CircuitBreakerActive", &cluster, |count| count >= 1.0)?;
        // A rate begins with the second sample of a series.
        self.fail(inventory)?;
        for name in [
            "error percentage",
            "ServiceHighErrorRate",
            "ServiceCriticalErrorRate",
            "burn fast",
            "burn sustained",
            "burn slow",
        ] {
            self.await_of(name, inventory, |value| value > 0.0)?;
        }
        self.await_of("success ratio", inventory, |ratio| ratio < 0.9)?;

        // More at once than the pool lets through, at both waypoints.
        let payment = "payment-service";
        let answers = self.shop.ask_at_once(payment, "slow/150", 600, 280)?;
        let refused = answers.iter().filter(|status| *status == "503").count();
        ensure!(refused > 0, "600 requests, 280 at once: {answers:?}");
        let cluster = self.shop.cluster(payment);
        self.await_of("pending overflow", &cluster, |rate| rate > 0.0)?;
        self.await_of("slow p95", payment, |_| true)?;
        self.overflow_connections(&cluster)?;

        // Answers that take longer than two seconds.
        self.shop.ask_at_once("frontend", "slow/50", 60, 30)?;
        self.await_of("ServiceHighLatency", "frontend", |ms| ms > 2000.0)?;
        self.fires(inventory)?;
        let fired = began.elapsed();
        self.ends(inventory)?;
        let secured = queries::named("mTLS coverage")?;
        self.prometheus.await_exactly(secured, 100)?;
        Ok(format!(
            "{ejected} ejected, {refused} of 600 refused, alerts fire after {fired:.0?}, and one ends {:.0?} later",
            began.elapsed().saturating_sub(fired)
        ))
    }

    /// Requests that are answered with 502.
    fn fail(&self, service: &str) -> Result<()> {
        let answers = self.shop.ask(service, "broken", 40)?;
        ensure!(answers.iter().all(|status| status == "502"), "{answers:?}");
        Ok(())
    }

    /// With one connection only, requests wait for it, which is an overflow of connections. The
    /// team's number of them cannot be reached: as many requests fill the pool before.
    fn overflow_connections(&self, cluster: &str) -> Result<()> {
        let sandbox = self.shop.sandbox;
        let one = r#"{"spec":{"trafficPolicy":{"connectionPool":{"tcp":{"maxConnections":1}}}}}"#;
        let patch = ["patch", "destinationrule/payment-service", "--type=merge"];
        let args = [&["-n", &sandbox.name][..], &patch, &["-p", one]].concat();
        sandbox.kubectl.run(&args)?;
        wait_with_pauses(PAUSE, "an overflow of connections", SCRAPED, || {
            self.shop
                .ask_at_once("payment-service", "one", 60, 30)
                .ok()?;
            let rate = self.value("connection overflow", cluster).ok()??;
            (rate > 0.0).then_some(())
        })
    }

    /// The chart's own alerts fire, while endpoints go on failing.
    fn fires(&self, service: &str) -> Result<()> {
        for alert in ["CircuitBreakerActive", "ServiceCriticalErrorRate"] {
            let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
            wait_with_pauses(PAUSE, &format!("{alert} to fire"), FIRES, || {
                self.fail(service).ok()?;
                let firing = self.prometheus.ask(&firing).ok()?;
                firing
                    .iter()
                    .any(|sample| self.is_ours(sample))
                    .then_some(())
            })?;
        }
        Ok(())
    }

    /// It ends when requests are answered again: many of them, so that those that failed are soon few.
    fn ends(&self, service: &str) -> Result<()> {
        let firing = format!(
            "ALERTS{{alertname=\"ServiceCriticalErrorRate\",alertstate=\"firing\",\
             destination_service_name=\"{service}\"}}"
        );
        wait_with_pauses(PAUSE, "ServiceCriticalErrorRate to end", ENDS, || {
            self.shop.ask_at_once(service, "", 1000, 20).ok()?;
            let firing = self.prometheus.ask(&firing).ok()?;
            firing.is_empty().then_some(())
        })
    }

    /// Waits for an answer about a service or cluster that is as wanted.
    fn await_of(&self, name: &str, of: &str, is_wanted: impl Fn(f64) -> bool) -> Result<f64> {
        let mut last = None;
        let found = wait_with_pauses(PAUSE, &format!("{name} of {of}"), SCRAPED, || {
            last = self.value(name, of).ok()?;
            last.filter(|value| is_wanted(*value))
        });
        match found {
            Ok(value) => Ok(value),
            Err(error) => bail!("{error:#}; it is {last:?}"),
        }
    }

    /// What an expression says of a service or cluster, if anything.
    fn value(&self, name: &str, of: &str) -> Result<Option<f64>> {
        let said = self.prometheus.ask(queries::named(name)?)?;
        let mut said = said.iter();
        let about = |sample: &&Sample| {
            sample.label("destination_service_name") == of || sample.label("cluster_name") == of
        };
        Ok(said.find(about).map(Sample::value))
    }

    /// Whether a sample is about the shop: others may have troubles of their own.
    fn is_ours(&self, sample: &Sample) -> bool {
        let service = sample.label("destination_service_name");
        let cluster = sample.label("cluster_name");
        let mut ours = Shop::services();
        ours.any(|name| name == service || self.shop.cluster(name) == cluster)
    }

    /// How many waypoints there are.
    fn waypoints(&self) -> Result<f64> {
        let gateway = "gateway.networking.k8s.io/gateway-name";
        let pods = self.shop.sandbox.pods(gateway)?;
        Ok(f64::from(u32::try_from(pods.len())?))
    }
}

fn near(value: f64, to: f64) -> bool {
    (value - to).abs() < 1e-9
}
