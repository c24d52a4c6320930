//! Files are whole or not believed, and small changes cost little.

use ambit_wire::delta::Received;
use ambit_wire::node::TrustBundle;
use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::control::backlog::Mark;
use crate::control::model::Kind;

/// A keeper with its files and the model that it keeps.
struct Run {
    directory: TempDir,
    kept: Kept,
    models: ArcSwap<Model>,
    backlog: Backlog,
    changes: u64,
}

impl Run {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (kept, restored) = open(&directory);
        assert_eq!(restored.faults, 0);
        let models = ArcSwap::from_pointee(restored.model);
        Self {
            directory,
            kept,
            models,
            backlog: Backlog::default(),
            changes: 0,
        }
    }

    fn put(&mut self, name: &str, body: &[u8]) {
        let received = Received {
            name: name.into(),
            version: content_version(body).into(),
            body: Bytes::copy_from_slice(body),
        };
        let mut model = (**self.models.load()).clone();
        model.put(Kind::Address, &received);
        self.models.store(Arc::new(model));
        self.mark(Mark::Resource(Kind::Address, name.into()));
    }

    fn mark(&mut self, mark: Mark) {
        self.changes += 1;
        self.backlog.mark(self.changes, [mark]);
    }

    fn store(&mut self) {
        let batch = self.backlog.take(usize::MAX, &self.models);
        self.kept.store(&batch, &self.models.load()).unwrap();
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("control/model")
    }

    fn length(&self) -> u64 {
        fs::metadata(self.journal()).unwrap().len()
    }
}

fn open(directory: &TempDir) -> (Kept, Restored) {
    let path = directory.path().join("control");
    Kept::open(&path, ambit_kit::clock::wall()).unwrap()
}

#[test]
fn one_change_of_a_large_model_appends_one_record() {
    let mut run = Run::new();
    for n in 0..3000 {
        run.put(&format!("w{n}"), &[7; 100]);
    }
    run.store();
    let whole = run.length();
    run.put("w5", b"changed");
    run.store();
    assert!(
        run.length() - whole < 300,
        "{} bytes for one change",
        run.length() - whole
    );
    let (_, restored) = open(&run.directory);
    assert_eq!(restored.model.addresses, run.models.load().addresses);
    assert_eq!(restored.faults, 0);
}

#[test]
fn a_journal_of_many_changes_is_written_anew() {
    let mut run = Run::new();
    for n in 0..3000u32 {
        run.put("w", &[n.to_be_bytes().as_slice(), &[0; 2000]].concat());
        run.store();
    }
    assert!(
        run.length() < 3 << 20,
        "{} bytes for one resource",
        run.length()
    );
    let (_, restored) = open(&run.directory);
    assert_eq!(restored.model.addresses, run.models.load().addresses);
}

#[test]
fn a_journal_that_is_cut_anywhere_is_believed_up_to_there() {
    let mut run = Run::new();
    for name in ["a", "b", "c"] {
        run.put(name, name.as_bytes());
        run.store();
    }
    let content = fs::read(run.journal()).unwrap();
    let mut most = 0;
    for cut in 0..content.len() {
        fs::write(run.journal(), &content[..cut]).unwrap();
        let (_, restored) = open(&run.directory);
        let names: Vec<_> = restored
            .model
            .addresses
            .keys()
            .map(|name| &**name)
            .collect();
        assert!(
            ["a", "b", "c"].starts_with(&names),
            "{names:?} after {cut} bytes"
        );
        assert!(names.len() >= most, "less with more bytes");
        most = names.len();
    }
    assert_eq!(most, 2, "the last record is never believed in part");
}

#[test]
fn after_a_damaged_record_the_journal_is_whole_again_with_the_next_change() {
    let mut run = Run::new();
    run.put("a", b"a");
    run.store();
    run.put("b", b"b");
    run.store();
    let mut content = fs::read(run.journal()).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    fs::write(run.journal(), content).unwrap();
    let (kept, restored) = open(&run.directory);
    assert_eq!((restored.faults, restored.model.addresses.len()), (1, 1));
    run.kept = kept;
    run.models.store(Arc::new(restored.model));
    run.put("c", b"c");
    run.store();
    let (_, restored) = open(&run.directory);
    assert_eq!((restored.faults, restored.model.addresses.len()), (0, 2));
}

#[test]
fn trust_comes_back_and_completeness_too() {
    let mut run = Run::new();
    let bundle = TrustBundle {
        trust_domain: "td".to_owned(),
        roots: vec![Bytes::from_static(b"r")],
    };
    let trust = Arc::new(TrustUpdate {
        bundle: Some(bundle),
        generation: 4,
    });
    run.models.store(Arc::new(Model {
        trust: Some(Arc::clone(&trust)),
        complete: true,
        ..Model::default()
    }));
    run.mark(Mark::Trust);
    run.mark(Mark::Complete);
    run.store();
    let (_, restored) = open(&run.directory);
    assert_eq!(restored.model.trust, Some(trust));
    assert!(restored.model.complete);
}

#[test]
fn certificates_come_back_while_they_are_valid_and_go_when_forgotten() {
    use ambit_kit::clock::wall;
    let mut run = Run::new();
    let id = SpiffeId::from_parts("cluster.local", "shop", "web");
    let issued = crate::control::testing::issue(&id, Duration::from_secs(60));
    let mut model = Model::default();
    model
        .certificates
        .insert(id.clone(), Arc::new(issued.clone()));
    run.models.store(Arc::new(model));
    run.mark(Mark::Certificate(id.clone()));
    run.store();
    let (_, restored) = open(&run.directory);
    let (found, kept) = &restored.certificates[0];
    assert_eq!((found, &*kept.certificate), (&id, &issued));
    assert!(kept.life.left <= Duration::from_secs(60) && kept.life.life >= kept.life.left);

    let path = run.directory.path().join("control");
    let late = wall() + Duration::from_secs(120);
    assert!(
        Kept::open(&path, late).unwrap().1.certificates.is_empty(),
        "expired"
    );

    run.mark(Mark::Certificate(id.clone()));
    run.store();
    assert_eq!(open(&run.directory).1.certificates.len(), 1);
    run.mark(Mark::Forget(id));
    run.store();
    let left = fs::read_dir(path).unwrap().flatten();
    assert!(
        left.map(|f| f.path()).all(|p| p.extension().is_none()),
        "no key is left"
    );
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let run = Run::new();
    let path = run.directory.path().join("control");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Kept::open(&path, ambit_kit::clock::wall()).is_err());
}
