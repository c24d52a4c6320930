//! The schema of `Telemetry`.

use super::schema::Schema;
use super::{Definition, selector};
use crate::config::objects::Kind;

/// Most references of one object.
const TARGETS: u32 = 16;

pub(super) fn definition() -> Definition {
    Definition {
        kind: Kind::Telemetry,
        singular: "telemetry",
        short_name: "telemetry",
        column: Some([
            "Targets",
            ".spec.targetRefs[*].name",
            "What it is bound to.",
        ]),
        spec: spec(),
    }
}

fn spec() -> Schema {
    let targets = Schema::list(
        "Gateways or services that it is bound to.",
        selector::reference(),
    )
    .with("maxItems", TARGETS);
    Schema::object(
        "What is told of traffic.",
        [
            ("selector", selector::schema()),
            ("targetRef", selector::reference()),
            ("targetRefs", targets),
            ("tracing", Schema::list("Of traces.", tracing())),
            (
                "metrics",
                Schema::list("Of series; not followed.", metrics()),
            ),
            ("accessLogging", Schema::list("Of access logs.", logging())),
        ],
    )
}

fn providers() -> Schema {
    let provider = Schema::object("", [("name", Schema::text("Its name."))]);
    Schema::list(
        "Who is sent it; `envoy` is the access log of the mesh.",
        provider,
    )
}

fn mode() -> Schema {
    Schema::word(
        "Of which traffic, as a workload sees it.",
        &["CLIENT_AND_SERVER", "CLIENT", "SERVER"],
    )
}

fn selected() -> Schema {
    Schema::object("Of which traffic.", [("mode", mode())])
}

fn logging() -> Schema {
    let filter = Schema::object(
        "What has a line.",
        [("expression", Schema::text("In CEL: true of it."))],
    );
    Schema::object(
        "",
        [
            ("match", selected()),
            ("providers", providers()),
            ("disabled", Schema::truth("There is none.")),
            ("filter", filter),
        ],
    )
}

fn tracing() -> Schema {
    let literal = || Schema::object("", [("value", Schema::text("The text."))]);
    let named = || {
        Schema::object(
            "",
            [
                ("name", Schema::text("Its name.")),
                ("defaultValue", Schema::text("Where it is not there.")),
            ],
        )
    };
    let tag = Schema::object(
        "One of these.",
        [
            ("literal", literal()),
            ("environment", named()),
            ("header", named()),
            ("formatter", literal()),
        ],
    );
    Schema::object(
        "",
        [
            ("match", selected()),
            ("providers", providers()),
            (
                "randomSamplingPercentage",
                Schema::share("How many of a hundred traces are recorded."),
            ),
            ("disableSpanReporting", Schema::truth("None are told.")),
            ("customTags", Schema::map("More tags of spans.", tag)),
            (
                "useRequestIdForTraceSampling",
                Schema::truth("Whether x-request-id decides."),
            ),
            (
                "enableIstioTags",
                Schema::truth("Whether Istio's tags are there."),
            ),
            (
                "disableContextPropagation",
                Schema::truth("Whether headers are left alone."),
            ),
        ],
    )
}

fn metrics() -> Schema {
    let series = Schema::object(
        "Which series.",
        [
            ("metric", Schema::text("One of Istio's.")),
            ("customMetric", Schema::text("Another one.")),
            ("mode", mode()),
        ],
    );
    let operation = Schema::word("Whether it is there.", &["UPSERT", "REMOVE"]);
    let tag = Schema::object(
        "",
        [
            ("operation", operation),
            ("value", Schema::text("An expression for its value.")),
        ],
    );
    let overrides = Schema::object(
        "",
        [
            ("match", series),
            ("disabled", Schema::truth("They are not there.")),
            ("tagOverrides", Schema::map("What becomes of labels.", tag)),
        ],
    );
    Schema::object(
        "",
        [
            ("providers", providers()),
            ("overrides", Schema::list("What is other.", overrides)),
            ("reportingInterval", Schema::text("How often it is told.")),
        ],
    )
}
