use super::*;
use crate::proxy::fixtures::{pod, resolving};
use crate::proxy::ledger::Family;
use crate::proxy::names::forward::tests::{Scripted, answer};

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn the_last_addresses_hold_while_the_resolver_is_away_and_no_longer() {
    let (host, start) = (Host::default(), clock::now());
    let kept = || host.until().unwrap() - start;
    assert!(host.learn(Told::Silence, start).is_empty());
    assert_eq!(kept(), NOTHING_KEPT);
    for (ttl, held) in [(0, 5), (60, 60), (86_400, 300)] {
        let told = Told::Addresses(vec![ip(1), ip(2)], Duration::from_secs(ttl));
        assert_eq!(host.learn(told, start)[..], [ip(1), ip(2)]);
        assert_eq!(kept(), Duration::from_secs(held));
    }
    for _ in 0..3 {
        assert_eq!(host.learn(Told::Silence, start)[..], [ip(1), ip(2)]);
    }
    assert_eq!(kept(), NOTHING_KEPT);
    assert!(host.learn(Told::None, start).is_empty());
    assert!(host.learn(Told::Silence, start).is_empty());
}

#[test]
fn each_call_begins_with_another_address() {
    let host = Host::default();
    let all = [ip(1), ip(2), ip(3)];
    let firsts: Vec<_> = (0..6).map(|_| host.in_turn(&all)[0]).collect();
    assert_eq!(firsts, [all, all].concat());
    assert!(host.in_turn(&[]).is_empty());
}

#[test]
fn one_family_is_enough_and_silence_of_one_hides_that_there_is_none() {
    let found = |last, ttl| Told::Addresses(vec![ip(last)], Duration::from_secs(ttl));
    assert_eq!(both(found(1, 9), Told::Silence), found(1, 9));
    assert_eq!(both(Told::None, found(2, 9)), found(2, 9));
    let two = Told::Addresses(vec![ip(1), ip(2)], Duration::from_secs(5));
    assert_eq!(both(found(1, 9), found(2, 5)), two);
    assert_eq!(both(Told::None, Told::None), Told::None);
    assert_eq!(both(Told::None, Told::Silence), Told::Silence);
}

#[test]
fn so_many_names_are_kept_of_a_pod_and_no_more() {
    let hosts = Hosts::default();
    for n in 0..2 * MOST {
        hosts.host(&n.to_string().into());
    }
    assert_eq!(hosts.0.lock().len(), MOST);
}

#[tokio::test]
async fn a_name_is_asked_for_once_whoever_waits() {
    let mut resolver = Scripted::start().await;
    let (path, pod) = (resolving(&[resolver.address]), Arc::new(pod()));
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let (path, pod) = (Arc::clone(&path), Arc::clone(&pod));
            tokio::spawn(async move {
                let name = "api.example.com".into();
                pod.hosts.resolve(&path, &pod, &name).await
            })
        })
        .collect();
    let (sent, from) = resolver.asked().await;
    resolver.says(&answer(&sent, [192, 0, 2, 9]), from).await;
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), [ip(9)]);
    }
    assert_eq!(path.ledger.total(Family::ResolverRequests), 1);
}

#[tokio::test]
async fn addresses_at_hand_are_used_while_they_are_asked_for_again() {
    let mut resolver = Scripted::start().await;
    let (path, pod) = (resolving(&[resolver.address]), Arc::new(pod()));
    let name: Arc<str> = "api.example.com".into();
    let host = pod.hosts.host(&name);
    let before = clock::now().checked_sub(KEPT.0).unwrap();
    host.learn(Told::Addresses(vec![ip(1)], Duration::ZERO), before);
    // Nobody has answered yet.
    for _ in 0..3 {
        assert_eq!(pod.hosts.resolve(&path, &pod, &name).await, [ip(1)]);
    }
    let (sent, from) = resolver.asked().await;
    resolver.says(&answer(&sent, [192, 0, 2, 9]), from).await;
    drop(host.asking.lock().await);
    assert_eq!(pod.hosts.resolve(&path, &pod, &name).await, [ip(9)]);
    assert_eq!(path.ledger.total(Family::ResolverRequests), 1);
    let long_after = host.until().unwrap() + STALE;
    assert_eq!(host.stale(long_after), None);
}

#[tokio::test]
async fn a_family_that_nobody_tells_of_is_not_waited_for() {
    let mut resolver = Scripted::start().await;
    let mut pod = pod();
    pod.ips.push("fd00::1".parse().unwrap());
    let (path, pod) = (resolving(&[resolver.address]), Arc::new(pod));
    let name: Arc<str> = "api.example.com".into();
    let saying = async {
        for _ in 0..2 {
            let (sent, from) = resolver.asked().await;
            if Some(&sent) == question(&sent, A).as_ref() {
                resolver.says(&answer(&sent, [192, 0, 2, 9]), from).await;
            }
        }
    };
    let begun = clock::now();
    let (found, ()) = tokio::join!(pod.hosts.resolve(&path, &pod, &name), saying);
    assert_eq!(found, [ip(9)]);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// The question with the number of this one.
fn question(sent: &[u8], kind: u16) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([sent[0], sent[1]]);
    ask(id, "api.example.com", kind)
}
