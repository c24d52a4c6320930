//! What a verified token says.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Claims whose words are values of their own in every rule.
const WORDED: [&str; 2] = ["scope", "permission"];

/// What a verified token says: of whom, for whom, and all the rest.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    issuer: Box<str>,
    subject: Option<Box<str>>,
    principal: Option<Box<str>>,
    audiences: Vec<Box<str>>,
    presenter: Option<Box<str>>,
    pub(crate) begins: Option<u64>,
    pub(crate) ends: Option<u64>,
    worded: Arc<[Arc<str>]>,
    all: Arc<Map<String, Value>>,
    in_words: Arc<Map<String, Value>>,
}

/// Claims that cannot be meant: which one is of the wrong type, and what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClaimFault {
    pub(crate) claim: &'static str,
    pub(crate) expected: &'static str,
}

impl ClaimFault {
    /// Envoy's sentence for it.
    pub(crate) fn sentence(self) -> &'static str {
        match self.claim {
            "iss" => "Jwt payload [iss] field is not a string",
            "sub" => "Jwt payload [sub] field is not a string",
            "jti" => "Jwt payload [jti] field is not a string",
            "iat" => "Jwt payload [iat] field is not an integer",
            "nbf" => "Jwt payload [nbf] field is not an integer",
            "exp" => "Jwt payload [exp] field is not an integer",
            _ => "Jwt payload [aud] field is not a string or string list",
        }
    }
}

impl Claims {
    /// Reads claims; whether they are true is not known yet.
    pub(crate) fn read(all: Map<String, Value>) -> Result<Self, ClaimFault> {
        let text = |claim: &'static str| match all.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(ClaimFault {
                claim,
                expected: "a text",
            }),
        };
        text("jti")?;
        seconds(&all, "iat")?;
        let issuer = text("iss")?.unwrap_or_default();
        let subject = text("sub")?.filter(|subject| !subject.is_empty());
        let principal = subject.filter(|_| !issuer.is_empty());
        let presenter = all.get("azp").and_then(Value::as_str);
        let (issuer, subject): (Box<str>, Option<Box<str>>) =
            (issuer.into(), subject.map(Into::into));
        let principal = principal.map(|subject| format!("{issuer}/{subject}").into());
        let presenter = presenter.map(Into::into);
        let (audiences, begins, ends) = (
            audiences(&all)?,
            seconds(&all, "nbf")?,
            seconds(&all, "exp")?,
        );
        let all = Arc::new(all);
        Ok(Self {
            issuer,
            subject,
            principal,
            audiences,
            presenter,
            begins,
            ends,
            worded: Arc::default(),
            in_words: in_words(&all, &[]),
            all,
        })
    }

    /// The same, with claims whose words are values of their own.
    pub(crate) fn worded(mut self, worded: &Arc<[Arc<str>]>) -> Self {
        self.worded = Arc::clone(worded);
        self.in_words = in_words(&self.all, worded);
        self
    }

    /// Who issued the token (`iss`); empty if it does not say.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Of whom it tells (`sub`).
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `ISSUER/SUBJECT`, if it has both: what policies call a request's principal.
    ///
    /// Both parts may have slashes, so that two pairs may have one principal. Whoever compares a
    /// principal with what was written should compare both parts, as Istio does.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// For whom it is (`aud`).
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.audiences.iter().map(AsRef::as_ref)
    }

    /// To whom it was given (`azp`).
    pub fn presenter(&self) -> Option<&str> {
        self.presenter.as_deref()
    }

    /// All that it says.
    pub fn all(&self) -> &Map<String, Value> {
        &self.all
    }

    /// All that it says, the claims whose words are values of their own as lists of these. Made once, and shared.
    pub fn in_words(&self) -> &Arc<Map<String, Value>> {
        &self.in_words
    }

    /// Whether a claim, found by the names on the way to it, has a value that passes: it is a text
    /// that does, or a list with one, or one of its words does if it is of those claims.
    pub fn has(&self, path: &[impl AsRef<str>], mut passes: impl FnMut(&str) -> bool) -> bool {
        let [first, further @ ..] = path else {
            return false;
        };
        let first = first.as_ref();
        let value = self.all.get(first);
        let value = further
            .iter()
            .fold(value, |value, name| value?.as_object()?.get(name.as_ref()));
        match value {
            Some(Value::String(text)) if further.is_empty() && self.has_words(first) => {
                text.split(' ').filter(|word| !word.is_empty()).any(passes)
            }
            Some(Value::String(text)) => passes(text),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(passes),
            _ => false,
        }
    }

    fn has_words(&self, claim: &str) -> bool {
        has_words(&self.worded, claim)
    }

    /// The claim of that name, or the one that its parts between dots lead to.
    pub(crate) fn named(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.all.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let first = self.all.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.as_object()?.get(part))
    }

    /// About how many bytes of memory they take.
    pub(crate) fn size(&self) -> usize {
        let texts = self.audiences.iter().map(|audience| 16 + audience.len());
        let principal = self.principal.as_ref().map_or(0, |text| 2 * text.len());
        let in_words = match Arc::ptr_eq(&self.in_words, &self.all) {
            true => 0,
            false => self.in_words.iter().map(member).sum(),
        };
        size_of::<Self>()
            + texts.sum::<usize>()
            + principal
            + in_words
            + self.all.iter().map(member).sum::<usize>()
    }
}

