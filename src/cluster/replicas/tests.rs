use super::*;

fn told(name: &str, version: u64, generation: u64) -> Told {
    let report = Report {
        generation,
        ..Report::default()
    };
    Told {
        name: name.to_owned(),
        version: version.to_string(),
        report: serde_json::to_string(&report).unwrap(),
    }
}

fn generations(reports: Result<Vec<Report>, PeersError>) -> Vec<u64> {
    let reports = reports.unwrap();
    reports.iter().map(|report| report.generation).collect()
}

#[test]
fn a_replica_counts_until_it_was_seen_not_to_renew() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut seen = Seen::default();
    let (one, two) = (told("one", 1, 1), told("two", 7, 2));
    let both = || vec![one.clone(), two.clone()];
    assert_eq!(generations(seen.take(both(), start)), [1, 2]);
    let renewed = vec![told("one", 2, 3), two.clone()];
    let later = start + second * 10;
    assert_eq!(generations(seen.take(renewed.clone(), later)), [3, 2]);
    let later = start + COUNTS;
    assert_eq!(generations(seen.take(renewed.clone(), later)), [3]);
    // It was only cut off.
    let back = vec![renewed[0].clone(), told("two", 8, 2)];
    assert_eq!(generations(seen.take(back, later + second)), [3, 2]);
    assert!(generations(seen.take(vec![], later + second)).is_empty());
    assert!(seen.0.is_empty(), "what is gone is forgotten");
}

#[test]
fn a_report_that_cannot_be_read_stops_a_rotation() {
    let mut seen = Seen::default();
    let mut broken = told("one", 1, 1);
    broken.report = "?".to_owned();
    let error = seen.take(vec![broken.clone()], Instant::now()).unwrap_err();
    assert!(error.to_string().contains("one"), "{error}");
}
