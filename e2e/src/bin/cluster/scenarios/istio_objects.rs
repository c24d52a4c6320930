//! What users of Istio have written: its label enrols, its policies apply as they are, and a rule
//! that needs an L7 proxy, which is not there, is refused with a reason. What is for sidecars is written,
//! with a warning that says what to use instead.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, Sandbox};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};

use super::BITE;

const CAPTURE: Duration = Duration::from_secs(10);
/// Until the API server asks the webhook.
const SOON: Duration = Duration::from_secs(60);
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
      app: httpbin
  action: ALLOW
  rules:
    - to:
        - operation:
            methods: [\"GET\"]
            paths: [\"/info*\"]
";
/// Kinds that are for sidecars, as somebody may have them, and what their author is told to use.
const FOR_SIDECARS: [(&str, &str); 2] = [
    (
        "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {egress: [{hosts: [./*]}]}
",
        "exportTo",
    ),
    (
        "
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua}
spec: {configPatches: [{applyTo: HTTP_FILTER, patch: {operation: ADD}}]}
",
        "VirtualService",
    ),
];

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

    let said = cluster.kubectl.offer(&shop.name, PATHS)?;
    ensure!(
        !said.status.success() && said.err.contains("spec.rules[0].to[0].operation"),
        "a rule by path is not refused: {}{}",
        said.out,
        said.err
    );
    shop.curl(sleep, url)
        .context("the principal that is allowed, beside a rule that cannot be enforced")?;
    shop.refused(notsleep, url)?;
    warns_of_what_is_for_sidecars(cluster, &shop)?;
    Ok(
        "label, principals and ports applied; a rule by path is refused; a Sidecar and an EnvoyFilter are \
         written with a warning"
            .to_owned(),
    )
}

fn warns_of_what_is_for_sidecars(cluster: &Cluster, shop: &Sandbox) -> Result<()> {
    for (text, instead) in FOR_SIDECARS {
        let mut last = None;
        let said = wait_until("the warning of what is for sidecars", SOON, || {
            let said = cluster.kubectl.offer(&shop.name, text).ok();
            let is_told = said.as_ref().is_some_and(|said| {
                let warns = |word| said.err.contains("Warning: ") && said.err.contains(word);
                said.status.success() && warns("it has no effect") && warns(instead)
            });
            last = said.map(|said| format!("{}{}", said.out, said.err));
            is_told
        });
        said.with_context(|| format!("kubectl says {last:?} of {text}"))?;
        cluster.kubectl.apply_text(&shop.name, text)?;
    }
    Ok(())
}

fn pod(shop: &Sandbox, app: &str) -> Result<String> {
    let pods = shop.pods(&format!("app={app}"))?;
    Ok(pods.first().context("no pod")?.name().to_owned())
}
