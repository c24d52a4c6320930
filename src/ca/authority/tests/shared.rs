//! Several processes over one store.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ca::given::tests::Issued;
use crate::ca::{Peers, PeersError, Replica};

/// A store that compares and swaps, as the API server does.
#[derive(Debug)]
struct Memory {
    document: watch::Sender<Option<(u64, Vec<u8>)>>,
    written: Mutex<u64>,
    is_away: AtomicBool,
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            document: watch::Sender::new(None),
            written: Mutex::new(0),
            is_away: AtomicBool::new(false),
        })
    }

    fn away(&self) -> Result<(), StoreError> {
        let error = StoreError::Cluster {
            place: self.place(),
            why: "away".to_owned(),
        };
        let is_away = self.is_away.load(Ordering::SeqCst);
        if is_away { Err(error) } else { Ok(()) }
    }
}

impl Store for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        async {
            self.away()?;
            let document = self.document.borrow().clone();
            Ok(document.map(|(revision, content)| Stored {
                content,
                revision: Revision(revision.to_string()),
            }))
        }
        .boxed()
    }

    fn keep(
        &self,
        content: Vec<u8>,
        over: Option<Revision>,
    ) -> BoxFuture<'_, Result<Revision, KeepError>> {
        async move {
            // Others get their turn between what was read and what is written.
            tokio::task::yield_now().await;
            self.away()?;
            let mut written = self.written.lock();
            let current = self.document.borrow().as_ref().map(|(n, _)| n.to_string());
            if current != over.map(|revision| revision.0) {
                return Err(KeepError::Conflict);
            }
            *written += 1;
            self.document.send_replace(Some((*written, content)));
            Ok(Revision(written.to_string()))
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Option<Revision>> {
        let changes = WatchStream::new(self.document.subscribe());
        let revision = |document: Option<(u64, _)>| document.map(|(n, _)| Revision(n.to_string()));
        changes.map(revision).boxed()
    }

    fn publish(&self, _bundle_pem: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The other replicas, asked directly.
#[derive(Debug)]
struct Others(Vec<Arc<Authority>>);

impl Peers for Others {
    fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, PeersError>> {
        async { Ok(self.0.iter().map(|other| other.report()).collect()) }.boxed()
    }
}

async fn open(store: &Arc<Memory>) -> Arc<Authority> {
    let store = Arc::clone(store) as Arc<dyn Store>;
    let authority = Authority::open_shared(store, settings(), &Offer::Unknown, at(0));
    Arc::new(authority.await.unwrap())
}

fn with_others(leads: bool, offer: Offer, others: &[&Arc<Authority>]) -> Replica {
    Replica {
        leads: watch::channel(leads).1,
        offer: watch::channel(offer).1,
        peers: Arc::new(Others(
            others.iter().map(|&other| Arc::clone(other)).collect(),
        )),
    }
}

#[tokio::test]
async fn of_several_that_make_one_at_once_one_wins() {
    let store = Memory::new();
    let all = futures_util::future::join_all((0..5).map(|_| open(&store))).await;
    let first = signer(&all[0]);
    for authority in &all {
        assert_eq!(signer(authority), first);
    }
    assert_eq!(*store.written.lock(), 1);
}

#[tokio::test]
async fn a_rotation_waits_for_the_agents_of_every_replica() {
    let store = Memory::new();
    let (one, two) = (open(&store).await, open(&store).await);
    let leader = with_others(true, Offer::Unknown, &[&two]);
    let follower = with_others(false, Offer::Unknown, &[&one]);
    let (_n1, _n2) = (one.connected("n1"), two.connected("n2"));
    let old = signer(&one);
    one.rotate(at(0)).await.unwrap();
    one.held("n1", 2);
    one.advance(&leader, at(700)).await.unwrap();
    assert_eq!(signer(&one), old, "the other has not seen the bundle yet");
    two.reload().await.unwrap();
    two.held("n2", 1);
    one.advance(&leader, at(700)).await.unwrap();
    assert_eq!(signer(&one), old, "n2 has not got it");
    assert_eq!(one.status().waiting_for_connected, ["n2"]);
    two.held("n2", 2);
    two.advance(&follower, at(700)).await.unwrap();
    assert_eq!(signer(&two), old, "who does not lead takes no step");
    one.advance(&leader, at(700)).await.unwrap();
    assert_ne!(signer(&one), old);
    assert_eq!(signer(&two), old);
    two.reload().await.unwrap();
    assert_eq!(signer(&two), signer(&one));
}

#[tokio::test]
async fn a_replica_that_is_cut_off_signs_nothing_that_outlives_the_old_root() {
    let store = Memory::new();
    let (one, two) = (open(&store).await, open(&store).await);
    let leader = with_others(true, Offer::Unknown, &[]);
    one.rotate(at(10)).await.unwrap();
    one.advance(&leader, at(10)).await.unwrap();
    let Phase::Retiring { until } = one.status().phase else {
        panic!("the next root does not sign");
    };
    for seconds in [10, 60, 120, 140] {
        let leaf = sign(&two, 0, seconds).unwrap();
        assert!(leaf.not_after <= until, "at {seconds}");
    }
    one.advance(&leader, until).await.unwrap();
    assert_eq!(roots(&one), 1);
    assert!(matches!(sign(&two, 0, 150), Err(LeafError::NotKept)));
}

#[tokio::test]
async fn what_two_replicas_note_at_once_is_not_lost() {
    let store = Memory::new();
    let (one, two) = (open(&store).await, open(&store).await);
    let (_n1, _n2) = (one.connected("n1"), two.connected("n2"));
    let follower = with_others(false, Offer::Unknown, &[]);
    let (a, b) = tokio::join!(one.advance(&follower, at(1)), two.advance(&follower, at(1)));
    a.unwrap();
    b.unwrap();
    let late = open(&store).await;
    late.rotate(at(2)).await.unwrap();
    assert_eq!(late.status().waiting_for_away, ["n1", "n2"]);
}

#[tokio::test]
async fn an_agent_is_never_sent_an_older_bundle_than_it_holds() {
    let store = Memory::new();
    let (one, two) = (open(&store).await, open(&store).await);
    one.rotate(at(1)).await.unwrap();
    store.is_away.store(true, Ordering::SeqCst);
    let behind = two.catch_up(2).await.unwrap_err();
    assert_eq!((behind.ours, behind.held), (1, 2));
    two.catch_up(1).await.unwrap();
    store.is_away.store(false, Ordering::SeqCst);
    two.catch_up(2).await.unwrap();
    assert_eq!(two.bundle().borrow().generation, 2);
    // Nobody knows more: the agent comes from another life of the mesh.
    two.catch_up(99).await.unwrap();
}

#[tokio::test]
async fn what_others_write_is_seen_and_what_is_gone_is_written_again() {
    let store = Memory::new();
    let (one, two) = (open(&store).await, open(&store).await);
    let stop = CancellationToken::new();
    let run = |authority: &Arc<Authority>, leads, other| {
        let (authority, stop) = (Arc::clone(authority), stop.clone());
        let replica = with_others(leads, Offer::Unknown, &[other]);
        tokio::spawn(async move { authority.run(replica, stop).await })
    };
    let tasks = [run(&one, true, &two), run(&two, false, &one)];
    let patience = Duration::from_secs(30);
    let mut seen = two.bundle();
    one.rotate(SystemTime::now()).await.unwrap();
    let both = seen.wait_for(|bundle| bundle.roots.len() == 2);
    drop(timeout(patience, both).await.unwrap().unwrap());
    let mut documents = store.document.subscribe();
    store.document.send_replace(None);
    let again = documents.wait_for(Option::is_some);
    drop(timeout(patience, again).await.unwrap().unwrap());
    assert_eq!(signer(&*open(&store).await), signer(&one));
    stop.cancel();
    for task in tasks {
        timeout(patience, task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_users_authority_takes_over_with_an_overlap_and_goes_the_same_way() {
    let store = Memory::new();
    let one = open(&store).await;
    let ours = signer(&one);
    let issued = Issued::under_a_root(at(0));
    let given = Signer::given(&issued.given(), one.trust_domain(), at(0)).unwrap();
    let offer = Offer::Given(Arc::new(given));
    let leader = with_others(true, offer, &[]);
    let _n1 = one.connected("n1");
    one.advance(&leader, at(1)).await.unwrap();
    assert_eq!((signer(&one), roots(&one)), (ours.clone(), 2));
    one.held("n1", 2);
    one.advance(&leader, at(2)).await.unwrap();
    let leaf = sign(&one, 0, 2).unwrap();
    assert_eq!((leaf.chain.len(), one.status().made_by), (2, "user"));
    assert!(matches!(
        one.rotate(at(3)).await,
        Err(RotateError::UnderWay)
    ));
    one.advance(&leader, at(151)).await.unwrap();
    assert_eq!(roots(&one), 1);
    assert!(matches!(one.rotate(at(152)).await, Err(RotateError::Given)));

    let gone = Offer::Nothing { since: at(152) };
    let leader = with_others(true, gone, &[]);
    one.advance(&leader, at(160)).await.unwrap();
    assert_eq!(roots(&one), 1, "it may come back in a moment");
    one.advance(&leader, at(220)).await.unwrap();
    assert_eq!((roots(&one), one.status().made_by), (2, "user"));
    one.held("n1", 4);
    one.advance(&leader, at(221)).await.unwrap();
    assert_eq!((roots(&one), one.status().made_by), (2, "ambit"));
    assert!(sign(&one, 0, 221).unwrap().chain.is_empty());
}
