//! Who is asked for, and for how long.

use ambit_model::{Health, ServiceName};

use super::*;
use crate::fixtures::endpoint;

const CALLER: &str = "10.1.0.7";

fn callers() -> (Callers, mpsc::Receiver<Want<Kind>>) {
    let own = ServiceName::new("shop", "waypoint.shop.svc.cluster.local");
    let view = View::new(own, "10.1.0.1".parse().unwrap());
    let (wants, wanted) = mpsc::channel(8);
    // Nothing is told any more: nobody is ever known.
    let (_, views) = watch::channel(Arc::new(view));
    (Callers::new(wants, views), wanted)
}

/// A caller that stays unknown holds its first connections up, and no later one.
#[tokio::test(start_paused = true)]
async fn only_the_first_calls_of_a_stranger_wait() {
    let (mut callers, _wanted) = callers();
    let own = ServiceName::new("shop", "waypoint.shop.svc.cluster.local");
    let view = View::new(own, "10.1.0.1".parse().unwrap());
    let (_views, seen) = watch::channel(Arc::new(view));
    callers.views = seen;
    let waited = async || {
        let began = tokio::time::Instant::now();
        callers.find(CALLER.parse().unwrap()).await;
        began.elapsed()
    };
    let first = waited().await;
    assert!(first > PATIENCE / 2 && first <= PATIENCE * 2, "{first:?}");
    for _ in 0..3 {
        let next = waited().await;
        assert!(next < PATIENCE / 10, "{next:?}");
    }
}

/// Who is known only because it was asked for a while ago would be forgotten while it calls.
#[tokio::test]
async fn who_is_known_is_asked_for_all_the_same() {
    let (mut callers, mut wanted) = callers();
    let own = ServiceName::new("shop", "waypoint.shop.svc.cluster.local");
    let mut view = View::new(own, "10.1.0.1".parse().unwrap());
    view.apply(
        endpoint("client-0", "client", CALLER, Health::Healthy),
        clock::now(),
    );
    let (_views, seen) = watch::channel(Arc::new(view));
    callers.views = seen;
    let (workload, presence) = callers.find(CALLER.parse().unwrap()).await;
    assert!(workload.is_some() && presence.is_some());
    assert_eq!(wanted.try_recv().unwrap().ask.len(), 1);
}

fn age(callers: &Callers) {
    for asked in callers.asked.lock().all.values_mut() {
        asked.last = clock::now().checked_sub(FORGOTTEN).unwrap();
    }
}

#[tokio::test]
async fn an_address_is_asked_for_once_and_left_when_it_no_longer_calls() {
    let (callers, mut wanted) = callers();
    let address: IpAddr = CALLER.parse().unwrap();
    for _ in 0..2 {
        let (workload, presence) = callers.find(address).await;
        assert!(workload.is_none() && presence.is_some());
    }
    let asked = wanted.try_recv().unwrap();
    assert_eq!((asked.ask.len(), asked.leave.len()), (1, 0));
    assert!(wanted.try_recv().is_err(), "asked for once");
    callers.forget();
    assert!(wanted.try_recv().is_err(), "it has just called");
    age(&callers);
    callers.forget();
    let left = wanted.try_recv().unwrap();
    assert_eq!(left.leave, asked.ask);
}

#[tokio::test]
async fn an_address_with_something_open_is_not_left() {
    let (callers, mut wanted) = callers();
    let (_, presence) = callers.find(CALLER.parse().unwrap()).await;
    wanted.try_recv().unwrap();
    age(&callers);
    callers.forget();
    drop(presence);
    callers.forget();
    assert!(wanted.try_recv().is_err(), "its time begins at the end");
    age(&callers);
    callers.forget();
    assert_eq!(wanted.try_recv().unwrap().leave.len(), 1);
}

/// What is not told to the control plane is not forgotten here: it would be asked for to the end.
#[tokio::test]
async fn an_address_that_cannot_be_left_now_is_left_later() {
    let (callers, mut wanted) = callers();
    let address: IpAddr = CALLER.parse().unwrap();
    callers.find(address).await;
    let asked = wanted.try_recv().unwrap();
    let other = |_| Want {
        kind: Kind::Address,
        ask: Vec::new(),
        leave: Vec::new(),
    };
    let mut filled = (0..8).map(other).map(|want| callers.wants.try_send(want));
    assert!(filled.all(|sent| sent.is_ok()));
    age(&callers);
    callers.forget();
    while wanted.try_recv().is_ok() {}
    callers.forget();
    assert_eq!(wanted.try_recv().unwrap().leave, asked.ask);
}

