//! Answers of a rule's own.

use std::sync::Arc;

use ambit_model::{Content, DirectResponse};
use http::StatusCode;

use crate::problem::Problem;

/// Longest body of such an answer, in bytes: it is kept for as long as the rule is.
const LONGEST: usize = 1 << 20;

/// A checked answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Arc<[u8]>,
}

impl Direct {
    /// Checks an answer.
    ///
    /// # Errors
    ///
    /// If it is none that can be given.
    pub fn new(model: &DirectResponse) -> Result<Self, Problem> {
        let status = model.status;
        let known = StatusCode::from_u16(status).ok();
        let status = known.filter(|known| (200..600).contains(&known.as_u16()));
        let status = status.ok_or_else(|| {
            let why = "is not from 200 to 599";
            Problem::new("status of a direct response", model.status.to_string(), why)
        })?;
        let body = match &model.body {
            None => Vec::new(),
            Some(Content::Text(text)) => text.as_bytes().to_vec(),
            Some(Content::Base64(text)) => decode(text).ok_or_else(|| {
                Problem::new("body of a direct response", shown(text), "is not Base64")
            })?,
        };
        if body.len() > LONGEST {
            let why = format!("is more than the {LONGEST} bytes that are kept");
            let length = body.len().to_string();
            return Err(Problem::new("length of a direct response", length, why));
        }
        let has_none = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        Ok(Self {
            status,
            body: match has_none {
                true => Arc::default(),
                false => body.into(),
            },
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Base64 with its own alphabet or that of URLs, padded or not (RFC 4648, sections 4 and 5).
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    // Six bits alone make no byte.
    (count < 6).then_some(decoded)
}

#[cfg(test)]
mod tests;
