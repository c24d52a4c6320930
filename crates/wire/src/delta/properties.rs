//! A server and a client that are changed, cut off and joined again at random end equal, and no
//! resource travels that the client held already.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};

#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(pub(super) BTreeMap<Arc<str>, Entry>);

impl Shelf {
    pub(super) fn put(&mut self, name: &str, version: &str) -> Arc<str> {
        let name: Arc<str> = name.into();
        let body = Bytes::from(version.to_owned());
        let aliases = Arc::from([Arc::from(format!("net/{name}"))]);
        self.0.insert(
            Arc::clone(&name),
            Entry {
                version: version.into(),
                body,
                aliases,
            },
        );
        name
    }
}

impl Catalog for Shelf {
    fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.0.iter()
    }

    fn named_by(&self, alias: &str) -> Option<Arc<str>> {
        let holds = |(_, e): &(&Arc<str>, &Entry)| e.aliases.iter().any(|a| &**a == alias);
        self.0.iter().find(holds).map(|(name, _)| Arc::clone(name))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    ServerSends,
    ClientReads,
    ServerReads,
    Reconnect,
    RestartServer,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12u8, 0..4u8).prop_map(|(n, v)| Step::Put(n, v)),
        2 => (0..12u8).prop_map(Step::Remove),
        3 => Just(Step::ServerSends),
        3 => Just(Step::ClientReads),
        3 => Just(Step::ServerReads),
        1 => Just(Step::Reconnect),
        1 => Just(Step::RestartServer),
    ];
    proptest::collection::vec(step, 0..120)
}

struct World {
    shelf: Shelf,
    sequence: u64,
    server: Server,
    client: Client,
    /// What the client has in force.
    applied: BTreeMap<Arc<str>, Bytes>,
    to_server: Option<DeltaDiscoveryRequest>,
    to_client: Option<DeltaDiscoveryResponse>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            shelf: Shelf::default(),
            sequence: 0,
            server: Server::new("t", 0),
            client: Client::new("t"),
            applied: BTreeMap::new(),
            to_server: None,
            to_client: None,
        };
        world.reconnect();
        world
    }

    fn reconnect(&mut self) {
        self.to_client = None;
        self.server = Server::new("t", self.sequence);
        self.to_server = Some(self.client.connect(Node::default()));
    }

    fn changed(&mut self, name: &Arc<str>) {
        self.sequence += 1;
        self.server.changed(self.sequence, [name], &self.shelf);
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Put(name, version) => {
                let name = self.shelf.put(&format!("n{name}"), &format!("v{version}"));
                self.changed(&name);
            }
            Step::Remove(name) => {
                let name: Arc<str> = format!("n{name}").into();
                if self.shelf.0.remove(&name).is_some() {
                    self.changed(&name);
                }
            }
            Step::ServerSends => {
                if self.to_client.is_none() {
                    self.to_client = self.server.poll(&self.shelf);
                }
            }
            Step::ClientReads => self.client_reads()?,
            Step::ServerReads => {
                if let Some(request) = self.to_server.take() {
                    let outcome = self.server.request(request, &self.shelf);
                    prop_assert_ne!(outcome, Outcome::Stale);
                }
            }
            Step::Reconnect | Step::RestartServer => self.reconnect(),
        }
        Ok(())
    }

    fn client_reads(&mut self) -> Result<(), TestCaseError> {
        let Some(response) = self.to_client.take() else {
            return Ok(());
        };
        let update = self.client.receive(response, |_| Ok(()));
        for received in update.changed {
            let before = self.applied.insert(received.name, received.body.clone());
            prop_assert_ne!(before, Some(received.body), "sent again without a change");
        }
        for name in update.removed {
            prop_assert!(
                self.applied.remove(&name).is_some(),
                "removed what was not there"
            );
        }
        self.to_server = Some(self.client.answer(&update.nonce, &[]));
        Ok(())
    }
}

proptest! {
    #[test]
    fn both_ends_become_equal(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(&step)?;
        }
        for _ in 0..8 {
            world.step(&Step::ServerReads)?;
            world.step(&Step::ServerSends)?;
            world.step(&Step::ClientReads)?;
        }
        world.step(&Step::ServerReads)?;
        let served: BTreeMap<_, _> =
            world.shelf.0.iter().map(|(n, e)| (Arc::clone(n), e.body.clone())).collect();
        prop_assert_eq!(&world.applied, &served);
        prop_assert_eq!(world.server.acked_through(), world.sequence);
        prop_assert!(!world.server.awaits_answer());
    }
}
