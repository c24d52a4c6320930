//! The schema of `AuthorizationPolicy`.

use super::schema::Schema;
use super::{Definition, selector};
use crate::config::objects::Kind;

/// Most rules, and most entries of one list of a rule.
const ENTRIES: u32 = 512;
/// Most targets, and most service accounts of one source.
const FEW: u32 = 16;
/// Longest `NAMESPACE/NAME` of a service account.
const ACCOUNT: u32 = 320;
/// A number from 1 to 65535.
const PORT: &str =
    "^0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::AuthorizationPolicy,
        singular: "authorizationpolicy",
        short_name: "ap",
        column: Some(["Action", ".spec.action", "What a match of a rule means."]),
        spec: spec(),
    }
}

fn spec() -> Schema {
    let actions = ["ALLOW", "DENY", "AUDIT", "CUSTOM"];
    let action = Schema::word("What a match of a rule means; ALLOW if absent.", &actions);
    let rules = Schema::list(
        "A connection matches if any of these does; without rules none does, and an ALLOW refuses all.",
        rule(),
    );
    let references = Schema::list(
        "Gateways or services that it is bound to.",
        selector::reference(),
    );
    let provider = Schema::object(
        "Who decides, for CUSTOM.",
        [(
            "name",
            Schema::text("Its name in the mesh's configuration."),
        )],
    );
    Schema::object(
        "Which connections workloads accept.",
        [
            ("selector", selector::schema()),
            ("targetRef", selector::reference()),
            ("targetRefs", references.with("maxItems", FEW)),
            ("action", action),
            ("rules", rules.with("maxItems", ENTRIES)),
            ("provider", provider.with("required", vec!["name"])),
        ],
    )
    .rule(
        "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of selector, targetRef and targetRefs can be given",
    )
    .rule(
        "has(self.provider) == (has(self.action) && self.action == 'CUSTOM')",
        "provider and action CUSTOM need each other",
    )
}

fn rule() -> Schema {
    let from = Schema::object("", [("source", source())]).with("required", vec!["source"]);
    let to = Schema::object("", [("operation", operation())]).with("required", vec!["operation"]);
    let list = |description, item| {
        Schema::list(description, item)
            .with("minItems", 1)
            .with("maxItems", ENTRIES)
    };
    Schema::object(
        "Holds if each of its lists that is given does; an empty rule always does.",
        [
            ("from", list("Who connects: any of these.", from)),
            ("to", list("To what: any of these.", to)),
            (
                "when",
                list("Further conditions: all of these.", condition()),
            ),
        ],
    )
}

/// A list of texts, none of them empty.
fn texts(description: &str) -> Schema {
    Schema::list(description, Schema::text("").with("minLength", 1))
}

fn source() -> Schema {
    let accounts = |description| {
        let account = Schema::text("")
            .with("minLength", 1)
            .with("maxLength", ACCOUNT);
        Schema::list(description, account).with("maxItems", FEW)
    };
    Schema::object(
        "Who connects: all kinds named here, one value of each.",
        [
            ("principals", texts("Identities, such as cluster.local/ns/shop/sa/web; a star may begin or end them.")),
            ("notPrincipals", texts("None of these identities.")),
            ("namespaces", texts("Namespaces of the identity.")),
            ("notNamespaces", texts("None of these namespaces.")),
            ("serviceAccounts", accounts("Service accounts, as NAMESPACE/NAME, or NAME of the policy's namespace.")),
            ("notServiceAccounts", accounts("None of these service accounts.")),
            ("ipBlocks", texts("Addresses or blocks of them that the connection comes from.")),
            ("notIpBlocks", texts("None of these addresses.")),
            ("remoteIpBlocks", texts("Addresses of the client before any proxy; needs a waypoint.")),
            ("notRemoteIpBlocks", texts("None of these addresses; needs a waypoint.")),
            ("requestPrincipals", texts("Identities of a request's token; needs a waypoint.")),
            ("notRequestPrincipals", texts("None of these identities; needs a waypoint.")),
        ],
    )
    .with("minProperties", 1)
    .rule(
        "!(has(self.serviceAccounts) || has(self.notServiceAccounts)) || !(has(self.principals) \
         || has(self.notPrincipals) || has(self.namespaces) || has(self.notNamespaces))",
        "serviceAccounts cannot be given beside principals or namespaces",
    )
}

fn operation() -> Schema {
    let ports = |description| Schema::list(description, Schema::text("").with("pattern", PORT));
    Schema::object(
        "What is asked for: all kinds named here, one value of each.",
        [
            ("ports", ports("Ports of the pod.")),
            ("notPorts", ports("None of these ports.")),
            ("hosts", texts("Hosts of a request; needs a waypoint.")),
            ("notHosts", texts("None of these hosts; needs a waypoint.")),
            ("methods", texts("Methods of a request; needs a waypoint.")),
            (
                "notMethods",
                texts("None of these methods; needs a waypoint."),
            ),
            ("paths", texts("Paths of a request; needs a waypoint.")),
            ("notPaths", texts("None of these paths; needs a waypoint.")),
        ],
    )
    .with("minProperties", 1)
}

fn condition() -> Schema {
    let key =
        Schema::text("An attribute of Istio's, such as source.namespace.").with("minLength", 1);
    let given = |field: &str| serde_json::json!({"required": [field]});
    Schema::object(
        "A condition on one attribute.",
        [
            ("key", key),
            ("values", texts("One of these.")),
            ("notValues", texts("None of these.")),
        ],
    )
    .with("required", vec!["key"])
    .with("anyOf", vec![given("values"), given("notValues")])
}
