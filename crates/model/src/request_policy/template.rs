//! Templates of paths: `{*}` stands for one segment, `{**}` for any number of them.
//!
//! Istio's restrictions: an operator is a segment of its own, none follows `{**}`, and what is no
//! operator has only characters that a path may have as they are.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

const ONE: &str = "{*}";
const MANY: &str = "{**}";

/// A path by its segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate(Vec<TemplateSegment>);

/// What follows one slash of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSegment {
    /// This text; empty for what follows a slash at the end.
    Literal(Arc<str>),
    /// Any text without a slash, but not nothing.
    One,
    /// Any text, with slashes or without, or nothing.
    Many,
}

impl PathTemplate {
    /// Whether a text has to be read as a template.
    pub fn is_one(path: &str) -> bool {
        path.contains(ONE) || path.contains(MANY)
    }

    /// Reads a template; the error says what is wrong with it.
    pub fn parse(path: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{path}` {why}");
        let rest = path.strip_prefix('/');
        let rest = rest.ok_or_else(|| wrong("does not begin with a slash"))?;
        let count = rest.split('/').count();
        let mut segments = Vec::with_capacity(count);
        for (index, text) in rest.split('/').enumerate() {
            let segment = match text {
                ONE => TemplateSegment::One,
                MANY => TemplateSegment::Many,
                "" if index + 1 == count => TemplateSegment::Literal("".into()),
                "" => return Err(wrong("has two slashes in a row")),
                text if text.contains(['{', '}']) => {
                    return Err(wrong("has a brace elsewhere than in a segment {*} or {**}"));
                }
                text if text.bytes().all(is_literal) => TemplateSegment::Literal(text.into()),
                _ => {
                    return Err(wrong("has a character that a template must not have"));
                }
            };
            let is_operator = !matches!(segment, TemplateSegment::Literal(_));
            if is_operator && segments.contains(&TemplateSegment::Many) {
                return Err(wrong("has an operator after {**}"));
            }
            segments.push(segment);
        }
        Ok(Self(segments))
    }

    /// Its segments, each of which follows a slash. At most one is [`TemplateSegment::Many`], behind
    /// which there are literals only.
    pub fn segments(&self) -> &[TemplateSegment] {
        &self.0
    }
}

/// RFC 3986, 3.3, without the star.
fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte)
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| {
            f.write_char('/')?;
            f.write_str(match segment {
                TemplateSegment::Literal(text) => text,
                TemplateSegment::One => ONE,
                TemplateSegment::Many => MANY,
            })
        })
    }
}

impl TryFrom<String> for PathTemplate {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        Self::parse(&path)
    }
}

impl From<PathTemplate> for String {
    fn from(template: PathTemplate) -> Self {
        template.to_string()
    }
}
