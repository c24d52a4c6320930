//! Reading an expression: what its words are put together to. Bounded in length and depth: its
//! author may be anybody who may write objects.

use std::time::Duration;

use super::kind::Type;
use super::words::{Word, words};
use super::{ATTRIBUTES, Attribute, Comparison, Expression, Place, Test, Value};

/// Longest expression, in bytes.
const LONGEST: usize = 4096;
/// Deepest nesting.
const DEEPEST: usize = 32;

/// An expression cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is too long.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// It is nested too deeply.
    #[error("it is nested more deeply than {DEEPEST} times")]
    TooDeep,
    /// Something else was expected at a character, from 1.
    #[error("at character {0}: expected {1}")]
    Expected(usize, &'static str),
    /// An attribute that is not known.
    #[error(
        "`{0}` is not known; there are request.headers['x'], response.headers['x'], \
         response.trailers['x'], {all}",
        all = ATTRIBUTES.join(", ")
    )]
    Attribute(String),
    /// A function that is not known.
    #[error(
        "`{0}` is not supported; there are startsWith, endsWith and contains with a text, \
         duration(\"1s\"), string(…) and has(…)"
    )]
    Function(String),
    /// Two things that cannot be compared.
    #[error("`{0}` is no truth value: compare it with something")]
    NoTruth(String),
    /// Something other than texts is put together.
    #[error("at character {0}: only texts can be put together; string(…) makes a text of a number")]
    NoText(usize),
    /// A secret would be told.
    #[error("the header `{0}` may hold a secret, which no label may tell")]
    Secret(String),
    /// A query would be told.
    #[error("`{0}` has queries, which may hold secrets; request.url_path is the path without")]
    Query(String),
    /// A comparison that is never true.
    #[error("at character {0}: these cannot be compared")]
    Incomparable(usize),
}

/// Reads an expression that is a truth value.
pub(super) fn read(text: &str) -> Result<Expression, FilterError> {
    let root = value(text)?;
    match root.kind() {
        Some(Type::Truth) => Ok(root),
        _ => Err(FilterError::NoTruth(root.words())),
    }
}

/// Reads an expression of any kind.
pub(super) fn value(text: &str) -> Result<Expression, FilterError> {
    if text.len() > LONGEST {
        return Err(FilterError::TooLong);
    }
    let words = words(text)?;
    let mut reader = Reader {
        words: &words,
        end: text.chars().count() + 1,
        depth: 0,
    };
    let root = reader.choice()?;
    match reader.words.first() {
        None => Ok(root),
        Some((place, _)) => Err(FilterError::Expected(*place, "`&&`, `||` or the end")),
    }
}

struct Reader<'w> {
    words: &'w [(usize, Word)],
    /// The place behind the last character.
    end: usize,
    depth: usize,
}

type Read = Result<Expression, FilterError>;

