//! Tables in virtual time.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn id(name: &str) -> SpiffeId {
    SpiffeId::from_parts("cluster.local", "shop", name)
}

fn known(pod: &str, account: &str) -> Event {
    Event::PodKnown {
        pod: pod.into(),
        identity: id(account),
        kept: None,
    }
}

fn fetched(account: &str, left: Duration) -> Event {
    Event::Fetched {
        identity: id(account),
        left,
    }
}

struct Run {
    machine: Rotation,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        Self {
            machine: Rotation::new(1),
            now: Instant::now(),
        }
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        self.machine.on_event(self.now, event)
    }

    /// Goes to the next wake-up: how long that took and what it caused.
    fn wake(&mut self) -> (Duration, Vec<Action>) {
        let at = self.machine.wake_at().expect("nothing is planned");
        let waited = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        (waited, self.on(Event::Tick))
    }
}

fn fetch(account: &str) -> Vec<Action> {
    vec![Action::Fetch(id(account))]
}

#[test]
fn a_certificate_is_fetched_when_its_pod_is_known_and_renewed_at_half_its_life() {
    let mut run = Run::new();
    assert_eq!(run.on(known("p1", "web")), fetch("web"));
    assert_eq!(run.on(known("p2", "web")), [], "one fetch for both");
    assert_eq!(run.machine.wake_at(), None);
    assert_eq!(run.on(fetched("web", 24 * HOUR)), []);
    let (waited, actions) = run.wake();
    assert!(waited > HOUR * 9 && waited <= HOUR * 12, "{waited:?}");
    assert_eq!(actions, fetch("web"));
}

#[test]
fn a_life_of_seconds_is_renewed_without_a_loop() {
    let mut run = Run::new();
    run.on(known("p", "web"));
    for _ in 0..20 {
        run.on(fetched("web", Duration::from_secs(4)));
        let (waited, actions) = run.wake();
        assert!(waited >= Duration::from_millis(1600) && waited <= Duration::from_secs(2));
        assert_eq!(actions, fetch("web"));
    }
    run.on(fetched("web", Duration::ZERO));
    assert!(
        run.wake().0 >= Duration::from_millis(100),
        "an expired answer is no reason to hurry"
    );
}

#[test]
fn failures_back_off_from_half_a_second_to_150_seconds() {
    let mut run = Run::new();
    run.on(known("p", "web"));
    let mut before = Duration::ZERO;
    for attempt in 0..14 {
        run.on(Event::Failed(id("web")));
        let (waited, actions) = run.wake();
        assert_eq!(actions, fetch("web"));
        let full = RETRY_FIRST.saturating_mul(1 << attempt).min(RETRY_LONGEST);
        assert!(
            waited <= full && waited >= full.mul_f64(0.8),
            "{attempt}: {waited:?}"
        );
        assert!(waited >= before.mul_f64(0.8));
        before = waited;
    }
    run.on(fetched("web", HOUR));
    run.wake();
    run.on(Event::Failed(id("web")));
    assert!(run.wake().0 <= RETRY_FIRST, "a success starts over");
}

#[test]
fn a_failed_renewal_keeps_the_valid_certificate() {
    let mut run = Run::new();
    run.on(known("p", "web"));
    run.on(fetched("web", HOUR));
    run.wake();
    run.on(Event::Failed(id("web")));
    assert_eq!(run.machine.missing(run.now), 0);
    assert_eq!(
        run.on(Event::Demanded(id("web"))),
        [],
        "there is one to use"
    );
    run.now += HOUR;
    assert_eq!(run.machine.missing(run.now), 1);
}

#[test]
fn a_demand_cuts_the_backoff_short_but_never_hammers() {
    let mut run = Run::new();
    run.on(known("p", "web"));
    for _ in 0..12 {
        run.on(Event::Failed(id("web")));
        run.wake();
    }
    run.on(Event::Failed(id("web")));
    assert_eq!(
        run.on(Event::Demanded(id("web"))),
        [],
        "the last attempt was just now"
    );
    let (waited, actions) = run.wake();
    assert_eq!((waited, actions), (RETRY_FIRST, fetch("web")));
    run.on(Event::Failed(id("web")));
    let mut attempts = 0;
    let end = run.now + Duration::from_secs(10);
    while run.now < end {
        run.now += Duration::from_millis(10);
        if !run.on(Event::Demanded(id("web"))).is_empty() {
            attempts += 1;
            run.on(Event::Failed(id("web")));
        }
    }
    assert!((10..=20).contains(&attempts), "{attempts} attempts in 10 s");
}

