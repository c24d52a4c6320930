//! `fields.txt` is held against what there is: the fields of the chart's definitions, those of the team's
//! own objects, and the scenarios.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::team::{DESTINATION_RULES, MESH_CONFIG, TELEMETRY, VIRTUAL_SERVICES};

const FIELDS: &str = include_str!("../../../team/fields.txt");
const DEFINITIONS: &str = include_str!("../../../../manifests/charts/ambit/files/crds.yaml");
/// The kinds whose fields traffic shows.
const KINDS: [&str; 7] = [
    "VirtualService",
    "DestinationRule",
    "ServiceEntry",
    "WorkloadEntry",
    "AuthorizationPolicy",
    "RequestAuthentication",
    "Telemetry",
];
/// Settings of the mesh, of which there is no definition.
const SETTINGS: &str = "meshConfig";
/// What ends a line that is about all fields below one.
const ALL: &str = ".*";

/// Each line's field, and what it says of it: a scenario, or why there is none.
fn lines() -> Vec<(&'static str, Result<&'static str, &'static str>)> {
    let meant = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let read = |line: &'static str| match line.split_once(" = ") {
        Some((field, place)) => (field, Ok(place)),
        None => {
            let (field, reason) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
            (field, Err(reason))
        }
    };
    FIELDS.lines().filter(meant).map(read).collect()
}

/// A line's field without the word that it is about: `a.b[c]` is about a word of `a.b`.
fn field_of(line: &str) -> &str {
    line.split_once('[').map_or(line, |(field, _)| field)
}

fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("---\n").map(serde_saphyr::from_str);
    let parts = parts.map(|part| part.unwrap_or_else(|error| panic!("{error}")));
    parts.filter(|part: &Value| !part.is_null()).collect()
}

/// What each kind's `spec` may have, of all versions that the API server may be asked for.
fn schemas() -> BTreeMap<String, Vec<Value>> {
    let read = |definition: &Value| {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let of =
            |version: &Value| version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
        (kind.to_owned(), versions.iter().map(of).collect())
    };
    documents(DEFINITIONS).iter().map(read).collect()
}

/// The same without what lists and maps add: of each its own entries.
fn entry(schema: &Value) -> &Value {
    let inner = &schema["additionalProperties"];
    match () {
        () if schema["items"].is_object() => entry(&schema["items"]),
        () if inner["properties"].is_object() => entry(inner),
        () => schema,
    }
}

