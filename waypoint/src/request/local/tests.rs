//! The status of a refusal.

use super::*;

#[test]
fn who_may_not_is_told_so_and_who_may_later_is_told_to_come_again() {
    for (reason, status) in [
        (Reason::NoMatchingAllow, 403),
        (Reason::PolicyDenied, 403),
        (Reason::PoliciesUnknown, 503),
        (Reason::NoEndpoint, 503),
        (Reason::NoWaypoint, 503),
    ] {
        let fault = Fault::of(&Refusal::new(reason, "so"));
        assert_eq!(fault.status.as_u16(), status, "{reason}");
        assert_eq!(fault.reason, reason.word());
    }
}
