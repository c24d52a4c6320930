//! What one waypoint tells the next.

use ambit_model::{Change, Health};

use super::*;
use crate::endpoint::Via;
use crate::fixtures::endpoint;

fn told(lines: &[&'static str], by_waypoint: bool) -> Hops {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(HOPS, HeaderValue::from_static(line));
    }
    let hops = Hops::take(&mut headers, by_waypoint);
    assert!(headers.is_empty(), "nobody behind us is to see it");
    hops
}

#[test]
fn the_largest_number_counts_whatever_else_is_there() {
    for (lines, waypoints, is_copy) in [
        (&[][..], 0, false),
        (&["3"], 3, false),
        (&["3 copy"], 3, true),
        (&["3, 7", "5"], 7, false),
        (&["nonsense", "-1", "99999999999"], 0, false),
    ] {
        let expected = Hops { waypoints, is_copy };
        assert_eq!(told(lines, true), expected, "{lines:?}");
    }
}

#[test]
fn only_a_waypoint_is_believed_that_a_request_is_a_copy() {
    for lines in [&["copy"][..], &["3 copy"], &["3", "copy"]] {
        assert!(told(lines, true).is_copy, "{lines:?}");
        let by_anybody = told(lines, false);
        assert!(!by_anybody.is_copy, "{lines:?}");
        assert_eq!(by_anybody.waypoints, told(lines, true).waypoints);
    }
    for (source, expected) in [
        (Some(SOURCE.1), true),
        (Some("gateway"), false),
        (Some("waypoint, x"), false),
        (None, false),
    ] {
        assert_eq!(is_of_waypoint(source), expected, "{source:?}");
    }
}

#[test]
fn a_request_comes_through_ten_waypoints_and_no_more() {
    let Change::PutWorkload(pod) = endpoint("w", "w", "10.0.0.4", Health::Healthy) else {
        panic!("no workload")
    };
    let mut to = Destination::new(&pod, "10.0.0.4:80".parse().unwrap());
    let mut headers = HeaderMap::new();
    Hops::default().tell(&to, &mut headers);
    assert!(headers.is_empty(), "an endpoint is told nothing");
    to.via = Some(Via {
        to: "10.0.0.4:15008".parse().unwrap(),
        expected: [].into(),
    });
    let mut hops = Hops::default().of_copy();
    for _ in 0..MOST {
        assert!(hops.check().is_ok(), "{hops:?}");
        hops.tell(&to, &mut headers);
        hops = Hops::take(&mut headers, true);
        assert!(hops.is_copy);
    }
    assert_eq!(hops.check().unwrap_err().status, 508);
}
