//! Formats that are JSON: values with operators in them, and texts that are an object themselves.

use serde_json::{Map, Value as Json};

use crate::entry::Entry;
use crate::error::{Fault, FormatError};
use crate::escape::{Sink, Style};
use crate::format::Piece;
use crate::operator::Operator;
use crate::scan::{Token, scan};
use crate::value::{Manner, Mode, Value};

/// Most levels of a format.
const DEEPEST: usize = 32;

/// A value of a format.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// As it stands.
    Literal(Box<str>),
    /// One operator, which has a type.
    Operator(Box<Operator>),
    /// A text with operators.
    Text(Vec<Piece>),
    List(Vec<Self>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// As it is written, with quotes and colon.
    name: Box<[u8]>,
    value: Node,
}

/// Reads a format that is an object.
pub(crate) fn object(members: &Map<String, Json>) -> Result<Node, FormatError> {
    object_at(members, 0)
}

fn object_at(members: &Map<String, Json>, depth: usize) -> Result<Node, FormatError> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    let read = |(name, value): (&String, &Json)| {
        let value = node(value, depth + 1).map_err(|error| error.within(name))?;
        let mut quoted = vec![b'"'];
        Sink::new(&mut quoted, Style::Json).put(name.as_bytes());
        quoted.extend_from_slice(b"\":");
        let name = quoted.into();
        Ok(Member { name, value })
    };
    let members: Result<_, _> = sorted.into_iter().map(read).collect();
    members.map(Node::Object)
}

fn node(value: &Json, depth: usize) -> Result<Node, FormatError> {
    if depth > DEEPEST {
        return Err(Fault::Large("32 levels").at(0));
    }
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(Node::Literal(value.to_string().into())),
        Json::String(text) => text_node(text),
        Json::Object(members) => object_at(members, depth),
        Json::Array(values) => {
            let read = |(position, value)| {
                node(value, depth + 1).map_err(|error| error.within(&format!("[{position}]")))
            };
            let values: Result<_, _> = values.iter().enumerate().map(read).collect();
            values.map(Node::List)
        }
    }
}

fn text_node(text: &str) -> Result<Node, FormatError> {
    let mut tokens = scan(text)?;
    if let [Token::Operator(_)] = tokens.as_slice()
        && let Some(Token::Operator(operator)) = tokens.pop()
    {
        return Ok(Node::Operator(operator));
    }
    let piece = |token| match token {
        Token::Operator(operator) => Piece::Operator(operator, Mode::Quoted),
        Token::Literal(text) => {
            let mut escaped = Vec::new();
            Sink::new(&mut escaped, Style::Json).put(text.as_bytes());
            Piece::Literal(escaped.into())
        }
    };
    Ok(Node::Text(tokens.into_iter().map(piece).collect()))
}

/// Pieces of a text that is an object itself: operators within quotes are texts, others have their
/// type, and what separates members is left out. The tokens back if it is no such text.
pub(crate) fn shaped(tokens: Vec<Token>) -> Result<Vec<Piece>, Vec<Token>> {
    let mut pieces = Vec::with_capacity(tokens.len());
    // The text with something in place of each operator.
    let mut probe = String::new();
    let (mut in_quotes, mut escapes) = (false, false);
    for token in &tokens {
        match token {
            Token::Literal(text) => {
                probe.push_str(text);
                let mut kept = String::with_capacity(text.len());
                for c in text.chars() {
                    if in_quotes || !c.is_ascii_whitespace() {
                        kept.push(c);
                    }
                    in_quotes ^= c == '"' && !escapes;
                    escapes = in_quotes && c == '\\' && !escapes;
                }
                pieces.push(Piece::Literal(kept.into_bytes().into()));
            }
            Token::Operator(operator) => {
                // Neither is part of anything: no escape or number goes on with it.
                probe.push_str(if in_quotes { "x" } else { "null" });
                escapes = false;
                let mode = if in_quotes { Mode::Quoted } else { Mode::Typed };
                pieces.push(Piece::Operator(operator.clone(), mode));
            }
        }
    }
    match serde_json::from_str::<Map<String, Json>>(&probe) {
        Ok(_) => Ok(pieces),
        Err(_) => Err(tokens),
    }
}

impl Node {
    /// Writes the value. False if it is nothing: `null`, or an object of which nothing is left.
    pub(crate) fn write(
        &self,
        entry: &(impl Entry + ?Sized),
        manner: Manner<'_>,
        line: &mut Vec<u8>,
    ) -> bool {
        match self {
            Self::Literal(text) => {
                line.extend_from_slice(text.as_bytes());
                &**text != "null"
            }
            Self::Operator(operator) => {
                let value = operator.value(entry);
                manner.write(value, Mode::Typed, line);
                !matches!(value, Value::Absent)
            }
            Self::Text(pieces) => {
                line.push(b'"');
                pieces
                    .iter()
                    .for_each(|piece| piece.write(entry, manner, line));
                line.push(b'"');
                true
            }
            Self::List(values) => {
                let values = values.iter().map(|value| (&[][..], value));
                write_all((b'[', b']'), values, entry, manner, line);
                true
            }
            Self::Object(members) => {
                let members = members.iter().map(|member| (&*member.name, &member.value));
                write_all((b'{', b'}'), members, entry, manner, line)
            }
        }
    }

    /// All operators.
    pub(crate) fn for_each(&mut self, act: &mut impl FnMut(&mut Operator)) {
        match self {
            Self::Literal(_) => {}
            Self::Operator(operator) => act(operator),
            Self::Text(pieces) => pieces.iter_mut().for_each(|piece| piece.for_each(act)),
            Self::List(values) => values.iter_mut().for_each(|value| value.for_each(act)),
            Self::Object(members) => {
                let values = members.iter_mut().map(|member| &mut member.value);
                values.for_each(|value| value.for_each(act));
            }
        }
    }
}

/// Writes values within brackets, each after its name, without those that are nothing if that is
/// wanted. False if there were none.
fn write_all<'a>(
    (open, close): (u8, u8),
    values: impl Iterator<Item = (&'a [u8], &'a Node)>,
    entry: &(impl Entry + ?Sized),
    manner: Manner<'_>,
    line: &mut Vec<u8>,
) -> bool {
    line.push(open);
    let mut any = false;
    for (name, value) in values {
        let before = line.len();
        if any {
            line.push(b',');
        }
        line.extend_from_slice(name);
        match value.write(entry, manner, line) {
            false if manner.omits_empty => line.truncate(before),
            _ => any = true,
        }
    }
    line.push(close);
    any
}

#[cfg(test)]
mod tests;
