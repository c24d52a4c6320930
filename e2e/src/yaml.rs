//! Kubernetes objects as the text a person would write: what a lab's control plane reads.

use std::fmt::Display;
use std::net::IpAddr;

/// A `Namespace`; `enrolled` puts our label on it.
pub fn namespace(name: &str, enrolled: bool) -> String {
    let labels = if enrolled {
        "\n  labels:\n    ambit.mesh/dataplane-mode: ambient"
    } else {
        ""
    };
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}{labels}\n")
}

/// A `Node`.
pub fn node(name: &str, addresses: &[IpAddr]) -> String {
    let mut text =
        format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\nstatus:\n  addresses:\n");
    for address in addresses {
        text.push_str(&format!(
            "    - type: InternalIP\n      address: {address}\n"
        ));
    }
    text
}

/// A `ServiceAccount`.
pub fn service_account(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\n{}",
        metadata(namespace, name)
    )
}

/// A running, ready `Pod`.
#[derive(Debug, Clone)]
pub struct PodObject<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its label `app`.
    pub app: &'a str,
    /// The Gateway whose waypoint it is, if it is one's.
    pub gateway: Option<&'a str>,
    /// Its uid.
    pub uid: &'a str,
    /// The node it runs on.
    pub node: &'a str,
    /// Its service account.
    pub service_account: &'a str,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
}

impl PodObject<'_> {
    /// The object's text.
    pub fn text(&self) -> String {
        let Self {
            namespace,
            name,
            app,
            gateway,
            uid,
            node,
            service_account,
            addresses,
        } = self;
        let made = gateway.map_or_else(String::new, made_for);
        let first = addresses
            .first()
            .map(|ip| format!("  podIP: {ip}\n"))
            .unwrap_or_default();
        let all: String = addresses
            .iter()
            .map(|ip| format!("    - ip: {ip}\n"))
            .collect();
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
             uid: {uid}\n  labels:\n    app: {app}\n{made}spec:\n  nodeName: {node}\n  \
             serviceAccountName: {service_account}\n  containers:\n    - name: main\nstatus:\n  \
             phase: Running\n{first}  podIPs:\n{all}  conditions:\n    - type: Ready\n      \
             status: \"True\"\n"
        )
    }
}

/// The label of what was made for a Gateway, as a line of `metadata.labels`.
pub fn made_for(gateway: &str) -> String {
    format!("    gateway.networking.k8s.io/gateway-name: {gateway}\n")
}

/// The label that binds to a waypoint, as a line of `metadata.labels`.
pub fn bound_to(waypoint: &str) -> String {
    format!("    ambit.mesh/use-waypoint: {waypoint}\n")
}

/// A `Gateway` that is a waypoint.
pub fn waypoint(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n{}spec:\n  gatewayClassName: \
         ambit-waypoint\n  listeners:\n    - name: mesh\n      port: 15008\n      protocol: HBONE\n",
        metadata(namespace, name)
    )
}

/// A `Service` for the pods labelled `app: NAME`; `labels` are lines of `metadata.labels`, `ports`
/// are (service port, target port).
pub fn service(
    namespace: &str,
    name: &str,
    labels: &str,
    addresses: &[IpAddr],
    ports: &[(u16, u16)],
) -> String {
    let first = addresses
        .first()
        .map_or_else(|| "None".to_owned(), ToString::to_string);
    let all: String = addresses.iter().map(|ip| format!("    - {ip}\n")).collect();
    let labels = match labels {
        "" => String::new(),
        lines => format!("  labels:\n{lines}"),
    };
    let mut text = format!(
        "apiVersion: v1\nkind: Service\n{}{labels}spec:\n  clusterIP: {first}\n",
        metadata(namespace, name)
    );
    if !all.is_empty() {
        text.push_str(&format!(
            "  clusterIPs:\n{all}  ipFamilyPolicy: PreferDualStack\n"
        ));
    }
    text.push_str(&format!("  selector:\n    app: {name}\n  ports:\n"));
    for (port, target) in ports {
        text.push_str(&format!(
            "    - name: p{port}\n      port: {port}\n      targetPort: {target}\n"
        ));
    }
    text
}

/// A `PeerAuthentication` for a whole namespace.
pub fn peer_authentication(namespace: &str, name: &str, mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n{}spec:\n  mtls:\n    \
         mode: {mode}\n",
        metadata(namespace, name)
    )
}

/// An `AuthorizationPolicy` for the pods labelled `app: APP`, with rules given as YAML.
pub fn authorization_policy(
    namespace: &str,
    name: &str,
    app: &str,
    action: &str,
    rules: &str,
) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n{}spec:\n  selector:\n    \
         matchLabels:\n      app: {app}\n  action: {action}\n  rules:\n{rules}",
        metadata(namespace, name)
    )
}

/// A rule of a policy: this service account of this namespace.
pub fn from_principal(namespace: &str, account: &str) -> String {
    format!(
        "    - from:\n        - source:\n            principals: \
         [\"cluster.local/ns/{namespace}/sa/{account}\"]\n"
    )
}

/// A namespace `crowd` with this many pods on nodes that are not there, ten for each service: a
/// mesh of a size that agents have to cope with.
pub fn crowd(pods: u16) -> String {
    let mut parts = vec![namespace("crowd", true)];
    for number in 0..pods {
        let [high, low] = number.to_be_bytes();
        let name = format!("crowd-{}", number / 10);
        let pod = PodObject {
            namespace: "crowd",
            name: &format!("crowd-pod-{number}"),
            app: &name,
            gateway: None,
            uid: &format!("crowd-{number}"),
            node: &format!("crowd-{}", number / 100),
            service_account: "default",
            addresses: &[IpAddr::from([10, 128, high, low])],
        };
        parts.push(pod.text());
        if number % 10 == 0 {
            let [high, low] = (number / 10).to_be_bytes();
            let vip = IpAddr::from([10, 97, high, low]);
            parts.push(service("crowd", &name, "", &[vip], &[(80, 8080)]));
        }
    }
    documents(&parts)
}

/// Several documents as one file.
pub fn documents<T: Display>(parts: &[T]) -> String {
    parts.iter().map(|part| format!("---\n{part}")).collect()
}

fn metadata(namespace: &str, name: &str) -> String {
    format!("metadata:\n  name: {name}\n  namespace: {namespace}\n")
}
