//! The schemas of `Sidecar` and `EnvoyFilter`, of which nothing is read.

use super::Definition;
use super::schema::Schema;
use crate::config::objects::Kind;

pub(super) fn definition(
    kind: Kind,
    singular: &'static str,
    short_name: &'static str,
) -> Definition {
    Definition {
        kind,
        singular,
        short_name,
        column: None,
        spec: Schema::object(
            "For sidecars, of which there are none: it has no effect.",
            [],
        ),
    }
}
