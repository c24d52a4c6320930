//! A folder of files in memory, for tests: what is written or deleted goes through the same reading
//! and translation as with files on disk. The same objects go through the cluster source too, and
//! both must make the same model: every test of the translation is one of both sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::Change;
use serde_json::Value;

use super::apiserver::{Listings, Seen};
use super::files::FileState;
use super::objects::{self, Kind};
use super::{Batch, Configuration, Settings, documents};

/// Files in memory and the configuration that they make.
#[derive(Debug)]
pub(crate) struct Folder {
    files: BTreeMap<Arc<str>, FileState>,
    texts: BTreeMap<Arc<str>, String>,
    pub(crate) configuration: Configuration,
    /// The same objects as an API server would show them.
    listings: Listings,
    of_cluster: Configuration,
}

impl Folder {
    /// Nothing in it.
    pub(crate) fn new() -> Self {
        Self::in_mesh(&Settings::default())
    }

    /// Nothing in it, of a mesh that is set otherwise.
    pub(crate) fn in_mesh(settings: &Settings) -> Self {
        Self {
            files: BTreeMap::new(),
            texts: BTreeMap::new(),
            configuration: Configuration::new(settings.clone()),
            listings: Listings::default(),
            of_cluster: Configuration::new(settings.clone()),
        }
    }

    /// One file, `all.yaml`.
    pub(crate) fn of(text: &str) -> Self {
        let mut folder = Self::new();
        folder.write("all.yaml", text);
        folder
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, file: &str, text: &str) -> Vec<Change> {
        let name: Arc<str> = file.into();
        let state = self.files.entry(Arc::clone(&name)).or_default();
        let reading = state.read(&name, Ok(text.as_bytes()), Vec::new);
        *state = reading.state;
        let problems = vec![(Arc::clone(&name), reading.problems)];
        let changes = self.configuration.apply(Batch {
            events: reading.events,
            problems,
            ..Batch::default()
        });
        self.texts.insert(name, text.to_owned());
        self.compare_sources();
        changes
    }

    /// Deletes a file.
    pub(crate) fn delete(&mut self, file: &str) -> Vec<Change> {
        let name: Arc<str> = file.into();
        let state = self.files.remove(&name).unwrap_or_default();
        let events = state.remove(&name);
        self.texts.remove(&name);
        let changes = self.configuration.apply(Batch {
            events,
            problems: vec![(name, Vec::new())],
            ..Batch::default()
        });
        self.compare_sources();
        changes
    }

    /// Notes a capture, as an agent would report it.
    pub(crate) fn set_captured(&mut self, uid: &str, captured: bool) -> Vec<Change> {
        self.of_cluster.set_captured(uid, captured);
        self.configuration.set_captured(uid, captured)
    }

    /// Lists the same objects to the cluster source: the model must be the same.
    ///
    /// An API server has no two objects of one name and none that cannot be read at all; a folder
    /// that has is passed over.
    fn compare_sources(&mut self) {
        let parsed = self
            .texts
            .values()
            .map(|text| documents::parse_documents(text.as_bytes()));
        let parsed: Result<Vec<_>, _> = parsed.collect();
        let Ok(parsed) = parsed else { return };
        let parsed: Result<Vec<Value>, _> = parsed.into_iter().flatten().collect();
        let Ok(parsed) = parsed else { return };
        let items: Vec<Value> = parsed
            .into_iter()
            .flat_map(objects::items)
            .map(|(_, item)| in_its_namespace(item))
            .collect();
        let mut names = std::collections::BTreeSet::new();
        let readable =
            |item: &Value| objects::read(item.clone()).is_ok_and(|o| names.insert(o.key()));
        if !items.iter().all(readable) {
            return;
        }
        let mut batch = Batch::default();
        for kind in Kind::ALL {
            self.listings.take(*kind, Seen::Listing, &mut batch);
            for item in items.iter().filter(|item| item["kind"] == kind.name()) {
                self.listings
                    .take(*kind, Seen::Listed(item.clone()), &mut batch);
            }
            self.listings.take(*kind, Seen::Complete, &mut batch);
        }
        drop(self.of_cluster.apply(batch));
        assert_eq!(
            model(&self.configuration),
            model(&self.of_cluster),
            "the folder and the cluster make different models"
        );
    }

    /// All that the files provide, in one batch.
    pub(crate) fn everything(&self) -> Batch {
        let all = |(name, state): (&Arc<str>, &FileState)| state.provide(name);
        let events = self.files.iter().flat_map(all).collect();
        Batch {
            events,
            ..Batch::default()
        }
    }

    /// All that is wrong, one line each.
    pub(crate) fn problems(&self) -> String {
        let problems = self.configuration.problems();
        problems
            .iter()
            .map(|p| format!("{:?} {p}\n", p.severity))
            .collect()
    }
}

fn model(configuration: &Configuration) -> [Vec<String>; 4] {
    let mesh = configuration.mesh();
    let mut lists = [
        mesh.workloads()
            .map(|it| format!("{it:#?}"))
            .collect::<Vec<_>>(),
        mesh.services().map(|it| format!("{it:#?}")).collect(),
        mesh.policies().map(|it| format!("{it:#?}")).collect(),
        mesh.all_routes().map(|it| format!("{it:#?}")).collect(),
    ];
    for list in &mut lists {
        list.sort();
    }
    lists
}

/// What the API server does to an object of a namespace that names none.
fn in_its_namespace(mut item: Value) -> Value {
    let kind = item["kind"].as_str().and_then(Kind::of);
    if kind.is_some_and(Kind::is_namespaced) && item["metadata"]["namespace"].is_null() {
        item["metadata"]["namespace"] = "default".into();
    }
    item
}
