//! A set of labels: what tells a series from the others of its family.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};
use serde::{Deserialize, Serialize};

/// The value of a label of which nothing is known.
pub const UNKNOWN: &str = "unknown";

/// A set of labels: names are ours, values come from the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels(Arc<[(String, Arc<str>)]>);

impl Labels {
    /// Puts a set together from name and value pairs.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, Arc<str>)>) -> Self {
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The value of one label, if the set has it.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// Names and values, in the order of the page.
    pub(crate) fn pairs(&self) -> &[(String, Arc<str>)] {
        &self.0
    }

    /// The same without what is named by objects of the mesh or made up by a server: of such sets
    /// there are few. Of a status its class is kept, so that alerts on errors still see it.
    pub(crate) fn nameless(&self) -> Self {
        let pairs = self.0.iter().map(|(name, value)| {
            let is_of_objects =
                name == "policy" || name.starts_with("source_") || name.starts_with("destination_");
            let value = match name.as_str() {
                "response_code" => Arc::from(class_of(value)),
                "grpc_response_status" => Arc::from(UNKNOWN),
                _ if is_of_objects => Arc::from(UNKNOWN),
                _ => Arc::clone(value),
            };
            (name.clone(), value)
        });
        pairs.collect()
    }
}

/// The class of a status: `5xx` matches what `5..` matches.
fn class_of(code: &str) -> &'static str {
    match (code.len(), code.as_bytes().first()) {
        (3, Some(b'1')) => "1xx",
        (3, Some(b'2')) => "2xx",
        (3, Some(b'3')) => "3xx",
        (3, Some(b'4')) => "4xx",
        (3, Some(b'5')) => "5xx",
        _ => UNKNOWN,
    }
}

impl FromIterator<(String, Arc<str>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, Arc<str>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0.iter() {
            (name.as_str(), value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// The value of a label for a text that may be empty.
pub(crate) fn known(text: &str) -> &str {
    match text.is_empty() {
        true => UNKNOWN,
        false => text,
    }
}
