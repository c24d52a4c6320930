//! Protobuf messages over a stream socket: each behind its length as a varint.
//!
//! Used between the roles of one agent where messages carry no descriptors.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest frame: a first model of some hundred thousand workloads comes in several.
pub(crate) const LARGEST: usize = 64 << 20;

/// Largest message of the control role to the host role: the roster of a full node, with some ten
/// thousand enrolled namespaces.
pub(crate) const LONGEST_TO_HOST: usize = 1 << 20;

/// Reads one message; `None` at the end of the stream, an error for anything malformed.
pub(crate) async fn read<M, R>(from: &mut R) -> io::Result<Option<M>>
where
    M: Message + Default,
    R: AsyncRead + Unpin,
{
    read_up_to(from, LARGEST).await
}

/// As [`read`], from somebody who is believed less: no frame is larger than `largest` bytes.
pub(crate) async fn read_up_to<M, R>(from: &mut R, largest: usize) -> io::Result<Option<M>>
where
    M: Message + Default,
    R: AsyncRead + Unpin,
{
    let mut length: usize = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = match from.read_u8().await {
            Ok(byte) => byte,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
            Err(e) => return Err(e),
        };
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if length > largest {
                break;
            }
            return body(from, length).await.map(Some);
        }
        if length > largest {
            break;
        }
    }
    Err(malformed(format!(
        "a frame is announced with more than {largest} bytes"
    )))
}

async fn body<M, R>(from: &mut R, length: usize) -> io::Result<M>
where
    M: Message + Default,
    R: AsyncRead + Unpin,
{
    if length > LARGEST {
        return Err(malformed(format!(
            "a frame of {length} bytes is over {LARGEST}"
        )));
    }
    let mut bytes = Vec::new();
    // Grows with what really arrives, not with what was announced.
    from.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    M::decode(bytes.as_slice()).map_err(|error| malformed(error.to_string()))
}

/// Writes one message.
pub(crate) async fn write<M, W>(to: &mut W, message: &M) -> io::Result<()>
where
    M: Message,
    W: AsyncWrite + Unpin,
{
    to.write_all(&message.encode_length_delimited_to_vec())
        .await
}

fn malformed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
