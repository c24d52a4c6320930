//! The four forms of paths that Istio's `pathNormalization` has: by whichever a path is put into form, that form
//! is routed, judged and sent on.

use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use crate::fronted::{Fronted, http_route};

/// Istio's names, in the order of the table.
const FORMS: [&str; 4] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/// A path, and its form by each.
const PATHS: [(&str, [&str; 4]); 11] = [
    ("/PLACE", ["/PLACE", "/PLACE", "/PLACE", "/PLACE"]),
    ("/x/../PLACE", ["/x/../PLACE", "/PLACE", "/PLACE", "/PLACE"]),
    ("/./PLACE", ["/./PLACE", "/PLACE", "/PLACE", "/PLACE"]),
    (
        "/x/%2e%2E/PLACE",
        ["/x/%2e%2E/PLACE", "/PLACE", "/PLACE", "/PLACE"],
    ),
    (
        "/x/..;a/PLACE",
        ["/x/..;a/PLACE", "/PLACE", "/PLACE", "/PLACE"],
    ),
    (
        "/x\\..\\PLACE",
        ["/x\\..\\PLACE", "/PLACE", "/PLACE", "/PLACE"],
    ),
    ("//PLACE", ["//PLACE", "//PLACE", "/PLACE", "/PLACE"]),
    (
        "/x/..///PLACE",
        ["/x/..///PLACE", "///PLACE", "/PLACE", "/PLACE"],
    ),
    (
        "/x%2F..%2fPLACE",
        [
            "/x%2F..%2fPLACE",
            "/x%2F..%2fPLACE",
            "/x%2F..%2fPLACE",
            "/PLACE",
        ],
    ),
    (
        "/%5CPLACE",
        ["/%5CPLACE", "/%5CPLACE", "/%5CPLACE", "/PLACE"],
    ),
    (
        "/%252e/PLACE",
        [
            "/%252e/PLACE",
            "/%252e/PLACE",
            "/%252e/PLACE",
            "/%252e/PLACE",
        ],
    ),
];

/// Requests for `/special` meet a rule of their own, those for `/admin` are refused.
fn tell(fronted: &Fronted) {
    let rules = "  - name: special\n    matches: [{path: {type: Exact, value: /special}}]\n\
                 \x20   filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: special}]}}]\n\
                 \x20   backendRefs: [{name: server, port: 80}]\n\
                 \x20 - name: others\n    backendRefs: [{name: server, port: 80}]\n";
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                  metadata: {name: admin, namespace: shop}\n\
                  spec: {targetRefs: [{kind: Service, group: '', name: server}], action: DENY, \
                  rules: [{to: [{operation: {paths: [/admin]}}]}]}\n";
    let configuration = &fronted.world.mesh.configuration;
    configuration.apply("admin", policy).unwrap();
    fronted.route(&http_route("forms", rules), "special");
    wait_until("the policy", SPREAD, || {
        fronted.get("/admin", "").status == 403
    })
    .unwrap();
}

#[test]
fn what_is_routed_and_judged_is_what_is_sent_on_in_each_form() {
    for (place, form) in FORMS.into_iter().enumerate() {
        let argument = format!("--path-normalization={form}");
        let fronted = Fronted::start_with(&[], &[&argument]);
        let server = Scripted::saying(&fronted.pod("server"), 8080, "served").unwrap();
        tell(&fronted);
        for (number, (path, forms)) in PATHS.into_iter().enumerate() {
            for name in ["special", "admin"] {
                // The query says which request this is, and stays as it is.
                let query = format!("?n={number}/../x&{name}");
                let sent = format!("{}{query}", path.replace("PLACE", name));
                let wanted = forms[place].replace("PLACE", name);
                let answer = fronted.get(&sent, "");
                let what = format!("{form}: {sent}");
                let heard = server.heard_at(&format!("{wanted}{query}"));
                if wanted == "/admin" {
                    assert_eq!(answer.status, 403, "{what}");
                    assert!(heard.is_empty(), "{what}");
                    continue;
                }
                assert_eq!(answer.status, 200, "{what}");
                assert_eq!(heard.len(), 1, "{what} is not sent on as {wanted}");
                let rule = (wanted == "/special").then(|| "special".to_owned());
                assert_eq!(heard[0].header("x-rule"), rule, "{what}");
            }
        }
    }
}
