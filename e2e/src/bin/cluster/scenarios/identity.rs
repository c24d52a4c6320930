//! Who gets which identity: an agent those of its own node, a pod none, whatever token it shows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Pod, SYSTEM, Sandbox};
use anyhow::{Context as _, Result, bail, ensure};
use prost::Message as _;
use serde_json::Value;

const PORT: u16 = 15012;
const METRICS: u16 = 15014;
const CALL: &str =
    "https://ambit-control-plane:15012/istio.v1.auth.IstioCertificateService/CreateCertificate";
const REQUEST: &str = "/tmp/request";
const ROOT: &str = "/tmp/root.pem";
/// How often a call whose answer gets lost is made.
const CALLS: usize = 10;
const START: Duration = Duration::from_secs(60);

/// gRPC's numbers.
const OK: &str = "0";
const PERMISSION_DENIED: &str = "7";
const UNAUTHENTICATED: &str = "16";

/// A `CreateCertificate` request, as much of it as matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(string, tag = "1")]
    csr: String,
    #[prost(message, optional, tag = "4")]
    metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Field>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Field {
    #[prost(string, tag = "3")]
    text: String,
}

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let (near, far) = (cluster.node(0)?, cluster.node(1)?);
    let shop = cluster.sandbox("identity")?;
    shop.enrol()?;
    let (asker, owner) = (Echo::one("asker").on(near), Echo::one("owner").on(far));
    shop.apply(&asker.objects(&shop))?;
    shop.apply(&owner.objects(&shop))?;
    let asker = shop.ready_one(&asker.selector())?;
    let owner = shop.ready_one(&owner.selector())?;
    shop.captured("", START)?;
    let asked = Asked::new(cluster, &shop, &asker)?;

    let identity = format!("spiffe://cluster.local/ns/{}/sa/owner", shop.name);
    let agents = cluster.kubectl.pods(SYSTEM, "app=ambit-node-agent")?;
    let agent_on = |node: &str| agents.iter().find(|agent| agent.node() == node);
    let near_agent = agent_on(near).context("no agent near")?;
    let far_agent = agent_on(far).context("no agent far")?;
    let before = asked.refusals(cluster)?;
    let (of_agent, of_owner) = ("ambit-node-agent", "owner");
    let cases = [
        ("the agent of its node", SYSTEM, of_agent, far_agent, OK),
        (
            "the agent of another",
            SYSTEM,
            of_agent,
            near_agent,
            PERMISSION_DENIED,
        ),
        (
            "the pod itself",
            shop.name.as_str(),
            of_owner,
            &owner,
            PERMISSION_DENIED,
        ),
    ];
    for (who, namespace, account, pod, expected) in cases {
        let token = token(cluster, namespace, account, pod)?;
        let status = asked.certificate(&identity, Some(&token))?;
        ensure!(
            status == expected,
            "{who} got status {status} for {identity}, not {expected}"
        );
    }
    let status = asked.certificate(&identity, None)?;
    ensure!(
        status == UNAUTHENTICATED,
        "without a token: status {status}"
    );
    let after = asked.refusals(cluster)?;
    let logs = [
        "-n",
        SYSTEM,
        "logs",
        "-l",
        "app=ambit-control-plane",
        "--since=60s",
        "--tail=-1",
    ];
    let logs = cluster.kubectl.run(&logs)?;
    for reason in ["not_on_node", "not_an_agent", "no_token"] {
        let count = |numbers: &BTreeMap<String, f64>| numbers.get(reason).copied().unwrap_or(0.0);
        ensure!(
            count(&after) > count(&before),
            "no refusal was counted as {reason}: {after:?}"
        );
        let is_logged = |line: &str| line.contains(reason) && line.contains("WARN");
        ensure!(
            logs.lines().any(is_logged),
            "no refusal was logged as {reason}"
        );
    }
    Ok("an agent gets identities of its own node only, a pod none".to_owned())
}

/// A token of a service account that is bound to a pod, as the kubelet would fetch it.
fn token(cluster: &Cluster, namespace: &str, account: &str, pod: &Pod) -> Result<String> {
    let bound = ["--bound-object-kind=Pod", "--bound-object-name", pod.name()];
    let uid = ["--bound-object-uid", pod.uid()];
    let mut args = vec![
        "-n",
        namespace,
        "create",
        "token",
        account,
        "--audience=ambit-ca",
    ];
    args.extend(bound);
    args.extend(uid);
    Ok(cluster.kubectl.run(&args)?.trim().to_owned())
}

