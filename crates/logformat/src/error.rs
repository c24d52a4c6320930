//! Why a format cannot be used, and where in it.

use std::fmt;

/// A format cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Names of the members that lead to the text in question, in a format that is JSON: `a.b[2]`.
    pub member: String,
    /// The character of the text at which it begins, from 1; 0 if it is about all of it.
    pub place: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a format. Names of operators are without their percent signs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A percent sign is nothing.
    #[error("`%` begins no operator; a percent sign is written `%%`")]
    Percent,
    /// An operator has no end.
    #[error("%{name} has no end: expected {expected}")]
    Unended {
        /// The operator.
        name: String,
        /// What it lacks.
        expected: &'static str,
    },
    /// Not an operator of Envoy's, or one that is not known here.
    #[error("unknown operator %{name}%; known are {}", Names(.similar))]
    Unknown {
        /// The operator.
        name: String,
        /// Those that are written almost like it, or all.
        similar: Vec<&'static str>,
    },
    /// An operator of Envoy's that could tell nothing here.
    #[error("operator %{name}% is not supported: {instead}")]
    Unsupported {
        /// The operator.
        name: &'static str,
        /// Why, and what to use instead.
        instead: &'static str,
    },
    /// An argument where there is none.
    #[error("operator %{name}% takes no argument, not `({argument})`")]
    Argument {
        /// The operator.
        name: &'static str,
        /// The argument.
        argument: String,
    },
    /// An argument that is wrong or missing.
    #[error("operator %{name}% has argument `{argument}`: expected {expected}")]
    WrongArgument {
        /// The operator.
        name: &'static str,
        /// The argument.
        argument: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A length where there is none.
    #[error("operator %{name}% takes no length, not `:{length}`")]
    Length {
        /// The operator.
        name: &'static str,
        /// The length.
        length: String,
    },
    /// A length that is no number.
    #[error("operator %{name}% has length `{length}`: expected a number of bytes, such as `:64`")]
    WrongLength {
        /// The operator.
        name: String,
        /// The length.
        length: String,
    },
    /// A letter in the format of a time.
    #[error(
        "operator %{name}% has `{specifier}` in its format: expected one of \
         %Y %m %d %H %M %S %3f %s %z and others of strftime; a percent sign is written `%%`"
    )]
    Time {
        /// The operator.
        name: &'static str,
        /// The percent sign and what is after it.
        specifier: String,
    },
    /// A variable of the environment that is not told.
    #[error("environment variable {name} is not written to logs; those that are: {}", .known.join(", "))]
    Environment {
        /// The variable.
        name: String,
        /// Those that are.
        known: &'static [&'static str],
    },
    /// A format in JSON that is something else.
    #[error("expected a JSON object of texts: {0}")]
    NoObject(String),
    /// A format of more bytes or levels than is good for anybody.
    #[error("the format is larger than {0}")]
    Large(&'static str),
}

impl Fault {
    /// The error of a text, which begins at this character of it.
    pub(crate) fn at(self, place: usize) -> FormatError {
        FormatError {
            member: String::new(),
            place,
            fault: self,
        }
    }
}

impl FormatError {
    /// The same, of a text that is a member of a JSON value.
    pub(crate) fn within(mut self, step: &str) -> Self {
        let dot = match self.member.starts_with('[') || self.member.is_empty() {
            true => "",
            false => ".",
        };
        self.member = format!("{step}{dot}{}", self.member);
        self
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.member.is_empty() {
            write!(f, "in `{}`, ", self.member)?;
        }
        if self.place > 0 {
            write!(f, "at character {}: ", self.place)?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for FormatError {}

/// Operators in a row.
struct Names<'a>(&'a [&'static str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, name) in self.0.iter().enumerate() {
            let before = if position == 0 { "" } else { ", " };
            write!(f, "{before}%{name}%")?;
        }
        Ok(())
    }
}
