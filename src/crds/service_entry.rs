//! The schemas of `ServiceEntry` and `WorkloadEntry`.

use super::Definition;
use super::schema::Schema;
use crate::config::objects::Kind;

/// Most of what one object lists; the reader has bounds of its own.
const MOST: u32 = 256;

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::ServiceEntry,
        singular: "serviceentry",
        short_name: "se",
        column: Some(["Hosts", ".spec.hosts", "Names that it is for."]),
        spec: spec(),
    }
}

pub(super) fn workload() -> Definition {
    Definition {
        kind: Kind::WorkloadEntry,
        singular: "workloadentry",
        short_name: "we",
        column: Some(["Address", ".spec.address", "Where it is."]),
        spec: server("A server that is no pod."),
    }
}

fn spec() -> Schema {
    let texts = |description| Schema::list(description, Schema::text("")).with("maxItems", MOST);
    let labels = Schema::map("Labels that they must have.", Schema::text(""));
    Schema::object(
        "Hosts outside of the cluster, or of it under other names.",
        [
            (
                "hosts",
                texts("Names, of which the first label may be `*`.").with("minItems", 1),
            ),
            (
                "addresses",
                texts("Addresses that stand for them, or blocks of such."),
            ),
            ("ports", Schema::list("Ports that are served.", port())),
            (
                "location",
                Schema::word(
                    "Whether they belong to the mesh.",
                    &["MESH_EXTERNAL", "MESH_INTERNAL"],
                ),
            ),
            (
                "resolution",
                Schema::word(
                    "How the address of a connection is found.",
                    &["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"],
                ),
            ),
            (
                "endpoints",
                Schema::list("Where connections go.", server("")).with("maxItems", 1024),
            ),
            (
                "workloadSelector",
                Schema::object(
                    "Pods and WorkloadEntries that serve them.",
                    [("labels", labels)],
                ),
            ),
            (
                "exportTo",
                texts("Namespaces of whose clients it holds: `.`, `*`, `~` or names."),
            ),
            (
                "subjectAltNames",
                texts("Not followed: DestinationRules say what certificates must name."),
            ),
        ],
    )
    .with("required", vec!["hosts"])
}

fn number(description: &str) -> Schema {
    Schema::number(description)
        .with("minimum", 1)
        .with("maximum", 65535)
}

fn port() -> Schema {
    Schema::object(
        "",
        [
            ("number", number("The port.")),
            ("name", Schema::text("Its name.")),
            (
                "protocol",
                Schema::text(
                    "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, MYSQL, REDIS, TCP or TLS.",
                ),
            ),
            ("targetPort", number("Port of endpoints.")),
        ],
    )
    .with("required", vec!["number", "name"])
}

fn server(description: &str) -> Schema {
    Schema::object(
        description,
        [
            ("address", Schema::text("An address, or a name to resolve.")),
            (
                "ports",
                Schema::map("Its ports, by the names of the entry's.", number("")),
            ),
            ("labels", Schema::map("Its labels.", Schema::text(""))),
            ("network", Schema::text("Not followed.")),
            (
                "locality",
                Schema::text("Where it runs: REGION/ZONE/SUBZONE."),
            ),
            (
                "weight",
                Schema::number("Its share of traffic.").with("minimum", 0),
            ),
            ("serviceAccount", Schema::text("Not followed.")),
        ],
    )
}

/// `status.addresses` of service entries.
pub(super) fn addresses() -> Schema {
    let address = Schema::object(
        "",
        [
            ("value", Schema::text("The address.")),
            ("host", Schema::text("The host that it stands for.")),
        ],
    );
    Schema::list("Addresses that were given to hosts.", address)
}