impl Reader<'_> {
    fn place(&self) -> usize {
        self.words.first().map_or(self.end, |(place, _)| *place)
    }

    /// Takes this sign, if it is next.
    fn takes(&mut self, sign: &str) -> bool {
        match self.words {
            [(_, Word::Sign(next)), rest @ ..] if *next == sign => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn demand(&mut self, sign: &str, expected: &'static str) -> Result<(), FilterError> {
        let place = self.place();
        match self.takes(sign) {
            true => Ok(()),
            false => Err(FilterError::Expected(place, expected)),
        }
    }

    /// Something that has to be a truth value.
    fn truth(&mut self, read: impl Fn(&mut Self) -> Read) -> Read {
        let part = read(self)?;
        match part.kind() {
            None | Some(Type::Truth) => Ok(part),
            Some(_) => Err(FilterError::NoTruth(part.words())),
        }
    }

    /// One thing, or one of two.
    fn choice(&mut self) -> Read {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(FilterError::TooDeep);
        }
        let first = self.any()?;
        let place = self.place();
        let read = match self.takes("?") {
            false => first,
            true if first.kind() != Some(Type::Truth) => {
                return Err(FilterError::NoTruth(first.words()));
            }
            true => {
                let one = self.choice()?;
                self.demand(":", "`:` and what there is otherwise")?;
                let other = self.choice()?;
                if one.kind() != other.kind() {
                    return Err(FilterError::Incomparable(place));
                }
                Expression::Choice(Box::new([first, one, other]))
            }
        };
        self.depth -= 1;
        Ok(read)
    }

    fn any(&mut self) -> Read {
        let first = self.all()?;
        let mut parts = Vec::new();
        while self.takes("||") {
            parts.push(self.truth(Self::all)?);
        }
        joined(first, parts, Expression::Or)
    }

    /// Texts that are put together, or one thing of any kind.
    fn sum(&mut self) -> Read {
        let place = self.place();
        let first = self.single()?;
        if !self.takes("+") {
            return Ok(first);
        }
        let mut parts = vec![first];
        loop {
            parts.push(self.single()?);
            if !self.takes("+") {
                break;
            }
        }
        match parts.iter().all(|part| part.kind() == Some(Type::Text)) {
            true => Ok(Expression::Join(parts)),
            false => Err(FilterError::NoText(place)),
        }
    }

    /// Something in parentheses behind the name of a function.
    fn within(&mut self, read: impl FnOnce(&mut Self) -> Read) -> Read {
        self.demand("(", "`(`")?;
        let of = read(self)?;
        self.demand(")", "`)`")?;
        Ok(of)
    }

    /// What is behind `has`: only what may not be there can be asked for.
    fn has(&mut self, place: usize) -> Read {
        match self.within(Self::single)? {
            Expression::Attribute(attribute) => Ok(Expression::Has(attribute)),
            _ => Err(FilterError::Expected(
                place,
                "an attribute, such as has(request.headers['x'])",
            )),
        }
    }

    fn all(&mut self) -> Read {
        let first = self.comparison()?;
        let mut parts = Vec::new();
        while self.takes("&&") {
            parts.push(self.truth(Self::comparison)?);
        }
        joined(first, parts, Expression::And)
    }

    fn comparison(&mut self) -> Read {
        let one = self.sum()?;
        let place = self.place();
        if let [(_, Word::Name(name)), rest @ ..] = self.words
            && name == "in"
        {
            self.words = rest;
            return self.list_of(one);
        }
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let Some((_, how)) = signs.into_iter().find(|(sign, _)| self.takes(sign)) else {
            return Ok(one);
        };
        let other = self.sum()?;
        match (one.kind(), other.kind()) {
            (Some(one), Some(other)) if one != other => Err(FilterError::Incomparable(place)),
            _ => Ok(Expression::Compare(Box::new(one), how, Box::new(other))),
        }
    }

    /// The list behind `in`.
    fn list_of(&mut self, one: Expression) -> Read {
        self.demand("[", "a list, such as [\"GET\", \"HEAD\"]")?;
        let mut list = Vec::new();
        while !self.takes("]") {
            if !list.is_empty() {
                self.demand(",", "`,` or `]`")?;
            }
            let place = self.place();
            let part = self.sum()?;
            if part.kind() != one.kind() {
                return Err(FilterError::Incomparable(place));
            }
            list.push(part);
        }
        Ok(Expression::In(Box::new(one), list))
    }

    fn single(&mut self) -> Read {
        let place = self.place();
        if self.takes("!") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(FilterError::TooDeep);
            }
            let of = self.truth(Self::single)?;
            self.depth -= 1;
            return Ok(Expression::Not(Box::new(of)));
        }
        if self.takes("(") {
            let of = self.choice()?;
            self.demand(")", "`)`")?;
            return Ok(of);
        }
        let is_negative = self.takes("-");
        let Some(((_, word), rest)) = self.words.split_first() else {
            return Err(FilterError::Expected(place, "an attribute or a value"));
        };
        self.words = rest;
        let constant = |value| Ok(Expression::Constant(value));
        match word {
            Word::Number(number) if is_negative => constant(Value::Number(-number)),
            _ if is_negative => Err(FilterError::Expected(place, "a number behind `-`")),
            Word::Number(number) => constant(Value::Number(*number)),
            Word::Text(text) => constant(Value::Text(text.clone().into())),
            Word::Name(name) if name == "true" => constant(Value::Truth(true)),
            Word::Name(name) if name == "false" => constant(Value::Truth(false)),
            Word::Name(name) if name == "duration" => constant(Value::Span(self.span(place)?)),
            Word::Name(name) if name == "string" => {
                Ok(Expression::AsText(Box::new(self.within(Self::choice)?)))
            }
            Word::Name(name) if name == "has" => self.has(place),
            Word::Name(name) => self.attribute(name),
            Word::Sign(_) => Err(FilterError::Expected(place, "an attribute or a value")),
        }
    }

    /// What is behind `duration`.
    fn span(&mut self, place: usize) -> Result<Duration, FilterError> {
        let expected = FilterError::Expected(place, "a span of time, such as duration(\"1.5s\")");
        let text = self.argument().map_err(|_error| expected.clone())?;
        let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let found = units.into_iter().find_map(|(unit, seconds)| {
            let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
            Duration::try_from_secs_f64(number * seconds).ok()
        });
        found.ok_or(expected)
    }

    /// A text in parentheses.
    fn argument(&mut self) -> Result<String, FilterError> {
        self.demand("(", "`(`")?;
        let place = self.place();
        let [(_, Word::Text(text)), rest @ ..] = self.words else {
            return Err(FilterError::Expected(place, "a text"));
        };
        self.words = rest;
        self.demand(")", "`)`")?;
        Ok(text.clone())
    }

    /// An attribute that begins so, and perhaps what is asked of its text.
    fn attribute(&mut self, first: &str) -> Read {
        let mut name = first.to_owned();
        loop {
            if self.takes("[") {
                return self.header(&name);
            }
            if !self.takes(".") {
                return known(name);
            }
            let place = self.place();
            let [(_, Word::Name(part)), rest @ ..] = self.words else {
                return Err(FilterError::Expected(place, "a name"));
            };
            self.words = rest;
            if matches!(self.words, [(_, Word::Sign("(")), ..]) {
                let of = known(name)?;
                return self.test(of, part);
            }
            name = format!("{name}.{part}");
        }
    }

    /// The header in brackets, and perhaps what is asked of it.
    fn header(&mut self, of: &str) -> Read {
        let place = match of {
            "request.headers" => Place::Request,
            "response.headers" => Place::Response,
            "response.trailers" => Place::Trailer,
            other => return Err(FilterError::Attribute(format!("{other}[…]"))),
        };
        let at = self.place();
        let [(_, Word::Text(name)), rest @ ..] = self.words else {
            return Err(FilterError::Expected(at, "the name of a header in quotes"));
        };
        self.words = rest;
        self.demand("]", "`]`")?;
        let header = Attribute::Header(place, name.to_ascii_lowercase().into());
        let header = Expression::Attribute(header);
        if !self.takes(".") {
            return Ok(header);
        }
        let at = self.place();
        let [(_, Word::Name(test)), rest @ ..] = self.words else {
            return Err(FilterError::Expected(at, "a name"));
        };
        self.words = rest;
        self.test(header, test)
    }

    /// What is asked of a text.
    fn test(&mut self, of: Expression, name: &str) -> Read {
        let test = match name {
            "startsWith" => Test::StartsWith,
            "endsWith" => Test::EndsWith,
            "contains" => Test::Contains,
            other => return Err(FilterError::Function(other.to_owned())),
        };
        let with = self.argument()?;
        match of.kind() {
            Some(Type::Text) => Ok(Expression::Text(Box::new(of), test, with.into())),
            _ => Err(FilterError::Function(format!("{name} of what is no text"))),
        }
    }
}

/// Several parts, or the only one.
fn joined(
    first: Expression,
    rest: Vec<Expression>,
    make: fn(Vec<Expression>) -> Expression,
) -> Read {
    if rest.is_empty() {
        return Ok(first);
    }
    if first.kind() != Some(Type::Truth) {
        return Err(FilterError::NoTruth(first.words()));
    }
    let mut parts = vec![first];
    parts.extend(rest);
    Ok(make(parts))
}

fn known(name: String) -> Read {
    let mut all = ATTRIBUTES.iter();
    match all.find(|known| **known == name) {
        Some(known) => Ok(Expression::Attribute(Attribute::Known(known))),
        None => Err(FilterError::Attribute(name)),
    }
}
