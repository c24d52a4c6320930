//! Policies, and what waypoints follow, that are broken or contradict each other: the webhook refuses them with field and
//! remedy; what slips through, because the webhook is away or was not asked, says so in its status and
//! stays what it was over a restart of the control plane; everything else goes on.

use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, SYSTEM, Sandbox, peer_authentication};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::BITE;
use super::planes::Planes;

const CAPTURE: Duration = Duration::from_secs(10);
/// Until the API server asks the webhook, and until a control plane that starts has said everything.
const SOON: Duration = Duration::from_secs(60);
const WEBHOOKS: &str = "validatingwebhookconfigurations/ambit-validation";
const SECOND: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: second}
spec: {mtls: {mode: PERMISSIVE}}
";
/// Kinds that waypoints follow, each with a word misspelt, and its field.
const MISSPELT: [(&str, &str, &str, &str); 4] = [
    (
        "networking.istio.io/v1",
        "VirtualService",
        "hosts: [web], http: [{route: [{destination: {host: web}, wieght: 1}]}]",
        "spec.http[0].route[0].wieght",
    ),
    (
        "networking.istio.io/v1",
        "DestinationRule",
        "host: web, trafficPolicy: {outlierDetection: {consecutive5xxErors: 3}}",
        "spec.trafficPolicy.outlierDetection.consecutive5xxErors",
    ),
    (
        "telemetry.istio.io/v1",
        "Telemetry",
        "accessLogging: [{filter: {expresion: 'true'}}]",
        "spec.accessLogging[0].filter.expresion",
    ),
    (
        "security.istio.io/v1",
        "RequestAuthentication",
        "jwtRules: [{isuer: https://issuer.example}]",
        "spec.jwtRules[0].isuer",
    ),
];
const OPERATIONS: &str = "/webhooks/0/rules/0/operations";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let shop = cluster.sandbox("broken")?;
    shop.enrol()?;
    for name in ["web", "friend", "foe"] {
        shop.apply(&Echo::one(name).objects(&shop))?;
    }
    shop.ready("", 3)?;
    shop.captured("", CAPTURE)?;
    let scene = Scene {
        friend: pod(&shop, "friend")?,
        foe: pod(&shop, "foe")?,
        shop,
        cluster,
    };
    scene.refuses_with_field_and_remedy()?;
    scene.refuses_what_waypoints_cannot_read()?;
    scene.last_good_version_stays()?;
    scene.is_not_missed_while_away()?;
    Ok("7 broken objects refused; 2 that slipped through said so, and only they".to_owned())
}

struct Scene<'a> {
    cluster: &'a Cluster,
    shop: Sandbox,
    friend: String,
    foe: String,
}

