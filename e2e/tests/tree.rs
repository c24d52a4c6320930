//! The shape of the tree is as ARCHITECTURE.md says: which package may use which, and every file
//! that it names is there.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail a test as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each package may depend on, of ours, outside its tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ambit-model", &[]),
    ("ambit-kit", &[]),
    ("ambit-cni", &[]),
    ("ambit-netsys", &[]),
    ("ambit-logformat", &[]),
    ("ambit-balance", &["ambit-model"]),
    ("ambit-decide", &["ambit-model"]),
    ("ambit-dns", &["ambit-model"]),
    ("ambit-policy", &["ambit-model"]),
    ("ambit-route", &["ambit-model"]),
    ("ambit-wire", &["ambit-model"]),
    ("ambit-identity", &["ambit-model"]),
    ("ambit-jwt", &["ambit-model"]),
    (
        "ambit-telemetry",
        &["ambit-decide", "ambit-kit", "ambit-model"],
    ),
    ("ambit-trace", &[]),
    ("ambit-tunnel", &["ambit-model", "ambit-identity"]),
    (
        "ambit-uplink",
        &["ambit-identity", "ambit-model", "ambit-wire"],
    ),
    (
        "ambit-node-agent",
        &[
            "ambit-cni",
            "ambit-decide",
            "ambit-dns",
            "ambit-identity",
            "ambit-kit",
            "ambit-model",
            "ambit-netsys",
            "ambit-telemetry",
            "ambit-tunnel",
            "ambit-uplink",
            "ambit-wire",
        ],
    ),
    (
        "ambit-waypoint",
        &[
            "ambit-balance",
            "ambit-decide",
            "ambit-identity",
            "ambit-jwt",
            "ambit-kit",
            "ambit-logformat",
            "ambit-model",
            "ambit-policy",
            "ambit-route",
            "ambit-telemetry",
            "ambit-trace",
            "ambit-tunnel",
            "ambit-uplink",
            "ambit-wire",
        ],
    ),
    (
        "ambit",
        &[
            "ambit-decide",
            "ambit-identity",
            "ambit-jwt",
            "ambit-kit",
            "ambit-logformat",
            "ambit-model",
            "ambit-policy",
            "ambit-route",
            "ambit-wire",
        ],
    ),
];

/// What may use everything: nothing that runs in a cluster is made of it.
const UNBOUND: [&str; 2] = ["ambit-e2e", "ambit-fuzz-bodies"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Dependencies of each package on ours, outside its tests.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"].as_array().unwrap().iter();
            let ours = uses.filter(|d| d["kind"].is_null()).map(name);
            (
                name(package),
                ours.filter(|n| n.starts_with("ambit")).collect(),
            )
        })
        .collect()
}

#[test]
fn packages_use_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for (package, uses) in edges() {
        if UNBOUND.contains(&package.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(package.as_str())
            .unwrap_or_else(|| panic!("{package} stands in no list of this test"));
        for used in uses {
            assert!(
                allowed.contains(&used.as_str()),
                "{package} must not use {used}"
            );
        }
    }
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    for document in [
        "ARCHITECTURE.md",
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for word in text.split(['`', '(', ')', ' ', '\n', ',']) {
            let is_path = word.contains('/')
                && (word.ends_with(".rs") || word.ends_with(".md") || word.ends_with(".proto"));
            if is_path {
                let in_agent = root().join("node-agent/src").join(word);
                assert!(
                    root().join(word).exists() || in_agent.exists(),
                    "{document} names {word}"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_one_crate_only() {
    let output = Command::new("grep")
        .args(["-rlE", r"unsafe (\{|fn|impl)", "--include=*.rs", "."])
        .current_dir(root())
        .output()
        .unwrap();
    for file in String::from_utf8(output.stdout).unwrap().lines() {
        let allowed = [
            "./crates/netsys/",
            "./target/",
            "./e2e/hostile/",
            "./fuzz/target/",
        ];
        let own = file == "./e2e/tests/tree.rs";
        assert!(
            own || allowed.iter().any(|a| file.starts_with(a)),
            "unsafe code in {file}"
        );
    }
}
