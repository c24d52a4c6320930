//! What a document that is not YAML was probably meant to be.
//!
//! A document that cannot be parsed may be a policy, and which namespace it was for decides what
//! is refused until it is corrected. So its lines are read on their own, for the plain block style
//! that nearly all files are written in; whatever is not certain stays unknown.

use std::sync::Arc;

use super::objects::names::{Label, Name};
use super::objects::{Identity, Kind};

/// Words that only policies hold.
const POLICY_WORDS: &[&str] = &[
    "authorizationpolicy",
    "peerauthentication",
    "requestauthentication",
    "security.istio.io",
];

/// Reads what can be read.
pub(super) fn sniff(document: &[u8]) -> Identity {
    let text = String::from_utf8_lossy(document);
    let lower = text.to_ascii_lowercase();
    let metadata = metadata_block(&text);
    let mut kinds = text.lines().filter_map(|line| value_of(line, "kind"));
    let kind = kinds
        .next()
        .filter(|_| kinds.next().is_none())
        .and_then(Kind::of);
    Identity {
        kind,
        namespace: namespace(&metadata),
        name: name(&metadata),
        policy: POLICY_WORDS.iter().any(|word| lower.contains(word)),
    }
}

/// The indented lines after `metadata:`.
fn metadata_block(text: &str) -> Vec<&str> {
    text.lines()
        .skip_while(|line| line.trim_end() != "metadata:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with([' ', '\t', '#']))
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .collect()
}

/// The namespace, if the block gives just one, wherever it is indented; `default` if it does not
/// speak of one at all.
fn namespace(block: &[&str]) -> Option<Arc<str>> {
    if block.is_empty() {
        return None;
    }
    let mut about = block
        .iter()
        .filter(|line| line.to_ascii_lowercase().contains("namesp"));
    match (about.next(), about.next()) {
        (None, _) => Some("default".into()),
        (Some(line), None) => Some(
            Label::new(value_of(line.trim_start(), "namespace")?)
                .ok()?
                .shared(),
        ),
        (Some(_), Some(_)) => None,
    }
}

/// The name that stands at the block's own level.
fn name(block: &[&str]) -> Option<Arc<str>> {
    let indent = block
        .iter()
        .map(|line| line.len() - line.trim_start().len())
        .min()?;
    let mut names = block
        .iter()
        .filter_map(|line| value_of(line.get(indent..)?, "name"));
    let name = names.next().filter(|_| names.next().is_none())?;
    Some(Name::new(name).ok()?.shared())
}

/// The plain or quoted value of a line `field: value`.
fn value_of<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let value = line.strip_prefix(field)?.strip_prefix(':')?.trim();
    let value = value.split(" #").next().unwrap_or_default().trim();
    Some(value.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests;
