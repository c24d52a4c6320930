//! Traffic that goes on while a scenario breaks something: calls one after the other, and
//! connections that stay open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::Pod;
use ambit_e2e::wait::wait_until;

use crate::support::SOON;

/// A call that did not come back as it should.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// When it began.
    pub(crate) began: Instant,
    /// What happened, for a person.
    #[expect(dead_code, reason = "shown by Debug when a scenario fails")]
    pub(crate) what: String,
}

/// Several clients that call an echo again and again, each time on a new connection.
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<Failure>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Callers {
    /// Starts `clients` clients in a pod and waits until the first calls have come back.
    pub(crate) fn start(from: &Arc<Pod>, to: SocketAddr, clients: usize) -> Self {
        let mut callers = Self {
            stop: Arc::default(),
            calls: Arc::default(),
            failures: Arc::default(),
            clients: Vec::new(),
        };
        for _ in 0..clients {
            let (from, stop) = (Arc::clone(from), Arc::clone(&callers.stop));
            let (calls, failures) = (Arc::clone(&callers.calls), Arc::clone(&callers.failures));
            callers.clients.push(thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    match exchange(from.namespace(), to, b"hello") {
                        Ok(answer) if answer == b"hello" => {}
                        other => {
                            let what = format!("{other:?} after {:?}", began.elapsed());
                            failures.lock().unwrap().push(Failure { began, what });
                        }
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        callers.go_on();
        callers
    }

    /// Waits for more calls to end, well or not.
    pub(crate) fn go_on(&self) {
        self.go_on_for(20);
    }

    /// Waits for so many more calls to end.
    pub(crate) fn go_on_for(&self, calls: u64) {
        let wanted = self.calls.load(Ordering::Relaxed) + calls;
        let more = || self.calls.load(Ordering::Relaxed) >= wanted;
        let patience = SOON + Duration::from_millis(calls * 20);
        wait_until("more calls", patience, more).unwrap();
    }

    /// Lets every client finish its call; answers what failed.
    pub(crate) fn stop(self) -> Vec<Failure> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        Arc::into_inner(self.failures)
            .unwrap()
            .into_inner()
            .unwrap()
    }

    /// As [`Callers::stop`], and nothing may have failed.
    pub(crate) fn stop_without_a_failure(self) {
        self.go_on();
        let calls = self.calls.load(Ordering::Relaxed);
        let failures = self.stop();
        assert!(
            failures.is_empty(),
            "{} of {calls} calls failed: {failures:#?}",
            failures.len()
        );
    }
}

/// A connection to an echo that sends a numbered message every few milliseconds.
pub(crate) struct Paced {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Paced {
    /// Opens it.
    pub(crate) fn start(from: &Pod, to: SocketAddr) -> Self {
        let stream = connect(from.namespace(), to).unwrap();
        let (rounds, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, stopped) = (Arc::clone(&rounds), Arc::clone(&stop));
        let running = thread::spawn(move || pace(&stream, &count, &stopped));
        Self {
            rounds,
            stop,
            running,
        }
    }

    /// Waits until messages that were sent after this call have come back.
    pub(crate) fn goes_on(&self) {
        let now = self.rounds.load(Ordering::Relaxed);
        let more = || self.rounds.load(Ordering::Relaxed) >= now + 5 || self.running.is_finished();
        wait_until("a paced connection to go on", SOON, more).unwrap();
        assert!(!self.running.is_finished(), "a paced connection has ended");
    }

    /// Ends it; nothing may have gone wrong.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.running.join().unwrap().unwrap();
    }
}

fn pace(mut stream: &TcpStream, rounds: &AtomicU64, stop: &AtomicBool) -> std::io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let message = rounds.load(Ordering::Relaxed).to_be_bytes();
        stream.write_all(&message)?;
        let mut echoed = [0; 8];
        stream.read_exact(&mut echoed)?;
        if echoed != message {
            return Err(std::io::Error::other("another message came back"));
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}
