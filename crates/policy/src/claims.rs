//! What a token says.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Claims that Istio takes for lists of words.
const LISTS: [&str; 2] = ["scope", "permission"];

/// The claims of a valid token, cheap to clone. Only texts and lists of texts can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims(Arc<Map<String, Value>>);

impl Claims {
    /// Takes the payload of a token. `scope` and `permission` become lists of their words; for other
    /// claims whoever checks the token does that before, if it is asked for.
    pub fn new(mut payload: Map<String, Value>) -> Self {
        for name in LISTS {
            if let Some(Value::String(text)) = payload.get(name) {
                let words = text.split_ascii_whitespace().map(Value::from).collect();
                payload.insert(name.to_owned(), Value::Array(words));
            }
        }
        Self(Arc::new(payload))
    }

    /// Takes claims whose words are lists already, and shares them.
    pub fn in_words(claims: &Arc<Map<String, Value>>) -> Self {
        Self(Arc::clone(claims))
    }

    /// Issuer and subject, if the token has both.
    pub(crate) fn principal(&self) -> Option<(&str, &str)> {
        let text = |name| self.0.get(name)?.as_str();
        Some((text("iss")?, text("sub")?))
    }

    /// The texts that a claim has: itself, or the elements of its list. The names lead from the outside
    /// in.
    pub(crate) fn texts(&self, path: &[Arc<str>]) -> impl Iterator<Item = &str> {
        let mut names = path.iter();
        let first = names.next().and_then(|name| self.0.get(&**name));
        let found = names.fold(first, |outer, name| outer?.as_object()?.get(&**name));
        let list = found.and_then(Value::as_array).map(Vec::as_slice);
        let single = found.and_then(Value::as_str);
        let elements = list.unwrap_or_default().iter().filter_map(Value::as_str);
        single.into_iter().chain(elements)
    }
}
