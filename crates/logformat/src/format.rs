//! A format, read and ready to write lines.

use serde_json::{Map, Value as Json};

use crate::entry::Entry;
use crate::error::{Fault, FormatError};
use crate::json::{self, Node};
use crate::needs::Needs;
use crate::operator::Operator;
use crate::redact::Redaction;
use crate::scan::{Token, scan};
use crate::value::{Manner, Mode};

/// What the lines of a format are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text.
    Text,
    /// A text that is a JSON object.
    JsonText,
    /// JSON.
    Json,
}

/// A format of the access log.
#[derive(Clone, Debug)]
pub struct Format {
    shape: Shape,
    body: Body,
    needs: Needs,
    redaction: Redaction,
    omits_empty: bool,
}

#[derive(Clone, Debug)]
enum Body {
    Text(Vec<Piece>),
    Json(Node),
}

/// A piece of a text.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// As it is written.
    Literal(Box<[u8]>),
    Operator(Box<Operator>, Mode),
}

impl Format {
    /// Reads a text with operators. The line break at its end may be there or not. What it was
    /// taken for tells [`Format::shape`]: a text that was meant to be JSON, and is not, is text.
    pub fn text(text: &str) -> Result<Self, FormatError> {
        let text = text.trim_end_matches(['\n', '\r']);
        let tokens = scan(text)?;
        let tokens = match text.trim_start().starts_with('{') {
            true => json::shaped(tokens),
            false => Err(tokens),
        };
        let (shape, pieces) = match tokens {
            Ok(pieces) => (Shape::JsonText, pieces),
            Err(tokens) => (Shape::Text, tokens.into_iter().map(plain).collect()),
        };
        Ok(Self::new(shape, Body::Text(pieces)))
    }

    /// Reads a JSON object of texts with operators, or a text that is such an object.
    pub fn json(value: &Json) -> Result<Self, FormatError> {
        let read;
        let members = match value {
            Json::Object(members) => members,
            Json::String(text) => {
                read = serde_json::from_str::<Map<String, Json>>(text)
                    .map_err(|error| Fault::NoObject(error.to_string()).at(0))?;
                &read
            }
            _ => return Err(Fault::NoObject("it is another value".into()).at(0)),
        };
        let body = Body::Json(json::object(members)?);
        Ok(Self::new(Shape::Json, body))
    }

    fn new(shape: Shape, body: Body) -> Self {
        let mut format = Self {
            shape,
            body,
            needs: Needs::default(),
            redaction: Redaction::off(),
            omits_empty: false,
        };
        let mut needs = Needs::default();
        format.for_each(|operator| operator.add_needs(&mut needs));
        format.needs = needs;
        format.redacting(Redaction::default())
    }

    /// The same that masks something else; nothing by [`Redaction::off`].
    #[must_use]
    pub fn redacting(mut self, redaction: Redaction) -> Self {
        self.for_each(|operator| operator.redact(&redaction));
        self.redaction = redaction;
        self
    }

    /// The same that writes nothing where a value is absent: no `-`, and no member of an object.
    #[must_use]
    pub fn omitting_empty(mut self) -> Self {
        self.omits_empty = true;
        self
    }

    /// What its lines are.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What has to be kept until the end of a request.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Adds the line of an entry, with its end.
    pub fn write(&self, entry: &(impl Entry + ?Sized), line: &mut Vec<u8>) {
        let manner = Manner {
            redaction: &self.redaction,
            omits_empty: self.omits_empty,
        };
        match &self.body {
            Body::Text(pieces) => pieces
                .iter()
                .for_each(|piece| piece.write(entry, manner, line)),
            Body::Json(node) => drop(node.write(entry, manner, line)),
        }
        line.push(b'\n');
    }

    fn for_each(&mut self, mut act: impl FnMut(&mut Operator)) {
        match &mut self.body {
            Body::Text(pieces) => pieces.iter_mut().for_each(|piece| piece.for_each(&mut act)),
            Body::Json(node) => node.for_each(&mut act),
        }
    }
}

fn plain(token: Token) -> Piece {
    match token {
        Token::Literal(text) => Piece::Literal(text.into_bytes().into()),
        Token::Operator(operator) => Piece::Operator(operator, Mode::Plain),
    }
}

impl Piece {
    /// Writes it.
    pub(crate) fn write(
        &self,
        entry: &(impl Entry + ?Sized),
        manner: Manner<'_>,
        line: &mut Vec<u8>,
    ) {
        match self {
            Self::Literal(bytes) => line.extend_from_slice(bytes),
            Self::Operator(operator, mode) => manner.write(operator.value(entry), *mode, line),
        }
    }

    /// Its operator, if it is one.
    pub(crate) fn for_each(&mut self, act: &mut impl FnMut(&mut Operator)) {
        if let Self::Operator(operator, _) = self {
            act(operator);
        }
    }
}

#[cfg(test)]
mod tests;