/// All fields below a place that have none below them. What a map is asked by has no name here.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match entry(schema)["properties"].as_object() {
        Some(fields) => {
            for (name, field) in fields {
                leaves(field, &format!("{path}.{name}"), found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}

fn defined() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let schemas = schemas();
    for kind in KINDS {
        for schema in &schemas[kind] {
            leaves(schema, kind, &mut found);
        }
    }
    found
}

/// The fields that an object of somebody's has, by the names of [`leaves`].
fn written(value: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(entries) => {
            for value in entries {
                written(value, &schema["items"], path, found);
            }
        }
        Value::Object(fields) if schema["properties"].is_object() => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                written(value, &schema["properties"][name], &path, found);
            }
        }
        Value::Object(fields) if entry(schema)["properties"].is_object() => {
            for value in fields.values() {
                written(value, &schema["additionalProperties"], path, found);
            }
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

/// The settings that somebody has.
fn set(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(fields) => {
            for (name, value) in fields {
                set(value, &format!("{path}.{name}"), found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}

/// The line that is about this field: its own, or else the nearest about all below one above it.
fn line_about<'a>(lines: &BTreeSet<&'a str>, field: &str) -> Option<&'a str> {
    if let Some(own) = lines.get(field) {
        return Some(own);
    }
    let mut above = field;
    while let Some((parent, _)) = above.rsplit_once('.') {
        above = parent;
        if let Some(all) = lines.get(&*format!("{above}{ALL}")) {
            return Some(all);
        }
    }
    None
}

#[test]
fn every_field_that_is_defined_has_a_line_and_every_line_is_about_one() {
    let lines: Vec<&str> = lines().into_iter().map(|(field, _)| field).collect();
    let mut once = BTreeSet::new();
    let twice: Vec<_> = lines.iter().filter(|line| !once.insert(**line)).collect();
    assert!(twice.is_empty(), "more than one line: {twice:#?}");

    let (mut used, mut missing) = (BTreeSet::new(), Vec::new());
    let defined = defined();
    for field in &defined {
        match line_about(&once, field) {
            Some(line) => drop(used.insert(line)),
            None => missing.push(field),
        }
    }
    assert!(
        missing.is_empty(),
        "not in e2e/team/fields.txt: {missing:#?}"
    );
    let is_meant = |line: &&&str| {
        used.contains(**line)
            || line.starts_with(SETTINGS)
            || (line.ends_with(']') && defined.contains(field_of(line)))
    };
    let idle: Vec<_> = lines.iter().filter(|line| !is_meant(line)).collect();
    assert!(idle.is_empty(), "about no field: {idle:#?}");
}

#[test]
fn every_field_of_the_team_is_among_them() {
    let (schemas, mut found) = (schemas(), BTreeSet::new());
    for text in [DESTINATION_RULES, VIRTUAL_SERVICES, TELEMETRY] {
        for object in documents(text) {
            let kind = object["kind"].as_str().unwrap();
            written(&object["spec"], &schemas[kind][0], kind, &mut found);
        }
    }
    for settings in documents(MESH_CONFIG) {
        set(&settings[SETTINGS], SETTINGS, &mut found);
    }
    assert!(found.contains("VirtualService.http.route.destination.subset"));
    assert!(found.contains("meshConfig.defaultConfig.tracing.sampling"));
    let lines: BTreeSet<&str> = lines().into_iter().map(|(field, _)| field).collect();
    let of_kinds = defined();
    let is_known = |field: &String| {
        let is_defined = of_kinds.contains(field) || field.starts_with(SETTINGS);
        is_defined && line_about(&lines, field).is_some()
    };
    let unknown: Vec<_> = found.iter().filter(|field| !is_known(field)).collect();
    assert!(
        unknown.is_empty(),
        "not in e2e/team/fields.txt: {unknown:#?}"
    );
}

/// Whether a text has this word, and not as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut around = text.split(word);
    let mut before = around.next().unwrap_or_default();
    around.any(|after| {
        let is_alone = !before.ends_with(is_part) && !after.starts_with(is_part);
        before = after;
        is_alone
    })
}

/// What belongs to a scenario's file: that itself, what the scenarios of its folder share, and what is
/// written for it beside it.
fn texts_of(scenarios: &Path, file: &str) -> Vec<String> {
    let own = scenarios.join(file);
    let parts = own.with_extension("");
    let read = |path: &Path| fs::read_to_string(path).ok();
    let mut places: Vec<PathBuf> = vec![own.clone()];
    places.extend(own.parent().map(|dir| dir.with_extension("rs")));
    places.extend(["case.rs", "table.txt", "site.rs"].map(|part| parts.join(part)));
    let mut texts: Vec<String> = places.iter().filter_map(|path| read(path)).collect();
    let says = |texts: &[String], what: &str| texts.iter().any(|text| text.contains(what));
    if says(&texts, "fronted") {
        texts.extend(read(&scenarios.join("fronted.rs")));
    }
    if says(&texts[..1], "contract(") {
        texts.extend([DESTINATION_RULES, VIRTUAL_SERVICES].map(str::to_owned));
    }
    texts
}

#[test]
fn the_scenarios_that_fields_are_shown_in_are_there_and_write_them() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for (field, said) in lines() {
        let place = match said {
            Ok(place) => place,
            Err(reason) => {
                assert!(!reason.trim().is_empty(), "{field}: no reason is given");
                continue;
            }
        };
        let (file, function) = place.split_once(' ').unwrap();
        let text = fs::read_to_string(scenarios.join(file));
        let text = text.unwrap_or_else(|error| panic!("{field}: {file}: {error}"));
        let test = format!("fn {function}() {{");
        let before = text.split_once(&test);
        let before = before
            .unwrap_or_else(|| panic!("{field}: no {function} in {file}"))
            .0;
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        assert!(
            attributes.contains("#[test]"),
            "{field}: {function} is no test"
        );
        let field = field.trim_end_matches(ALL);
        let word = match field.strip_suffix(']') {
            Some(field) => field.split_once('[').unwrap().1,
            None => field.rsplit('.').next().unwrap(),
        };
        let is_written = texts_of(&scenarios, file)
            .iter()
            .any(|text| has_word(text, word));
        assert!(is_written, "{field}: {file} never writes {word}");
    }
}
