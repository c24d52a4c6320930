//! What is wrong with the configuration, told so that its author can put it right.
//!
//! A problem names the place (file, document, line), the object, the field, what was found there
//! and what to do. The same value is printed by `ambit vet`, written to stderr by the control
//! plane and counted in its metrics.

use std::fmt;
use std::sync::Arc;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The object is not used as written.
    Error,
    /// The object is used, but not all that it says takes effect.
    Warning,
}

/// What kind of problem it is: the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// A file cannot be read, is too large or holds too many documents.
    UnreadableFile,
    /// A document is not YAML.
    Syntax,
    /// A document is of a kind or version that is not known here.
    UnknownKind,
    /// A field is missing, misspelt or of the wrong type or value.
    Field,
    /// Two objects claim the same name or address.
    Contradiction,
    /// Something is understood but cannot be enforced where it stands.
    NotEnforced,
    /// Something else keeps the mesh from working.
    Blocked,
}

impl Cause {
    /// Every cause, for metrics that start at zero.
    pub const ALL: &[Self] = &[
        Self::UnreadableFile,
        Self::Syntax,
        Self::UnknownKind,
        Self::Field,
        Self::Contradiction,
        Self::NotEnforced,
        Self::Blocked,
    ];

    /// The word for metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::UnreadableFile => "unreadable_file",
            Self::Syntax => "syntax",
            Self::UnknownKind => "unknown_kind",
            Self::Field => "field",
            Self::Contradiction => "contradiction",
            Self::NotEnforced => "not_enforced",
            Self::Blocked => "blocked",
        }
    }
}

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file, as the source names it.
    pub file: Arc<str>,
    /// Number of the document in the file, from 1; 0 for the file as a whole.
    pub document: u32,
    /// Line that the document starts on, from 1.
    pub line: u32,
    /// Number of the item, from 1, if the document is a `List`.
    pub item: Option<u32>,
}

impl Origin {
    /// The file as a whole.
    pub fn file(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            document: 0,
            line: 1,
            item: None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.document > 0 {
            write!(f, ": document {}", self.document)?;
            if let Some(item) = self.item {
                write!(f, " item {item}")?;
            }
            write!(f, " (line {})", self.line)?;
        }
        Ok(())
    }
}

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// How much it matters.
    pub severity: Severity,
    /// What kind of problem it is.
    pub cause: Cause,
    /// `KIND NAMESPACE/NAME`, as far as readable; may be empty.
    pub object: String,
    /// Path of the field; empty for the object as a whole.
    pub field: String,
    /// What was found.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        write!(f, "{}; {}", self.what, self.advice)
    }
}

/// Something wrong within one object, before it is known where the object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path of the field; empty for the object as a whole.
    pub field: String,
    /// What was found.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}; {}", self.what, self.advice)
    }
}

impl Finding {
    /// Puts the parts together.
    pub fn new(
        field: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            field: printable(field.into()),
            what: printable(what.into()),
            advice: printable(advice.into()),
        }
    }

    /// Says where it stands and how much it matters.
    pub fn at(
        self,
        origin: &Origin,
        object: impl fmt::Display,
        severity: Severity,
        cause: Cause,
    ) -> Problem {
        Problem {
            origin: origin.clone(),
            severity,
            cause,
            object: object.to_string(),
            field: self.field,
            what: self.what,
            advice: self.advice,
        }
    }
}

/// Findings that a text tells in full.
pub const TOLD: usize = 4;

/// The first findings in sentences, and how many more there are.
pub fn sentences<'a>(findings: impl ExactSizeIterator<Item = &'a Finding>) -> String {
    let more = findings.len().saturating_sub(TOLD);
    let told = findings.take(TOLD).map(|finding| format!("{finding}."));
    let more = (more > 0).then(|| format!("And {more} more."));
    told.chain(more).collect::<Vec<_>>().join(" ")
}

/// A finding quotes what somebody wrote, and is printed on another's terminal.
fn printable(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.replace(char::is_control, "\u{fffd}")
    } else {
        text
    }
}
