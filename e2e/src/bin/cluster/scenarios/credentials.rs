//! With `outside.credentials.enabled` for a namespace: the control plane may get Secrets there and nowhere
//! else, and a waypoint shows a server outside the certificate of the one that a DestinationRule names.

use std::net::Ipv4Addr;
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Kubectl, Pod, SYSTEM, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::BITE;
use super::said::{BOUND, make_waypoint};
use super::stranger::Stranger;

/// The server outside.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
const PORT: u16 = 18490;
const HOST: &str = "partner.example.com";
/// The Secret.
const SECRET: &str = "partner";
/// The control plane looks every ten seconds.
const LOOKED: Duration = Duration::from_secs(25);

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    cluster.install_gateway_api()?;
    let shop = cluster.sandbox("credentials")?;
    let namespaces = format!("outside.credentials.namespaces={{{}}}", shop.name);
    let values = [
        "--set",
        "outside.credentials.enabled=true",
        "--set",
        &namespaces,
    ];
    cluster.release.upgrade(&values)?;
    let outcome = shown(cluster, &shop);
    cluster.release.upgrade(&[])?;
    outcome?;
    ensure!(
        !may(&cluster.kubectl, "get", &shop.name)?,
        "Secrets may be had although nobody asks for that any more"
    );
    Ok(
        "a Secret is shown to a server outside while it is there; only its namespace's may be had"
            .to_owned(),
    )
}

fn shown(cluster: &Cluster, shop: &Sandbox) -> Result<()> {
    let kubectl = &cluster.kubectl;
    for (verb, namespace, expected) in [
        ("get", shop.name.as_str(), true),
        ("list", &shop.name, false),
        ("watch", &shop.name, false),
        ("get", "default", false),
    ] {
        let said = may(kubectl, verb, namespace)?;
        ensure!(said == expected, "{verb} Secrets of {namespace}: {said}");
    }

    let authority = Authority::new()?;
    let outside = cluster.sandbox("credentials-outside")?;
    let node = cluster.node(1)?;
    let (chain, key) = authority.issue(HOST)?;
    let site = format!(
        "server {{ listen {PORT} ssl; ssl_certificate /tmp/crt; ssl_certificate_key /tmp/key;
  ssl_client_certificate /tmp/ca; ssl_verify_client on; location / {{ return 200 $ssl_client_verify; }} }}"
    );
    let files = [("crt", &*chain), ("key", &key), ("ca", &authority.root)];
    let stranger = Stranger {
        address: OUTSIDE,
        port: PORT,
        site: &site,
        files: &files,
    };
    outside.apply(&[stranger.pod(&outside.image, node)])?;
    shop.enrol()?;
    make_waypoint(cluster, &shop.name)?;
    let client = Echo::one("client").on(node);
    shop.apply(&client.objects(shop))?;
    outside.ready_one(Stranger::SELECTOR)?;
    let client = shop.ready_one(&client.selector())?;
    shop.captured(&Echo::one("client").selector(), BITE)?;
    kubectl.apply_text(&shop.name, &objects())?;

    answers(shop, &client, "outside_tls 503", BITE)?;
    let status = [
        "-n",
        &shop.name,
        "get",
        "destinationrule",
        SECRET,
        "-o",
        "yaml",
    ];
    wait_until("the rule's status to name the Secret", BITE, || {
        let wanted = format!("Secret {}/{SECRET}", shop.name);
        kubectl
            .run(&status)
            .is_ok_and(|said| said.contains(&wanted))
    })?;
    let (chain, key) = authority.issue("client.example.com")?;
    shop.apply(&[json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET },
        "stringData": { "tls.crt": chain, "tls.key": key, "ca.crt": authority.root },
    })])?;
    answers(shop, &client, "SUCCESS 200", LOOKED)?;
    kubectl.run(&["-n", &shop.name, "delete", "secret", SECRET])?;
    answers(shop, &client, "outside_tls 503", LOOKED)
}

/// The partner's own authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "partner");
        let root = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, root })
    }

    /// A certificate for a host, and its key.
    fn issue(&self, host: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

/// Whether the control plane may do that with Secrets of a namespace.
fn may(kubectl: &Kubectl, verb: &str, namespace: &str) -> Result<bool> {
    let user = format!("--as=system:serviceaccount:{SYSTEM}:ambit-control-plane");
    let said = kubectl.say(&["auth", "can-i", verb, "secrets", "-n", namespace, &user])?;
    match said.out.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => anyhow::bail!("{other}{}", said.err),
    }
}

/// Waits until the client is answered with that, by the server or the waypoint.
fn answers(shop: &Sandbox, client: &Pod, wanted: &str, limit: Duration) -> Result<()> {
    let url = format!("http://{HOST}/");
    let ask = ["curl", "-s", "-m", "5", "-w", " %{http_code}", &url];
    let mut last = Ok(String::new());
    let answered = wait_until(wanted, limit, || {
        last = shop.exec(client.name(), &ask);
        let said = last.as_deref().unwrap_or_default();
        said.split_whitespace().collect::<Vec<_>>().join(" ") == wanted
    });
    answered.with_context(|| format!("the last answer was {last:?}"))?;
    Ok(())
}

/// The host, behind the waypoint, and the rule that names the Secret.
fn objects() -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: {SECRET}, labels: {{{BOUND}: waypoint}}}}\n\
         spec:\n  hosts: [{HOST}]\n  resolution: STATIC\n  location: MESH_EXTERNAL\n\
         \x20 ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {PORT}}}]\n\
         \x20 endpoints: [{{address: {OUTSIDE}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {SECRET}}}\n\
         spec:\n  host: {HOST}\n  trafficPolicy: {{tls: {{mode: MUTUAL, credentialName: {SECRET}}}}}\n"
    )
}
