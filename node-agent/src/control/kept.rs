//! What the role keeps in files on a tmpfs, so that an agent that is started anew serves without a
//! control plane: the model, the trust bundle, certificates with their keys.
//!
//! - `model`: a journal of changes, [`journal`]; written anew as a whole when it has grown to a
//!   multiple of what it holds, so that one change costs O(change).
//! - `trust`, `*.certificate`: one message each, behind a digest, replaced as a whole.
//!
//! Every file is whole or not believed: what cannot be read is reported, counted and ignored, and
//! the control plane sends it again. The directory is this role's own and closed to others.

mod journal;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_identity::Credential;
use ambit_identity::rotation;
use ambit_kit::files::{self, FileError, SECRET};
use ambit_model::SpiffeId;
use ambit_wire::encode::content_version;
use ambit_wire::node::{Certificate, TrustUpdate};
use arc_swap::ArcSwap;
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, Batch};
use super::model::Model;
use journal::Journal;

/// Changes within this time are written together.
const GATHER: Duration = Duration::from_millis(100);
/// Name of the file of the trust bundle.
const TRUST: &str = "trust";
/// Names of files of certificates end like this.
const CERTIFICATE: &str = "certificate";
/// Length of a digest as it stands before a message.
const DIGEST: usize = 32;

/// A certificate that was kept, and how long it lives.
#[derive(Clone, Debug)]
pub(crate) struct KeptCertificate {
    /// The certificate with its key.
    pub(crate) certificate: Arc<Certificate>,
    /// When it is to be renewed.
    pub(crate) life: rotation::Kept,
}

/// What was found at start.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Resources and trust.
    pub(crate) model: Model,
    /// Certificates that are valid now, not yet of any pod.
    pub(crate) certificates: Vec<(SpiffeId, KeptCertificate)>,
    /// Files, or parts of them, that could not be used.
    pub(crate) faults: usize,
}

/// The files.
#[derive(Debug)]
pub(crate) struct Kept {
    directory: PathBuf,
    journal: Journal,
}

impl Kept {
    /// Opens the directory (makes it, if need be) and reads what is there.
    pub(crate) fn open(directory: &Path, now: SystemTime) -> Result<(Self, Restored), FileError> {
        files::private_directory(directory)?;
        let mut restored = Restored::default();
        let (journal, fault) = Journal::open(directory.join("model"), &mut restored.model);
        restored.faults += fault
            .into_iter()
            .inspect(|fault| report("model", fault))
            .count();
        match read_sealed::<TrustUpdate>(&directory.join(TRUST)) {
            Ok(trust) => restored.model.trust = trust.map(Arc::new),
            Err(fault) => {
                report(TRUST, &fault);
                restored.faults += 1;
            }
        }
        read_certificates(directory, now, &mut restored);
        Ok((
            Self {
                directory: directory.to_owned(),
                journal,
            },
            restored,
        ))
    }

    /// Writes what changed.
    fn store(&mut self, batch: &Batch, model: &Model) -> Result<(), FileError> {
        for identity in &batch.forget {
            erase(&self.path_of(identity.as_str()))?;
        }
        for certificate in &batch.certificates {
            let path = self.path_of(&certificate.identity);
            files::write_whole(&path, &sealed(&**certificate), SECRET)?;
        }
        if let Some(trust) = &batch.trust {
            files::write_whole(&self.directory.join(TRUST), &sealed(&**trust), SECRET)?;
        }
        self.journal.append(batch, model)
    }

    fn path_of(&self, identity: &str) -> PathBuf {
        let name = content_version(identity.as_bytes());
        self.directory.join(name).with_extension(CERTIFICATE)
    }
}

/// Writes what is marked in the backlog until the role ends, and then the rest.
pub(crate) async fn keep(
    mut kept: Kept,
    backlog: Backlog,
    models: Arc<ArcSwap<Model>>,
    stop: CancellationToken,
) {
    loop {
        let ends = tokio::select! {
            () = backlog.wait() => false,
            () = stop.cancelled() => true,
        };
        if !ends {
            let gathered = tokio::time::timeout(GATHER, stop.cancelled());
            // Either end of the wait leads to the same step.
            gathered.await.ok();
        }
        let batch = backlog.take(usize::MAX, &models);
        let model = models.load_full();
        let writing = tokio::task::spawn_blocking(move || {
            let stored = kept.store(&batch, &model);
            (kept, stored)
        });
        let Ok((written, stored)) = writing.await else {
            return;
        };
        kept = written;
        if let Err(error) = stored {
            tracing::error!(%error, "state is not kept: after a restart the last good one is older");
            kept.journal.distrust();
        }
        if ends {
            return;
        }
    }
}

fn read_certificates(directory: &Path, now: SystemTime, restored: &mut Restored) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path
            .extension()
            .is_none_or(|extension| extension != CERTIFICATE)
        {
            continue;
        }
        match read_certificate(&path, now) {
            Ok(Some(found)) => restored.certificates.push(found),
            Ok(None) => drop(erase(&path)),
            Err(fault) => {
                report(&path.display().to_string(), &fault);
                restored.faults += 1;
                erase(&path).ok();
            }
        }
    }
}

/// A certificate that can be used now; `None` if its time is over.
fn read_certificate(
    path: &Path,
    now: SystemTime,
) -> Result<Option<(SpiffeId, KeptCertificate)>, String> {
    let Some(certificate) = read_sealed::<Certificate>(path)? else {
        return Ok(None);
    };
    let chain = certificate.chain.iter().map(|der| der.to_vec()).collect();
    let credential =
        Credential::from_der(chain, certificate.key.to_vec()).map_err(|error| error.to_string())?;
    if credential.id().as_str() != certificate.identity {
        return Err(format!(
            "a certificate of {} under another name",
            credential.id()
        ));
    }
    let (from, until) = (credential.not_before(), credential.not_after());
    let Ok(left) = until.duration_since(now) else {
        return Ok(None);
    };
    let life = rotation::Kept {
        life: until.duration_since(from).unwrap_or(left),
        left,
    };
    let certificate = Arc::new(certificate);
    Ok(Some((
        credential.id().clone(),
        KeptCertificate { certificate, life },
    )))
}

fn erase(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FileError::Io {
            what: "erase",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// A message behind its digest.
fn sealed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    [content_version(&body).as_bytes(), &body].concat()
}

fn read_sealed<M: Message + Default>(path: &Path) -> Result<Option<M>, String> {
    let Some(content) = files::read_secret(path).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    unsealed(&content).map(Some)
}

/// Takes a message out, if it is what its digest says.
fn unsealed<M: Message + Default>(content: &[u8]) -> Result<M, String> {
    let (digest, body) = content.split_at_checked(DIGEST).ok_or("too short")?;
    if digest != content_version(body).as_bytes() {
        return Err("the content is not what its digest says".to_owned());
    }
    M::decode(body).map_err(|error| error.to_string())
}

fn report(file: &str, fault: &str) {
    tracing::error!(
        file,
        fault,
        "kept state cannot be used; the control plane will send it again"
    );
}

#[cfg(test)]
mod tests;