impl Scene<'_> {
    fn refuses_with_field_and_remedy(&self) -> Result<()> {
        let misspelt = policy("foe", "acton: DENY");
        wait_until("the webhook to be asked", SOON, || {
            self.is_refused(&misspelt, &["spec.acton", "correct"])
                .is_ok()
        })?;
        let by_path = policy("by-path", "rules: [{to: [{operation: {paths: [/info]}}]}]");
        self.is_refused(
            &by_path,
            &["spec.rules[0].to[0].operation.paths", "keep to"],
        )?;
        self.shop.apply(&[peer_authentication("STRICT")])?;
        let words = [
            "PeerAuthentication e2e-broken/default",
            "keep one of the two",
        ];
        wait_until("the contradiction to be seen", BITE, || {
            self.is_refused(SECOND, &words).is_ok()
        })?;
        Ok(())
    }

    fn refuses_what_waypoints_cannot_read(&self) -> Result<()> {
        for (version, kind, spec, field) in MISSPELT {
            let text = object(version, kind, "misspelt", spec);
            self.is_refused(&text, &[field, "correct the field's name"])?;
        }
        Ok(())
    }

    fn is_refused(&self, text: &str, words: &[&str]) -> Result<()> {
        let said = self.cluster.kubectl.offer(&self.shop.name, text)?;
        ensure!(!said.status.success(), "it was not refused: {text}");
        for word in words {
            ensure!(said.err.contains(word), "no {word:?} in {:?}", said.err);
        }
        Ok(())
    }

    /// Breaks a policy while the webhook is not asked, and restarts every control plane.
    fn last_good_version_stays(&self) -> Result<()> {
        let from = "rules: [{from: [{source: {principals: ['*/sa/foe']}}]}]";
        let good = policy("foe", &format!("action: DENY, {from}"));
        let kubectl = &self.cluster.kubectl;
        kubectl.apply_text(&self.shop.name, &good)?;
        self.becomes(&self.shop, "foe", "Accepted")?;
        self.works()?;

        self.ask_on(&["CREATE"])?;
        let broken = policy("foe", &format!("acton: DENY, {from}"));
        wait_until("an update to slip through", SOON, || {
            kubectl.apply_text(&self.shop.name, &broken).is_ok()
        })?;
        self.becomes(&self.shop, "foe", "LastGoodInForce")?;
        self.ask_on(&["CREATE", "UPDATE"])?;
        let kept = [
            "-n",
            SYSTEM,
            "get",
            "configmap",
            "ambit-last-good",
            "-o",
            "jsonpath={.data}",
        ];
        wait_until("the version to be kept", BITE, || {
            kubectl
                .run(&kept)
                .is_ok_and(|data| data.contains("e2e-broken.foe"))
        })?;
        self.works()
    }

    /// What is written while no control plane is there is not refused, and judged when one is back.
    fn is_not_missed_while_away(&self) -> Result<()> {
        let other = self.cluster.sandbox("broken-other")?;
        let planes = Planes::send_away(self.cluster)?;
        let misspelt = policy("new", "acton: DENY");
        let applied = self.cluster.kubectl.apply_text(&other.name, &misspelt);
        applied.context("a policy while the webhook is away")?;
        planes.bring_back()?;
        self.becomes(&other, "new", "ScopeRefused")?;
        let status = self.cluster.ambit(&["status"])?;
        ensure!(
            status.status.code() == Some(1) && status.out.contains("e2e-broken-other/new"),
            "the status ended with {} and says: {}",
            status.status,
            status.out
        );
        self.becomes(&self.shop, "foe", "LastGoodInForce")?;
        self.works()
    }

    /// The friend is let in, the foe is not.
    fn works(&self) -> Result<()> {
        let url = "http://web/";
        self.shop.becomes_refused(&self.foe, url, BITE)?;
        self.shop.curl(&self.friend, url)?;
        Ok(())
    }

    fn becomes(&self, namespace: &Sandbox, policy: &str, reason: &str) -> Result<()> {
        let path = "jsonpath={.status.conditions[?(@.type==\"Accepted\")].reason}";
        let get = [
            "-n",
            &namespace.name,
            "get",
            "authorizationpolicy",
            policy,
            "-o",
            path,
        ];
        let what = format!("{policy} of {} to be {reason}", namespace.name);
        wait_until(&what, SOON, || {
            self.cluster
                .kubectl
                .run(&get)
                .is_ok_and(|said| said == reason)
        })?;
        Ok(())
    }

    fn ask_on(&self, operations: &[&str]) -> Result<()> {
        let patch = json!([{"op": "replace", "path": OPERATIONS, "value": operations}]);
        let patch = patch.to_string();
        self.cluster
            .kubectl
            .run(&["patch", WEBHOOKS, "--type=json", "-p", &patch])?;
        Ok(())
    }
}

fn policy(name: &str, spec: &str) -> String {
    object("security.istio.io/v1", "AuthorizationPolicy", name, spec)
}

fn object(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn pod(shop: &Sandbox, app: &str) -> Result<String> {
    Ok(shop.ready_one(&format!("app={app}"))?.name().to_owned())
}
