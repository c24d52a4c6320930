use super::*;

fn report(value: &str) -> Report {
    let words = |line: [&str; 2]| line.map(str::to_owned).to_vec();
    Report {
        setting: "a machine".to_owned(),
        command: "bench all".to_owned(),
        sections: vec![Section {
            title: "Speed".to_owned(),
            note: "How fast.".to_owned(),
            head: words(["what", "µs"]),
            rows: vec![words(["a", value]), words(["longer", "1"])],
        }],
    }
}

#[test]
fn columns_are_aligned() {
    let report = report("10.5");
    let text = report.sections.first().expect("section").plain();
    assert_eq!(
        text,
        "Speed\nHow fast.\n\nwhat      µs\na       10.5\nlonger     1\n"
    );
}

#[test]
fn a_page_keeps_what_people_wrote() {
    let first = report("1").page("");
    assert!(first.contains("| a | 1 |"), "{first}");
    let edited = format!("{first}\nWhere the time goes: nowhere.\n");
    let second = report("2").page(&edited);
    assert!(second.contains("| a | 2 |") && !second.contains("| a | 1 |"));
    assert!(second.starts_with("# Benchmarks"));
    assert!(second.ends_with("Where the time goes: nowhere.\n"));
}
