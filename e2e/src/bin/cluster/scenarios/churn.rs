//! Pods come and go by the hundred on a few addresses, in two colours that policy keeps apart: no
//! red one is ever answered by a blue one or the other way round, whoever had the address before,
//! every one is answered by its own colour at its first call, and nothing of them is left.

mod leftovers;
mod narrow;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ambit_e2e::cluster::{Cluster, Figures, HTTP, Pod, Sandbox};
use ambit_e2e::wait::wait_with_pauses;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::leftovers::Leftovers;
use self::narrow::Narrow;

const RED: &str = "red";
const BLUE: &str = "blue";
/// Pods of each colour in a first round, after which everything that stays is there.
const WARM_UP: usize = 12;
/// Pods of each colour in the round that counts.
const PODS: usize = 150;
const AT_ONCE: usize = 12;
const CAPTURE: Duration = Duration::from_secs(60);
/// Between two looks at how far they are.
const LOOK: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_secs(420);
const SETTLE: Duration = Duration::from_secs(90);
/// Ninety-nine of a hundred changes are with an agent after so many seconds.
const CONVERGENCE: f64 = 1.0;

/// Answers with its colour.
const SERVE: &str = r#"cat > /tmp/nginx.conf <<END
daemon off; user root; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server { listen 8080; listen [::]:8080; location / { return 200 "$COLOUR\n"; } }
}
END
nginx -c /tmp/nginx.conf &
"#;

/// Calls both colours for some seconds and ends.
const COME_AND_GO: &str = r#"
for _ in 1 2 3 4; do
  said=$(curl -sS -m 20 "http://$OWN/" 2>&1)
  [ "$said" = "$COLOUR" ] || { echo "$COLOUR was told by its own: $said"; exit 1; }
  if said=$(curl -s --fail -m 5 "http://$OTHER/"); then echo "$COLOUR got $said"; exit 2; fi
  sleep 0.5
done
"#;

/// Calls every address again and again, and keeps what is answered.
const SWEEP: &str = r#"
for address in $ADDRESSES; do
  while :; do
    curl -s --fail -m 2 "http://$address:8080/" >> /tmp/said
    sleep 1
  done &
done
wait
"#;

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("churn")?;
    shop.enrol()?;
    for colour in [RED, BLUE] {
        shop.apply(&rules_of(&shop, colour))?;
    }
    let narrow = Narrow::all(cluster)?;
    let sweepers = Sweepers::start(cluster, &shop, &narrow.addresses.join(" "))?;
    shop.captured("", CAPTURE)?;

    round(&shop, WARM_UP, &sweepers)?;
    let before = Leftovers::settled(cluster, SETTLE)?;
    let earlier = Figures::read(cluster, &shop, sweepers.red.name())?;
    let took = round(&shop, PODS, &sweepers)?;
    let figures = Figures::read(cluster, &shop, sweepers.red.name())?;

    let answers = sweepers.answers(&shop)?;
    before.are_back(cluster, SETTLE)?;
    let p99 = figures
        .since(&earlier)
        .quantile("pilot_proxy_convergence_time", 0.99)
        .context("no change reached an agent")?;
    ensure!(p99 <= CONVERGENCE, "changes took {p99} s at p99");
    let pods = PODS.saturating_mul(2);
    Ok(format!(
        "{pods} pods in {:.0} s, {answers} answers, none of the other colour; changes are with the \
         agents within {p99} s at p99",
        took.as_secs_f32()
    ))
}

/// A pod of each colour that stays, one a node.
struct Sweepers {
    red: Pod,
    blue: Pod,
}

impl Sweepers {
    fn start(cluster: &Cluster, shop: &Sandbox, addresses: &str) -> Result<Self> {
        let script = format!("{SERVE}{SWEEP}");
        for (number, colour) in [RED, BLUE].into_iter().enumerate() {
            let variables = [("COLOUR", colour), ("ADDRESSES", addresses)];
            let mut spec = pod_spec(shop, colour, &script, &variables);
            put(
                &mut spec,
                "nodeSelector",
                json!({ "kubernetes.io/hostname": cluster.node(number)? }),
            );
            let labels = json!({ "colour": colour, "app": stays(colour) });
            shop.apply(&[json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": stays(colour), "labels": labels }, "spec": spec,
            })])?;
        }
        let ready = |colour| shop.ready_one(&format!("app={}", stays(colour)));
        let (red, blue) = (ready(RED)?, ready(BLUE)?);
        Ok(Self { red, blue })
    }

    /// How many answers they got; an error if one was of the other colour.
    fn answers(&self, shop: &Sandbox) -> Result<usize> {
        let mut answers = 0_usize;
        for (pod, colour) in [(&self.red, RED), (&self.blue, BLUE)] {
            let said = shop.exec(pod.name(), &["cat", "/tmp/said"])?;
            let other = said.lines().find(|line| *line != colour);
            ensure!(other.is_none(), "a {colour} pod was answered {other:?}");
            answers = answers.saturating_add(said.lines().count());
        }
        ensure!(answers > PODS, "only {answers} answers in all that time");
        Ok(answers)
    }

    fn addresses(&self) -> Result<[IpAddr; 2]> {
        let address = |pod: &Pod| pod.ip().context("a pod without address");
        Ok([address(&self.red)?, address(&self.blue)?])
    }
}

