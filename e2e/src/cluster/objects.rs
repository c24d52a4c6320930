//! Objects that scenarios make.

use serde_json::{Value, json};

use super::Sandbox;

/// Where an echo pod answers HTTP with `NAME ADDRESS-OF-THE-CLIENT`, below `/broken` with 502, at
/// `/slow/N` with N bytes a second and on `/metrics` with a page for Prometheus.
pub const HTTP: u16 = 8080;
/// Where it sends back what it gets, for as long as the connection lives.
pub const LINES: u16 = 7000;

/// nginx and a line echo; both keep nothing outside /tmp.
const SERVE: &str = "cat > /tmp/nginx.conf <<'END'
daemon off; user root; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  server { listen 8080; listen [::]:8080; location / { return 200 \"$hostname $remote_addr\\n\"; }
    location ~ ^/slow/(?<rate>[0-9]+)$ { limit_rate $rate; return 200 \"$hostname\"; }
    location /broken { return 502; } location /metrics { return 200 \"application_up 1\\n\"; } }
}
END
socat TCP6-LISTEN:7000,fork,reuseaddr,ipv6only=0 EXEC:cat &
nginx -c /tmp/nginx.conf &
touch /tmp/alive
wait";

/// Pods that answer, with a service of their name.
#[derive(Clone, Debug)]
pub struct Echo<'a> {
    /// Their name, their label `app` and their service account.
    pub name: &'a str,
    /// How many.
    pub replicas: usize,
    /// The node they have to run on; spread over all without.
    pub node: Option<&'a str>,
    /// Further fields of the container, such as probes.
    pub container: Value,
}

impl<'a> Echo<'a> {
    /// One pod, anywhere.
    pub fn one(name: &'a str) -> Self {
        Self {
            name,
            replicas: 1,
            node: None,
            container: json!({}),
        }
    }

    /// On that node.
    pub fn on(self, node: &'a str) -> Self {
        Self {
            node: Some(node),
            ..self
        }
    }

    /// The selector that finds them.
    pub fn selector(&self) -> String {
        format!("app={}", self.name)
    }

    /// Deployment, service and service account.
    pub fn objects(&self, sandbox: &Sandbox) -> Vec<Value> {
        let Self { name, node, .. } = self;
        let labels = json!({ "app": name });
        let mut container = json!({
            "name": "echo", "image": sandbox.image, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", SERVE],
            "readinessProbe": { "tcpSocket": { "port": HTTP }, "periodSeconds": 1 },
        });
        merge(&mut container, &self.container);
        let mut pod = json!({
            "serviceAccountName": name,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "topologySpreadConstraints": [{
                "topologyKey": "kubernetes.io/hostname", "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": labels },
            }],
        });
        if let Some(node) = node {
            merge(
                &mut pod,
                &json!({ "nodeSelector": { "kubernetes.io/hostname": node } }),
            );
        }
        vec![
            account(name),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
                "spec": {
                    "replicas": self.replicas,
                    "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": pod },
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
                "spec": {
                    "selector": labels,
                    "ports": [
                        { "name": "http", "port": 80, "targetPort": HTTP },
                        { "name": "lines", "port": LINES, "targetPort": LINES },
                    ],
                },
            }),
        ]
    }
}

/// A service account.
fn account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } })
}

/// A `PeerAuthentication` for the whole namespace.
pub fn peer_authentication(mode: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
        "metadata": { "name": "default" },
        "spec": { "mtls": { "mode": mode } },
    })
}

/// Puts the fields of one object over those of another.
fn merge(object: &mut Value, fields: &Value) {
    if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
        object.extend(fields.clone());
    }
}
