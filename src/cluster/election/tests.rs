use proptest::prelude::*;

use super::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn lease(version: u64, holder: Option<&str>) -> Seen {
    Seen {
        version: version.to_string(),
        holder: holder.map(Into::into),
        transitions: 0,
    }
}

#[test]
fn the_first_takes_the_lease_and_renews_it() {
    let start = Instant::now();
    let mut one = Election::new("one".into());
    one.saw(None, start);
    let claim = one.claim(start).unwrap();
    assert!(claim.over.is_none() && claim.is_new);
    assert!(one.leads_until(start).is_none());
    one.wrote(lease(1, Some("one")), start, start + seconds(1));
    assert_eq!(one.leads_until(start + seconds(1)), Some(start + LEADS));
    assert_eq!(one.next_look(start + seconds(1)), start + RENEW);
    assert!(one.claim(start + seconds(4)).is_none());
    let renewal = one.claim(start + RENEW).unwrap();
    assert_eq!(
        (renewal.over.as_deref(), renewal.is_new),
        (Some("1"), false)
    );
    // Nothing gets through any more: it steps down by itself.
    assert!(one.leads_until(start + LEADS).is_none());
}

#[test]
fn others_wait_until_it_was_not_renewed_for_a_whole_lease() {
    let start = Instant::now();
    let mut two = Election::new("two".into());
    two.saw(Some(lease(1, Some("one"))), start);
    assert!(two.claim(start + seconds(14)).is_none());
    two.saw(Some(lease(2, Some("one"))), start + seconds(14));
    assert!(two.claim(start + seconds(28)).is_none());
    two.saw(Some(lease(2, Some("one"))), start + seconds(28));
    let claim = two.claim(start + seconds(29)).unwrap();
    assert_eq!((claim.over.as_deref(), claim.transitions), (Some("2"), 1));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let start = Instant::now();
    let mut two = Election::new("two".into());
    two.saw(Some(lease(1, Some("one"))), start);
    two.saw(Some(lease(2, None)), start + seconds(1));
    assert!(two.claim(start + seconds(1)).is_some());
}

#[test]
fn whoever_sees_the_lease_with_another_leads_no_more() {
    let start = Instant::now();
    let mut one = Election::new("one".into());
    one.wrote(lease(1, Some("one")), start, start);
    assert!(one.leads_until(start).is_some() && one.held().is_some());
    one.saw(Some(lease(2, Some("two"))), start);
    assert!(one.leads_until(start).is_none() && one.held().is_none());
    one.wrote(lease(3, Some("one")), start, start);
    one.saw(None, start);
    assert!(one.leads_until(start).is_none());
}

/// The API server: one lease, compare and swap.
#[derive(Default)]
struct Server {
    lease: Option<Seen>,
    written: u64,
}

impl Server {
    fn write(&mut self, us: &Arc<str>, claim: &Claim) -> Option<Seen> {
        if self.lease.as_ref().map(|l| &l.version) != claim.over.as_ref() {
            return None;
        }
        self.written += 1;
        self.lease = Some(Seen {
            version: self.written.to_string(),
            holder: Some(Arc::clone(us)),
            transitions: claim.transitions,
        });
        self.lease.clone()
    }
}

/// What a candidate waits for.
enum Waits {
    Nothing,
    /// For the answer to a question: what the server said, if it was asked yet.
    Read(Option<Option<Seen>>),
    /// For the answer to a claim that began then.
    Write(Claim, Instant, Option<Option<Seen>>),
}

struct Candidate {
    us: Arc<str>,
    election: Election,
    waits: Waits,
}

impl Candidate {
    fn new(us: String) -> Self {
        let us: Arc<str> = us.into();
        Self {
            election: Election::new(Arc::clone(&us)),
            us,
            waits: Waits::Nothing,
        }
    }

    /// One thing happens to it: a question begins, reaches the server, or is answered or lost.
    fn step(&mut self, server: &mut Server, is_lost: bool, now: Instant) {
        self.waits = match std::mem::replace(&mut self.waits, Waits::Nothing) {
            Waits::Nothing => Waits::Read(None),
            Waits::Read(None) if is_lost => Waits::Nothing,
            Waits::Read(None) => Waits::Read(Some(server.lease.clone())),
            Waits::Read(Some(_)) if is_lost => Waits::Nothing,
            Waits::Read(Some(seen)) => {
                self.election.saw(seen, now);
                match self.election.claim(now) {
                    Some(claim) => Waits::Write(claim, now, None),
                    None => Waits::Nothing,
                }
            }
            Waits::Write(_, _, None) if is_lost => Waits::Nothing,
            Waits::Write(claim, sent, None) => {
                let written = server.write(&self.us, &claim);
                Waits::Write(claim, sent, Some(written))
            }
            // Written, but the candidate never hears of it.
            Waits::Write(_, _, Some(_)) if is_lost => Waits::Nothing,
            Waits::Write(_, sent, Some(written)) => {
                if let Some(written) = written {
                    self.election.wrote(written, sent, now);
                }
                Waits::Nothing
            }
        };
    }
}

/// Mostly short, so that candidates get somewhere while a lease counts; now and then long.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0u64..200, 2 => 0u64..6000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn there_are_never_two_leaders(
        steps in proptest::collection::vec((0usize..3, pause(), 0u8..20), 60..300)
    ) {
        let mut now = Instant::now();
        let mut server = Server::default();
        let mut candidates: Vec<_> =
            (0..3).map(|n| Candidate::new(format!("candidate {n}"))).collect();
        for (index, (who, millis, luck)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(millis);
            match luck {
                // It dies, and another process begins in its place.
                0 => candidates[who] = Candidate::new(format!("successor {index}")),
                1 => candidates[who].step(&mut server, true, now),
                _ => candidates[who].step(&mut server, false, now),
            }
            let leaders = candidates
                .iter()
                .filter(|c| c.election.leads_until(now).is_some())
                .count();
            prop_assert!(leaders <= 1, "{leaders} leaders after step {index}");
        }
    }
}
