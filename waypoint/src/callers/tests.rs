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

/// A host outside of the mesh would be slow when it is first asked for.
#[tokio::test(start_paused = true)]
async fn where_nobody_is_said_to_be_nobody_is_waited_for() {
    let (mut callers, mut wanted) = callers();
    let own = ServiceName::new("shop", "waypoint.shop.svc.cluster.local");
    let view = Arc::new(View::new(own, "10.1.0.1".parse().unwrap()));
    let (views, seen) = watch::channel(Arc::clone(&view));
    callers.views = seen;
    let address: IpAddr = CALLER.parse().unwrap();
    let answer = async {
        let wanted = wanted.recv().await.unwrap();
        callers.gone(&["other".into(), "/no-address".into(), "/10.1.0.8".into()]);
        views.send_replace(Arc::clone(&view));
        tokio::task::yield_now().await;
        callers.gone(&wanted.ask);
        views.send_replace(Arc::clone(&view));
    };
    let began = tokio::time::Instant::now();
    let (presence, ()) = tokio::join!(callers.stands_at(address), answer);
    assert!(presence.is_some(), "who comes there later is seen");
    assert_eq!(began.elapsed(), Duration::ZERO);
    // A client may be newer than what the control plane knows.
    let (workload, _) = callers.find(address).await;
    assert!(workload.is_none() && began.elapsed() > PATIENCE / 2);
}

/// An address is nobody's only if the control plane says so, and not because it says nothing.
#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_silent_is_waited_for() {
    let (mut callers, _wanted) = callers();
    let own = ServiceName::new("shop", "waypoint.shop.svc.cluster.local");
    let view = View::new(own, "10.1.0.1".parse().unwrap());
    let (_views, seen) = watch::channel(Arc::new(view));
    callers.views = seen;
    let began = tokio::time::Instant::now();
    callers.stands_at(CALLER.parse().unwrap()).await;
    assert!(began.elapsed() > PATIENCE / 2, "{:?}", began.elapsed());
}

/// However many call, it can be asked who is where a host outside is.
#[tokio::test(start_paused = true)]
async fn callers_leave_room_for_hosts() {
    let (callers, mut wanted) = callers();
    let address = |n: usize| IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap()));
    let first = 0x0a02_0000;
    for n in first..first + MOST.1 {
        assert!(callers.ask(address(n), MOST.1).is_some());
        wanted.try_recv().unwrap();
    }
    let next = address(first + MOST.1);
    assert!(callers.find(next).await.1.is_none());
    assert!(callers.stands_at(next).await.is_some());
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
    for asked in callers.asked.lock().values_mut() {
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
