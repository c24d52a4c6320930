//! Who is ended.

use std::task::Wake;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// A piece that is counted.
fn piece(length: usize) -> Bytes {
    vec![7; length].into()
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn is_ended(open: &Open<'_>) -> bool {
    timeout(Duration::from_millis(1), open.ended())
        .await
        .is_ok()
}

#[tokio::test(start_paused = true)]
async fn who_leaves_most_unread_is_ended_first_and_no_more_than_needed() {
    let holders = Holders::default();
    let [much, little, idle] = [(); 3].map(|()| holders.open(Activity::default(), [None, None]));
    let mut requests = [much.holder().begin(), little.holder().begin()];
    let waiting = [
        requests[0].waits(piece(1 << 20)),
        requests[1].waits(piece(COUNTED)),
    ];
    assert_eq!(holders.end(1 << 20), 1);
    assert!(is_ended(&much).await);
    assert!(!is_ended(&little).await);
    assert_eq!(waiting[0], piece(1 << 20), "bytes stay what they are");
    // The first is still there, and not counted again.
    assert_eq!(holders.end(u64::MAX), 1);
    assert!(is_ended(&little).await);
    assert!(!is_ended(&idle).await, "it holds nothing");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_leave_the_same_unread_the_one_that_takes_nothing_is_ended() {
    let holders = Holders::default();
    let reading = Activity::default();
    let (slow, stalled) = (
        holders.open(reading.clone(), [None, None]),
        holders.open(Activity::default(), [None, None]),
    );
    let mut requests = [&slow, &stalled].map(|open| open.holder().begin());
    let _waiting = requests
        .each_mut()
        .map(|request| request.waits(piece(1 << 16)));
    for _ in 0..3 {
        reading.wrote();
        holders.look();
    }
    assert_eq!(holders.end(1), 1);
    assert!(is_ended(&stalled).await);
    assert!(!is_ended(&slow).await);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_its_answers_is_ended_last() {
    let holders = Holders::default();
    let [waits, leaves] = [(); 2].map(|()| holders.open(Activity::default(), [None, None]));
    let _many: Vec<_> = (0..100).map(|_| waits.holder().begin()).collect();
    let mut one = leaves.holder().begin();
    let unread = one.waits(piece(COUNTED));
    drop(one);
    assert_eq!(holders.end(1), 1);
    assert!(is_ended(&leaves).await);
    drop((unread, leaves));
    assert_eq!(holders.end(1), 1);
    assert!(is_ended(&waits).await);
}

#[test]
fn what_is_over_is_not_held() {
    let holders = Holders::default();
    let open = holders.open(Activity::default(), [None, None]);
    let mut request = open.holder().begin();
    let waiting = request.waits(piece(COUNTED));
    let small = request.waits(piece(COUNTED - 1));
    assert_eq!(open.holder().unread.load(Ordering::Relaxed), COUNTED);
    drop((request, waiting, small));
    assert!(!open.holder().holds());
    assert_eq!(holders.end(u64::MAX), 0);
    drop(open);
    assert!(holders.open.lock().is_empty());
}

/// One answer that is not read stops no other, and bounds itself.
#[test]
fn beyond_its_budget_a_connection_gets_a_piece_of_each_answer_at_a_time() {
    let holders = Holders::default();
    let open = holders.open(Activity::default(), [None, None]);
    let [mut one, mut other] = [(); 2].map(|()| open.holder().begin());
    assert_eq!((one.others(), other.others()), (0, 1));
    let wakes = Arc::<Wakes>::default();
    let waker = Arc::clone(&wakes).into();
    let cx = Context::from_waker(&waker);
    let turn = |request: &UnderWay| request.poll_turn(&cx).is_ready();
    let mut pieces: Vec<_> = Vec::new();
    while turn(&one) {
        pieces.push(one.waits(piece(64 << 10)));
        assert!(pieces.len() <= 16, "a budget");
    }
    assert!(turn(&other), "it has nothing that waits");
    let its = other.waits(piece(COUNTED));
    assert!(!turn(&other));
    drop(its);
    assert!(turn(&other));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    // Whoever reads gets on, here with all that waited.
    drop(pieces);
    assert!(turn(&one));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
}
