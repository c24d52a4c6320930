//! A proxy, as far as its feed shows it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use ambit_netsys::passing;
use ambit_wire::node::{Feed, FeedAnswer, TrustBundle, feed, feed_answer};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::PATIENCE;
use crate::frames;

/// A proxy at the far end of a feed.
pub(crate) struct Proxy {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    /// Names and versions of workloads and services.
    pub(crate) addresses: BTreeMap<String, String>,
    /// Of policies.
    pub(crate) policies: BTreeMap<String, String>,
    /// Identities with a certificate.
    pub(crate) certificates: BTreeMap<String, ambit_wire::node::Certificate>,
    /// Whom to trust.
    pub(crate) trust: Option<TrustBundle>,
    /// The first state is complete.
    pub(crate) synced: bool,
    /// Last report of the connection.
    pub(crate) status: ambit_wire::node::Status,
    /// Changes are not answered.
    pub(crate) mute: bool,
}

impl Proxy {
    /// A proxy, and the other end of its feed.
    pub(crate) fn new() -> (Self, OwnedFd) {
        let (ours, theirs) = passing::stream_pair().unwrap();
        let (from, to) = UnixStream::from_std(ours.into()).unwrap().into_split();
        let proxy = Self {
            from: BufReader::new(from),
            to,
            addresses: BTreeMap::new(),
            policies: BTreeMap::new(),
            certificates: BTreeMap::new(),
            trust: None,
            synced: false,
            status: ambit_wire::node::Status::default(),
            mute: false,
        };
        (proxy, theirs)
    }

    /// Reads frames until something holds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let reading = async {
            while !holds(self) {
                let frame: Feed = frames::read(&mut self.from)
                    .await
                    .unwrap()
                    .expect("feed ended");
                self.take(frame.kind.unwrap()).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, reading).await.is_ok(),
            "never: {what}"
        );
    }

    /// Asks for a certificate.
    pub(crate) async fn want(&mut self, identity: &str) {
        self.answer(feed_answer::Kind::WantIdentity(identity.to_owned()))
            .await;
    }

    async fn take(&mut self, kind: feed::Kind) {
        match kind {
            feed::Kind::Resources(resources) => {
                self.policies
                    .extend(resources.policies.into_iter().map(|r| (r.name, r.version)));
                self.addresses
                    .extend(resources.addresses.into_iter().map(|r| (r.name, r.version)));
                for name in resources.removed_policies {
                    self.policies.remove(&name);
                }
                for name in resources.removed_addresses {
                    self.addresses.remove(&name);
                }
                self.synced |= resources.synced;
                if !self.mute {
                    self.answer(feed_answer::Kind::Applied(resources.sequence))
                        .await;
                }
            }
            feed::Kind::Certificate(certificate) => {
                self.certificates
                    .insert(certificate.identity.clone(), certificate);
            }
            feed::Kind::Trust(bundle) => self.trust = Some(bundle),
            feed::Kind::Status(status) => self.status = status,
            feed::Kind::ForgetIdentity(identity) => drop(self.certificates.remove(&identity)),
        }
    }

    async fn answer(&mut self, kind: feed_answer::Kind) {
        let answer = FeedAnswer { kind: Some(kind) };
        frames::write(&mut self.to, &answer).await.unwrap();
    }
}
