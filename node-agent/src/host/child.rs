//! The processes that the host role starts, as the rest of the role sees them: started, watched,
//! killed. [`Roles`] starts the real ones; tests put tasks of their own in their place.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use crate::launch::{self, ControlLaunch, LaunchError, ProxyLaunch};

/// A start under way.
pub(crate) type Starting<'a> =
    Pin<Box<dyn Future<Output = Result<Child, LaunchError>> + Send + 'a>>;

/// Starts the other roles.
pub(crate) trait Children: Send + Sync + fmt::Debug {
    /// Starts a generation of the proxy with its ends of the link and of the feed.
    fn start_proxy(&self, generation: u64, link: OwnedFd, feed: OwnedFd) -> Starting<'_>;

    /// Starts the control role with its end of the link.
    fn start_control(&self, link: OwnedFd) -> Starting<'_>;
}

/// A running child.
pub(crate) struct Child {
    /// Its number in this role's pid namespace.
    pub(crate) pid: u32,
    /// Resolves with how it ended.
    pub(crate) ended: Pin<Box<dyn Future<Output = String> + Send>>,
    /// Kills it.
    pub(crate) kill: Box<dyn Fn() + Send + Sync>,
}

/// Starts this very program in its other roles.
#[derive(Clone, Debug)]
pub(crate) struct Roles {
    /// Limit of a proxy's private memory in bytes.
    pub(crate) proxy_memory: u64,
    /// Arguments of `proxy` beside those that the launcher adds.
    pub(crate) proxy_arguments: Vec<OsString>,
    /// Arguments of `control` beside those that the launcher adds.
    pub(crate) control_arguments: Vec<OsString>,
}

impl Children for Roles {
    fn start_proxy(&self, generation: u64, link: OwnedFd, feed: OwnedFd) -> Starting<'_> {
        let launch = ProxyLaunch {
            generation,
            link,
            feed,
            memory: self.proxy_memory,
            arguments: self.proxy_arguments.clone(),
            replacement: None,
        };
        Box::pin(async move { Ok(launch::launch_proxy(launch).await?.into()) })
    }

    fn start_control(&self, link: OwnedFd) -> Starting<'_> {
        let launch = ControlLaunch {
            host: link,
            arguments: self.control_arguments.clone(),
        };
        Box::pin(async move { Ok(launch::launch_control(launch).await?.into()) })
    }
}

impl From<launch::Child> for Child {
    fn from(launched: launch::Child) -> Self {
        let mut watched = launched.clone();
        Self {
            pid: launched.pid(),
            ended: Box::pin(async move {
                watched
                    .wait()
                    .await
                    .map_or_else(|e| e.to_string(), |status| status.to_string())
            }),
            kill: Box::new(move || {
                if let Err(error) = launched.kill() {
                    tracing::debug!(pid = launched.pid(), %error, "the process has ended already");
                }
            }),
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
