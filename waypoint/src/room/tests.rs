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
