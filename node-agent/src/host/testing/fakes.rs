//! Stand-ins for the proxy and the control role: they speak the real links and do as little as a
//! test needs.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::passing;
use ambit_wire::node::host_to_control::Kind as ToControl;
use ambit_wire::node::host_to_proxy::Kind as ToProxy;
use ambit_wire::node::{ControlToHost, HostToControl, control_to_host};
use parking_lot::Mutex;
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::host::child::{Child, Children, Starting};
use crate::link::{PodUid, ProxyEnd, ToHost};

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Starts fakes and keeps them for the test to look at.
#[derive(Clone, Debug)]
pub(crate) struct Fakes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    proxies: Mutex<Vec<Arc<FakeProxy>>>,
    told: Mutex<Vec<ToControl>>,
    /// Whether new proxies say at once that they are ready.
    ready: bool,
    /// Whether proxies still hold connections of released pods.
    holding: watch::Sender<bool>,
    control: Mutex<CancellationToken>,
    changed: watch::Sender<()>,
}

/// A proxy that accepts nothing, but keeps all that it is given.
#[derive(Debug)]
pub(crate) struct FakeProxy {
    /// Its generation.
    pub(crate) generation: u64,
    /// What it was told, in order.
    pub(crate) told: Mutex<Vec<ToProxy>>,
    /// Listeners by pod.
    pub(crate) listeners: Mutex<HashMap<String, Vec<OwnedFd>>>,
    /// Every socket it was sent.
    pub(crate) sockets: Mutex<Vec<OwnedFd>>,
    /// What it says.
    pub(crate) says: mpsc::UnboundedSender<ToHost>,
    /// Its death.
    pub(crate) dead: CancellationToken,
}

impl Fakes {
    /// Fakes whose proxies are ready at once, or only when the test says so.
    pub(crate) fn new(ready: bool) -> Self {
        Self(Arc::new(Shared {
            proxies: Mutex::default(),
            told: Mutex::default(),
            ready,
            holding: watch::Sender::new(false),
            control: Mutex::default(),
            changed: watch::Sender::new(()),
        }))
    }

    /// Lets proxies pretend that released pods still have connections, or have no longer.
    pub(crate) fn hold_connections(&self, holding: bool) {
        self.0.holding.send_replace(holding);
    }

    /// Kills the control role.
    pub(crate) fn kill_control(&self) {
        self.0.control.lock().cancel();
    }

    /// The proxy of a generation, as soon as it runs.
    pub(crate) async fn proxy(&self, generation: u64) -> Arc<FakeProxy> {
        let find = || {
            let proxies = self.0.proxies.lock();
            proxies
                .iter()
                .find(|proxy| proxy.generation == generation)
                .cloned()
        };
        self.until(|| find().is_some()).await;
        find().unwrap()
    }

    /// Whether no proxy lives.
    pub(crate) fn all_dead(&self) -> bool {
        self.0
            .proxies
            .lock()
            .iter()
            .all(|proxy| proxy.listeners.lock().is_empty())
    }

    /// How often the control role was told something like this.
    pub(crate) fn told_control(&self, like: impl Fn(&ToControl) -> bool) -> usize {
        self.0.told.lock().iter().filter(|told| like(told)).count()
    }

    /// Waits until a fake has seen what makes the condition true.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        let mut changes = self.0.changed.subscribe();
        let wait = async {
            while !condition() {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the condition did not come true in time");
    }
}

impl Children for Fakes {
    fn start_proxy(&self, generation: u64, link: OwnedFd, _feed: OwnedFd) -> Starting<'_> {
        let (says, to_say) = mpsc::unbounded_channel();
        let proxy = Arc::new(FakeProxy {
            generation,
            told: Mutex::default(),
            listeners: Mutex::default(),
            sockets: Mutex::default(),
            says,
            dead: CancellationToken::new(),
        });
        if self.0.ready {
            proxy.says.send(ToHost::Ready).unwrap();
        }
        let link = ProxyEnd::new(link).unwrap();
        tokio::spawn(live(self.clone(), Arc::clone(&proxy), link, to_say));
        self.0.proxies.lock().push(Arc::clone(&proxy));
        self.0.changed.send_replace(());
        Box::pin(async move { Ok(child(&proxy.dead)) })
    }

