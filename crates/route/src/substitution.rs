//! Parts of a path that are replaced by what an expression says, as Envoy's `regex_rewrite` has it.
//!
//! The expression may match anywhere and more than once. In what stands in place of a match, `\1` to
//! `\9` are what its groups have matched, `\0` is all of it, and `\\` is a backslash.

use ambit_model::Pattern;
use regex::bytes::Regex;

use crate::path::check;
use crate::pattern::anywhere;
use crate::problem::Problem;

/// The longest replacement, as it is written.
const LONGEST_REPLACEMENT: usize = 1024;
/// The longest path that is made: twice what a request may have.
const LONGEST_PATH: usize = 32 << 10;

/// A checked substitution.
#[derive(Clone, Debug)]
pub(crate) struct Substitution {
    regex: Regex,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What a group has matched.
    Group(usize),
}

impl Substitution {
    pub(crate) fn new(
        field: &'static str,
        pattern: &Pattern,
        replacement: &str,
    ) -> Result<Self, Problem> {
        let regex = anywhere(field, pattern)?;
        let wrong = |why| Problem::new(field, replacement, why);
        if replacement.len() > LONGEST_REPLACEMENT {
            let why = "longer than 1,024 bytes; a replacement is put in at every match";
            return Err(Problem::new(field, "the replacement", why));
        }
        let parts = parse(replacement).map_err(wrong)?;
        for part in &parts {
            match part {
                Part::Group(group) if *group >= regex.captures_len() => {
                    return Err(wrong("refers to a group that the expression does not have"));
                }
                Part::Group(_) => {}
                // What precedes it decides whether it is the path's beginning.
                Part::Text(text) => check(&format!("/{text}")).map_err(wrong)?,
            }
        }
        Ok(Self { regex, parts })
    }

    /// The path with all parts replaced; `None` if that would be too long. One that would be none any
    /// more stays.
    pub(crate) fn apply(&self, path: &str) -> Option<String> {
        let bytes = path.as_bytes();
        let mut replaced = Vec::new();
        let mut copied = 0;
        for found in self.regex.captures_iter(bytes) {
            let all = found.get_match();
            replaced.extend_from_slice(bytes.get(copied..all.start()).unwrap_or_default());
            copied = all.end();
            for part in &self.parts {
                let part = match part {
                    Part::Text(text) => text.as_bytes(),
                    Part::Group(group) => {
                        found.get(*group).map_or(&[][..], |group| group.as_bytes())
                    }
                };
                if replaced.len() + part.len() > LONGEST_PATH {
                    return None;
                }
                replaced.extend_from_slice(part);
            }
        }
        replaced.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        // An expression of bytes may cut a character in two.
        Some(String::from_utf8(replaced).unwrap_or_else(|_| path.to_owned()))
    }
}

fn parse(replacement: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = replacement.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next() {
            Some('\\') => text.push('\\'),
            Some(digit) => {
                let group = digit
                    .to_digit(10)
                    .and_then(|group| usize::try_from(group).ok());
                let group = group.ok_or("after a backslash stands a digit, or another one")?;
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(group));
            }
            None => return Err("ends with a backslash; write two of them"),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
