use super::*;

#[test]
fn few_go_at_once_and_many_one_by_one() {
    let (pace, now) = (Pace::default(), Instant::now());
    for _ in 0..BURST {
        assert_eq!(pace.turn(now), now);
    }
    assert_eq!(pace.turn(now), now + EACH);
    assert_eq!(pace.turn(now), now + 2 * EACH);
    let later = now + Duration::from_secs(3600);
    for _ in 0..BURST {
        assert_eq!(pace.turn(later), later);
    }
    assert!(pace.turn(later) > later);
}
