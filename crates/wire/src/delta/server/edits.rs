//! What a client has of resources that can be edited.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Entry;

/// Makes what leads from an encoding, which has this version, to another one; `None` if that one is sent
/// as easily.
pub type Edit = fn(since: &str, before: &Bytes, now: &Bytes) -> Option<Bytes>;

/// What one client has, as it stood in the catalog: with which it is shared while it stands there.
#[derive(Debug)]
pub(super) struct Edits {
    edit: Edit,
    known: HashMap<Arc<str>, Entry>,
}

impl Edits {
    pub(super) fn new(edit: Edit) -> Self {
        Self {
            edit,
            known: HashMap::new(),
        }
    }

    /// The client has this, or is sent it.
    pub(super) fn note(&mut self, name: &Arc<str>, entry: &Entry) {
        self.known.insert(Arc::clone(name), entry.clone());
    }

    /// The client may have something else.
    pub(super) fn forget(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// What leads to this from the version that the client holds, if it is known what that was.
    pub(super) fn edit(&self, name: &str, held: Option<&Arc<str>>, now: &Entry) -> Option<Bytes> {
        let known = self.known.get(name);
        let before = known.filter(|known| Some(&known.version) == held)?;
        (self.edit)(&before.version, &before.body, &now.body)
    }
}
