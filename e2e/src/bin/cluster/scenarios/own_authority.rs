//! A user's intermediate in Secret `cacerts` takes over from the root that the mesh made, under load:
//! both roots are trusted, then new pods have certificates of the intermediate, and no call fails. A
//! waypoint that is there takes part; one that has gone is not waited for.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::cluster::traffic::Traffic;
use ambit_e2e::cluster::{Cluster, Echo, Pod, SYSTEM};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::BITE;
use super::pair::Pair;
use super::said::make_waypoint;

const LOAD: Duration = Duration::from_secs(90);
const PER_SECOND: u32 = 50;
/// Until everybody has the new root and it signs.
const HANDED_OUT: Duration = Duration::from_secs(60);
const INTERMEDIATE: &str = "an intermediate of e2e";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("authority")?;
    let pair = Pair::captured(cluster, &shop, BITE)?;
    cluster.install_gateway_api()?;
    make_waypoint(cluster, &shop.name)?;
    for step in ["restart", "status"] {
        let args = ["-n", &shop.name, "rollout", step, "deployment/waypoint"];
        shop.kubectl.run(&args)?;
    }
    let (client, pace) = (pair.client.name(), (PER_SECOND, LOAD));
    let mut calls = Traffic::calls(cluster, &shop, client, pair.to()?, pace)?;

    let given = Given::make()?;
    let secret = Cacerts::put(cluster, &given)?;
    let took = wait_until("the intermediate to sign", HANDED_OUT, || {
        authority(cluster).is_ok_and(|authority| {
            authority.get("made_by") == Some(&json!("user"))
                && authority.get("phase") == Some(&json!("retiring"))
        })
    })?;
    let roots = [
        "-n",
        &shop.name,
        "get",
        "configmap",
        "ambit-ca-root-cert",
        "-o",
    ];
    let roots = shop
        .kubectl
        .run(&[&roots[..], &["jsonpath={.data.root-cert\\.pem}"]].concat())?;
    ensure!(
        roots.contains(given.root.trim()) && roots.matches("BEGIN").count() == 2,
        "published: {roots}"
    );

    let late = Echo::one("late").on(cluster.node(0)?);
    shop.apply(&late.objects(&shop))?;
    let selector = late.selector();
    let late = shop.ready_one(&selector)?;
    shop.captured(&selector, BITE)?;
    for (from, to) in [(late.name(), "server"), (client, "late")] {
        shop.curl(from, &format!("http://{to}/"))?;
    }
    let signers = signers(cluster, &late)?;
    ensure!(
        signers.is_none_or(|signers| signers.contains(INTERMEDIATE)),
        "somebody else has signed for a new pod"
    );
    calls
        .goes_on()
        .context("all this took longer than the load")?;
    let report = calls.finish(true, LOAD)?;
    report.flawless()?;
    drop(secret);
    Ok(format!(
        "signs after {:.1} s; {} connections, none failed",
        took.as_secs_f32(),
        report.tried
    ))
}

/// Who signs, as the status has it.
fn authority(cluster: &Cluster) -> Result<Value> {
    let said = cluster.ambit(&["status", "-o", "json"])?;
    let status: Value = serde_json::from_str(&said.out)?;
    status.get("authority").cloned().context("no authority")
}

/// The chain that a pod shows to whoever asks for a tunnel, if there is somebody outside to ask.
fn signers(cluster: &Cluster, pod: &Pod) -> Result<Option<String>> {
    let to = SocketAddr::new(pod.ip().context("no address")?, 15008).to_string();
    // Without a certificate of its own it is shown out, after it was shown one.
    let ask = format!("openssl s_client -connect {to} -showcerts </dev/null 2>&1; true");
    cluster.outside("sh", &["-c", &ask]).transpose()
}

/// What a user gives: PEM of each.
struct Given {
    root: String,
    certificate: String,
    key: String,
}

impl Given {
    fn make() -> Result<Self> {
        let signs = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let (root_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let params = signs("a root of e2e");
        let root = params.self_signed(&root_key)?.pem();
        let issuer = Issuer::new(params, root_key);
        let certificate = signs(INTERMEDIATE).signed_by(&key, &issuer)?.pem();
        Ok(Self {
            root,
            certificate,
            key: key.serialize_pem(),
        })
    }
}

/// The Secret, until this is dropped.
struct Cacerts<'a>(&'a Cluster);

impl<'a> Cacerts<'a> {
    fn put(cluster: &'a Cluster, given: &Given) -> Result<Self> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "cacerts" },
            "stringData": {
                "ca-cert.pem": given.certificate, "ca-key.pem": given.key,
                "cert-chain.pem": given.certificate, "root-cert.pem": given.root,
            },
        });
        let put = Self(cluster);
        cluster.kubectl.apply(SYSTEM, &[secret])?;
        Ok(put)
    }
}

impl Drop for Cacerts<'_> {
    fn drop(&mut self) {
        let delete = [
            "-n",
            SYSTEM,
            "delete",
            "secret",
            "cacerts",
            "--ignore-not-found",
        ];
        if let Err(error) = self.0.kubectl.run(&delete) {
            eprintln!("the Secret is still there: {error:#}");
        }
    }
}