impl fmt::Debug for Claims {
    /// Only of whom: the rest is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

fn has_words(worded: &[Arc<str>], claim: &str) -> bool {
    WORDED.contains(&claim) || worded.iter().any(|worded| **worded == *claim)
}

/// The same claims if none of them has words.
fn in_words(all: &Arc<Map<String, Value>>, worded: &[Arc<str>]) -> Arc<Map<String, Value>> {
    let is_split = |name: &str, value: &Value| value.is_string() && has_words(worded, name);
    if !all.iter().any(|(name, value)| is_split(name, value)) {
        return Arc::clone(all);
    }
    let mut all = Map::clone(all);
    for (name, value) in &mut all {
        if let Value::String(text) = value
            && has_words(worded, name)
        {
            let words = text.split(' ').filter(|word| !word.is_empty());
            *value = words.map(Value::from).collect();
        }
    }
    Arc::new(all)
}

/// A member of an object: its place in the tree, its name and its value.
fn member((name, value): (&String, &Value)) -> usize {
    2 * size_of::<(String, Value)>() + name.len() + below(value)
}

/// What a value takes besides its own place.
fn below(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.capacity(),
        Value::Array(list) => {
            list.capacity() * size_of::<Value>() + list.iter().map(below).sum::<usize>()
        }
        Value::Object(object) => object.iter().map(member).sum(),
    }
}

/// A text or a list of them.
fn audiences(all: &Map<String, Value>) -> Result<Vec<Box<str>>, ClaimFault> {
    let fault = ClaimFault {
        claim: "aud",
        expected: "a text or a list of texts",
    };
    match all.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.as_str().into()]),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|value| value.as_str().map(Into::into));
            texts.collect::<Option<_>>().ok_or(fault)
        }
        Some(_) => Err(fault),
    }
}

/// Seconds since 1970, of which a part of one does not count.
fn seconds(all: &Map<String, Value>, claim: &'static str) -> Result<Option<u64>, ClaimFault> {
    let Some(value) = all.get(claim) else {
        return Ok(None);
    };
    let whole = value.as_u64();
    let seconds = whole.or_else(|| value.as_f64().and_then(truncated));
    seconds.map(Some).ok_or(ClaimFault {
        claim,
        expected: "a number of seconds since 1970",
    })
}

/// The whole part of a number of seconds that is not negative, nor beyond any time.
fn truncated(seconds: f64) -> Option<u64> {
    /// Beyond this, numbers have no ones.
    const MOST: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range has been looked at"
    )]
    (0.0..=MOST).contains(&seconds).then_some(seconds as u64)
}

#[cfg(test)]
mod tests;
