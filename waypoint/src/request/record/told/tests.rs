//! Envoy's words for what is refused.

use ambit_decide::Refusal;
use ambit_model::PolicyName;

use super::*;

#[test]
fn nothing_is_blamed_on_a_policy_but_what_a_policy_refuses() {
    let of = |reason| Fault::of(&Refusal::new(reason, "so"));
    let jwt = |reason: Reason, said| {
        Fault::new(401, Flag::Denied, reason.word(), "so").saying(said, None)
    };
    let late = |flag| Fault::new(504, flag, "timeout", "so");
    let named = of(Reason::PolicyDenied).by(Some(PolicyName::new("shop", "closed")));
    let numbered = Fault::of(&Refusal {
        rule: Some(2),
        ..Refusal::by_policy(
            Reason::PolicyDenied,
            PolicyName::new("shop", "closed"),
            "so",
        )
    });
    for (fault, details) in [
        (
            named,
            "rbac_access_denied_matched_policy[ns[shop]-policy[closed]]",
        ),
        (
            numbered,
            "rbac_access_denied_matched_policy[ns[shop]-policy[closed]-rule[2]]",
        ),
        (
            of(Reason::NoMatchingAllow),
            "rbac_access_denied_matched_policy[none]",
        ),
        (
            jwt(Reason::JwtExpired, "Jwt is expired"),
            "jwt_authn_access_denied{Jwt_is_expired}",
        ),
        (of(Reason::AuthenticationUnknown), "authentication_unknown"),
        (of(Reason::PoliciesUnknown), "policies_unknown"),
        (of(Reason::OutsideAddress), "outside_address"),
        (late(Flag::Timeout), "response_timeout"),
        (late(Flag::TryTimeout), "upstream_per_try_timeout"),
    ] {
        assert_eq!(details_of(&fault, false), details);
    }
}
