use super::*;

#[test]
fn one_in_a_while_is_due_and_tells_of_the_others() {
    let (seldom, start) = (Seldom::default(), clock::now());
    let after = |millis| start + Duration::from_millis(millis);
    assert_eq!(seldom.due_at(start), Some(0));
    assert_eq!(seldom.due_at(after(1)), None);
    assert_eq!(seldom.due_at(after(999)), None);
    assert_eq!(seldom.due_at(after(1000)), Some(2));
    assert_eq!(seldom.due_at(after(1001)), None);
    assert_eq!(seldom.due_at(after(9000)), Some(1));
    assert_eq!(seldom.due_at(after(20_000)), Some(0));
}
