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

fn client(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

async fn is_ended(holder: &Holder) -> bool {
    timeout(Duration::from_millis(1), holder.ended())
        .await
        .is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_client_that_holds_most_is_ended_first_and_no_more_than_needed() {
    let holders = Holders::default();
    // Many connections that hold little each, together more than one that holds more than any.
    let many: Vec<_> = (0..8).map(|_| holders.open(client(1), None)).collect();
    let [one, idle] = [2, 3].map(|last| holders.open(client(last), None));
    let mut requests: Vec<_> = many.iter().map(Holder::begin).collect();
    let mut of_one = one.begin();
    let mut waiting: Vec<_> = requests
        .iter_mut()
        .map(|request| request.waits(piece(1 << 18)))
        .collect();
    waiting.push(of_one.waits(piece(1 << 20)));
    assert_eq!(waiting[8], piece(1 << 20), "bytes stay what they are");
    let ended = holders.end(1 << 20);
    assert_eq!((ended.count, ended.bytes), (4, 4 * ((1 << 18) + BEHIND)));
    let of_many = many.iter().filter(|holder| holder.end.is_cancelled());
    assert_eq!(of_many.count(), 4);
    assert!(!is_ended(&one).await);
    // They are still there, and are not ended twice.
    let rest = 4 * ((1 << 18) + BEHIND) + (1 << 20) + BEHIND;
    assert_eq!(holders.end(rest).count, 5);
    assert!(is_ended(&one).await);
    assert!(!is_ended(&idle).await, "it holds nothing");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_ended_for_memory_that_none_of_them_holds() {
    let holders = Holders::default();
    let small = holders.open(client(1), None);
    let mut request = small.begin();
    let _waiting = request.waits(piece(1 << 16));
    assert_eq!(holders.end(1 << 20), Ended::default());
    assert!(!is_ended(&small).await);
    assert_eq!(holders.end(1 << 17).count, 1);
}

#[test]
fn what_is_over_is_not_held_and_what_goes_on_is() {
    let holders = Holders::default();
    let open = holders.open(client(1), None);
    let mut request = open.begin();
    let waiting = request.waits(piece(COUNTED));
    let small = request.waits(piece(COUNTED - 1));
    assert_eq!(open.cost(), COUNTED as u64 + BEHIND);
    // A request of it may outlive the connection: it is a connection by itself then.
    drop((open, waiting, small));
    assert_eq!(holders.end(1).count, 1);
    drop(request);
    assert!(holders.0.open.lock().is_empty());
}

/// One answer that is not read stops no other, and bounds itself.
#[test]
fn beyond_its_budget_a_connection_gets_a_piece_of_each_answer_at_a_time() {
    let holders = Holders::default();
    let open = holders.open(client(1), None);
    let [mut one, mut other] = [(); 2].map(|()| open.begin());
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
