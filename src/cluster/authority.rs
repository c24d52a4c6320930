//! The authority of a control plane with several replicas, put together: its document in a Secret,
//! what the user wants to sign, who leads, and what the replicas tell each other.

use std::sync::Arc;

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use kube::Client;

use super::leader;
use super::replicas::Replicas;
use super::secret_store::SecretStore;
use super::users_authority::{NotSeen, UsersAuthority};
use crate::ca::{self, Authority, AuthorityError, Replica};

/// Which replica this is, and where.
#[derive(Clone, Debug)]
pub struct Place {
    /// Our own namespace.
    pub namespace: String,
    /// This replica's pod.
    pub pod: String,
    /// The Secret with the user's authority in cert-manager's shape, if one is named.
    pub ca_secret: Option<String>,
}

/// Why the authority could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What the user wants is not known.
    #[error(transparent)]
    NotSeen(#[from] NotSeen),
    /// The authority itself.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Opens it and begins to take part: from here on the other replicas count on this one.
pub async fn open(
    client: &Client,
    place: &Place,
    settings: ca::Settings,
    tasks: &Tasks,
) -> Result<(Arc<Authority>, Replica), OpenError> {
    let users = UsersAuthority {
        namespace: place.namespace.clone(),
        named: place.ca_secret.clone(),
        trust_domain: settings.trust_domain.clone(),
    };
    let offer = users.watch(client.clone(), tasks).await?;
    let store = Arc::new(SecretStore::new(client.clone(), &place.namespace));
    let wanted = offer.borrow().clone();
    let authority = Authority::open_shared(store, settings, &wanted, clock::wall()).await?;
    let authority = Arc::new(authority);
    let peers = Replicas::new(client.clone(), &place.namespace, &place.pod);
    peers.clone().tell(Arc::clone(&authority), tasks);
    let replica = Replica {
        leads: leader::elect(client.clone(), &place.namespace, &place.pod, tasks),
        offer,
        peers: Arc::new(peers),
    };
    Ok((authority, replica))
}
