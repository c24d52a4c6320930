//! The schema of `PeerAuthentication`.

use super::schema::Schema;
use super::{Definition, selector};
use crate::config::objects::Kind;

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::PeerAuthentication,
        singular: "peerauthentication",
        short_name: "pa",
        column: Some(["Mode", ".spec.mtls.mode", "Whether plaintext is accepted."]),
        spec: spec(),
    }
}

fn spec() -> Schema {
    let ports = Schema::map("Modes of single ports of the selected pods.", mode())
        .with("minProperties", 1)
        .rule(
            "self.all(port, 0 < int(port) && int(port) <= 65535)",
            "a port is a number from 1 to 65535",
        );
    Schema::object(
        "Whether workloads accept connections without mutual TLS.",
        [
            ("selector", selector::schema()),
            ("mtls", mode()),
            ("portLevelMtls", ports),
        ],
    )
    .rule(
        "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) \
         && self.selector.matchLabels.size() > 0)",
        "portLevelMtls requires selector: ports belong to workloads",
    )
}

fn mode() -> Schema {
    let words = ["UNSET", "DISABLE", "PERMISSIVE", "STRICT"];
    let mode = Schema::word(
        "STRICT refuses plaintext; PERMISSIVE and DISABLE accept it; UNSET leaves it to the next \
         wider scope.",
        &words,
    );
    Schema::object("Mutual TLS.", [("mode", mode)])
}
