//! Names as Kubernetes admits them, checked on reading.
//!
//! Names end up in SPIFFE ids, in names on the wire and in paths; a folder of files has no API
//! server that checked them, so it is done here. What is held by these types is safe to join with
//! slashes and dots.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;
const MAX_UID: usize = 128;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an RFC 1123 label.
    #[error("`{0}` is not a name of 1 to 63 characters a-z 0-9 - (RFC 1123 label)")]
    Label(String),
    /// Not an RFC 1123 subdomain.
    #[error("`{0}` is not a name of 1 to 253 characters a-z 0-9 - . (RFC 1123 subdomain)")]
    Name(String),
    /// Not a uid.
    #[error("`{0}` is not a uid of 1 to 128 characters A-Z a-z 0-9 - _ .")]
    Uid(String),
}

/// A namespace: an RFC 1123 label, so without dots.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Arc<str>);

/// Any other name: an RFC 1123 subdomain.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A `metadata.uid`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(Arc<str>);

impl Label {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_LABEL || !is_label(text) {
            return Err(NameError::Label(shortened(text)));
        }
        Ok(Self(text.into()))
    }
}

impl Name {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME || !text.split('.').all(is_label) {
            return Err(NameError::Name(shortened(text)));
        }
        Ok(Self(text.into()))
    }
}

impl Uid {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > MAX_UID || !text.bytes().all(legal) {
            return Err(NameError::Uid(shortened(text)));
        }
        Ok(Self(text.into()))
    }
}

fn is_label(text: &str) -> bool {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && text.bytes().all(legal) && !text.starts_with('-') && !text.ends_with('-')
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! shared_text {
    ($($type:ident),*) => {$(
        impl $type {
            /// The text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    )*};
}

shared_text!(Label, Name, Uid);

#[cfg(test)]
mod tests;
