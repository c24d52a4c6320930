//! Every target comes back on every file of its corpus, and on cuts and changes of it.

use std::path::{Path, PathBuf};

use ambit_fuzz_bodies::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

#[test]
fn every_target_survives_its_corpus() {
    for (name, body) in TARGETS {
        let mut seeds = 0;
        for file in std::fs::read_dir(corpus().join(name)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            body(&bytes);
            for cut in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
                body(&bytes[..cut]);
                let mut changed = bytes.clone();
                changed[cut] ^= 0xff;
                body(&changed);
            }
            seeds += 1;
        }
        assert!(
            seeds > 0,
            "{name} has no corpus: add seeds to fuzz/corpus/{name}"
        );
    }
}

#[test]
fn every_corpus_has_its_target() {
    for folder in std::fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            TARGETS.iter().any(|(target, _)| *target == name),
            "{name} is nobody's corpus"
        );
    }
    for (name, _) in TARGETS {
        let target = corpus().join(format!("../fuzz_targets/{name}.rs"));
        assert!(
            target.exists(),
            "{name} cannot be fuzzed: {} is missing",
            target.display()
        );
    }
}
