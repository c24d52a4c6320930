//! Whether a request is copied.

use ambit_model::Mirror;

use crate::weight::below;

/// Whether a request is copied: so many of all as the mirror says. `random` is any number, evenly
/// distributed.
pub fn should_mirror(mirror: &Mirror, random: u64) -> bool {
    mirror.of > 0 && below(mirror.of.into(), random) < mirror.share.into()
}

#[cfg(test)]
mod tests;
