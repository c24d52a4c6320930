//! Names: what pods ask about them, and what the proxy itself has to find out.
//!
//! - [`serve`]: a question comes on port 15053 of a pod; it is answered from the model, or
//! - [`forward`]: passed to one of the node's resolvers, as it came, by a socket of the pod
//! - [`preferred`]: which of them is asked first
//! - [`given`]: which names a pod was given addresses for; the access log names them
//! - [`seen`]: which name a refused connection was meant for, else
//! - [`hosts`]: addresses of endpoints that the model knows by name only
//!
//! A question that is not the mesh's to answer is as without a mesh: the resolver sees the pod's
//! address and the pod's bytes, the pod sees the resolver's bytes. Only the number of the question
//! is another on the way, so that nobody who cannot see it can answer it.

pub(crate) mod durations;
pub(crate) mod forward;
pub(crate) mod given;
pub(crate) mod hosts;
pub(crate) mod preferred;
pub(crate) mod seen;
pub(crate) mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use durations::Durations;
use tokio::sync::Semaphore;

/// Questions of all pods together that may be under way to resolvers.
const MOST_QUESTIONS: usize = 4096;

/// What all pods share of it.
#[derive(Debug)]
pub(crate) struct Names {
    /// The node's resolvers, in the order in which they are asked.
    resolvers: Vec<SocketAddr>,
    /// How long resolvers take.
    pub(crate) durations: Durations,
    /// Room for questions that are under way.
    questions: Arc<Semaphore>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Names {
    /// Names that these resolvers know.
    pub(crate) fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self {
            resolvers,
            durations: Durations::default(),
            questions: Arc::new(Semaphore::new(MOST_QUESTIONS)),
        }
    }
}
