use super::*;
use crate::config::documents::parse_documents;
use crate::config::fixture::Folder;
use crate::config::objects;

fn judge(folder: &Folder, text: &str) -> Verdict {
    let mut documents = parse_documents(text.as_bytes()).unwrap();
    let read = objects::read(documents.remove(0).unwrap());
    let namespace = read
        .as_ref()
        .map_or_else(|_| "shop".into(), |read| read.key().namespace);
    let read = read.map(Box::new).map_err(|error| error.finding);
    folder.configuration.judge(&namespace, &read)
}

/// A folder with the namespace `shop`, which is enrolled, and more.
fn enrolled(text: &str) -> Folder {
    Folder::of(&format!(
        "apiVersion: v1\nkind: Namespace\n\
         metadata: {{name: shop, labels: {{ambit.mesh/dataplane-mode: ambient}}}}\n---\n{text}"
    ))
}

fn strict(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{name: {name}, namespace: shop, creationTimestamp: '2026-01-02T00:00:00Z'}}\n\
         spec: {{{labels}mtls: {{mode: STRICT}}}}\n"
    )
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: p, namespace: shop}}\nspec: {spec}\n"
    )
}

#[test]
fn virtual_services_are_judged_by_themselves() {
    let folder = enrolled("");
    let judged = |spec: &str| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: v, namespace: shop}}\nspec: {spec}\n"
        );
        let verdict = judge(&folder, &text);
        let fields = |list: &[Finding]| -> Vec<String> {
            list.iter().map(|finding| finding.field.clone()).collect()
        };
        (fields(&verdict.refused), fields(&verdict.warned))
    };
    let to = "route: [{destination: {host: web}}]";
    let (refused, warned) = judged(&format!("{{hosts: [web], http: [{{{to}}}]}}"));
    assert!(refused.is_empty());
    assert_eq!(
        warned,
        ["spec.hosts[0]", "spec.http[0].route[0].destination.host"]
    );
    let (refused, _) = judged(&format!("{{hosts: [web], http: [{{{to}, timeOut: 1s}}]}}"));
    assert_eq!(refused, ["spec.http[0].timeOut"]);
    let regex = "match: [{uri: {regex: '('}}]";
    let (refused, _) = judged(&format!("{{hosts: [web], http: [{{{regex}, {to}}}]}}"));
    assert_eq!(refused, ["spec.http[0].match[0].uri.regex"]);
    let (refused, _) = judged(&format!(
        "{{hosts: [web], http: [{{{to}, retries: {{attempts: 1, retryOn: x}}}}]}}"
    ));
    assert_eq!(refused, ["spec.http[0].retries.retryOn"]);
    let (refused, warned) = judged("{hosts: [web], http: [{delegate: {name: later}}]}");
    assert!(refused.is_empty());
    assert_eq!(warned, ["spec.hosts[0]", "spec.http[0].delegate"]);
}

#[test]
fn what_would_not_be_accepted_is_refused_and_what_means_nothing_is_warned_of() {
    let folder = enrolled("");
    let fine = judge(
        &folder,
        &policy("{rules: [{to: [{operation: {ports: ['80']}}]}]}"),
    );
    assert_eq!(fine, Verdict::default());
    let http = judge(
        &folder,
        &policy("{rules: [{to: [{operation: {methods: [GET]}}]}]}"),
    );
    let [finding] = &http.refused[..] else {
        panic!("{http:?}")
    };
    assert_eq!(finding.field, "spec.rules[0].to[0].operation.methods");
    let empty = judge(&folder, &policy("{action: DENY}"));
    assert!(
        empty.refused.is_empty() && empty.warned.len() == 1,
        "{empty:?}"
    );
    let same = empty.clone().tolerant();
    assert_eq!(same, empty);
    assert!(http.clone().tolerant().refused.is_empty());
    assert_eq!(http.clone().tolerant().warned, http.refused);
}

#[test]
fn a_second_object_for_the_same_pods_is_refused_but_not_a_new_version_of_the_first() {
    let folder = enrolled(&strict("one", ""));
    assert_eq!(judge(&folder, &strict("one", "")), Verdict::default());
    let second = judge(&folder, &strict("two", ""));
    let [finding] = &second.refused[..] else {
        panic!("{second:?}")
    };
    assert!(finding.what.contains("PeerAuthentication shop/one"));
    let elsewhere = strict("two", "selector: {matchLabels: {app: web}}, ");
    assert_eq!(judge(&folder, &elsewhere), Verdict::default());
}

#[test]
fn a_policy_that_is_none_of_ours_is_not_stopped() {
    let folder = Folder::of("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
    let http = policy("{rules: [{to: [{operation: {methods: [GET]}}]}]}");
    let verdict = judge(&folder, &http);
    assert!(
        verdict.refused.is_empty() && verdict.warned.len() == 1,
        "{verdict:?}"
    );
    let unreadable = judge(&folder, &policy("{action: PERHAPS}"));
    assert!(
        unreadable.refused.is_empty() && unreadable.warned.len() == 1,
        "{unreadable:?}"
    );
    let ours = judge(&enrolled(""), &policy("{action: PERHAPS}"));
    assert_eq!(ours.refused, unreadable.warned);
    let root = http.replace("namespace: shop", "namespace: istio-system");
    assert_eq!(
        judge(&folder, &root).refused.len(),
        1,
        "it is for all namespaces"
    );
}

#[test]
fn a_route_is_refused_for_what_is_wrong_with_it_and_warned_of_what_it_misses() {
    let folder = enrolled(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n\
         spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n",
    );
    let route = |parent: &str, rule: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: r, namespace: shop}}\n\
             spec: {{parentRefs: [{{{parent}}}], rules: [{{{rule}}}]}}\n"
        )
    };
    let web = "group: '', kind: Service, name: web";
    let fields = |findings: &[Finding]| -> Vec<String> {
        findings
            .iter()
            .map(|finding| finding.field.clone())
            .collect()
    };
    let cases = [
        (web, "backendRefs: [{name: web, port: 80}]", None, None),
        (
            web,
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Connection]}}]",
            Some("spec.rules[0].filters"),
            None,
        ),
        (
            web,
            "matches: [{path: {type: RegularExpression, value: '(?x)a # b'}}]",
            Some("spec.rules[0].matches[0].path"),
            None,
        ),
        (
            web,
            "backendRefs: [{name: later, port: 80}]",
            None,
            Some("spec.rules[0].backendRefs[0]"),
        ),
        (
            "group: '', kind: Service, name: later",
            "",
            None,
            Some("spec.parentRefs[0]"),
        ),
        (
            web,
            "filters: [{type: Odd}]",
            Some("spec.rules[0].filters[0].type"),
            None,
        ),
        (
            web,
            "timeouts: {request: soon}",
            Some("spec.rules[0].timeouts.request"),
            None,
        ),
        (
            "name: gateway",
            "filters: [{type: Odd}], timeouts: 7",
            None,
            None,
        ),
    ];
    for (parent, rule, refused, warned) in cases {
        let verdict = judge(&folder, &route(parent, rule));
        let list = |field: Option<&str>| field.map(str::to_owned).into_iter().collect::<Vec<_>>();
        assert_eq!(fields(&verdict.refused), list(refused), "{parent} {rule}");
        assert_eq!(fields(&verdict.warned), list(warned), "{parent} {rule}");
    }
}
