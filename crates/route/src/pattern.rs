//! Texts and how they are compared.
//!
//! Expressions follow RE2 as far as the `regex` crate does: `\d`, `\w`, `\s`, `\b` and `(?i)` mean
//! ASCII, a non-ASCII character stands for its UTF-8 bytes and cannot be in a class, and the flags
//! that RE2 does not have are refused. Matching takes time linear in the text, memory is bounded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::{Pattern, TextMatch};
use regex::bytes::{Regex, RegexBuilder};

use crate::compiled::Compiled;
use crate::problem::Problem;

/// Most memory of one compiled expression, in bytes: more than any that a person wrote needs, little
/// enough for hundreds of them.
const LARGEST: usize = 64 * 1024;

/// Most memory that one thread keeps for one expression while it matches.
const LARGEST_CACHE: usize = 128 * 1024;

/// A text test, ready to be applied.
#[derive(Clone, Debug)]
pub(crate) enum TextTest {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Regex(Arc<Regex>),
    Present,
}

/// Expressions that were made ready, as they stand there: each once, however many matches of a
/// service's routes have it. They are looked at when the first is asked for: most changes have none.
#[derive(Debug, Default)]
pub struct Patterns {
    before: Vec<Compiled>,
    known: Option<Known>,
}

type Known = HashMap<Arc<str>, Result<Arc<Regex>, Cow<'static, str>>>;

impl Patterns {
    /// Those that some routes have, so that others of the service need not make them anew.
    pub fn of<'c>(all: impl IntoIterator<Item = &'c Compiled>) -> Self {
        Self {
            before: all.into_iter().cloned().collect(),
            known: None,
        }
    }

    /// The expression that matches where `pattern` matches all of a text.
    pub(crate) fn whole(
        &mut self,
        field: &'static str,
        pattern: &Pattern,
    ) -> Result<Arc<Regex>, Problem> {
        let known = self.known.get_or_insert_with(|| {
            let expressions = self.before.iter().flat_map(Compiled::expressions);
            let known = expressions.map(|regex| (regex.as_str().into(), Ok(Arc::clone(regex))));
            known.collect()
        });
        let made = known.entry(anchored(&pattern.0).into());
        let made = made.or_insert_with(|| whole(&pattern.0).map(Arc::new));
        let made = made.as_ref().map(Arc::clone);
        made.map_err(|why| Problem::new(field, &*pattern.0, why.clone()))
    }
}

impl TextTest {
    pub(crate) fn new(
        field: &'static str,
        text: &TextMatch,
        patterns: &mut Patterns,
    ) -> Result<Self, Problem> {
        Ok(match text {
            TextMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            TextMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            TextMatch::Regex(pattern) => Self::Regex(patterns.whole(field, pattern)?),
            TextMatch::Present => Self::Present,
        })
    }

    /// The expression, if it is one.
    pub(crate) fn expression(&self) -> Option<&Arc<Regex>> {
        match self {
            Self::Regex(regex) => Some(regex),
            Self::Exact(_) | Self::Prefix(_) | Self::Present => None,
        }
    }

    /// Whether a text that is there passes.
    pub(crate) fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(expected) => text == expected.as_bytes(),
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Present => true,
        }
    }
}

/// Whether an expression can be used in a route.
///
/// # Errors
///
/// If it cannot; the reason is for the person who wrote it.
pub fn check_pattern(pattern: &str) -> Result<(), Problem> {
    let wrong = |why| Problem::new("expression", pattern, why);
    whole(pattern).map(drop).map_err(wrong)
}

/// The expression as it stands, which may match anywhere in a text.
pub(crate) fn anywhere(field: &'static str, pattern: &Pattern) -> Result<Regex, Problem> {
    let wrong = |why| Problem::new(field, &*pattern.0, why);
    known_flags(&pattern.0).map_err(wrong)?;
    let made = compile(&pattern.0, LARGEST);
    made.map_err(|error| Problem::new(field, &*pattern.0, in_one_line(&error)))
}

fn known_flags(text: &str) -> Result<(), Cow<'static, str>> {
    match foreign_flag(text) {
        Some(flag) => {
            Err(format!("RE2 has no flag `{flag}`; take it out of the expression").into())
        }
        None => Ok(()),
    }
}

fn whole(text: &str) -> Result<Regex, Cow<'static, str>> {
    known_flags(text)?;
    // Alone first: `a)(b` would be one expression within the parentheses. For that it need not be made:
    // it is read before its size counts.
    let alone = match compile(text, 0) {
        Err(regex::Error::CompiledTooBig(_)) => Ok(()),
        other => other.map(drop),
    };
    alone
        .and_then(|()| compile(&anchored(text), LARGEST))
        .map_err(|error| in_one_line(&error).into())
}

/// The expression that is met by all of a text where this one is. Different ones stay different.
fn anchored(text: &str) -> String {
    format!(r"\A(?:{text})\z")
}

fn compile(text: &str, largest: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(largest)
        .dfa_size_limit(LARGEST_CACHE)
        .build()
}

/// A flag in `(?flags)` or `(?flags:` that RE2 does not know. What it means would depend on how the
/// crate was built (`u`), or reach beyond the expression (`x`).
fn foreign_flag(text: &str) -> Option<char> {
    let mut rest = text.chars();
    let mut in_class = false;
    while let Some(char) = rest.next() {
        match char {
            // What follows a backslash begins nothing.
            '\\' => drop(rest.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                let Some(group) = rest.as_str().strip_prefix('?') else {
                    continue;
                };
                let named = group.starts_with(['P', '<']);
                let mut flags = group.chars().take_while(|c| !matches!(c, ')' | ':'));
                if let Some(foreign) = flags.find(|flag| !named && !"imsU-".contains(*flag)) {
                    return Some(foreign);
                }
            }
            _ => {}
        }
    }
    None
}

/// The characters with which every text that an expression matches begins; fewer if that is not
/// plain to see.
pub(crate) fn beginning(pattern: &str) -> String {
    let mut literal = String::new();
    if pattern.contains('|') {
        return literal;
    }
    let mut chars = pattern.trim_start_matches('^').chars();
    while let Some(char) = chars.next() {
        match char {
            // Also after `+`, since another repetition may follow it.
            '*' | '?' | '{' | '+' => {
                literal.pop();
                break;
            }
            '\\' => match chars.next().filter(|c| is_plain(*c)) {
                Some(escaped) => literal.push(escaped),
                None => break,
            },
            '.' | '(' | ')' | '[' | ']' | '}' | '$' | '^' => break,
            plain => literal.push(plain),
        }
    }
    literal
}

/// Whether a character after a backslash stands for itself. `\<` and `\>` are ends of words.
fn is_plain(escaped: char) -> bool {
    escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>')
}

/// What the crate says of an error, without the drawing.
fn in_one_line(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("takes more than {limit} bytes of memory; write it with fewer repetitions")
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