/// The control plane says nothing: that is not that nobody is there.
#[tokio::test(start_paused = true)]
async fn an_address_outside_is_not_gone_to_until_the_control_plane_has_said_who_is_there() {
    let (callers, mut wanted) = callers();
    let (address, other) = (CALLER.parse().unwrap(), "10.1.0.8".parse().unwrap());
    assert!(callers.outside(address).await.is_none());
    let asked = wanted.try_recv().unwrap();
    callers.heard([other].into_iter());
    assert!(callers.outside(address).await.is_none());
    callers.heard([address].into_iter());
    let presence = callers.outside(address).await;
    assert!(presence.is_some());
    // It goes away: what it has said holds, and what is new is not gone to.
    drop(wanted);
    for _ in 0..3 {
        tokio::time::sleep(AGAIN * 2).await;
        assert!(callers.outside(address).await.is_some());
        assert!(callers.outside(other).await.is_none());
    }
    assert_eq!(asked.ask.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_on_when_the_answer_comes() {
    let (callers, _wanted) = callers();
    let address = CALLER.parse().unwrap();
    let began = tokio::time::Instant::now();
    let answer = async {
        tokio::time::sleep(PATIENCE / 10).await;
        callers.heard([address].into_iter());
    };
    let (presence, ()) = tokio::join!(callers.outside(address), answer);
    assert!(presence.is_some());
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

/// A stream that breaks may take the answer with it.
#[tokio::test(start_paused = true)]
async fn an_address_outside_without_an_answer_is_asked_for_again() {
    let (callers, mut wanted) = callers();
    let address = CALLER.parse().unwrap();
    assert!(callers.outside(address).await.is_none());
    assert!(callers.outside(address).await.is_none());
    assert_eq!(wanted.try_recv().unwrap().ask.len(), 1);
    assert!(wanted.try_recv().is_err());
    tokio::time::sleep(AGAIN).await;
    assert!(callers.outside(address).await.is_none());
    assert_eq!(wanted.try_recv().unwrap().ask.len(), 1);
}

fn numbered(number: usize) -> IpAddr {
    let number = u32::try_from(number).unwrap();
    std::net::Ipv4Addr::from_bits(0x0b00_0000 + number).into()
}

#[tokio::test(start_paused = true)]
async fn callers_take_no_room_of_addresses_outside_and_these_take_turns() {
    let (mut callers, _) = callers();
    let (wants, mut wanted) = mpsc::channel(MOST + MOST_OUTSIDE + 8);
    callers.wants = wants;
    for number in 0..MOST {
        assert!(callers.ask(numbered(number), Purpose::Caller).is_some());
    }
    assert!(callers.ask(numbered(MOST), Purpose::Caller).is_none());
    let mut kept = Vec::new();
    for number in MOST..MOST + MOST_OUTSIDE {
        let (presence, _) = callers.ask(numbered(number), Purpose::Outside).unwrap();
        kept.push(presence);
    }
    // All are in use.
    let more = numbered(MOST + MOST_OUTSIDE);
    assert!(callers.outside(more).await.is_none());
    while wanted.try_recv().is_ok() {}
    kept.truncate(MOST_OUTSIDE - 1);
    callers.ask(more, Purpose::Outside).unwrap();
    let wanted = wanted.try_recv().unwrap();
    assert_eq!(wanted.ask, [alias("", more)]);
    assert_eq!(wanted.leave, [alias("", numbered(MOST + MOST_OUTSIDE - 1))]);
    assert_eq!(callers.asked.lock().all.len(), MOST + MOST_OUTSIDE);
}

/// What may go for a further one is known without a look at all of them.
#[tokio::test]
async fn addresses_outside_that_nobody_uses_are_known_as_such() {
    let (callers, mut wanted) = callers();
    let address = CALLER.parse().unwrap();
    let unused = || callers.asked.lock().unused.0.lock().len();
    let (one, _) = callers.ask(address, Purpose::Outside).unwrap();
    let (same, _) = callers.ask(address, Purpose::Outside).unwrap();
    let (caller, _) = callers.ask(numbered(1), Purpose::Caller).unwrap();
    drop((one, caller));
    assert_eq!(unused(), 0);
    drop(same);
    assert_eq!(unused(), 1);
    let again = callers.ask(address, Purpose::Outside).unwrap();
    assert_eq!(unused(), 0);
    drop(again);
    assert_eq!(wanted.try_recv().unwrap().ask.len(), 1);
    age(&callers);
    callers.forget();
    assert_eq!(unused(), 0);
    assert!(callers.asked.lock().all.is_empty());
}
