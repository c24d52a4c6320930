//! The journal of the model: records of changes, one behind the other.
//!
//! A record is a length (4 bytes, big endian), and as many bytes: a digest and a `Resources`
//! message. A record that is cut or damaged ends what is believed; the next change then writes the
//! journal anew.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use ambit_kit::files::{self, FileError, SECRET};
use ambit_wire::delta::Received;
use ambit_wire::node::{NamedResource, Resources};

use super::{sealed, unsealed};
use crate::control::backlog::Batch;
use crate::control::model::{Kind, Model};

/// First bytes of the file: a journal of another form is not read.
const MAGIC: &[u8] = b"ambit journal 1\n";
/// Bytes of length before a record.
const LENGTH: usize = 4;
/// The journal is written anew when what was appended exceeds twice what was written at first, and
/// this.
const SLACK: u64 = 1 << 20;
/// Resources in one record when it is written anew.
const RECORD_RESOURCES: usize = 1000;

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// `None`: to be written anew with the next change.
    file: Option<File>,
    written: u64,
    appended: u64,
}

impl Journal {
    /// Reads what is there into the model, and says what is wrong with it.
    pub(super) fn open(path: PathBuf, model: &mut Model) -> (Self, Option<String>) {
        let fault = match files::read_secret(&path) {
            Ok(None) => None,
            Ok(Some(content)) => replay(&content, model).err(),
            Err(error) => Some(error.to_string()),
        };
        (
            Self {
                path,
                file: None,
                written: 0,
                appended: 0,
            },
            fault,
        )
    }

    /// What stands in the file may be half a record: write it anew with the next change.
    pub(super) fn distrust(&mut self) {
        self.file = None;
    }

    /// Adds a record of what changed.
    pub(super) fn append(&mut self, batch: &Batch, model: &Model) -> Result<(), FileError> {
        let synced = batch.complete;
        if !synced && batch.resources == Resources::default() {
            return Ok(());
        }
        let Some(file) = self
            .file
            .as_mut()
            .filter(|_| self.appended <= 2 * self.written + SLACK)
        else {
            return self.write_anew(model);
        };
        let record = record(&Resources {
            synced,
            ..batch.resources.clone()
        });
        self.appended += record.len() as u64;
        let io = |source| FileError::Io {
            what: "append to",
            path: self.path.clone(),
            source,
        };
        file.write_all(&record).map_err(io)
    }

    fn write_anew(&mut self, model: &Model) -> Result<(), FileError> {
        self.file = None;
        let content = whole(model);
        files::write_whole(&self.path, &content, SECRET)?;
        let io = |source| FileError::Io {
            what: "open",
            path: self.path.clone(),
            source,
        };
        self.file = Some(
            OpenOptions::new()
                .append(true)
                .open(&self.path)
                .map_err(io)?,
        );
        (self.written, self.appended) = (content.len() as u64, 0);
        Ok(())
    }
}

/// The whole model as a journal.
fn whole(model: &Model) -> Vec<u8> {
    let names = |kind| {
        model
            .of(kind)
            .keys()
            .map(move |name: &Arc<str>| (kind, name))
    };
    let all: Vec<_> = names(Kind::Policy).chain(names(Kind::Address)).collect();
    let mut content = MAGIC.to_vec();
    for part in all.chunks(RECORD_RESOURCES) {
        let mut resources = Resources::default();
        for (kind, name) in part {
            let named = model.named(*kind, name);
            match kind {
                Kind::Policy => resources.policies.extend(named),
                Kind::Address => resources.addresses.extend(named),
            }
        }
        content.extend(record(&resources));
    }
    content.extend(record(&Resources {
        synced: model.complete,
        ..Resources::default()
    }));
    content
}

fn record(resources: &Resources) -> Vec<u8> {
    let body = sealed(resources);
    // Resources of one record are far from 4 GiB; a wrong length would only end the replay.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}

fn replay(content: &[u8], model: &mut Model) -> Result<(), String> {
    let mut rest = content
        .strip_prefix(MAGIC)
        .ok_or("not a journal of this version")?;
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<LENGTH>()
            .ok_or("cut within a length")?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (body, after) = after
            .split_at_checked(length)
            .ok_or("cut within a record")?;
        apply(unsealed(body)?, model);
        rest = after;
    }
    Ok(())
}

fn apply(resources: Resources, model: &mut Model) {
    let received = |named: NamedResource| Received {
        name: named.name.into(),
        version: named.version.into(),
        body: named.body,
    };
    for policy in resources.policies {
        model.put(Kind::Policy, &received(policy));
    }
    for address in resources.addresses {
        model.put(Kind::Address, &received(address));
    }
    for name in resources.removed_addresses {
        model.remove(Kind::Address, &name);
    }
    for name in resources.removed_policies {
        model.remove(Kind::Policy, &name);
    }
    model.complete |= resources.synced;
}
