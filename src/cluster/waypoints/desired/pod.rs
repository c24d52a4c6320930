//! The pod of a waypoint: no power, no file system but what is mounted, its own identity by a token.

use serde_json::{Value, json};

use super::{CONTAINER, Design, STATUS_PORT};
use crate::cluster::ROOTS;
use crate::cluster::waypoints::fields::{is_empty, set};
use crate::config::translate::WAYPOINT_PORT;

/// Metrics.
const METRICS_PORT: u16 = 15020;
/// Whoever the container runs as.
const USER: u32 = 65532;
/// Where tokens and roots are mounted.
const TOKENS: &str = "/var/run/secrets/tokens";
const ROOT_CERTIFICATES: &str = "/var/run/secrets/ambit";
/// Where authorities of hosts outside of the mesh are.
const OUTSIDE_ROOTS: &str = "/var/run/secrets/outside";
/// A token's audience, and its life in seconds; the kubelet renews it in time.
const AUDIENCE: &str = "ambit-ca";
const TOKEN_LIFE: u32 = 43_200;
/// Seconds that a pod which was asked to stop has for what is under way.
const GRACE: u32 = 60;
/// Who a pod is, by the names under which formats of the log and spans may tell it.
const WHO: [(&str, &str); 7] = [
    ("POD_NAME", "metadata.name"),
    ("POD_NAMESPACE", "metadata.namespace"),
    ("POD_IP", "status.podIP"),
    ("INSTANCE_IP", "status.podIP"),
    ("NODE_NAME", "spec.nodeName"),
    ("HOST_IP", "status.hostIP"),
    ("SERVICE_ACCOUNT", "spec.serviceAccountName"),
];

impl Design<'_> {
    /// `spec` of the pod, without what only some settings ask for.
    pub(super) fn pod(&self) -> Value {
        let spread = |topology: &str| {
            json!({
                "topologyKey": topology,
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": self.selector(),
                "matchLabelKeys": ["pod-template-hash"],
            })
        };
        json!({
            "serviceAccountName": self.name(),
            "automountServiceAccountToken": false,
            // Variables of services would begin as those of the settings do.
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self.container()],
            "volumes": [
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {
                    "audience": AUDIENCE,
                    "expirationSeconds": TOKEN_LIFE,
                    "path": "ambit-token",
                }}]}},
                {"name": "roots", "configMap": {"name": ROOTS}},
            ],
            "topologySpreadConstraints": [
                spread("kubernetes.io/hostname"),
                spread("topology.kubernetes.io/zone"),
            ],
        })
    }

    /// Authorities that are believed about hosts outside of the mesh, if there are any.
    pub(super) fn mount_outside_roots(&self, pod: &mut Value) {
        let map = self.settings.outside_roots.as_str();
        if map.is_empty() {
            return;
        }
        let items = json!([{"key": "ca.crt", "path": "ca.crt"}]);
        let volume = json!({"name": "outside-roots", "configMap": {"name": map, "items": items}});
        push(pod.pointer_mut("/volumes"), volume);
        let container = "/containers/0";
        let mount = json!({"name": "outside-roots", "mountPath": OUTSIDE_ROOTS, "readOnly": true});
        push(pod.pointer_mut(&format!("{container}/volumeMounts")), mount);
        let argument = format!("--outside-roots={OUTSIDE_ROOTS}/ca.crt");
        push(
            pod.pointer_mut(&format!("{container}/args")),
            argument.into(),
        );
    }

    fn container(&self) -> Value {
        let settings = self.settings;
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let own = [
            field("AMBIT_NODE", "spec.nodeName"),
            field("AMBIT_POD_NAME", "metadata.name"),
            field("AMBIT_POD_UID", "metadata.uid"),
            field("AMBIT_POD_IP", "status.podIP"),
        ];
        let who = WHO
            .iter()
            .filter(|(name, _)| !settings.environment.contains_key(*name));
        let who = who.map(|(name, path)| field(name, path));
        let given = settings.environment.iter();
        let given = given.map(|(name, value)| json!({"name": name, "value": value}));
        let environment: Vec<Value> = own.into_iter().chain(who).chain(given).collect();
        let mut container = json!({
            "name": CONTAINER,
            "image": settings.image,
            "args": [
                format!("--control-plane={}", settings.control_plane),
                format!("--token-file={TOKENS}/ambit-token"),
                format!("--root-cert={ROOT_CERTIFICATES}/root-cert.pem"),
                format!("--namespace={}", self.namespace()),
                format!("--gateway={}", self.name()),
                format!("--trust-domain={}", self.trust_domain),
            ],
            "env": environment,
            "ports": [
                {"name": "mesh", "containerPort": WAYPOINT_PORT, "protocol": "TCP"},
                {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
                {"name": "status-port", "containerPort": STATUS_PORT, "protocol": "TCP"},
            ],
            "readinessProbe": {
                "httpGet": {"path": "/healthz/ready", "port": STATUS_PORT},
                "periodSeconds": 2,
                "timeoutSeconds": 2,
            },
            "resources": self.resources(),
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "token", "mountPath": TOKENS, "readOnly": true},
                {"name": "roots", "mountPath": ROOT_CERTIFICATES, "readOnly": true},
            ],
        });
        if let Some(policy) = &settings.image_pull_policy {
            set(&mut container, &["imagePullPolicy"], policy.as_str());
        }
        container
    }

    fn resources(&self) -> Value {
        let mut resources = self.settings.resources.clone();
        if is_empty(&resources) {
            resources = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
        }
        let asked = [
            ("cpu", &self.parameters.cpu),
            ("memory", &self.parameters.memory),
        ];
        for (name, quantity) in asked {
            if let Some(quantity) = quantity {
                set(&mut resources, &["requests", name], quantity.as_str());
            }
        }
        resources
    }
}

/// Adds to a list that is there.
fn push(list: Option<&mut Value>, value: Value) {
    if let Some(list) = list.and_then(Value::as_array_mut) {
        list.push(value);
    }
}
