//! A file of several YAML documents, cut apart and parsed one by one.
//!
//! The cutting is done here, on lines that begin with `---` (YAML 1.2, rule `c-forbidden`: such a
//! line is a boundary even inside a block scalar), so that a document that is not YAML loses only
//! itself. Sizes, nesting and the growth of aliases are bounded. Any bytes are safe to pass.

use serde_json::Value;
use serde_saphyr::{Options, alias_limits, budget, options};

/// Largest file: 64 MiB holds some 50,000 pods.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Largest document; etcd, behind Kubernetes, refuses objects over 1.5 MiB, lists may be larger.
pub const MAX_DOCUMENT_BYTES: usize = 8 << 20;
/// Most documents in one file.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Deepest nesting within a document; Kubernetes objects stay below 20.
const MAX_DEPTH: usize = 48;
/// Most scalars, lists and maps in one document, after aliases are followed.
const MAX_NODES: usize = 1_000_000;
/// Most nodes that aliases may repeat in one document.
const MAX_REPEATED: usize = 20_000;

/// Why a file cannot be cut into documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Too large.
    #[error("the file has {0} bytes, at most {MAX_FILE_BYTES} are read; split it")]
    TooLarge(usize),
    /// Too many documents.
    #[error("the file has more than {MAX_DOCUMENTS} documents; split it")]
    TooMany,
}

/// Why a document cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Too large.
    #[error("the document has {0} bytes, at most {MAX_DOCUMENT_BYTES} are read")]
    TooLarge(usize),
    /// Not text.
    #[error("byte {0} of the document is not UTF-8")]
    NotUtf8(usize),
    /// Not YAML.
    #[error("line {line}: {message}")]
    Yaml {
        /// Line within the file.
        line: u32,
        /// What the parser says.
        message: String,
    },
}

/// One document of a file, not yet parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its number among the file's documents that are not empty, from 1.
    pub number: u32,
    /// Line of the file that it starts on, from 1.
    pub line: u32,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Cuts a file into its documents; empty ones (blank, comments, directives) are left out.
pub fn split(file: &[u8]) -> Result<Vec<Document<'_>>, SplitError> {
    if file.len() > MAX_FILE_BYTES {
        return Err(SplitError::TooLarge(file.len()));
    }
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut documents = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let (mut end, mut line) = (0, 1);
    for text in file.split_inclusive(|byte| *byte == b'\n') {
        if is_boundary(text) {
            finish(&mut documents, file.get(start..end), start_line)?;
            (start, start_line) = (end, line);
        }
        end += text.len();
        line += 1;
    }
    finish(&mut documents, file.get(start..), start_line)?;
    Ok(documents)
}

/// Parses one document; an empty one is `null`.
pub fn parse(document: &Document<'_>) -> Result<Value, ParseError> {
    if document.bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(ParseError::TooLarge(document.bytes.len()));
    }
    let text = std::str::from_utf8(document.bytes)
        .map_err(|error| ParseError::NotUtf8(error.valid_up_to()))?;
    serde_saphyr::from_str_with_options(text, limits()).map_err(|error| {
        let within = error.location().map_or(1, |location| location.line());
        ParseError::Yaml {
            line: document
                .line
                .saturating_add(u32::try_from(within).unwrap_or(1))
                .saturating_sub(1),
            message: without_place(&error.without_snippet().to_string()),
        }
    })
}

/// The parser ends its messages with a place within the document; ours is one within the file.
fn without_place(message: &str) -> String {
    let place = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || b", columnline".contains(&byte))
    };
    match message.rsplit_once(" at line ") {
        Some((head, end)) if place(end) => head.to_owned(),
        _ => message.to_owned(),
    }
}

/// Cuts and parses a whole file; what fuzzing and property tests call.
pub fn parse_documents(file: &[u8]) -> Result<Vec<Result<Value, ParseError>>, SplitError> {
    Ok(split(file)?.iter().map(parse).collect())
}

fn finish<'a>(
    documents: &mut Vec<Document<'a>>,
    bytes: Option<&'a [u8]>,
    line: u32,
) -> Result<(), SplitError> {
    let Some(bytes) = bytes.filter(|bytes| has_content(bytes)) else {
        return Ok(());
    };
    if documents.len() >= MAX_DOCUMENTS {
        return Err(SplitError::TooMany);
    }
    let number = u32::try_from(documents.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    documents.push(Document {
        number,
        line,
        bytes,
    });
    Ok(())
}

fn is_boundary(line: &[u8]) -> bool {
    line.strip_prefix(b"---")
        .is_some_and(|rest| rest.first().is_none_or(|byte| byte.is_ascii_whitespace()))
}

/// False for blanks, comments, directives and the boundary itself.
fn has_content(document: &[u8]) -> bool {
    document.split(|byte| *byte == b'\n').any(|line| {
        let line = if is_boundary(line) {
            line.get(3..).unwrap_or_default()
        } else {
            line
        };
        let trimmed = line.trim_ascii();
        !(trimmed.is_empty()
            || trimmed.starts_with(b"#")
            || line.starts_with(b"%")
            || trimmed == b"...")
    })
}

fn limits() -> Options {
    options! {
        budget: budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_documents: 1,
            max_total_scalar_bytes: MAX_DOCUMENT_BYTES,
            max_recorded_anchor_events: MAX_REPEATED,
        },
        alias_limits: alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
            max_replay_stack_depth: 8,
        },
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests;
