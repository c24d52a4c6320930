//! Probes of the kernel's on a connection that is silent.

use std::io;
use std::time::Duration;

use ambit_model::Keepalive;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Longest time before the first probe, and between two, and most probes: Linux's.
const LONGEST: Duration = Duration::from_secs(32_767);
const MOST: u32 = 127;

/// Has a connection probed. What is not said is as the system has it.
pub(super) fn probe(tcp: &TcpStream, given: Keepalive) -> io::Result<()> {
    let span = |span: Duration| span.clamp(Duration::from_secs(1), LONGEST);
    let mut asked = TcpKeepalive::new();
    if let Some(time) = given.time {
        asked = asked.with_time(span(time));
    }
    if let Some(interval) = given.interval {
        asked = asked.with_interval(span(interval));
    }
    if let Some(probes) = given.probes {
        asked = asked.with_retries(probes.clamp(1, MOST));
    }
    SockRef::from(tcp).set_tcp_keepalive(&asked)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_probed_as_it_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let socket = SockRef::from(&tcp);
        assert!(!socket.keepalive().unwrap());
        let system = socket.tcp_keepalive_time().unwrap();
        let seconds = |count| Some(Duration::from_secs(count));
        let only = |time| Keepalive {
            time,
            ..Keepalive::default()
        };
        probe(&tcp, only(None)).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), system);
        let given = Keepalive {
            probes: Some(3),
            time: seconds(20),
            interval: seconds(5),
        };
        probe(&tcp, given).unwrap();
        assert_eq!(Some(socket.tcp_keepalive_time().unwrap()), seconds(20));
        assert_eq!(Some(socket.tcp_keepalive_interval().unwrap()), seconds(5));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        // Whatever is asked for: the kernel would refuse it.
        for odd in [Duration::ZERO, Duration::MAX] {
            probe(
                &tcp,
                Keepalive {
                    probes: Some(u32::MAX),
                    ..only(Some(odd))
                },
            )
            .unwrap();
        }
    }
}
