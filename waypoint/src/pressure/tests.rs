//! Readings in, levels out.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::fixtures::service;
use crate::scene::{Peer, Scene, head, rest, soon};

/// Thousandths of the limit.
const PART: u64 = 1 << 20;
const LIMIT: u64 = 1000 * PART;

fn levels(readings: &[u64]) -> Vec<Level> {
    let pressure = Pressure::new(LIMIT);
    let seen = readings.iter().map(|used| pressure.see(*used * PART).now);
    seen.collect()
}

#[test]
fn what_begins_is_refused_from_high_water_on_and_until_well_below_it() {
    use Level::{Enough, High};
    assert_eq!(
        levels(&[849, 850, 849, 750, 749]),
        [Enough, High, High, High, Enough]
    );
    // It does not come and go.
    assert_eq!(
        levels(&[851, 760, 849, 760, 740, 849]),
        [High, High, High, High, Enough, Enough]
    );
}

#[test]
fn connections_are_ended_near_the_limit_only() {
    use Level::{Enough, High, Last};
    assert_eq!(
        levels(&[899, 900, 870, 869, 899]),
        [High, Last, Last, High, High]
    );
    assert_eq!(levels(&[2000, 10]), [Last, Enough]);
    assert_eq!(levels(&[0, 900, 760]), [Enough, Last, High]);
}

#[test]
fn a_refusal_has_its_reason_and_lasts_as_long_as_the_level() {
    let pressure = Pressure::new(LIMIT);
    assert!(pressure.check().is_ok());
    pressure.see(899 * PART);
    assert_eq!(pressure.check().unwrap_err().reason, Reason::Overloaded);
    assert!(!pressure.has_reached(Level::Last));
    pressure.see(100 * PART);
    assert!(pressure.check().is_ok());
    assert_eq!((pressure.used(), pressure.limit()), (100 * PART, LIMIT));
}

#[test]
fn limits_as_large_as_can_be_do_not_overflow() {
    assert_eq!(Level::Enough.after(u64::MAX, u64::MAX), Level::Last);
    assert_eq!(Level::Last.after(0, u64::MAX), Level::Enough);
    // Nobody could be served, and says so instead of dividing by it.
    assert_eq!(Level::Enough.after(0, 0), Level::Last);
}

#[test]
fn a_small_limit_has_room_for_a_burst_above_the_last_mark() {
    let last = |limit: u64| {
        let pressure = Pressure::new(limit << 20);
        let levels = (0..=limit).map(|mib| Level::Enough.after(mib << 20, pressure.most));
        limit - levels.filter(|level| *level < Level::Last).count() as u64
    };
    assert_eq!([64, 192, 256, 480, 1000].map(last), [16, 48, 48, 48, 100]);
}

#[test]
fn the_less_is_left_the_sooner_it_looks_again() {
    let pressure = Pressure::new(LIMIT);
    let pause = |part: u64| pressure.pause(part * PART).as_millis();
    assert_eq!([0, 450, 750, 840, 2000].map(pause), [212, 100, 25, 5, 5]);
    assert_eq!(Pressure::new(u64::MAX).pause(0).as_millis(), 250);
}

/// What is to be ended at each of these moments, in ms, with so much in use, where what is asked for
/// ends or does not.
fn excesses(readings: &[(u64, u64)], ends: bool) -> Vec<u64> {
    let (pressure, mut ending) = (Pressure::new(LIMIT), Ending::default());
    let began = clock::now();
    let mut excess = |(at, used): (u64, u64)| {
        let now = began + Duration::from_millis(at);
        let used = used * PART;
        let excess = ending.excess(pressure.see(used).now, used, LIMIT, now);
        if excess > 0 {
            let bytes = if ends { excess } else { 0 };
            let count = usize::from(ends);
            ending.ended(Ended { count, bytes }, now);
        }
        excess / PART
    };
    readings.iter().map(|reading| excess(*reading)).collect()
}

#[test]
fn what_is_ended_is_not_asked_for_again_before_it_can_be_seen_to_be_free() {
    let readings = [(0, 900), (10, 900), (20, 930), (30, 930), (1600, 930)];
    assert_eq!(excesses(&readings, true), [200, 0, 30, 0, 230]);
}

#[test]
fn whoever_keeps_others_out_for_long_is_ended_too() {
    let readings = [(0, 860), (900, 860), (1000, 860), (1010, 850), (3000, 700)];
    assert_eq!(excesses(&readings, true), [0, 0, 160, 0, 0]);
    // It begins anew.
    let readings = [(0, 860), (900, 700), (1000, 860), (1900, 860)];
    assert_eq!(excesses(&readings, true), [0; 4]);
}

#[test]
fn where_nobody_holds_it_nobody_is_looked_for_all_the_time() {
    let readings = [(0, 950), (10, 950), (1000, 960), (1500, 960)];
    assert_eq!(excesses(&readings, false), [250, 0, 0, 260]);
}

async fn scene() -> (Scene, Peer) {
    let peer = Peer::start().await;
    let scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
    (scene, peer)
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\n\r\n";

#[tokio::test]
async fn requests_are_refused_while_it_is_short_and_those_under_way_go_on() {
    let (scene, peer) = scene().await;
    let (mut before, mut during) = (scene.client(), scene.client());
    before.write_all(ASK).await.unwrap();
    let (mut endpoint, _) = peer.asked().await;
    scene.proxy.pressure.see(u64::MAX);
    during.write_all(ASK).await.unwrap();
    let refused = head(&mut during).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let mut why = [0; 11];
    soon(during.read_exact(&mut why)).await.unwrap();
    assert_eq!(&why, b"overloaded\n");
    let well = b"HTTP/1.1 204 No Content\r\n\r\n";
    endpoint.write_all(well).await.unwrap();
    assert!(head(&mut before).await.starts_with("HTTP/1.1 204 "));
    scene.proxy.pressure.see(0);
    // The same connection, and an endpoint that is free again.
    during.write_all(ASK).await.unwrap();
    head(&mut endpoint).await;
    endpoint.write_all(well).await.unwrap();
    assert!(head(&mut during).await.starts_with("HTTP/1.1 204 "));
    let labels = ["response_flags=\"OM\"", "response_code=\"503\""];
    scene.await_request(&labels).await;
    let refusals = scene.sum("ambit_refusals_total", &["reason=\"overloaded\""]);
    assert!((refusals - 1.0).abs() < f64::EPSILON, "{refusals}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_ended_and_one_that_waits_is_not() {
    let (scene, peer) = scene().await;
    let (mut waits, mut greedy) = (scene.client(), scene.client());
    waits.write_all(ASK).await.unwrap();
    let (mut slow, _) = peer.asked().await;
    greedy.write_all(ASK).await.unwrap();
    let (mut fast, _) = peer.asked().await;
    let length = 1 << 20;
    let told = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    fast.write_all(told.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        // It breaks off.
        fast.write_all(&vec![b'x'; length]).await.ok();
    });
    let holders = &scene.proxy.pressure.holders;
    soon(async {
        while !holders.leave_unread() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    // What waits and what waits behind it, of one of the two.
    assert_eq!(holders.end(1).count, 1);
    assert!(rest(&mut greedy).await.len() < length);
    soon(sending).await.unwrap();
    slow.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut waits).await.starts_with("HTTP/1.1 204 "));
}
