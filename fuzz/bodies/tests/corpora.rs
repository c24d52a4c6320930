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

/// What `-dict` of libFuzzer takes: words in quotes, with escapes of quotes, of backslashes and of bytes.
fn is_word(line: &str) -> bool {
    let inner = line
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner.filter(|inner| !inner.is_empty()) else {
        return false;
    };
    let mut rest = inner.replace(r"\\", "").replace(r#"\""#, "");
    while let Some((before, byte)) = rest.split_once(r"\x") {
        let Some((digits, after)) = byte.split_at_checked(2) else {
            return false;
        };
        if u8::from_str_radix(digits, 16).is_err() {
            return false;
        }
        rest = format!("{before}{after}");
    }
    !rest.contains(['"', '\\'])
}

#[test]
fn every_dictionary_has_its_target_and_holds_words() {
    for file in std::fs::read_dir(corpus().join("../dictionaries")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            TARGETS.iter().any(|(target, _)| *target == name),
            "{name} is nobody's dictionary"
        );
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            assert!(is_word(line), "{name}: {line}");
        }
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
