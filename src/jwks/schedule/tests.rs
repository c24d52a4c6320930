use super::*;

const REFRESH: Duration = Duration::from_secs(20 * 60);

fn source(name: &str) -> KeySource {
    KeySource::Uri(name.into())
}

fn wanted(names: &[&str]) -> Wanted {
    let names = names
        .iter()
        .map(|name| (source(name), Duration::from_secs(5)));
    names.collect()
}

#[test]
fn what_is_wanted_is_asked_at_once_and_then_now_and_then() {
    let mut schedule = Schedule::new(REFRESH);
    let start = Instant::now();
    assert_eq!(schedule.due(), None);
    schedule.want(&wanted(&["a", "b"]), start);
    assert_eq!(schedule.due(), Some(start));
    let asked: Vec<_> = std::iter::from_fn(|| schedule.next(start)).collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(schedule.due(), None, "both are being asked");
    // That it is wanted again does not matter while it is asked.
    schedule.want(&wanted(&["a", "b"]), start);
    assert_eq!(schedule.next(start), None);
    schedule.done(&source("a"), true, start, 1.0);
    assert_eq!(schedule.due(), Some(start + REFRESH));
    assert_eq!(schedule.next(start + REFRESH).unwrap().0, source("a"));
}

#[test]
fn failures_are_tried_again_later_and_later_up_to_a_bound() {
    let mut schedule = Schedule::new(REFRESH);
    let mut now = Instant::now();
    schedule.want(&wanted(&["a"]), now);
    let mut waits = Vec::new();
    for _ in 0..40 {
        schedule.next(now).unwrap();
        schedule.done(&source("a"), false, now, 1.0);
        let due = schedule.due().unwrap();
        waits.push(due.duration_since(now).as_secs());
        now = due;
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert!(waits[8..].iter().all(|wait| *wait == 60));
    schedule.next(now).unwrap();
    schedule.done(&source("a"), true, now, 0.0);
    assert_eq!(schedule.due(), Some(now + REFRESH.mul_f64(0.8)));
    now += REFRESH;
    schedule.next(now).unwrap();
    schedule.done(&source("a"), false, now, 1.0);
    assert_eq!(schedule.due(), Some(now + RETRY.0));
}

#[test]
fn what_is_not_wanted_any_more_is_not_asked() {
    let mut schedule = Schedule::new(REFRESH);
    let now = Instant::now();
    schedule.want(&wanted(&["a"]), now);
    schedule.next(now).unwrap();
    schedule.want(&wanted(&[]), now);
    schedule.done(&source("a"), true, now, 1.0);
    assert_eq!(schedule.due(), None);
}

#[test]
fn more_patience_is_tried_at_once() {
    let mut schedule = Schedule::new(REFRESH);
    let now = Instant::now();
    schedule.want(&wanted(&["a"]), now);
    schedule.next(now).unwrap();
    schedule.done(&source("a"), false, now, 1.0);
    let longer = Wanted::from([(source("a"), Duration::from_secs(9))]);
    schedule.want(&longer, now);
    assert_eq!(
        schedule.next(now),
        Some((source("a"), Duration::from_secs(9)))
    );
}
