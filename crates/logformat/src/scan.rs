//! Finds the operators in a text.
//!
//! An operator is `%NAME%`, `%NAME(argument)%` or either with a length before its end, such as
//! `%NAME(argument):8%`. Its argument ends at the first `)` after which the operator may end, so
//! that formats of times may have brackets and percent signs.

use crate::error::{Fault, FormatError};
use crate::operator::{self, Operator};

/// Longest format, in bytes. A line is at least as long.
const LONGEST: usize = 64 << 10;

/// A piece of a text.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// As it stands, with `%%` as one percent sign.
    Literal(String),
    /// An operator.
    Operator(Box<Operator>),
}

/// The words of an operator, as they stand in the text.
struct Words<'t> {
    name: &'t str,
    argument: Option<&'t str>,
    length: Option<&'t str>,
    /// What comes after it.
    rest: &'t str,
}

/// Splits a text into operators and what stands between them; never two literals in a row.
pub(crate) fn scan(text: &str) -> Result<Vec<Token>, FormatError> {
    if text.len() > LONGEST {
        return Err(Fault::Large("64 KiB").at(0));
    }
    let mut tokens = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let place = || place(text, after);
        let words = words(after).map_err(|fault| fault.at(place()))?;
        let operator = operator::read(words.name, words.argument, words.length)
            .map_err(|fault| fault.at(place()))?;
        if !literal.is_empty() {
            tokens.push(Token::Literal(std::mem::take(&mut literal)));
        }
        tokens.push(Token::Operator(Box::new(operator)));
        rest = words.rest;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal));
    }
    Ok(tokens)
}

/// The character of the percent sign before this end of the text, from 1.
fn place(text: &str, after: &str) -> usize {
    let before = text.len().saturating_sub(after.len());
    text.get(..before).unwrap_or_default().chars().count()
}

/// Reads an operator after its percent sign.
fn words(text: &str) -> Result<Words<'_>, Fault> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, after) = text.split_at_checked(end).unwrap_or((text, ""));
    if name.is_empty() {
        return Err(Fault::Percent);
    }
    // Before its argument is looked at, which nobody can get right.
    operator::is_usable(name)?;
    let unended = |expected| Fault::Unended {
        name: name.into(),
        expected,
    };
    let Some(inside) = after.strip_prefix('(') else {
        let (length, rest) = end_of(name, after)?.ok_or_else(|| unended("`%`"))?;
        return Ok(Words {
            name,
            argument: None,
            length,
            rest,
        });
    };
    // Only a time may have a bracket in its argument.
    let most = if name.contains("_TIME") {
        usize::MAX
    } else {
        1
    };
    let mut closed = false;
    for (at, _) in inside.match_indices(')').take(most) {
        closed = true;
        let (argument, after) = inside.split_at_checked(at).unwrap_or((inside, ""));
        let after = after.strip_prefix(')').unwrap_or(after);
        let end = match end_of(name, after) {
            Err(_) if most > 1 => continue,
            end => end?,
        };
        if let Some((length, rest)) = end {
            return Ok(Words {
                name,
                argument: Some(argument),
                length,
                rest,
            });
        }
    }
    Err(unended(if closed {
        "`%` or a length such as `:8%` after `)`"
    } else {
        "`)%`"
    }))
}

/// The length of an operator, if it has one, and what comes after the operator. None if it does not
/// end here.
fn end_of<'t>(name: &str, text: &'t str) -> Result<Option<(Option<&'t str>, &'t str)>, Fault> {
    let Some(after) = text.strip_prefix(':') else {
        return Ok(text.strip_prefix('%').map(|rest| (None, rest)));
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (length, rest) = after.split_at_checked(digits).unwrap_or((after, ""));
    match rest.strip_prefix('%') {
        Some(rest) if digits > 0 => Ok(Some((Some(length), rest))),
        _ => Err(Fault::WrongLength {
            name: name.into(),
            length: after.chars().take_while(|c| *c != '%').take(20).collect(),
        }),
    }
}
