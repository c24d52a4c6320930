mod routes;

use insta::assert_snapshot;

use super::metadata::Labels;
use super::*;
use crate::config::documents::parse_documents;

fn read_text(text: &str) -> Result<Object, Box<ReadError>> {
    let mut documents = parse_documents(text.as_bytes()).expect("cut");
    assert_eq!(documents.len(), 1, "one document");
    read(documents.remove(0).expect("YAML"))
}

/// What is wrong, as an author sees it.
fn complaint(text: &str) -> String {
    match read_text(text) {
        Ok(object) => format!("read {}", object.key()),
        Err(error) => format!(
            "{} | {} | {} | {}",
            error.object, error.finding.field, error.finding.what, error.finding.advice
        ),
    }
}

const POLICY: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                      metadata: {name: p, namespace: shop}\n";

#[test]
fn errors_lead_to_the_field() {
    let cases = [
        "[]",
        "a: 1",
        "kind: Pod",
        "apiVersion: v1\nkind: Deployment\nmetadata: {name: x}",
        "apiVersion: v2\nkind: Pod\nmetadata: {name: x}",
        "apiVersion: v1\nkind: Pod",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x/y}",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: ../y}",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {version: 1.10}}",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{ports: [{containerPort: 70000}]}]}",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nstatus: {podIPs: [{ip: 10.0.0.300}]}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80, targetPort: []}]}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIP: nowhere}",
    ];
    let complaints: Vec<String> = cases.iter().map(|text| complaint(text)).collect();
    assert_snapshot!(complaints.join("\n"));
}

#[test]
fn policies_are_read_strictly() {
    let specs = [
        "spec: {}",
        "spec: {rules: [{}]}",
        "spec: {acton: DENY}",
        "spec: {action: DENI}",
        "spec: {action: deny}",
        "rules: []",
        "spec: {rules: null}",
        "spec: {rules: [null]}",
        "spec: {selector: null}",
        "spec: {selector: {matchLabel: {app: x}}}",
        "spec: {selector: {matchLabels: {app: 'x*'}}}",
        "spec: {selector: {}, targetRefs: [{kind: Service, name: x}]}",
        "spec: {provider: {name: x}}",
        "spec: {action: CUSTOM}",
        "spec: {rules: [{from: []}]}",
        "spec: {rules: [{from: null}]}",
        "spec: {rules: [{from: [{}]}]}",
        "spec: {rules: [{from: [{source: {}}]}]}",
        "spec: {rules: [{from: [{source: {principal: [x]}}]}]}",
        "spec: {rules: [{from: [{source: {principals: ['a*b']}}]}]}",
        "spec: {rules: [{from: [{source: {namespaces: ['']}}]}]}",
        "spec: {rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]}",
        "spec: {rules: [{from: [{source: {serviceAccounts: [a/b/c]}}]}]}",
        "spec: {rules: [{to: [{operation: {}}]}]}",
        "spec: {rules: [{to: [{operation: {ports: [80]}}]}]}",
        "spec: {rules: [{to: [{operation: {ports: ['0']}}]}]}",
        "spec: {rules: [{when: [{key: source.ip}]}]}",
        "spec: {rules: [{when: [{key: source.adress, values: [x]}]}]}",
        "spec: {rules: [{when: [{key: destination.port, values: [http]}]}]}",
    ];
    let mut complaints: Vec<String> = specs
        .iter()
        .map(|spec| format!("{spec} => {}", complaint(&format!("{POLICY}{spec}"))))
        .collect();
    let misplaced = POLICY.replace("namespace: shop", "namespce: shop");
    complaints.push(complaint(&misplaced));
    assert_snapshot!(complaints.join("\n"));
}

#[test]
fn peer_authentications_are_read_strictly() {
    let head = "apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication\n\
                metadata: {name: p, namespace: shop}\n";
    let specs = [
        "spec: {mtls: {mode: STRICT}}",
        "spec: {selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABLE}}}",
        "spec: {mtls: {mode: STRIKT}}",
        "spec: {mtls: {modes: STRICT}}",
        "spec: {mtls: STRICT}",
        "spec: {mtls: null}",
        "spec: {portLevelMtls: {8080: {mode: DISABLE}}}",
        "spec: {selector: {matchLabels: {a: b}}, portLevelMtls: {http: {mode: DISABLE}}}",
    ];
    let complaints: Vec<String> = specs
        .iter()
        .map(|spec| format!("{spec} => {}", complaint(&format!("{head}{spec}"))))
        .collect();
    assert_snapshot!(complaints.join("\n"));
}

