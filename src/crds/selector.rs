//! Selectors and references, which policies share.

use super::schema::Schema;

/// Longest value of a label.
const LABEL: u32 = 63;

/// `spec.selector`.
pub(super) fn schema() -> Schema {
    let value = Schema::text("").with("maxLength", LABEL).rule(
        "!self.contains('*')",
        "a star is not a pattern in a selector: write the whole value",
    );
    let labels = Schema::map(
        "Labels that a pod must have; none selects every pod.",
        value,
    )
    .with("maxProperties", 4096)
    .rule(
        "self.all(key, !key.contains('*'))",
        "a star is not a pattern in a selector: write the whole name",
    )
    .rule(
        "self.all(key, key.size() != 0)",
        "the name of a label is missing",
    );
    Schema::object(
        "Pods that it applies to: of its namespace, or of all if that is a root namespace.",
        [("matchLabels", labels)],
    )
}

/// An entry of `spec.targetRefs`.
pub(super) fn reference() -> Schema {
    let group = Schema::text("Group of the target; empty for the core group.")
        .with("maxLength", 253)
        .with(
            "pattern",
            r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        );
    let kind = Schema::text("Kind of the target.")
        .with("minLength", 1)
        .with("maxLength", 63)
        .with("pattern", "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$");
    let name = Schema::text("Name of the target.")
        .with("minLength", 1)
        .with("maxLength", 253);
    let namespace = Schema::text("Must be empty: the target is of the same namespace.").rule(
        "self.size() == 0",
        "a target of another namespace cannot be referred to: leave it out",
    );
    Schema::object(
        "A gateway or service that it is bound to.",
        [
            ("group", group),
            ("kind", kind),
            ("name", name),
            ("namespace", namespace),
        ],
    )
    .with("required", vec!["kind", "name"])
}
