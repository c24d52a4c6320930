//! Every number that shapes a tunnel, with its default.

use std::time::Duration;

/// Numbers of the tunnels of one process. The defaults are those that other HBONE peers use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many bytes a peer may send on one stream before we have passed them on.
    pub stream_window: u32,
    /// The same for all streams of a connection together.
    pub connection_window: u32,
    /// Longest frame that we take.
    pub max_frame: u32,
    /// Streams that a client may have open on one connection to us.
    pub max_streams: u32,
    /// Streams that we put on one connection before we open another.
    pub streams_per_connection: usize,
    /// Connections that we open to one key merely because those there are busy.
    pub busy_connections: usize,
    /// Bytes per second from which a connection counts as busy.
    pub busy_rate: u64,
    /// Bytes of one stream that may wait for the connection to take them.
    pub send_buffer: usize,
    /// Longest list of request headers that we take from a client.
    pub request_headers: u32,
    /// Longest list of response headers that we take from a server.
    pub response_headers: u32,
    /// Streams that we have given up and still know, so that bytes of theirs that were under way
    /// are not taken for a mistake of the peer. Forgotten after a second.
    pub given_up: usize,
    /// Time between two PINGs.
    pub ping_every: Duration,
    /// A peer that has not answered a PING for so long is dead.
    pub ping_dead: Duration,
    /// Longest wait for a TCP connection.
    pub connect_timeout: Duration,
    /// Longest wait for the TLS and HTTP/2 handshake, on either side.
    pub handshake_timeout: Duration,
    /// Longest wait for the answer to a CONNECT. Longer than [`Self::connect_timeout`], because
    /// the far end connects to the application meanwhile.
    pub answer_timeout: Duration,
    /// A connection without streams is closed after so long.
    pub idle_release: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            max_frame: 1 << 20,
            max_streams: 200,
            streams_per_connection: 100,
            busy_connections: 4,
            // About a quarter of what one core encrypts and copies.
            busy_rate: 256 << 20,
            send_buffer: 512 << 10,
            request_headers: 64 << 10,
            response_headers: 16 << 10,
            given_up: 2000,
            ping_every: Duration::from_secs(10),
            ping_dead: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            idle_release: Duration::from_secs(5 * 60),
        }
    }
}
