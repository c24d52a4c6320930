//! Prometheus as users run it in a cluster: it scrapes the pods whose annotations ask for it, and is
//! asked by its HTTP API, through the API server.
//!
//! Debian's build cannot find pods by itself. It is told of all there are ([`Prometheus::find_pods`]),
//! in the words in which `kubernetes_sd_configs` with the role `pod` would: which of them it scrapes,
//! and where, is left to what users have in their `relabel_configs`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Sandbox;
use crate::clients::percent_encoded;
use crate::wait::wait_with_pauses;

/// Its name, its label `app` and its service account.
const NAME: &str = "prometheus";
const PORT: u16 = 9090;
/// Where it reads which pods there are.
const PODS: &str = "/data/pods.json";
/// Time for it to find pods and to scrape them, on a busy machine.
const SCRAPED: Duration = Duration::from_secs(40);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(300);

/// What the annotations `prometheus.io/*` of pods mean nearly everywhere.
const CONFIG: &str = r#"
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 5s}
rule_files: [/etc/prometheus/rules.yaml]
scrape_configs:
- job_name: kubernetes-pods
  file_sd_configs: [{files: [/data/pods.json], refresh_interval: 2s}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_pod_phase], action: drop, regex: Pending|Succeeded|Failed}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], target_label: __metrics_path__, regex: (.+)}
  - source_labels: [__address__, __meta_kubernetes_pod_annotation_prometheus_io_port]
    target_label: __address__
    regex: '([^:]+)(?::\d+)?;(\d+)'
    replacement: $1:$2
  - {action: labelmap, regex: __meta_kubernetes_pod_label_(.+)}
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
"#;

/// The rules that the chart ships.
const RULES: &str = include_str!("../../../manifests/charts/ambit/files/rules.yaml");
const NO_RULES: &str = "groups: []\n";

/// A Prometheus in a namespace of a scenario.
#[derive(Debug)]
pub struct Prometheus<'a> {
    sandbox: &'a Sandbox,
    pod: String,
}

/// A series of an answer, and its value.
#[derive(Clone, Debug, Deserialize)]
pub struct Sample {
    /// Its labels.
    #[serde(rename = "metric")]
    pub labels: BTreeMap<String, String>,
    #[serde(rename = "value")]
    point: (f64, String),
}

#[derive(Debug, Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Debug, Deserialize)]
struct Vector {
    result: Vec<Sample>,
}

impl Sample {
    /// Its value.
    pub fn value(&self) -> f64 {
        self.point.1.parse().unwrap_or(f64::NAN)
    }

    /// A label; empty if it has none of that name.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl<'a> Prometheus<'a> {
    /// Asks for one.
    pub fn create(sandbox: &Sandbox, image: &str) -> Result<()> {
        sandbox.apply(&objects(image, NO_RULES))
    }

    /// The same, with the rules that the chart ships, looked at more often than there.
    pub fn create_with_rules(sandbox: &Sandbox, image: &str) -> Result<()> {
        let rules = RULES.replace("interval: 30s", "interval: 5s");
        sandbox.apply(&objects(image, &rules))
    }

    /// The one that was asked for, once it is ready.
    pub fn ready(sandbox: &'a Sandbox) -> Result<Self> {
        let pod = sandbox.ready_one(&format!("app={NAME}"))?;
        Ok(Self {
            sandbox,
            pod: pod.name().to_owned(),
        })
    }

    /// Tells it of all pods that there are now.
    pub fn find_pods(&self) -> Result<()> {
        let pods: Vec<Value> = self.sandbox.kubectl.list(&["get", "pods", "-A"])?;
        let groups: Vec<Value> = pods.iter().map(group).collect();
        let groups = serde_json::to_vec(&groups)?;
        self.sandbox.put(&self.pod, PODS, "644", &groups)
    }

    /// The series that a query gives.
    pub fn ask(&self, query: &str) -> Result<Vec<Sample>> {
        let query = percent_encoded(query);
        let answer: Answer<Vector> = self.get(&format!("query?query={query}"))?;
        Ok(answer.data.result)
    }

    /// What a variable of a dashboard offers: the values of a label of a metric.
    pub fn label_values(&self, metric: &str, label: &str) -> Result<Vec<String>> {
        let answer: Answer<Vec<String>> =
            self.get(&format!("label/{label}/values?match[]={metric}"))?;
        Ok(answer.data)
    }