#[test]
fn what_somebody_waits_for_goes_first_and_the_number_under_way_is_bounded() {
    let mut run = Run::new();
    let mut started = Vec::new();
    for n in 0..20 {
        started.extend(run.on(known(&format!("p{n}"), &format!("a{n:02}"))));
    }
    assert_eq!(started.len(), MOST_AT_ONCE - RESERVED);
    assert_eq!(
        run.on(Event::Demanded(id("a19"))),
        fetch("a19"),
        "a reserved slot"
    );
    assert_eq!(run.on(Event::Demanded(id("a18"))), fetch("a18"));
    assert_eq!(
        run.on(Event::Demanded(id("a17"))),
        [],
        "all slots are taken"
    );
    assert_eq!(
        run.on(fetched("a00", HOUR)),
        fetch("a17"),
        "the demanded one before a06"
    );
    assert_eq!(run.on(fetched("a19", HOUR)), [], "two slots stay reserved");
    assert_eq!(run.on(fetched("a18", HOUR)), []);
    assert_eq!(run.on(fetched("a17", HOUR)), fetch("a06"));
}

#[test]
fn an_identity_is_forgotten_with_its_last_pod() {
    let mut run = Run::new();
    run.on(known("p1", "web"));
    run.on(known("p2", "web"));
    run.on(fetched("web", HOUR));
    assert_eq!(run.on(Event::PodGone { pod: "p1".into() }), []);
    assert_eq!(
        run.on(Event::PodGone { pod: "p2".into() }),
        [Action::Forget(id("web"))]
    );
    assert_eq!(run.on(Event::PodGone { pod: "p2".into() }), []);
    assert!(run.machine.is_empty());
    assert_eq!(run.machine.wake_at(), None);
}

#[test]
fn an_answer_that_comes_after_the_pod_has_gone_is_erased() {
    let mut run = Run::new();
    run.on(known("p", "web"));
    assert_eq!(
        run.on(Event::PodGone { pod: "p".into() }),
        [Action::Forget(id("web"))]
    );
    assert_eq!(run.on(fetched("web", HOUR)), [Action::Forget(id("web"))]);
    assert_eq!(run.on(Event::Failed(id("web"))), []);
    assert_eq!(
        run.on(known("p", "web")),
        fetch("web"),
        "its slot is free again"
    );
}

#[test]
fn a_pod_that_changes_its_identity_leaves_the_old_one() {
    let mut run = Run::new();
    run.on(known("p", "old"));
    assert_eq!(
        run.on(known("p", "new")),
        [Action::Forget(id("old")), Action::Fetch(id("new"))]
    );
}

#[test]
fn a_kept_certificate_is_used_and_renewed_at_half_of_its_whole_life() {
    let with = |left| Event::PodKnown {
        pod: "p".into(),
        identity: id("web"),
        kept: Some(Kept {
            life: 24 * HOUR,
            left,
        }),
    };
    let mut run = Run::new();
    assert_eq!(run.on(with(18 * HOUR)), [], "there is one to use");
    assert_eq!(run.machine.missing(run.now), 0);
    let (waited, actions) = run.wake();
    assert!(waited <= 6 * HOUR && waited > 4 * HOUR, "{waited:?}");
    assert_eq!(actions, fetch("web"));

    let mut run = Run::new();
    assert_eq!(run.on(with(HOUR)), fetch("web"), "past half of its life");
    assert_eq!(
        run.machine.missing(run.now),
        0,
        "but good until the new one comes"
    );

    let mut run = Run::new();
    assert_eq!(run.on(with(Duration::ZERO)), fetch("web"));
    assert_eq!(run.machine.missing(run.now), 1, "expired");
}

#[test]
fn nobody_can_make_the_node_ask_for_an_identity_of_another_node() {
    let mut run = Run::new();
    assert_eq!(run.on(Event::Demanded(id("stranger"))), []);
    assert!(run.machine.is_empty());
}
