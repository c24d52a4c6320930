//! As much of WebSocket (RFC 6455) as an echo needs, on both sides: the handshake, and unfragmented
//! text messages of up to 64 KiB.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::scripted::value;

/// Appended to the client's key (RFC 6455 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The key our client sends; any 16 bytes do.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// A client's open WebSocket.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    /// Upgrades a connection; fails unless the server proves that it speaks WebSocket.
    pub fn upgrade(mut connection: TcpStream) -> io::Result<Self> {
        let request = format!(
            "GET /chat HTTP/1.1\r\nHost: echo\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        connection.write_all(request.as_bytes())?;
        let mut reader = BufReader::new(connection.try_clone()?);
        let head = read_head(&mut reader)?;
        let proof = value(&head, "sec-websocket-accept");
        if !head.starts_with("HTTP/1.1 101") || proof != Some(accept_of(KEY)) {
            return Err(io::Error::other(format!("no WebSocket: {head}")));
        }
        Ok(Self {
            reader,
            writer: connection,
        })
    }

    /// Sends a text message and reads the next one.
    pub fn ask(&mut self, text: &str) -> io::Result<String> {
        write_frame(&mut self.writer, TEXT, text.as_bytes(), true)?;
        let (_kind, payload) = read_frame(&mut self.reader)?;
        String::from_utf8(payload).map_err(io::Error::other)
    }

    /// Says goodbye and answers whether the server did too.
    pub fn close(mut self) -> io::Result<bool> {
        write_frame(&mut self.writer, CLOSE, &[], true)?;
        Ok(read_frame(&mut self.reader)?.0 == CLOSE)
    }
}

/// Takes the upgrade and sends every message back, until the client says goodbye.
pub(crate) fn serve_echo(connection: TcpStream) -> io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    let head = read_head(&mut reader)?;
    let accept = accept_of(&value(&head, "sec-websocket-key").unwrap_or_default());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    writer.write_all(answer.as_bytes())?;
    loop {
        let (kind, payload) = read_frame(&mut reader)?;
        write_frame(&mut writer, kind, &payload, false)?;
        if kind == CLOSE {
            return Ok(());
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn read_frame(reader: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut first = [0; 2];
    reader.read_exact(&mut first)?;
    let [flags, length] = first;
    let masked = length & 0x80 != 0;
    let length = match length & 0x7f {
        126 => {
            let mut long = [0; 2];
            reader.read_exact(&mut long)?;
            usize::from(u16::from_be_bytes(long))
        }
        127 => return Err(io::Error::other("a message of more than 64 KiB")),
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    if masked {
        reader.read_exact(&mut mask)?;
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload)?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok((flags & 0x0f, payload))
}

fn write_frame(writer: &mut impl Write, kind: u8, payload: &[u8], masked: bool) -> io::Result<()> {
    // A fixed mask is enough here: the mesh must not care, and no cache is in the way.
    let mask: [u8; 4] = if masked {
        [0x37, 0xfa, 0x21, 0x3d]
    } else {
        [0; 4]
    };
    let flag = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | kind];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => frame.push(flag | short),
        _ => {
            let long = u16::try_from(payload.len()).map_err(io::Error::other)?;
            frame.push(flag | 126);
            frame.extend(long.to_be_bytes());
        }
    }
    if masked {
        frame.extend(mask);
    }
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    writer.write_all(&frame)
}

fn accept_of(key: &str) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()).as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().chain([0, 0].iter()).take(3);
        let word = word.fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        for place in 0..4 {
            let index = (word >> (18_u32.saturating_sub(6 * place))) & 0x3f;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place as usize <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests;
