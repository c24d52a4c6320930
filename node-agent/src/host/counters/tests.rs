use super::*;

#[test]
fn every_counter_has_its_own_place_and_name() {
    let counters = Counters::default();
    for (number, count) in (1..).zip(Count::ALL) {
        counters.add(count, number);
    }
    let numbers = counters.numbers();
    assert_eq!(numbers.len(), Count::ALL.len());
    for (number, count) in (1..).zip(Count::ALL) {
        assert_eq!(numbers[count.word()], number, "{count:?}");
    }
}
