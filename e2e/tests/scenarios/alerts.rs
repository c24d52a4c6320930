//! The chart's recording rules and alerts, over recorded series: `promtool` says that each fires when its
//! cause is there, says what it should, and clears.

use std::path::Path;
use std::process::Command;

use ambit_e2e::shell;

/// Names that the file of rules gives after a word, in their order, without repetition.
fn names<'a>(rules: &'a str, word: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix(word))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn every_alert_and_recorded_series_stands_in_the_documents() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = root.join("../manifests/charts/ambit/files/rules.yaml");
    let rules = std::fs::read_to_string(&rules).unwrap();
    let page = std::fs::read_to_string(root.join("../docs/alerts.md")).unwrap();
    for alert in names(&rules, "- alert: ") {
        assert!(page.contains(&format!("\n| `{alert}` |")), "{alert}");
    }
    for record in names(&rules, "- record: ") {
        // Series that differ in their time or share alone are named in short after the first.
        let end = record.rsplit(['_', ':']).next().unwrap();
        let ends = [format!("`…_{end}`"), format!("`…:{}`", after_colon(record))];
        let is_there = page.contains(&format!("`{record}`"));
        assert!(
            is_there || ends.iter().any(|end| page.contains(end)),
            "{record}"
        );
    }
}

fn after_colon(record: &str) -> &str {
    record.rsplit(':').next().unwrap_or_default()
}

#[test]
fn every_alert_fires_for_its_cause_and_clears_and_every_recorded_series_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = root.join("../manifests/charts/ambit/files/rules.yaml");
    let cases = root.join("tests/scenarios/alerts/cases.yaml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let tested = std::fs::read_to_string(&cases).unwrap();
    for alert in names(&text, "- alert: ") {
        let named = format!("alertname: {alert}\n");
        assert!(
            tested.matches(&named).count() >= 2,
            "{alert} is not tested both ways"
        );
    }
    let expressions: Vec<&str> = tested
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- expr: "))
        .collect();
    for record in names(&text, "- record: ") {
        let is_tested = expressions.iter().any(|tested| tested.contains(record));
        assert!(is_tested, "{record} is not tested");
    }
    let mut command = Command::new("promtool");
    command.args(["test", "rules"]).arg(cases);
    shell::finish(&mut command, "promtool test rules").unwrap();
}
