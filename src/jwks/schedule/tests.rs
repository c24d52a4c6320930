use super::*;

const REFRESH: Duration = Duration::from_secs(20 * 60);

fn source(name: &str) -> KeySource {
    KeySource::Uri(name.into())
}

fn want(namespaces: &[&str]) -> Want {
    Want {
        patience: Duration::from_secs(5),
        namespaces: namespaces.iter().map(|name| Arc::from(*name)).collect(),
    }
}

fn wanted(names: &[&str]) -> Wanted {
    let names = names.iter().map(|name| (source(name), want(&["shop"])));
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
    let [a, _] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(schedule.due(), None, "both are being asked");
    // That it is wanted again does not matter while it is asked.
    schedule.want(&wanted(&["a", "b"]), start);
    assert_eq!(schedule.next(start), None);
    schedule.done(a, true, start, 1.0);
    assert_eq!(schedule.due(), Some(start + REFRESH));
    assert_eq!(schedule.next(start + REFRESH).unwrap().source, source("a"));
}

#[test]
fn failures_are_tried_again_later_and_later_up_to_a_bound() {
    let mut schedule = Schedule::new(REFRESH);
    let mut now = Instant::now();
    schedule.want(&wanted(&["a"]), now);
    let mut waits = Vec::new();
    for _ in 0..40 {
        let ask = schedule.next(now).unwrap();
        schedule.done(&ask, false, now, 1.0);
        let due = schedule.due().unwrap();
        waits.push(due.duration_since(now).as_secs());
        now = due;
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert!(waits[8..].iter().all(|wait| *wait == 60));
    let ask = schedule.next(now).unwrap();
    schedule.done(&ask, true, now, 0.0);
    assert_eq!(schedule.due(), Some(now + REFRESH.mul_f64(0.8)));
    now += REFRESH;
    let ask = schedule.next(now).unwrap();
    schedule.done(&ask, false, now, 1.0);
    assert_eq!(schedule.due(), Some(now + RETRY.0));
}

#[test]
fn what_is_not_wanted_any_more_is_not_asked() {
    let mut schedule = Schedule::new(REFRESH);
    let now = Instant::now();
    schedule.want(&wanted(&["a"]), now);
    let ask = schedule.next(now).unwrap();
    schedule.want(&wanted(&[]), now);
    schedule.done(&ask, true, now, 1.0);
    assert_eq!(schedule.due(), None);
}

#[test]
fn more_patience_is_tried_at_once() {
    let mut schedule = Schedule::new(REFRESH);
    let now = Instant::now();
    schedule.want(&wanted(&["a"]), now);
    let ask = schedule.next(now).unwrap();
    schedule.done(&ask, false, now, 1.0);
    let longer = Want {
        patience: Duration::from_secs(9),
        ..want(&["shop"])
    };
    schedule.want(&Wanted::from([(source("a"), longer)]), now);
    let ask = schedule.next(now).unwrap();
    assert_eq!(ask.patience, Duration::from_secs(9));
}

#[test]
fn a_namespace_with_many_issuers_does_not_keep_others_waiting() {
    let mut schedule = Schedule::new(REFRESH);
    let now = Instant::now();
    let greedy = (0..100).map(|number| (source(&format!("a-{number}")), want(&["greedy"])));
    // One that the greedy name too is not theirs alone.
    let shared = (source("b"), want(&["greedy", "shop"]));
    schedule.want(&greedy.chain([shared]).collect(), now);
    let asked: Vec<_> = std::iter::from_fn(|| schedule.next(now)).collect();
    let of = |namespace: &str| {
        asked
            .iter()
            .filter(|ask| &*ask.namespace == namespace)
            .count()
    };
    assert_eq!((of("greedy"), of("shop")), (EACH, 1));
    assert_eq!(schedule.due(), None, "the others wait for these");
    schedule.done(&asked[0], false, now, 1.0);
    assert_eq!(schedule.due(), Some(now));
    assert_eq!(&*schedule.next(now).unwrap().namespace, "greedy");
}
