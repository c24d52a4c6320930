//! Generations of the proxy: started, given their pods, watched, replaced.
//!
//! One task per generation ([`Tended::tend`]) owns its process and its end of the link, and lives exactly
//! as long as they do. Cancelling it kills the process; the listeners stay with the role, so the
//! next generation finds every connection that waits in their queues.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_netsys::passing;
use ambit_wire::node::host_to_proxy::Kind;
use ambit_wire::node::{Drain, Heir, HostToProxy, ProbeAnswer, SocketKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::allowance::Allowance;
use super::child::Child;
use super::counters::Count;
use super::generations::{Handed, Parcel};
use super::names::PodUid;
use super::pods::PodState;
use super::probes;
use super::restarts::Restarts;
use super::sockets::Order;
use super::state::Host;
use crate::launch::LaunchError;
use crate::link::{self, HostEnd, LinkError, ToHost};

/// Messages in line for one proxy: every pod of a full node and its sockets.
const OUTBOX: usize = 2048;
/// How long one message may wait for a proxy that does not read.
const SEND_TIME: Duration = Duration::from_secs(5);
/// Records per second of one proxy; each batch of sockets takes one.
const RECORDS_PER_SECOND: u32 = 20_000;
/// Records that may come at once.
const RECORDS_BURST: u32 = 20_000;
/// How long a proxy that sends too much is not listened to.
const RECORDS_PAUSE: Duration = Duration::from_millis(10);
/// Malformed records that end a generation: a proxy of ours sends none.
const MALFORMED_LIMIT: u32 = 16;
/// What a generation gets beyond its time to drain, to say its last numbers.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a generation could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Its process could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// No descriptors for its links.
    #[error("no links for a new proxy: {0}; raise the limit of open files")]
    Links(#[from] io::Error),
}

/// One generation as its task sees it.
struct Tended {
    host: Arc<Host>,
    number: u64,
    link: HostEnd,
    reply: mpsc::Sender<Parcel>,
}

/// Starts the next generation; it takes over when it is ready.
pub(crate) async fn start(host: &Arc<Host>) -> Result<u64, StartError> {
    let number = host.generations.lock().next_number();
    let (link, proxy_link) = link::pair()?;
    let (control_feed, proxy_feed) = passing::stream_pair()?;
    let child = host
        .children
        .start_proxy(number, proxy_link, proxy_feed)
        .await?;
    host.counters.count(Count::ProxiesStarted);
    tracing::info!(generation = number, pid = child.pid, "a proxy runs");
    let (outbox, parcels) = mpsc::channel(OUTBOX);
    let kill = CancellationToken::new();
    {
        // Under both locks at once, so that no pod is enrolled in between and missed.
        let pods = host.pods.lock();
        let mut generations = host.generations.lock();
        let alone = generations.add(number, child.pid, outbox.clone(), kill.clone());
        // A former host role's proxy answers the pages until this one is ready.
        if alone && !host.has_ancestor() {
            generations.gets_pages(number);
            generations.send(number, host.parcel_of_pages());
        }
        for pod in pods.iter().filter(|pod| pod.state.is_served()) {
            generations.send(number, host.parcel_of(pod));
        }
    }
    host.control.give_feed(number, control_feed);
    let tended = Tended {
        host: Arc::clone(host),
        number,
        link,
        reply: outbox,
    };
    host.tasks.spawn("proxy", tended.tend(child, parcels, kill));
    Ok(number)
}

/// Keeps a generation that accepts or will, starting the next whenever there is none;
/// until the role retires.
pub(crate) async fn keep_one(host: Arc<Host>) {
    let mut restarts = Restarts::default();
    let stop = host.retired.clone();
    let none_left = || !host.generations.lock().has_accepting();
    while !stop.is_cancelled() {
        let started = clock::now();
        if none_left()
            && let Err(error) = start(&host).await
        {
            tracing::error!(%error, "cannot start a proxy");
        }
        tokio::select! {
            () = host.wait_for(none_left) => {}
            () = host.replacement.notified() => {
                if let Err(error) = replace(&host).await {
                    tracing::error!(%error, "a proxy that is to leave has no successor");
                }
                continue;
            }
            () = stop.cancelled() => return,
        }
        let pause = restarts.pause_after(clock::now().saturating_duration_since(started));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Starts the next generation beside the serving one, unless one is starting already.
pub(crate) async fn replace(host: &Arc<Host>) -> Result<u64, StartError> {
    if let Some(starting) = host.generations.lock().starting() {
        return Ok(starting);
    }
    start(host).await
}

/// Tells every generation to drain: the successor of this host role serves.
pub(crate) fn drain_all(host: &Arc<Host>) {
    let numbers = host.generations.lock().drain_all();
    for number in numbers {
        drain(host, number);
    }
}

fn drain(host: &Arc<Host>, number: u64) {
    let limit = host.limits.drain_time;
    let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
    host.generations
        .lock()
        .send(number, Parcel::plain(Kind::Drain(Drain { seconds })));
    let (host, stop) = (Arc::clone(host), host.tasks.token());
    host.clone().tasks.spawn("drain limit", async move {
        let gone = || !host.generations.lock().lives(number);
        tokio::select! {
            ended = host.wait_until(limit + LAST_WORDS, gone) => {
                if !ended {
                    tracing::warn!(generation = number, "the proxy does not end by itself: killed");
                    host.generations.lock().kill(number);
                }
            }
            () = stop.cancelled() => {}
        }
    });
}

impl Tended {
    /// The life of one generation: messages out, records in, until its process or link ends.
    ///
    /// Both directions go on at once: each side may be waiting for the other to read.
    async fn tend(
        self,
        mut child: Child,
        parcels: mpsc::Receiver<Parcel>,
        kill: CancellationToken,
    ) {
        let stop = self.host.tasks.token();
        let how = tokio::select! {
            how = self.send_parcels(parcels) => how,
            how = self.obey_records() => how,
            how = &mut child.ended => how,
            () = kill.cancelled() => "killed by the host role".to_owned(),
            () = stop.cancelled() => "the host role stops".to_owned(),
        };
        (child.kill)();
        self.bury(&how);
    }

    /// What the end of this generation changes for the others.
    fn bury(&self, how: &str) {
        let ended = self.host.generations.lock().ended(self.number);
        if ended.expected || self.host.tasks.token().is_cancelled() {
            tracing::info!(generation = self.number, how, "a proxy ended");
        } else {
            self.host.counters.count(Count::ProxiesDied);
            tracing::error!(generation = self.number, how, "a proxy died");
        }
        if let Some(number) = ended.pages_to {
            self.host
                .generations
                .lock()
                .send(number, self.host.parcel_of_pages());
        }
        self.host.note_change();
    }

    /// Sends what is put in line; ends with how the link ended.
    async fn send_parcels(&self, mut parcels: mpsc::Receiver<Parcel>) -> String {
        while let Some(parcel) = parcels.recv().await {
            let message = HostToProxy {
                kind: Some(parcel.kind),
            };
            let descriptors: Vec<_> = parcel.descriptors.iter().map(AsFd::as_fd).collect();
            let send = self.link.send(&message, &descriptors);
            match tokio::time::timeout(SEND_TIME, send).await {
                Ok(Ok(())) => {}
                // Nothing was sent and the link still works; the message is lost.
                Ok(Err(LinkError::TooLong(length))) => {
                    tracing::error!(
                        generation = self.number,
                        length,
                        "a message to the proxy is too long"
                    );
                }
                Ok(Err(error)) => return error.to_string(),
                Err(_elapsed) => return "it does not read its messages".to_owned(),
            }
        }
        "nobody talks to it any more".to_owned()
    }

    /// Obeys its records, at a bounded rate; ends with how the link ended.
    async fn obey_records(&self) -> String {
        let mut allowance = Allowance::new(RECORDS_PER_SECOND, RECORDS_BURST, clock::now());
        let mut malformed = 0;
        while malformed < MALFORMED_LIMIT {
            while !allowance.take(1, clock::now()) {
                self.host.counters.count(Count::RecordsRejected);
                tokio::time::sleep(RECORDS_PAUSE).await;
            }
            match self.link.recv().await {
                Ok(Some(record)) => self.obey(record),
                Ok(None) => return "it closed its link".to_owned(),
                Err(error) if error.is_gone() => return error.to_string(),
                Err(error) => {
                    self.host.counters.count(Count::RecordsRejected);
                    malformed += 1;
                    tracing::warn!(generation = self.number, %error, "a proxy sent what is no record");
                }
            }
        }
        "it keeps sending what is no record".to_owned()
    }

    fn obey(&self, record: ToHost) {
        match record {
            ToHost::Ready => self.succeed(),
            ToHost::NeedSockets {
                pod_uid,
                kind,
                count,
            } => self.order(pod_uid, kind, count),
            ToHost::PodAttached { pod_uid } => {
                if let Some(uid) = self.enrolled(pod_uid) {
                    self.host.generations.lock().attached(self.number, uid);
                    self.host.note_change();
                }
            }
            ToHost::PodReleased { pod_uid, open: 0 } => self.let_go(pod_uid),
            ToHost::PodReleased { .. } => {}
            ToHost::AskProbe {
                pod_uid,
                source,
                port,
            } => self.look_for_probe(pod_uid, source, port),
            ToHost::Drained => {
                tracing::info!(generation = self.number, "a proxy has no connections left");
            }
            // Whoever was not serving anyway is not missed.
            ToHost::Leaving if self.host.generations.lock().serves(self.number) => {
                tracing::info!(generation = self.number, "a proxy was asked to leave");
                self.host.replacement.notify_one();
            }
            ToHost::Leaving => {}
        }
    }

    /// A proxy may name enrolled pods only; anything else is counted.
    fn enrolled(&self, uid: link::PodUid) -> Option<PodUid> {
        let uid = PodUid::parse(uid.as_str()).ok();
        let known = uid.filter(|uid| self.host.pods.lock().get(uid).is_some());
        if known.is_none() {
            self.host.counters.count(Count::RecordsRejected);
        }
        known
    }

    /// Believed of a draining pod only: the end of an earlier release says nothing of a pod that
    /// has been enrolled again since.
    fn let_go(&self, uid: link::PodUid) {
        let Some(uid) = self.enrolled(uid) else {
            return;
        };
        let draining = |state| state == PodState::Draining;
        let pods = self.host.pods.lock();
        if pods.get(&uid).is_some_and(|pod| draining(pod.state)) {
            self.host.generations.lock().detached(self.number, &uid);
        }
        drop(pods);
        self.host.note_change();
    }

    /// Answers in a task of its own: the look takes some system calls.
    fn look_for_probe(&self, uid: link::PodUid, source: SocketAddr, port: u16) {
        let Some(uid) = self.enrolled(uid) else {
            return;
        };
        let (host, number) = (Arc::clone(&self.host), self.number);
        self.host.tasks.spawn("probe", async move {
            let is_probe = probes::is_probe(&host, &uid, source, port).await;
            let answer = Kind::Probe(ProbeAnswer {
                pod_uid: uid.as_str().to_owned(),
                source: source.to_string(),
                port: port.into(),
                is_probe,
            });
            host.generations.lock().send(number, Parcel::plain(answer));
        });
    }

    fn order(&self, uid: link::PodUid, kind: SocketKind, count: u8) {
        let Some(uid) = self.enrolled(uid) else {
            return;
        };
        let Some(netns) = self.host.netns(&uid) else {
            return;
        };
        let order = Order {
            uid,
            netns,
            kind,
            count,
            reply: self.reply.clone(),
        };
        self.host.supply.order(order, clock::now());
    }

    /// This generation is ready: it takes over, and those before it drain.
    fn succeed(&self) {
        let succession = self.host.generations.lock().ready(self.number);
        if let Some(ancestor) = succession.ancestor
            && let Err(error) = self.link_to(ancestor)
        {
            tracing::error!(%error, "the new proxy starts counting from zero");
        }
        self.inherit_from_a_former_role();
        if succession.lacks_pages {
            self.host
                .generations
                .lock()
                .send(self.number, self.host.parcel_of_pages());
        }
        for number in succession.drain {
            drain(&self.host, number);
        }
        self.host.note_change();
        tracing::info!(generation = self.number, "a proxy serves");
    }

    /// The first generation of a role goes on with the numbers of the role before it.
    fn inherit_from_a_former_role(&self) {
        let Some((generation, end)) = self.host.ancestor.lock().take() else {
            return;
        };
        let kind = Kind::Ancestor(Heir { generation });
        let descriptors = vec![Handed::given(end)];
        self.host
            .generations
            .lock()
            .send(self.number, Parcel { kind, descriptors });
    }

    /// Joins this generation and the one that served before it by a socket of their own.
    fn link_to(&self, ancestor: u64) -> io::Result<()> {
        let (old, new) = passing::stream_pair()?;
        let parcel = |kind, end| Parcel {
            kind,
            descriptors: vec![Handed::given(end)],
        };
        let generations = self.host.generations.lock();
        generations.send(
            ancestor,
            parcel(
                Kind::Heir(Heir {
                    generation: self.number,
                }),
                old,
            ),
        );
        generations.send(
            self.number,
            parcel(
                Kind::Ancestor(Heir {
                    generation: ancestor,
                }),
                new,
            ),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
