use super::*;

#[test]
fn one_source_gets_its_share_and_leaves_the_rest_to_others() {
    let sources = Sources::new(2);
    let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
    let held: Vec<_> = (0..2).map(|_| sources.take(one).unwrap()).collect();
    assert!(sources.take(one).is_none());
    assert!(sources.take(other).is_some());
    drop(held);
    assert!(sources.take(one).is_some());
    assert!(
        sources.held.lock().is_empty(),
        "nothing is kept of who left"
    );
}

#[test]
fn an_ipv6_host_is_one_source_and_a_mapped_address_is_ipv4() {
    let sources = Sources::new(1);
    let take = |ip: &str| sources.take(ip.parse().unwrap());
    let _held = [take("fd00::1"), take("10.0.0.1")];
    assert!(take("fd00::ffff").is_none());
    assert!(take("::ffff:10.0.0.1").is_none());
    assert!(take("fd00:0:0:1::1").is_some());
}

#[tokio::test]
async fn who_waits_for_a_part_gets_it_when_one_of_its_own_is_given_back() {
    let sources = Sources::new(1);
    let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
    let (held, others) = (sources.take(one).unwrap(), sources.take(other).unwrap());
    let mut waiting = pin!(sources.wait(one));
    let mut is_over = async || {
        let now = std::time::Duration::ZERO;
        tokio::time::timeout(now, waiting.as_mut()).await.is_ok()
    };
    assert!(!is_over().await);
    drop(others);
    assert!(!is_over().await, "that was not its own");
    drop(held);
    assert!(is_over().await);
}
