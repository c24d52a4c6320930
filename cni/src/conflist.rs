//! Our entry in the text of a network configuration: put in, taken out, found. Pure.
//!
//! The text is spliced, not written anew: every other byte of the file stays as its owner wrote
//! it, and taking the entry out gives back the very text from before. That is why nothing here
//! goes through a map of values, which would lose the order of keys.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::spec::{self, Entry, PLUGIN, span, splice};

/// Why a configuration is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum ConflistError {
    /// No JSON, or not of this shape.
    #[error("it is no network configuration: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Our plugin would refuse to run in it, and so would every pod of the node.
    #[error("it has cniVersion {0:?}, and ambit-cni speaks {known:?} only", known = spec::VERSIONS)]
    Version(String),
    /// Nothing in it makes a network that ours could be chained to.
    #[error("it has no plugin that makes a network")]
    NoPlugins,
    /// A list in a file for single plugins, which runtimes refuse too.
    #[error("it has no `type`, as a configuration of a single plugin must; a list is a .conflist")]
    NotSingle,
}

/// What is left of a configuration without our entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It was not in there.
    Unchanged,
    /// The list without it.
    List(String),
    /// The single plugin's configuration that the list was made from.
    Single(String),
}

/// The parts of a configuration that matter here, borrowed from its text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    #[serde(default)]
    name: String,
    #[serde(default)]
    cni_version: String,
    #[serde(default)]
    cni_versions: Vec<String>,
    #[serde(borrow)]
    plugins: Option<Vec<&'a RawValue>>,
    #[serde(rename = "type", borrow)]
    plugin: Option<&'a RawValue>,
}

/// A plugin of a list.
struct Plugin<'a> {
    text: &'a str,
    is_ours: bool,
    /// Its settings, if it is ours and they can be read.
    entry: Option<Entry>,
}

/// The text of a list with our entry after the other plugins; the same text if it is there.
pub fn add_plugin(text: &str, entry: &Entry) -> Result<String, ConflistError> {
    check_versions(&serde_json::from_str(text)?)?;
    let plugins = plugins_of(text)?;
    let entry = Entry {
        was_conf: was_conf(text),
        ..entry.clone()
    };
    // Others may have put themselves behind it since: not a reason to fight for the last place.
    let has_network_before = plugins.first().is_some_and(|first| !first.is_ours);
    let found = plugins.iter().filter(|plugin| plugin.is_ours);
    if has_network_before && found.map(|found| &found.entry).eq([&Some(entry.clone())]) {
        return Ok(text.to_owned());
    }
    let without = without_ours(text)?;
    let plugins = plugins_of(&without)?;
    let last = plugins.last().ok_or(ConflistError::NoPlugins)?;
    let end = span(&without, last.text).end;
    let addition = format!(",\n    {}", serde_json::to_string(&entry)?);
    Ok(splice(&without, end..end, &addition))
}

/// The text of a list that is made of a single plugin's configuration and our entry.
pub fn list_of(text: &str, entry: &Entry) -> Result<String, ConflistError> {
    let frame: Frame<'_> = serde_json::from_str(text)?;
    check_versions(&frame)?;
    if frame.plugin.is_none() || frame.plugins.is_some() {
        return Err(ConflistError::NotSingle);
    }
    let entry = Entry {
        was_conf: true,
        ..entry.clone()
    };
    let version = serde_json::to_string(&frame.cni_version)?;
    let name = serde_json::to_string(&frame.name)?;
    let (plugin, ours) = (text.trim(), serde_json::to_string(&entry)?);
    Ok(format!(
        "{{\n  \"cniVersion\": {version},\n  \"name\": {name},\n  \"plugins\": [\n    \
         {plugin},\n    {ours}\n  ]\n}}\n"
    ))
}

/// The text without our entry.
pub fn remove_plugin(text: &str) -> Result<Removed, ConflistError> {
    let (ours, others): (Vec<_>, Vec<_>) = plugins_of(text)?
        .into_iter()
        .partition(|plugin| plugin.is_ours);
    match others.as_slice() {
        _ if ours.is_empty() => Ok(Removed::Unchanged),
        [single] if was_conf(text) => Ok(Removed::Single(format!("{}\n", single.text))),
        _ => Ok(Removed::List(without_ours(text)?)),
    }
}

/// Whether our entry is in there.
pub fn is_present(text: &str) -> bool {
    !matches!(remove_plugin(text), Ok(Removed::Unchanged) | Err(_))
}

/// Whether the list was made by [`list_of`].
pub fn was_conf(text: &str) -> bool {
    let plugins = plugins_of(text).unwrap_or_default();
    let mut entries = plugins.iter().filter_map(|plugin| plugin.entry.as_ref());
    entries.any(|entry| entry.was_conf)
}

/// That our plugin can run in it: of several versions, the runtime takes which it likes.
fn check_versions(frame: &Frame<'_>) -> Result<(), ConflistError> {
    let mut versions = frame.cni_versions.iter().chain([&frame.cni_version]);
    match versions.find(|version| !spec::is_spoken(version)) {
        Some(version) => Err(ConflistError::Version(version.clone())),
        None => Ok(()),
    }
}

/// The plugins of a list; none if it is no list.
fn plugins_of(text: &str) -> Result<Vec<Plugin<'_>>, ConflistError> {
    let frame: Frame<'_> = serde_json::from_str(text)?;
    let plugins = frame.plugins.unwrap_or_default();
    Ok(plugins.into_iter().map(Plugin::of).collect())
}

/// The text without any entry of ours, each taken out with one comma.
fn without_ours(text: &str) -> Result<String, ConflistError> {
    let plugins = plugins_of(text)?;
    let Some(at) = plugins.iter().position(|plugin| plugin.is_ours) else {
        return Ok(text.to_owned());
    };
    let place = |index: usize| Some(span(text, plugins.get(index)?.text));
    let own = place(at).unwrap_or_default();
    let before = at.checked_sub(1).and_then(place);
    let cut = match (before, place(at + 1)) {
        (Some(before), _) => before.end..own.end,
        (None, Some(after)) => own.start..after.start,
        (None, None) => own,
    };
    without_ours(&splice(text, cut, ""))
}

impl<'a> Plugin<'a> {
    fn of(raw: &'a RawValue) -> Self {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            plugin: String,
        }
        let text = raw.get();
        let kind = serde_json::from_str::<Kind>(text);
        let is_ours = kind.is_ok_and(|kind| kind.plugin == PLUGIN);
        let entry = serde_json::from_str(text).ok().filter(|_entry| is_ours);
        Self {
            text,
            is_ours,
            entry,
        }
    }
}

#[cfg(test)]
mod tests;