fn stays(colour: &str) -> String {
    format!("{colour}-stays")
}

/// Has so many pods of each colour come and go; answers how long it took.
fn round(shop: &Sandbox, pods: usize, sweepers: &Sweepers) -> Result<Duration> {
    let start = Instant::now();
    let [red, blue] = sweepers.addresses()?;
    shop.apply(&[
        job(shop, RED, pods, [red, blue]),
        job(shop, BLUE, pods, [blue, red]),
    ])?;
    let ended = wait_with_pauses(LOOK, "the pods to have come and gone", ROUND, || {
        let jobs = progress(shop).ok()?;
        let failed = jobs.iter().any(|job| job.failed > 0);
        let succeeded = jobs.iter().all(|job| job.succeeded == pods);
        (failed || succeeded).then_some(jobs)
    });
    for job in ended? {
        ensure!(job.failed == 0, "{}", why(shop)?);
    }
    let took = start.elapsed();
    shop.kubectl.run_within(
        SETTLE,
        &[
            "-n",
            &shop.name,
            "delete",
            "job",
            RED,
            BLUE,
            "--cascade=foreground",
        ],
    )?;
    Ok(took)
}

/// How far a job is.
#[derive(Debug, Default)]
struct Progress {
    succeeded: usize,
    failed: usize,
}

fn progress(shop: &Sandbox) -> Result<[Progress; 2]> {
    let of = |colour: &str| -> Result<Progress> {
        let job: Value = shop
            .kubectl
            .json(&["-n", &shop.name, "get", "job", colour])?;
        let number = |field: &str| {
            let number = job
                .pointer(&format!("/status/{field}"))
                .and_then(Value::as_u64);
            usize::try_from(number.unwrap_or_default()).unwrap_or_default()
        };
        Ok(Progress {
            succeeded: number("succeeded"),
            failed: number("failed"),
        })
    };
    Ok([of(RED)?, of(BLUE)?])
}

/// What pods that failed said.
fn why(shop: &Sandbox) -> Result<String> {
    let failed = "--field-selector=status.phase=Failed";
    let pods = shop
        .kubectl
        .names(&["-n", &shop.name, "get", "pods", failed])?;
    let logs = |pod: &String| shop.kubectl.run(&["-n", &shop.name, "logs", pod]);
    let said = pods
        .iter()
        .map(|pod| Ok(format!("{pod}: {}", logs(pod)?.trim())));
    Ok(said.collect::<Result<Vec<_>>>()?.join("; "))
}

/// An account, a service, and a policy that lets nobody in but the same colour.
fn rules_of(shop: &Sandbox, colour: &str) -> [Value; 3] {
    let principal = format!("cluster.local/ns/{}/sa/{colour}", shop.name);
    let labels = json!({ "colour": colour });
    [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": colour } }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": colour },
            "spec": { "selector": labels, "ports": [{ "port": HTTP }] },
        }),
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": { "name": colour },
            "spec": {
                "selector": { "matchLabels": labels },
                "rules": [{ "from": [{ "source": { "principals": [principal] } }] }],
            },
        }),
    ]
}

/// Pods that call the pod of their own colour, and the one of the other.
fn job(shop: &Sandbox, colour: &str, pods: usize, [own, other]: [IpAddr; 2]) -> Value {
    let at = |ip| SocketAddr::new(ip, HTTP).to_string();
    let (own, other) = (at(own), at(other));
    let variables = [("COLOUR", colour), ("OWN", &own), ("OTHER", &other)];
    let mut spec = pod_spec(shop, colour, &format!("{SERVE}{COME_AND_GO}"), &variables);
    put(&mut spec, "restartPolicy", json!("Never"));
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": colour },
        "spec": {
            "completions": pods, "parallelism": AT_ONCE, "backoffLimit": 0,
            "template": { "metadata": { "labels": { "colour": colour } }, "spec": spec },
        },
    })
}

fn pod_spec(shop: &Sandbox, colour: &str, script: &str, variables: &[(&str, &str)]) -> Value {
    let variables = variables
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "serviceAccountName": colour,
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "pod", "image": shop.image, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script], "env": variables.collect::<Vec<_>>(),
        }],
    })
}

fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value);
    }
}
