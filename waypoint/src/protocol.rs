//! Which protocol a connection speaks: by what its port says, or by its first bytes.

use ambit_model::AppProtocol;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS, which is passed through.
    Tls,
    /// Anything else.
    Tcp,
}

/// What can be said of a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// They tell.
    Is(Protocol),
    /// More are needed.
    More,
}

/// The client's preface of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest method that is taken for one of HTTP.
const LONGEST_METHOD: usize = 24;
/// The longest rest of its line, whether the end has come or not: what a connection is taken for does
/// not depend on the pieces in which it comes.
const LONGEST_REST: usize = 16 << 10;

/// What a port says; `None` if that has to be seen.
pub(crate) fn of_port(protocol: AppProtocol) -> Option<Protocol> {
    match protocol {
        AppProtocol::Tcp => Some(Protocol::Tcp),
        AppProtocol::Tls => Some(Protocol::Tls),
        // Clients choose the version, whatever the endpoints speak.
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc | AppProtocol::Unknown => None,
    }
}

/// Whether a server's first bytes are those of HTTP/2, of which the server may begin before the
/// client has said a word: its settings (RFC 9113, 3.4 and 6.5).
pub fn is_settings(bytes: &[u8]) -> bool {
    match bytes {
        [0, high, low, 4, 0, 0, 0, 0, 0, ..] => u16::from_be_bytes([*high, *low]).is_multiple_of(6),
        _ => false,
    }
}

/// What a client's first bytes say.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    let begin = bytes.get(..PREFACE.len()).unwrap_or(bytes);
    if PREFACE.starts_with(begin) {
        return if begin.len() == PREFACE.len() {
            Sniffed::Is(Protocol::Http2)
        } else {
            Sniffed::More
        };
    }
    // A handshake record of TLS 1.0 to 1.3 (RFC 8446, 5.1).
    match bytes {
        [0x16, 0x03, ..] => return Sniffed::Is(Protocol::Tls),
        [0x16] => return Sniffed::More,
        _ => {}
    }
    // Servers pass over empty lines before a request (RFC 9112, 2.2).
    let empty = bytes.iter().take_while(|b| matches!(**b, b'\r' | b'\n'));
    let bytes = bytes.get(empty.count()..).unwrap_or_default();
    let method = bytes
        .iter()
        .take_while(|b| b.is_ascii_uppercase() || **b == b'-');
    let length = method.count();
    match bytes.get(length) {
        _ if length > LONGEST_METHOD => Sniffed::Is(Protocol::Tcp),
        None => Sniffed::More,
        Some(b' ') if length > 0 => after_method(bytes.get(length + 1..).unwrap_or_default()),
        Some(_) => Sniffed::Is(Protocol::Tcp),
    }
}

/// What follows a method and a blank is a target: a path, `*`, a URI or a host.
fn after_method(rest: &[u8]) -> Sniffed {
    match rest.first() {
        None => Sniffed::More,
        Some(byte) if *byte == b'/' || *byte == b'*' || byte.is_ascii_alphanumeric() => {
            // Text protocols have lines that look alike (`SET key`): the version decides.
            let within = rest.get(..=LONGEST_REST).unwrap_or(rest);
            let line_end = within.iter().position(|byte| *byte == b'\n');
            match line_end {
                None if rest.len() > LONGEST_REST => Sniffed::Is(Protocol::Tcp),
                None => Sniffed::More,
                Some(end) => {
                    let line = rest.get(..end).unwrap_or_default();
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    let mut version = line.rsplit(|byte| *byte == b' ');
                    let is_http = version.next().is_some_and(|v| v.starts_with(b"HTTP/"));
                    Sniffed::Is(match is_http {
                        true => Protocol::Http1,
                        false => Protocol::Tcp,
                    })
                }
            }
        }
        Some(_) => Sniffed::Is(Protocol::Tcp),
    }
}

#[cfg(test)]
mod tests;
