//! What a server serves from.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// One resource of a catalog.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Hash of its content.
    pub version: Arc<str>,
    /// Its encoding.
    pub body: Bytes,
    /// Other names it can be asked for by.
    pub aliases: Arc<[Arc<str>]>,
}

/// What a resource says may be a secret: how long it is will do.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("version", &self.version)
            .field("length", &self.body.len())
            .field("aliases", &self.aliases)
            .finish()
    }
}

/// The state that is served: an immutable snapshot.
pub trait Catalog {
    /// The resource of that name.
    fn get(&self, name: &str) -> Option<&Entry>;
    /// All of them.
    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)>;
    /// The name of the resource that has this alias.
    fn named_by(&self, alias: &str) -> Option<Arc<str>>;
}
