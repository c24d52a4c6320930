//! The server name that a TLS client asks for, read from the beginning of its connection (RFC 8446,
//! 4.1.2; RFC 6066, 3). Nothing is decrypted, and nothing else is looked at.
//!
//! A hello may be spread over several records and may come in any pieces: whoever reads shows all
//! that has come so far until there is an answer, which at [`LONGEST`] bytes there always is.

/// Bytes of which no more are read.
pub const LONGEST: usize = 16 * 1024;

/// What the bytes so far say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The name that is asked for; none if none is, or if this is no hello.
    Name(Option<String>),
    /// More bytes are needed.
    More,
    /// It is longer than any that is read.
    Endless,
}

/// A record with handshake messages.
const HANDSHAKE: u8 = 22;
/// A record with an alert. Servers pass over a warning that comes before the hello.
const ALERT: u8 = 21;
/// A client's hello.
const CLIENT_HELLO: u8 = 1;
/// The extension with the server's name, and the kind of name that is a host's.
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Whether what begins so may be TLS. Servers do not look at the version.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(HANDSHAKE | ALERT)))
}

/// Reads the server name.
pub fn server_name(bytes: &[u8]) -> Hello {
    let message = match message(bytes) {
        Ok(message) => message,
        Err(End::Short) if bytes.len() < LONGEST => return Hello::More,
        Err(End::Short) => return Hello::Endless,
        Err(End::Other) => return Hello::Name(None),
    };
    Hello::Name(name_in(&message).ok().flatten())
}

/// Why reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There are not enough bytes.
    Short,
    /// They are no hello.
    Other,
}

/// The body of the first handshake message, put together from its records.
fn message(bytes: &[u8]) -> Result<Vec<u8>, End> {
    let mut records = Reader(bytes);
    let mut message = Vec::new();
    loop {
        if let Some((head, body)) = message.split_first_chunk::<4>() {
            let [kind, high, mid, low] = *head;
            if kind != CLIENT_HELLO {
                return Err(End::Other);
            }
            let length = u32::from_be_bytes([0, high, mid, low]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if let Some(body) = body.get(..length) {
                return Ok(body.to_vec());
            }
        }
        let kind = records.u8()?;
        let _version = records.u16()?;
        let part = records.vector16();
        match kind {
            HANDSHAKE => message.extend_from_slice(part?),
            ALERT if message.is_empty() => drop(part?),
            _ => return Err(End::Other),
        }
    }
}

fn name_in(message: &[u8]) -> Result<Option<String>, End> {
    let mut hello = Reader(message);
    let (_version, _random) = (hello.u16()?, hello.take(32)?);
    let (_session, _suites, _compressions) =
        (hello.vector8()?, hello.vector16()?, hello.vector8()?);
    let mut extensions = Reader(hello.vector16()?);
    while !extensions.0.is_empty() {
        let (kind, body) = (extensions.u16()?, extensions.vector16()?);
        if kind != SERVER_NAME {
            continue;
        }
        let mut names = Reader(Reader(body).vector16()?);
        // The first that is a host's: servers pass over the others.
        let name = loop {
            let (kind, name) = (names.u8()?, names.vector16()?);
            if kind == HOST_NAME {
                break name;
            }
        };
        let is_name = name.iter().all(u8::is_ascii_graphic);
        let name = is_name.then(|| String::from_utf8_lossy(name).to_ascii_lowercase());
        // In one form for whoever compares it: names have no case, and no dot at their end (RFC 6066, 3).
        return Ok(name.map(|name| name.strip_suffix('.').unwrap_or(&name).to_owned()));
    }
    Ok(None)
}

/// Reads numbers and vectors off the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], End> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(End::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, End> {
        self.take(1)?.first().copied().ok_or(End::Short)
    }

    fn u16(&mut self) -> Result<u16, End> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn vector8(&mut self) -> Result<&'b [u8], End> {
        let length = self.u8()?;
        self.take(length.into())
    }

    fn vector16(&mut self) -> Result<&'b [u8], End> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
pub(crate) mod tests;