/// A pod that asks control planes.
struct Asked<'a> {
    shop: &'a Sandbox,
    pod: &'a str,
    planes: Vec<Pod>,
}

impl<'a> Asked<'a> {
    fn new(cluster: &Cluster, shop: &'a Sandbox, pod: &'a Pod) -> Result<Self> {
        let map = ["-n", SYSTEM, "get", "configmap", "ambit-ca-root-cert"];
        let map: Value = cluster.kubectl.json(&map)?;
        let root = map.pointer("/data/root-cert.pem").and_then(Value::as_str);
        let root = root.context("no root is published")?;
        shop.put(pod.name(), ROOT, "644", root.as_bytes())?;
        let planes = cluster.kubectl.pods(SYSTEM, "app=ambit-control-plane")?;
        Ok(Self {
            shop,
            pod: pod.name(),
            planes,
        })
    }

    /// The gRPC status of a request for a certificate.
    fn certificate(&self, identity: &str, token: Option<&str>) -> Result<String> {
        let text = identity.to_owned();
        let fields = BTreeMap::from([("ImpersonatedIdentity".to_owned(), Field { text })]);
        let request = Request {
            csr: csr()?,
            metadata: Some(Struct { fields }),
        };
        let body = request.encode_to_vec();
        // A message of gRPC: not compressed, its length, itself.
        let length = u32::try_from(body.len())?.to_be_bytes();
        let framed = [&[0], length.as_slice(), &body].concat();
        self.shop.put(self.pod, REQUEST, "644", &framed)?;
        let plane = self
            .planes
            .first()
            .and_then(Pod::ip)
            .context("no control plane")?;
        let to = format!("ambit-control-plane:{PORT}:{plane}");
        let authorization = token.map(|token| format!("authorization: Bearer {token}"));
        let mut curl = vec![
            "curl",
            "-sS",
            "-m",
            "10",
            "-v",
            "-o",
            "/dev/null",
            "--cacert",
            ROOT,
        ];
        curl.extend([
            "--resolve",
            &to,
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
        ]);
        if let Some(authorization) = &authorization {
            curl.extend(["-H", authorization]);
        }
        let data = format!("@{REQUEST}");
        curl.extend(["--data-binary", &data, CALL]);
        // What curl tells of headers and trailers it tells on stderr. Some versions drop an answer
        // that comes before all of the request is read, which is how calls without a token end.
        let program: Vec<&str> = ["sh", "-c", "\"$@\" 2>&1; true", "sh"]
            .into_iter()
            .chain(curl)
            .collect();
        let mut said = String::new();
        for _ in 0..CALLS {
            said = self.shop.exec(self.pod, &program)?;
            let mut statuses = said
                .lines()
                .filter_map(|line| line.split_once("grpc-status:"));
            if let Some((_, status)) = statuses.next() {
                return Ok(status.trim().to_owned());
            }
        }
        bail!("no gRPC status in {CALLS} answers, the last: {said}")
    }

    /// Refusals by reason, of all control planes together.
    fn refusals(&self, cluster: &Cluster) -> Result<BTreeMap<String, f64>> {
        let mut refusals = BTreeMap::new();
        for plane in &self.planes {
            let ip = plane.ip().context("a control plane without address")?;
            let url = format!("http://{}/metrics", SocketAddr::new(ip, METRICS));
            let text = cluster.kubectl.exec(
                &self.shop.name,
                self.pod,
                &["curl", "-sS", "-m", "5", &url],
            )?;
            for line in text.lines() {
                let ours = ["ambit_calls_refused_total{", "ambit_ca_refusals_total{"];
                if !ours.iter().any(|name| line.starts_with(name)) {
                    continue;
                }
                let reason = line
                    .split("reason=\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next());
                let number = line
                    .rsplit(' ')
                    .next()
                    .and_then(|number| number.parse::<f64>().ok());
                if let (Some(reason), Some(number)) = (reason, number) {
                    *refusals.entry(reason.to_owned()).or_insert(0.0) += number;
                }
            }
        }
        Ok(refusals)
    }
}

fn csr() -> Result<String> {
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::default().serialize_request(&key)?;
    Ok(request.pem()?)
}
