//! A server outside of the mesh: on a node's own network, at an address that no node and no pod has told
//! anybody. The node's own address would be that of a pod.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// An nginx at that address.
pub(super) struct Stranger<'a> {
    /// Where it is, while it runs.
    pub(super) address: Ipv4Addr,
    /// A port that it listens at.
    pub(super) port: u16,
    /// Its `server { ... }`.
    pub(super) site: &'a str,
    /// Files in `/tmp` that this names.
    pub(super) files: &'a [(&'a str, &'a str)],
}

impl Stranger<'_> {
    /// Finds its pod.
    pub(super) const SELECTOR: &'static str = "app=outside";

    /// Its pod, on that node.
    pub(super) fn pod(&self, image: &str, node: &str) -> Value {
        let Self {
            address,
            port,
            site,
            files,
        } = self;
        let write = |(name, text): &(&str, &str)| {
            format!("cat > /tmp/{name} <<'END'\n{}\nEND\n", text.trim())
        };
        let files: String = files.iter().map(write).collect();
        let serve = format!(
            "{files}cat > /tmp/nginx.conf <<'END'
daemon off; user root; pid /tmp/nginx.pid; error_log stderr; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
  {site}
}}
END
ip addr add {address}/32 dev lo
trap 'ip addr del {address}/32 dev lo; kill $!' TERM
nginx -c /tmp/nginx.conf & wait"
        );
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "outside", "labels": { "app": "outside" } },
            "spec": {
                "hostNetwork": true, "terminationGracePeriodSeconds": 5,
                "nodeSelector": { "kubernetes.io/hostname": node },
                "containers": [{
                    "name": "outside", "image": image, "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", serve],
                    "securityContext": { "capabilities": { "add": ["NET_ADMIN"] } },
                    "readinessProbe": { "tcpSocket": { "port": port }, "periodSeconds": 1 },
                }],
            },
        })
    }
}
