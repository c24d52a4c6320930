//! The lines of a head: request line, fields, chunk sizes. What they say about the body.

use super::Fault;

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What the fields of a head say, as far as it matters for where the message ends.
#[derive(Debug)]
pub(super) struct Fields {
    are_trailers: bool,
    room: usize,
    length: Option<u64>,
    chunked: bool,
    hosts: usize,
    upgrade: bool,
}

impl Fields {
    /// No field yet; at most so many.
    pub(super) fn of_head(most: usize) -> Self {
        Self {
            are_trailers: false,
            room: most,
            length: None,
            chunked: false,
            hosts: 0,
            upgrade: false,
        }
    }

    /// The same, after a chunked body.
    pub(super) fn of_trailers(most: usize) -> Self {
        Self {
            are_trailers: true,
            ..Self::of_head(most)
        }
    }

    /// Takes one line in.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.room = self.room.checked_sub(1).ok_or(Fault::TooMany)?;
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Fault::Folded);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = colon
            .and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)))
            .ok_or(Fault::Name)?;
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(Fault::Name);
        }
        if !value.iter().copied().all(is_value) {
            return Err(Fault::Value);
        }
        self.note(name, trimmed(value))
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let matters = is("content-length") || is("transfer-encoding") || is("host");
        if self.are_trailers {
            return if matters { Err(Fault::Trailer) } else { Ok(()) };
        }
        if is("content-length") {
            let length = digits(value).ok_or(Fault::Length)?;
            if self.length.replace(length).is_some() {
                return Err(Fault::Length);
            }
        } else if is("transfer-encoding") {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked");
            if !is_chunked || std::mem::replace(&mut self.chunked, true) {
                return Err(Fault::Encoding);
            }
        } else if is("host") {
            self.hosts += 1;
            if !value.iter().copied().all(is_of_host) {
                return Err(Fault::Host);
            }
        } else if is("upgrade") {
            self.upgrade = true;
        }
        Ok(())
    }

    /// How the end of the body is found.
    pub(super) fn framing(&self, http10: bool) -> Result<Framing, Fault> {
        if self.hosts > 1 || (self.hosts == 0 && !http10) {
            return Err(Fault::Host);
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Fault::Ambiguous),
            (None, true) if http10 => Err(Fault::Encoding),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => Ok(Framing::None),
        }
    }

    /// Whether it asks to go on with another protocol.
    pub(super) fn upgrades(&self) -> bool {
        self.upgrade
    }
}

/// Checks `METHOD TARGET HTTP/1.x`; true if it is HTTP/1.0.
pub(super) fn request_line(line: &[u8]) -> Result<bool, Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    let is_target = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    if method.is_empty()
        || !method.iter().copied().all(is_token)
        || !target.iter().all(is_target)
        || !has_form(method, target)
    {
        return Err(Fault::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        other if other.starts_with(b"HTTP/") => Err(Fault::Version),
        _ => Err(Fault::RequestLine),
    }
}

/// Whether a target has one of the four forms (RFC 9112 section 3.2). Of any other, parsers make what they like: a
/// host, or half of a path.
fn has_form(method: &[u8], target: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let is_absolute = || {
        let mut parts = target.splitn(2, |byte| *byte == b':');
        let scheme = parts.next().unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(is_part)
            && rest.starts_with(b"//")
    };
    let is_right = match target {
        b"" => false,
        _ if method == b"CONNECT" => true,
        b"*" => method == b"OPTIONS",
        [b'/', ..] => true,
        _ => is_absolute(),
    };
    // A fragment is for the client alone.
    is_right && !target.contains(&b'#')
}

/// The size in front of a chunk (RFC 9112 section 7.1). Extensions are passed over.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let end = line.iter().position(|byte| *byte == b';');
    let (size, extensions) = line.split_at(end.unwrap_or(line.len()));
    if size.is_empty() || size.len() > 15 || !extensions.iter().copied().all(is_value) {
        return Err(Fault::Chunk);
    }
    size.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Fault::Chunk)?;
        Ok(sum << 4 | u64::from(digit))
    })
}

fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(sum * 10 + u64::from(digit))
    })
}

fn trimmed(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a value may have (RFC 9110 section 5.5).
fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What a host and port may have: no blank, no user, no path.
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&byte)
}
