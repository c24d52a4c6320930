//! Trace context in headers: W3C's `traceparent` and `tracestate` (Trace Context, sections 3.2 and 3.3),
//! and B3's, in one header or in several.
//!
//! Where a request has several forms, W3C's counts, then B3's one header. All that it came with are written
//! on, so that none of them tells something else; W3C's always is. What cannot be read starts a new trace.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::context::{Context, SpanId, TraceId, digits};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
/// The bit of W3C's flags that says that the caller records.
const SAMPLED: u8 = 1;
/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// Most bytes of `tracestate` that a span keeps: as much as everybody has to pass on.
const MOST_STATE: usize = 512;

/// In which forms B3 a request came; W3C's is always written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// In one header.
    pub b3: bool,
    /// In several.
    pub b3_many: bool,
}

/// What the headers of a request say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The caller's place in a trace; without one, the trace begins here.
    pub from: Option<Context>,
    /// What the caller decided, which it may without a trace.
    pub sampled: Option<bool>,
    /// Which forms to write on.
    pub forms: Forms,
    /// `tracestate`, if W3C's form counted.
    pub state: Box<str>,
}

/// A place in a trace, to be told to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The place; not decided is not recorded.
    pub context: Context,
    /// The span that its span is part of.
    pub parent: Option<SpanId>,
    /// Beside W3C's.
    pub forms: Forms,
}

impl Incoming {
    /// Reads the headers of a request.
    pub fn read(headers: &HeaderMap) -> Self {
        // Most requests that come from outside have none of these: one look at all names is cheaper than
        // one for each of ours.
        if !headers.keys().any(is_ours) {
            return Self::default();
        }
        let forms = Forms {
            b3: headers.contains_key(B3),
            b3_many: headers.contains_key(B3_TRACE) || headers.contains_key(B3_SAMPLED),
        };
        if let Some(from) = only(headers, &TRACEPARENT).and_then(traceparent) {
            return Self {
                from: Some(from),
                sampled: from.sampled,
                forms,
                state: state(headers),
            };
        }
        let one = forms.b3.then(|| only(headers, &B3).and_then(one_header));
        let (from, sampled) = one
            .flatten()
            .unwrap_or_else(|| many_headers(headers, forms.b3_many));
        Self {
            from,
            sampled,
            forms,
            state: Box::default(),
        }
    }
}

impl Outgoing {
    /// Writes it in place of what the headers said. The caller's `tracestate` stays if `keeps_state`:
    /// it belongs to the trace that W3C's form told of.
    pub fn write(&self, headers: &mut HeaderMap, keeps_state: bool) {
        let Context { trace, span, .. } = self.context;
        let sampled = self.context.sampled == Some(true);
        let flag = if sampled { "1" } else { "0" };
        let mut parent = String::with_capacity(LENGTH);
        for part in [
            "00-",
            trace.digits().as_str(),
            "-",
            span.digits().as_str(),
            "-0",
            flag,
        ] {
            parent.push_str(part);
        }
        set(headers, TRACEPARENT, parent);
        if !keeps_state {
            headers.remove(TRACESTATE);
        }
        if self.forms.b3 {
            let parent = self.parent.map(|parent| format!("-{parent}"));
            let parent = parent.unwrap_or_default();
            set(headers, B3, format!("{trace}-{span}-{flag}{parent}"));
        }
        if self.forms.b3_many {
            set(headers, B3_TRACE, trace.to_string());
            set(headers, B3_SPAN, span.to_string());
            set(headers, B3_SAMPLED, flag.to_owned());
            headers.remove(B3_FLAGS);
            match self.parent {
                Some(parent) => set(headers, B3_PARENT, parent.to_string()),
                None => drop(headers.remove(B3_PARENT)),
            }
        }
    }
}

/// Whether a header of this name may tell of a trace.
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == TRACEPARENT.as_str() || name == B3.as_str() || name.starts_with("x-b3-")
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

/// Reads a `traceparent`. Of later versions the part that version 00 has is read.
fn traceparent(text: &[u8]) -> Option<Context> {
    let (text, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = text.split(|byte| *byte == b'-');
    let mut version = [0];
    digits(parts.next()?, &mut version).ok()?;
    let is_longer = match version {
        [0] => rest.is_empty(),
        [0xff] => false,
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let trace = parts.next()?;
    if !is_longer || trace.len() != 32 {
        return None;
    }
    let (trace, span) = (TraceId::read(trace), SpanId::read(parts.next()?));
    let mut flags = [0];
    digits(parts.next()?, &mut flags).ok()?;
    let [flags] = flags;
    parts.next().is_none().then_some(Context {
        trace: trace.ok()?,
        span: span.ok()?,
        sampled: Some(flags & SAMPLED != 0),
    })
}

/// What the entries of `tracestate` are together, if a span can keep them.
fn state(headers: &HeaderMap) -> Box<str> {
    let mut all = String::new();
    for value in headers.get_all(TRACESTATE) {
        let Ok(value) = value.to_str() else {
            return Box::default();
        };
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(value);
    }
    match all.len() <= MOST_STATE {
        true => all.into(),
        false => Box::default(),
    }
}

/// A place in a trace, if there is one, and what was decided.
type Read = (Option<Context>, Option<bool>);

/// Reads B3's one header: a decision, or ids and perhaps a decision and a parent.
fn one_header(text: &[u8]) -> Option<Read> {
    let mut parts = text.split(|byte| *byte == b'-');
    let first = parts.next()?;
    let Some(span) = parts.next() else {
        return Some((None, Some(decision(first)?)));
    };
    let sampled = match parts.next() {
        Some(word) => Some(decision(word)?),
        None => None,
    };
    if let Some(parent) = parts.next() {
        SpanId::read(parent).ok()?;
    }
    let context = Context {
        trace: TraceId::read(first).ok()?,
        span: SpanId::read(span).ok()?,
        sampled,
    };
    parts.next().is_none().then_some((Some(context), sampled))
}

/// Reads B3's several headers, or the one of them that may stand alone.
fn many_headers(headers: &HeaderMap, has_others: bool) -> Read {
    let debug = only(headers, &B3_FLAGS).is_some_and(|flags| flags == b"1");
    if !has_others {
        return (None, debug.then_some(true));
    }
    let sampled = match debug {
        true => Some(true),
        false => only(headers, &B3_SAMPLED).and_then(decision),
    };
    let context = || {
        Some(Context {
            trace: TraceId::read(only(headers, &B3_TRACE)?).ok()?,
            span: SpanId::read(only(headers, &B3_SPAN)?).ok()?,
            sampled,
        })
    };
    (context(), sampled)
}

/// B3's words for whether a trace is recorded; `d` is debugging, which is.
fn decision(word: &[u8]) -> Option<bool> {
    match word {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    // Digits and dashes are always a value.
    if let Ok(mut value) = HeaderValue::try_from(value) {
        // No request has the same: HPACK need not keep it, nor look for it among all that it has kept.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
