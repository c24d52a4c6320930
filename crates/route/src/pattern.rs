//! Texts and how they are compared.
//!
//! Expressions follow RE2 as far as the `regex` crate does: `\d`, `\w`, `\s`, `\b` and `(?i)` mean
//! ASCII, a non-ASCII character stands for its UTF-8 bytes and cannot be in a class, and the flags
//! that RE2 does not have are refused. Matching takes time linear in the text, memory is bounded.

use std::borrow::Cow;
use std::sync::Arc;

use ambit_model::{Pattern, TextMatch};
use regex::bytes::{Regex, RegexBuilder};

use crate::problem::Problem;

/// Most memory of one compiled expression, in bytes: far more than any that a person wrote needs,
/// little enough for a thousand of them.
const LARGEST: usize = 256 * 1024;

/// Most memory that one thread keeps for one expression while it matches.
const LARGEST_CACHE: usize = 128 * 1024;

/// A text test, ready to be applied.
#[derive(Clone, Debug)]
pub(crate) enum TextTest {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Regex(Regex),
    Present,
}

impl TextTest {
    pub(crate) fn new(field: &'static str, text: &TextMatch) -> Result<Self, Problem> {
        Ok(match text {
            TextMatch::Exact(text) => Self::Exact(Arc::clone(text)),
            TextMatch::Prefix(text) => Self::Prefix(Arc::clone(text)),
            TextMatch::Regex(pattern) => Self::Regex(whole(field, pattern)?),
            TextMatch::Present => Self::Present,
        })
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
    whole("expression", &Pattern(pattern.into())).map(drop)
}

/// The expression that matches where `pattern` matches all of a text.
pub(crate) fn whole(field: &'static str, pattern: &Pattern) -> Result<Regex, Problem> {
    let text: &str = &pattern.0;
    let problem = |why: Cow<'static, str>| Problem::new(field, text, why);
    if let Some(flag) = foreign_flag(text) {
        let why = format!("RE2 has no flag `{flag}`; take it out of the expression");
        return Err(problem(why.into()));
    }
    // Alone first: `a)(b` would be one expression within the parentheses.
    compile(text)
        .and_then(|_| compile(&format!(r"\A(?:{text})\z")))
        .map_err(|error| problem(in_one_line(&error).into()))
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .size_limit(LARGEST)
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
