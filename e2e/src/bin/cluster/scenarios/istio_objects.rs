//! What users of Istio have written: its label enrols, its policies apply as they are, and fields
//! that need an L7 proxy are refused with a reason.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Sandbox};
use ambit_e2e::wait::wait_for;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::BITE;

const CAPTURE: Duration = Duration::from_secs(10);
const ALLOW: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: allow-sleep
spec:
  selector:
    matchLabels:
      app: httpbin
  action: ALLOW
  rules:
    - from:
        - source:
            principals: [\"cluster.local/ns/e2e-istio/sa/sleep\"]
      to:
        - operation:
            ports: [\"8080\"]
";
const PATHS: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: by-path
spec:
  selector:
    matchLabels:
      app: elsewhere
  action: ALLOW
  rules:
    - to:
        - operation:
            methods: [\"GET\"]
            paths: [\"/info*\"]
";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("istio")?;
    let label = "istio.io/dataplane-mode=ambient";
    cluster.kubectl.label_namespace(&shop.name, label)?;
    for name in ["httpbin", "sleep", "notsleep"] {
        shop.apply(&Echo::one(name).objects(&shop))?;
    }
    shop.ready("", 3)?;
    shop.captured("", CAPTURE)?;
    let (sleep, notsleep) = (&pod(&shop, "sleep")?, &pod(&shop, "notsleep")?);
    let url = "http://httpbin/";
    shop.curl(sleep, url)?;
    shop.curl(notsleep, url)?;

    cluster.kubectl.apply_text(&shop.name, ALLOW)?;
    shop.becomes_refused(notsleep, url, BITE)?;
    shop.curl(sleep, url)
        .context("the principal that is allowed")?;
    let accepted = condition(&shop, "allow-sleep")?;
    ensure!(accepted.0 == "True", "allow-sleep: {accepted:?}");

    // The webhook may refuse it, or the object is there and says itself what is wrong.
    let refused = match cluster.kubectl.apply_text(&shop.name, PATHS) {
        Err(error) => format!("{error:#}"),
        Ok(()) => {
            let (status, message) = condition(&shop, "by-path")?;
            ensure!(status == "False", "by-path is accepted: {message}");
            message
        }
    };
    ensure!(
        refused.contains("paths") || refused.contains("methods"),
        "the refusal of L7 fields does not name them: {refused}"
    );
    Ok("label, principals and ports applied; paths refused by name".to_owned())
}

fn pod(shop: &Sandbox, app: &str) -> Result<String> {
    let pods = shop.pods(&format!("app={app}"))?;
    Ok(pods.first().context("no pod")?.name().to_owned())
}

/// Status and message of the condition that says whether a policy is accepted.
fn condition(shop: &Sandbox, policy: &str) -> Result<(String, String)> {
    let get = [
        "-n",
        &shop.name,
        "get",
        "authorizationpolicies.security.istio.io",
        policy,
    ];
    wait_for(&format!("the status of {policy}"), BITE, || {
        let object: Value = shop.kubectl.json(&get).ok()?;
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let accepted = conditions
            .iter()
            .find(|one| one.get("type").and_then(Value::as_str) == Some("Accepted"))?;
        let text = |field| accepted.get(field).and_then(Value::as_str);
        Some((text("status")?.to_owned(), text("message")?.to_owned()))
    })
}
