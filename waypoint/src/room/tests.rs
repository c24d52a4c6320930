//! One client cannot take the room of others, and what is given back can be had again.

use super::*;

fn client(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

#[test]
fn a_client_has_its_share_and_all_have_no_more_than_there_is() {
    let room = Room::new(3, 2);
    let first = [room.take(client(1)), room.take(client(1))];
    assert!(first.iter().all(Option::is_some));
    assert!(room.take(client(1)).is_none(), "more than its share");
    let other = room.take(client(2));
    assert!(other.is_some());
    assert!(room.take(client(3)).is_none(), "more than there is");
    // A share that found no room is not held.
    drop(other);
    assert!(room.take(client(3)).is_some());
    drop(first);
    assert!(room.take(client(1)).is_some());
}

#[test]
fn the_clients_of_one_namespace_leave_a_quarter_to_others() {
    let room = Room::new(8, 4);
    let client = |last| IpAddr::from([10, 0, 0, last]);
    let mut held: Vec<_> = (0..8)
        .filter_map(|last| room.take_of(client(last), "shop"))
        .collect();
    assert_eq!(held.len(), 6);
    let others: Vec<_> = (8..16)
        .filter_map(|last| room.take_of(client(last), "other"))
        .collect();
    assert_eq!(others.len(), 2);
    drop(others);
    held.pop();
    assert!(room.take_of(client(9), "shop").is_some());
    drop(held);
    assert!(room.namespaces.held.lock().is_empty());
}
