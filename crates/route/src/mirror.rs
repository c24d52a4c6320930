//! Whether a request is copied, and what its copy is called.

use ambit_model::{Mirror, Share};
use http::request::Parts;

use crate::faults::hits;
use crate::head::Head;
use crate::host::NewHost;

/// Whether a request is copied: so many of all as the mirror says. `random` is any number, evenly
/// distributed.
pub fn should_mirror(mirror: &Mirror, random: u64) -> bool {
    let Mirror { share, of, .. } = *mirror;
    hits(Share { share, of }, random)
}

/// Says of a copy, by its host, that it is one: `shop:80` becomes `shop-shadow:80`. An IPv6 address, and a
/// host that cannot be told, stay as they are.
pub fn shadow(parts: &mut Parts) {
    let Some(asked) = Head::of(parts).authority else {
        return;
    };
    let host_end = match asked.rfind(':') {
        Some(colon) if asked.rfind(']').is_none_or(|end| end < colon) => colon,
        _ => asked.len(),
    };
    let (host, port) = asked.split_at_checked(host_end).unwrap_or((asked, ""));
    if host.ends_with(']') {
        return;
    }
    if let Ok(host) = NewHost::new("host of a copy", &format!("{host}-shadow{port}")) {
        host.put(parts);
    }
}

#[cfg(test)]
mod tests;