#[test]
fn an_object_is_read_back_from_its_document() {
    let texts = [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: b}}",
        "apiVersion: v1\nkind: Node\nmetadata: {name: n1}",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: shop}",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, uid: u-1, ownerReferences: [{kind: Job, name: j, controller: true}]}\n\
         spec: {nodeName: n1, hostNetwork: true, containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}\n\
         status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], conditions: [{type: Ready, status: 'True'}]}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
         spec: {selector: {app: web}, clusterIP: None, clusterIPs: [None], ports: [{port: 80, targetPort: http}, {port: 81, targetPort: 8081}]}",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n\
         addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: false}, targetRef: {kind: Pod, name: web}}]\nports: [{port: 80}]",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\n\
         spec: {action: DENY, selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: ['*'], notIpBlocks: [10.1.2.3/8, '::1']}}],\
         to: [{operation: {ports: ['80'], methods: [GET]}}], when: [{key: source.namespace, notValues: [x]}]}]}\nstatus: {conditions: []}",
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\n\
         spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}}",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: ambit-waypoint}\n\
         spec: {controllerName: ambit.mesh/waypoint-controller, parametersRef: {group: '', kind: ConfigMap, name: x, namespace: y}}",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint, namespace: shop}\n\
         spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}}}, kinds: [{kind: HTTPRoute}]}}],\n\
         infrastructure: {labels: {a: b}, parametersRef: {group: '', kind: ConfigMap, name: x}}}",
    ];
    for text in texts {
        let object = read_text(text).expect("an object");
        let document = object.document().expect("a document");
        assert_eq!(read(document).expect("the same object"), object);
    }
}

#[test]
fn lists_are_unpacked() {
    let text = "apiVersion: v1\nkind: List\nitems:\n\
                - {apiVersion: v1, kind: Node, metadata: {name: a}}\n\
                - {apiVersion: v1, kind: Node, metadata: {name: b}}\n";
    let document = parse_documents(text.as_bytes())
        .expect("cut")
        .remove(0)
        .expect("YAML");
    let items = items(document);
    let keys: Vec<_> = items
        .into_iter()
        .map(|(number, item)| (number, read(item).expect("an object").key().to_string()))
        .collect();
    assert_eq!(
        keys,
        [
            (Some(1), "Node a".to_owned()),
            (Some(2), "Node b".to_owned())
        ]
    );
}

#[test]
fn an_unreadable_policy_is_known_as_one() {
    let cases = [
        (
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: 1",
            true,
        ),
        (
            "apiVersion: security.istio/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}",
            true,
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: AuthorisationPolicy\nmetadata: {name: p}",
            true,
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p}",
            false,
        ),
    ];
    for (text, policy) in cases {
        let error = read_text(text).expect_err("an error");
        assert_eq!(error.identity.policy, policy, "{text}");
        assert_eq!(
            error.identity.namespace.as_deref(),
            Some("default"),
            "{text}"
        );
        assert_eq!(error.identity.name.as_deref(), Some("p"), "{text}");
    }
}

#[test]
fn the_documentation_lists_every_kind_and_version() {
    let page = include_str!("../../../docs/objects.md");
    for kind in Kind::ALL {
        let row = format!("| {} | {}", kind.name(), kind.api_versions()[0]);
        assert!(page.contains(&row), "docs/objects.md lacks `{row}`");
    }
}

#[test]
fn gateways_lead_to_their_wrong_fields() {
    let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
                metadata: {name: w, namespace: shop}\n";
    let specs = [
        "",
        "spec: {gatewayClassName: A/B}",
        "spec: {gatewayClassName: c, listeners: [{port: 15008, protocol: HBONE}]}",
        "spec: {gatewayClassName: c, listeners: [{name: mesh, port: 99999, protocol: HBONE}]}",
        "spec: {gatewayClassName: c, listeners: [{name: mesh, port: 15008}]}",
        "spec: {gatewayClassName: c, infrastructure: {parametersRef: x}}",
        "spec: {gatewayClassName: c, infrastructure: {labels: {a: 1}}}",
        "spec: {gatewayClassName: c, listeners: [{name: m, port: 1, protocol: odd}], tls: {}}",
    ];
    let complaints: Vec<String> = specs
        .iter()
        .map(|spec| format!("{spec} => {}", complaint(&format!("{head}{spec}"))))
        .collect();
    assert_snapshot!(complaints.join("\n"));
}

#[test]
fn a_listener_admits_namespaces_as_it_says() {
    let labels = |text: &str| Labels::from([("team".into(), text.into())]);
    let admit = |from: &str, namespace: &str, labels: Option<&Labels>| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: w, namespace: gw}}\n\
             spec: {{gatewayClassName: c, listeners: [{{name: m, port: 15008, protocol: HBONE, allowedRoutes: {from}}}]}}"
        );
        let Ok(Object::Gateway(gateway)) = read_text(&text) else {
            panic!("a gateway");
        };
        let namespaces = &gateway.spec.listeners[0].allowed_routes.namespaces;
        namespaces.admit("gw", namespace, labels)
    };
    let selector = "{namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}";
    assert!(admit("null", "gw", None));
    assert!(!admit("null", "shop", None));
    assert!(!admit("{namespaces: {from: Same}}", "shop", None));
    assert!(admit("{namespaces: {from: All}}", "shop", None));
    assert!(!admit("{namespaces: {from: None}}", "gw", None));
    assert!(!admit("{namespaces: {from: Some}}", "gw", None));
    assert!(!admit(
        "{namespaces: {from: Selector}}",
        "gw",
        Some(&labels("a"))
    ));
    assert!(admit(selector, "shop", Some(&labels("a"))));
    assert!(!admit(selector, "shop", Some(&labels("b"))));
    assert!(!admit(selector, "shop", None));
}