    /// Asks until the answer is one number that is as wanted.
    pub fn await_number(&self, query: &str, is_wanted: impl Fn(f64) -> bool) -> Result<f64> {
        let mut last = None;
        let found = wait_with_pauses(PAUSE, &format!("an answer to {query}"), SCRAPED, || {
            let answer = self.ask(query);
            let number = match answer.as_deref() {
                Ok([only]) if is_wanted(only.value()) => Some(only.value()),
                _ => None,
            };
            last = Some(answer);
            number
        });
        found.with_context(|| format!("the last was {last:?}"))
    }

    /// Asks until the answer is this number.
    pub fn await_exactly(&self, query: &str, number: u32) -> Result<()> {
        let number = f64::from(number);
        self.await_number(query, |seen| (seen - number).abs() < 1e-9)?;
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let Self { sandbox, pod } = self;
        let pod = format!("/api/v1/namespaces/{}/pods/{pod}:{PORT}", sandbox.name);
        let said = sandbox
            .kubectl
            .run(&["get", "--raw", &format!("{pod}/proxy/api/v1/{what}")])?;
        ensure!(said.contains(r#""status":"success""#), "{what}: {said}");
        serde_json::from_str(&said).with_context(|| format!("reading {said:?}"))
    }
}

/// What `kubernetes_sd_configs` would say of a pod: a target for each port of each container, and one
/// without a port for a container that has none.
fn group(pod: &Value) -> Value {
    let list = |path| {
        let found = pod.pointer(path).and_then(Value::as_array);
        found.into_iter().flatten()
    };
    let text = |path| {
        pod.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let ip = match text("/status/podIP") {
        v6 if v6.contains(':') => format!("[{v6}]"),
        v4 => v4.to_owned(),
    };
    let containers = list("/spec/initContainers").chain(list("/spec/containers"));
    let targets = containers.flat_map(|container| {
        let ports = container.get("ports").and_then(Value::as_array);
        let numbers = ports
            .into_iter()
            .flatten()
            .map(|port| &port["containerPort"]);
        let mut targets: Vec<_> = numbers.map(|number| format!("{ip}:{number}")).collect();
        if targets.is_empty() {
            targets.push(ip.clone());
        }
        targets
    });
    let mut labels = serde_json::Map::new();
    let mut add = |name: &str, value: &str| {
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        labels.insert(format!("__meta_kubernetes_{name}"), value.into());
    };
    add("namespace", text("/metadata/namespace"));
    add("pod_name", text("/metadata/name"));
    add("pod_phase", text("/status/phase"));
    for (field, kind) in [("annotations", "annotation"), ("labels", "label")] {
        let texts = pod.pointer(&format!("/metadata/{field}"));
        for (name, value) in texts.and_then(Value::as_object).into_iter().flatten() {
            add(
                &format!("pod_{kind}_{name}"),
                value.as_str().unwrap_or_default(),
            );
        }
    }
    json!({ "targets": targets.collect::<Vec<_>>(), "labels": labels })
}

fn objects(image: &str, rules: &str) -> Vec<Value> {
    let labels = json!({ "app": NAME });
    let args = [
        "--config.file=/etc/prometheus/prometheus.yaml",
        "--storage.tsdb.path=/data",
    ];
    let pod = json!({
        "serviceAccountName": NAME,
        "terminationGracePeriodSeconds": 1,
        "securityContext": { "runAsUser": 65534, "runAsNonRoot": true },
        "containers": [{
            "name": NAME, "image": image, "imagePullPolicy": "IfNotPresent", "args": args,
            "ports": [{ "containerPort": PORT }],
            "readinessProbe": {
                "httpGet": { "path": "/-/ready", "port": PORT }, "periodSeconds": 1,
            },
            "volumeMounts": [
                { "name": "config", "mountPath": "/etc/prometheus" },
                { "name": "data", "mountPath": "/data" },
            ],
        }],
        "volumes": [
            { "name": "config", "configMap": { "name": NAME } },
            { "name": "data", "emptyDir": {} },
        ],
    });
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": NAME } }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": NAME },
            "data": { "prometheus.yaml": CONFIG, "rules.yaml": rules },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME },
            "spec": {
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": pod },
            },
        }),
    ]
}
