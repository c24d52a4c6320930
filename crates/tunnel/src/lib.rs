//! Tunnels: streams over HTTP/2 CONNECT over mutual TLS (HBONE), pooled.
//!
//! The opening side keeps a [`Pool`] and calls [`Pool::open`]; the accepting side turns a TCP
//! connection into a [`Session`] with [`accept`] and takes [`Incoming`] streams from it. Either
//! way a [`Stream`] results, which [`copy()`] joins to a TCP connection; [`copy_plain`] does the
//! same for captured connections that are not tunnelled. A [`Pipe`] is a stream to speak a protocol on.
//!
//! No type of `h2` or `rustls` is in this surface, so that what is inside can be replaced, and
//! live connections handed to another process, without touching a caller.
//!
//! Tasks: one per client connection (`client::Driver`), started by the pool; it ends when the
//! connection does, which is after the pool has let go of it and its last stream has ended. And one
//! per stream that waits for its reset (`pace`), which is soon.
//! Everything else runs in the caller's task. Every future here may be dropped at any await:
//! what it had open is then reset, never left half done.

mod buffers;
mod client;
mod copy;
pub mod forwarded;
mod gather;
mod guard;
mod keepalive;
mod open;
mod pace;
mod pipe;
mod plain;
mod pool;
mod read_ahead;
mod server;
mod settings;
mod stream;
mod transport;
mod unread;
mod usage;
mod window;

pub use copy::{Copier, CopyEnd, Meter, Paused, copy};
pub use gather::{Gathered, in_turns};
pub use guard::{Flood, Guard};
pub use open::{Ask, DialError, Dialled, Key, OpenError, Opened};
pub use pipe::{Held, Pipe};
pub use plain::copy_plain;
pub use pool::{Pool, PoolStats};
pub use server::{AnswerError, Incoming, Session, SessionError, accept};
pub use settings::Settings;
pub use stream::{Stream, StreamError};

#[cfg(test)]
mod testing;