    fn start_control(&self, link: OwnedFd) -> Starting<'_> {
        let dead = CancellationToken::new();
        *self.0.control.lock() = dead.clone();
        let stream = UnixStream::from_std(link.into()).unwrap();
        let (fakes, end) = (self.clone(), dead.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = listen(&fakes, &stream) => {}
                () = end.cancelled() => {}
            }
        });
        Box::pin(async move { Ok(child(&dead)) })
    }
}

fn child(dead: &CancellationToken) -> Child {
    let (ended, kill) = (dead.clone(), dead.clone());
    Child {
        pid: 0,
        ended: Box::pin(async move {
            ended.cancelled().await;
            "the fake is dead".to_owned()
        }),
        kill: Box::new(move || kill.cancel()),
    }
}

async fn live(
    fakes: Fakes,
    proxy: Arc<FakeProxy>,
    link: ProxyEnd,
    mut to_say: mpsc::UnboundedReceiver<ToHost>,
) {
    loop {
        tokio::select! {
            received = link.recv() => match received {
                Ok(Some((message, descriptors))) => {
                    proxy.take(&fakes, message.kind.unwrap(), descriptors);
                    fakes.0.changed.send_replace(());
                }
                _ => break,
            },
            Some(record) = to_say.recv() => link.send(&record).await.unwrap_or_default(),
            () = proxy.dead.cancelled() => break,
        }
    }
    proxy.dead.cancel();
    proxy.listeners.lock().clear();
    fakes.0.changed.send_replace(());
}

impl FakeProxy {
    fn take(&self, fakes: &Fakes, kind: ToProxy, descriptors: Vec<OwnedFd>) {
        match &kind {
            ToProxy::Pod(attached) => {
                assert_eq!(attached.listeners.len(), descriptors.len());
                let uid = attached.pod.as_ref().unwrap().uid.clone();
                self.listeners.lock().insert(uid.clone(), descriptors);
                let pod_uid = PodUid::new(&uid).unwrap();
                self.says.send(ToHost::PodAttached { pod_uid }).unwrap();
            }
            ToProxy::Release(uid) => {
                let pod_uid = PodUid::new(uid).unwrap();
                let (says, mut holding) = (self.says.clone(), fakes.0.holding.subscribe());
                tokio::spawn(async move {
                    holding.wait_for(|holding| !holding).await.unwrap();
                    says.send(ToHost::PodReleased { pod_uid, open: 0 })
                        .unwrap_or_default();
                });
            }
            ToProxy::Forget(uid) => drop(self.listeners.lock().remove(uid)),
            ToProxy::Sockets(_) => self.sockets.lock().extend(descriptors),
            ToProxy::Drain(_) => {
                self.says.send(ToHost::Drained).unwrap();
                self.dead.cancel();
            }
            _ => {}
        }
        self.told.lock().push(kind);
    }

    /// Whether it was told something like this.
    pub(crate) fn was_told(&self, like: impl Fn(&ToProxy) -> bool) -> bool {
        self.told.lock().iter().any(like)
    }
}

async fn listen(fakes: &Fakes, stream: &UnixStream) {
    let mut unread = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let receive = || passing::recv(stream, &mut chunk);
        let Ok((count @ 1.., _)) = stream.async_io(Interest::READABLE, receive).await else {
            return;
        };
        unread.extend_from_slice(&chunk[..count]);
        while let Some(told) = first(&mut unread) {
            if let ToControl::Withdraw(uid) = &told {
                let kind = Some(control_to_host::Kind::Withdrawn(uid.clone()));
                let frame = ControlToHost { kind }.encode_length_delimited_to_vec();
                let send = || passing::send(stream, &frame, &[]);
                stream
                    .async_io(Interest::WRITABLE, send)
                    .await
                    .unwrap_or_default();
            }
            fakes.0.told.lock().push(told);
            fakes.0.changed.send_replace(());
        }
    }
}

fn first(unread: &mut Vec<u8>) -> Option<ToControl> {
    let mut rest = unread.as_slice();
    let length = prost::decode_length_delimiter(&mut rest).ok()?;
    let message = HostToControl::decode(rest.get(..length)?).unwrap();
    let read = unread.len() - rest.len() + length;
    unread.drain(..read);
    message.kind
}
