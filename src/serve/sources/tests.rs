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
