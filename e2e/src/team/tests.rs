use std::collections::BTreeSet;
use std::path::Path;

use super::{DESTINATION_RULES, MESH_CONFIG, TELEMETRY, VIRTUAL_SERVICES, access_log, object};

const FIELDS: &str = include_str!("../../team/fields.txt");

#[test]
fn objects_are_found_by_name() {
    let rule = object(DESTINATION_RULES, "inventory-service");
    assert!(rule.contains("baseEjectionTime: 60s"), "{rule}");
    assert!(!rule.contains("payment"), "{rule}");
    let route = object(VIRTUAL_SERVICES, "frontend");
    assert!(route.contains("weight: 90"), "{route}");
    assert_eq!(object(VIRTUAL_SERVICES, "nobody"), "");
}

#[test]
fn the_scenarios_that_fields_are_shown_in_are_there() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let fields = FIELDS.lines().filter(|line| !line.starts_with('#'));
    let shown = fields.filter_map(|line| line.split_once(" = "));
    for (field, place) in shown {
        let (file, function) = place.split_once(' ').unwrap();
        let text = std::fs::read_to_string(scenarios.join(file));
        let text = text.unwrap_or_else(|error| panic!("{field}: {file}: {error}"));
        let test = format!("#[test]\nfn {function}() {{");
        assert!(text.contains(&test), "{field}: no {function} in {file}");
        // Written there, in what the scenarios of a folder share, or in the team's own objects.
        let shared = Path::new(file).parent().map(|dir| dir.with_extension("rs"));
        let shared = shared.and_then(|file| std::fs::read_to_string(scenarios.join(file)).ok());
        let mut places = vec![text.clone(), shared.unwrap_or_default()];
        if text.contains("fronted") {
            places.extend(std::fs::read_to_string(scenarios.join("fronted.rs")));
        }
        if text.contains("contract(") {
            places.extend([DESTINATION_RULES, VIRTUAL_SERVICES].map(str::to_owned));
        }
        let word = field.rsplit('.').next().unwrap();
        let is_written = places.iter().any(|place| place.contains(word));
        assert!(is_written, "{field}: {file} never writes {word}");
    }
}

/// Words of keys and, of a list of them, what follows the dash.
fn keys(text: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (key, _) = line.trim().trim_start_matches("- ").split_once(':')?;
        let is_key = key.chars().all(|c| c.is_ascii_alphanumeric());
        is_key.then_some(key)
    })
}

#[test]
fn every_field_of_the_team_is_among_those_that_are_shown() {
    let fields = FIELDS.lines().filter(|line| !line.starts_with('#'));
    let words = fields.filter_map(|line| line.split([' ', ':']).next());
    let known: BTreeSet<&str> = words.flat_map(|field| field.split('.')).collect();
    // What every object has, what names a thing, and parts of what is listed as a whole.
    let others = [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "spec",
        "version",
        "value",
    ];
    for text in [DESTINATION_RULES, VIRTUAL_SERVICES, TELEMETRY, MESH_CONFIG] {
        for key in keys(text).filter(|key| !others.contains(key)) {
            assert!(known.contains(key), "{key} is not in e2e/team/fields.txt");
        }
    }
}

#[test]
fn the_access_log_is_all_that_is_said_of_it() {
    let written = access_log();
    assert!(
        written
            .starts_with("accessLogFile: /dev/stdout\naccessLogFormat: |\n  {\n    \"timestamp\"")
    );
    assert!(
        written.ends_with("    \"upstream_host\": \"%UPSTREAM_HOST%\"\n  }\n"),
        "{written}"
    );
    assert_eq!(written.lines().count(), 14);
}
