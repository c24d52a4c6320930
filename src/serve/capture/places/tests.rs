use super::*;

#[test]
fn a_node_has_its_share_of_each_kind_and_gets_it_back() {
    let places = Places::default();
    let node = Arc::from("n1");
    let mut held: Vec<Place> = (0..OF_ONE)
        .map(|_| places.enter("report", &node).unwrap())
        .collect();
    let refused = places.enter("report", &node).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("n1"), "{refused}");
    drop(places.enter("trust", &node).unwrap());
    drop(places.enter("report", &"n2".into()).unwrap());
    held.pop();
    held.push(places.enter("report", &node).unwrap());
    drop(held);
    assert!(places.0.lock().is_empty());
}
