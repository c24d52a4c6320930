//! The schema of a policy's `status`.

use super::schema::Schema;

pub(super) fn schema() -> Schema {
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
    Schema::object(
        "What became of it; written by the control plane.",
        [
            ("conditions", conditions),
            (
                "observedGeneration",
                Schema::number("Generation of the object that was seen."),
            ),
        ],
    )
}
