//! The schema of `status`.

use super::schema::Schema;
use super::service_entry;
use crate::config::objects::Kind;

pub(super) fn schema(kind: Kind) -> Schema {
    if kind.is_for_sidecars() {
        return Schema::object("Not written.", []);
    }
    let condition = Schema::object(
        "",
        [
            ("type", Schema::text("What it is about.")),
            (
                "status",
                Schema::word("Whether it is so.", &["True", "False", "Unknown"]),
            ),
            ("reason", Schema::text("Why, in one word.")),
            (
                "message",
                Schema::text("Why, for people: which field, and what to do."),
            ),
            (
                "observedGeneration",
                Schema::number("Generation of the object that it is about."),
            ),
            ("lastProbeTime", Schema::time("Not written.")),
            ("lastTransitionTime", Schema::time("When it became so.")),
        ],
    )
    .with("required", vec!["type", "status"]);
    let conditions = Schema::list("What the control plane makes of it.", condition)
        .with("x-kubernetes-list-type", "map")
        .with("x-kubernetes-list-map-keys", vec!["type"]);
    let generation = Schema::number("Generation of the object that was seen.");
    let what = "What became of it; written by the control plane.";
    if !kind.is_traffic() && kind != Kind::Telemetry {
        return Schema::object(
            what,
            [
                ("conditions", conditions),
                ("observedGeneration", generation),
            ],
        );
    }
    let messages = Schema::list("What is wrong, or not as it is written.", message());
    if kind == Kind::ServiceEntry {
        return Schema::object(
            what,
            [
                ("conditions", conditions),
                ("observedGeneration", generation),
                ("validationMessages", messages),
                ("addresses", service_entry::addresses()),
            ],
        );
    }
    Schema::object(
        what,
        [
            ("conditions", conditions),
            ("observedGeneration", generation),
            ("validationMessages", messages),
        ],
    )
}

fn message() -> Schema {
    let kind = Schema::object(
        "",
        [
            ("name", Schema::text("What kind of message it is.")),
            ("code", Schema::text("The same as a code.")),
        ],
    );
    Schema::object(
        "",
        [
            ("type", kind),
            (
                "level",
                Schema::word(
                    "How much it matters.",
                    &["UNKNOWN", "ERROR", "WARNING", "INFO"],
                ),
            ),
            ("documentationUrl", Schema::text("Where more is said.")),
            ("field", Schema::text("Path of the field.")),
            ("message", Schema::text("What was found.")),
            ("remedy", Schema::text("What to do.")),
        ],
    )
}
