//! Reading the Secrets that destination rules name, for TLS with hosts outside of the mesh.
//!
//! ```text
//! configuration -- wanted: names --> this task -- get, by name --> API server
//!               <-- what each has --
//! ```
//!
//! Each Secret is asked for by its name, again and again: that takes the right to get Secrets and no other, so that
//! nobody here can see which there are. Names that are new are read at once, but for a pause between any two rounds, so
//! that who changes rules does not have the API server asked without end. What was read is told to the owner of the configuration, who checks it, keeps
//! the last good version in memory, and hands it to waypoints of the Secret's namespace. It is written to no log, page
//! or file. Every replica reads for itself: each serves waypoints of its own.
//!
//! Authorities may be in a Secret of their own, `NAME-cacert`, as with Istio; it goes before the other.
//!
//! Task: "credentials", one, ended by the stop token.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::outside::{OutsidePapers, PapersError};
use ambit_model::OutsideCredential;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::user_secrets::UserSecrets;
use crate::config::credentials::{Given, SecretName, Wanted};

/// In a cluster, and in a folder.
const PACE: (Pace, Pace) = (Pace::every(10), Pace::every(1));
/// Secrets that are read of one namespace.
const MOST: usize = 64;
/// The end of the name of a Secret with authorities alone.
const AUTHORITIES: &str = "-cacert";
/// What the parts are called: as Kubernetes has it, and Istio.
const CHAIN: [&str; 2] = ["tls.crt", "cert"];
const KEY: [&str; 2] = ["tls.key", "key"];
const ROOTS: [&str; 2] = ["ca.crt", "cacert"];

/// What was read of a Secret.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Which one.
    pub(crate) name: SecretName,
    /// What it has.
    pub(crate) given: Given,
}

/// What is to be read, and whom to tell.
#[derive(Debug)]
pub(crate) struct Errand {
    /// Secrets, as they are wanted now.
    pub(crate) wanted: watch::Receiver<Arc<Wanted>>,
    /// Takes what was read.
    pub(crate) found: mpsc::Sender<Found>,
}

/// Where Secrets are.
#[derive(Clone, Debug)]
pub enum Reader {
    /// In a cluster.
    Cluster(UserSecrets),
    /// In a folder, for a control plane without one: `NAMESPACE/NAME/tls.crt` and so on.
    Folder(PathBuf),
}

/// The values of a Secret by their keys; none if it is not there.
type Values = Option<BTreeMap<String, Vec<u8>>>;

impl Reader {
    async fn read(&self, name: &SecretName) -> Given {
        let own = self.values(&name.namespace, &name.name).await?;
        let authorities = format!("{}{AUTHORITIES}", name.name);
        let authorities = self.values(&name.namespace, &authorities).await?;
        parts(own, authorities)
    }

    async fn values(&self, namespace: &str, name: &str) -> Result<Values, String> {
        match self {
            Self::Cluster(secrets) => secrets.values(namespace, name).await,
            Self::Folder(path) => of_folder(&path.join(namespace).join(name)).await,
        }
    }

    fn pace(&self) -> Pace {
        match self {
            Self::Cluster(_) => PACE.0,
            Self::Folder(_) => PACE.1,
        }
    }
}

/// How often Secrets are looked at.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between two looks at all of them.
    again: Duration,
    /// After any look, at whichever of them.
    pause: Duration,
}

impl Pace {
    const fn every(seconds: u64) -> Self {
        Self {
            again: Duration::from_secs(seconds),
            pause: Duration::from_secs(1),
        }
    }
}

async fn of_folder(path: &std::path::Path) -> Result<Values, String> {
    let mut values = BTreeMap::new();
    for key in CHAIN.into_iter().chain(KEY).chain(ROOTS) {
        match tokio::fs::read(path.join(key)).await {
            Ok(value) => drop(values.insert(key.to_owned(), value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("its {key} cannot be read: {error}")),
        }
    }
    Ok((!values.is_empty()).then_some(values))
}

/// What a Secret, and that of its authorities, have.
fn parts(own: Values, authorities: Values) -> Given {
    if own.is_none() && authorities.is_none() {
        return Ok(None);
    }
    let (own, authorities) = (own.unwrap_or_default(), authorities.unwrap_or_default());
    let chain = part(&own, CHAIN);
    let key = part(&own, KEY);
    let roots = part(&authorities, ROOTS).or_else(|| part(&own, ROOTS));
    let lengths = [&chain, &key, &roots].map(|part| part.map_or(0, |(_, value)| value.len()));
    // What is too long goes no further than here.
    if lengths.iter().sum::<usize>() > OutsidePapers::LONGEST {
        return Err(PapersError::Long.to_string());
    }
    let text = |part: Option<(&str, &[u8])>| match part {
        None => Ok(Arc::default()),
        Some((name, value)) => match std::str::from_utf8(value) {
            Ok(text) => Ok(Arc::from(text)),
            Err(_binary) => Err(format!("its {name} is not PEM")),
        },
    };
    Ok(Some(OutsideCredential {
        chain: text(chain)?,
        key: text(key)?,
        roots: text(roots)?,
    }))
}

/// The first of these that has something, and what.
fn part<'v>(
    values: &'v BTreeMap<String, Vec<u8>>,
    names: [&'static str; 2],
) -> Option<(&'static str, &'v [u8])> {
    let found = names
        .into_iter()
        .filter_map(|name| Some((name, values.get(name)?.as_slice())));
    found.into_iter().find(|(_, value)| !value.is_empty())
}

/// Does the errand until it is told to stop.
pub(crate) async fn run(errand: Errand, reader: Reader, stop: CancellationToken) {
    tokio::select! {
        () = read_all(errand, &reader, reader.pace()) => {}
        () = stop.cancelled() => {}
    }
}

/// Until nobody wants to know any more.
async fn read_all(mut errand: Errand, reader: &Reader, pace: Pace) {
    let mut known: Arc<Wanted> = Arc::default();
    let mut due = Instant::now();
    loop {
        let wanted = Arc::clone(&errand.wanted.borrow_and_update());
        let is_due = due <= Instant::now();
        let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
        let mut has_read = false;
        for name in &*wanted {
            let count = counts.entry(Arc::clone(&name.namespace)).or_default();
            *count += 1;
            if !is_due && known.contains(name) {
                continue;
            }
            has_read = true;
            let given = match *count <= MOST {
                true => reader.read(name).await,
                false => Err(format!(
                    "rules of its namespace name more than {MOST} Secrets"
                )),
            };
            let name = name.clone();
            if errand.found.send(Found { name, given }).await.is_err() {
                return;
            }
        }
        if is_due {
            due = Instant::now() + pace.again;
        }
        known = wanted;
        if has_read {
            tokio::time::sleep(pace.pause).await;
        }
        tokio::select! {
            changed = errand.wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

#[cfg(test)]
mod tests;
