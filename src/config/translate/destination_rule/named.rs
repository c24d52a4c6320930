//! Hosts whose endpoints clients name: what chooses among endpoints has none to choose among there, and says so.

use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::destination_rule::balancing::{LoadBalancer, Simple};
use crate::config::objects::destination_rule::policy::OutlierDetection;
use crate::config::problem::Finding;
use crate::config::translate::service_entry::Way;

/// What of a rule is not followed for such a host; nothing if it is none.
pub(super) fn findings(host: &str, way: Way, object: &DestinationRule) -> Vec<Finding> {
    let (what, advice, as_it_is) = match way {
        Way::Kept => (
            "the address that a client asks for is gone to",
            "leave it out, or give the ServiceEntry endpoints and resolution STATIC",
            Simple::Passthrough,
        ),
        Way::Named => (
            "the host that a client names is gone to, at any of its addresses",
            "leave it out, or write a ServiceEntry for the host itself, with resolution DNS",
            Simple::Random,
        ),
        Way::Endpoints | Way::Itself => return Vec::new(),
    };
    let mut found = Vec::new();
    let mut not_followed = |field: String| {
        let what = format!("not followed for `{host}`: {what}");
        found.push(Finding::new(field, what, advice));
    };
    let mut part =
        |field: &str, balancer: Option<&LoadBalancer>, outliers: Option<&OutlierDetection>| {
            if balancer.is_some_and(|balancer| !says_only(balancer, &as_it_is)) {
                not_followed(format!("{field}.loadBalancer"));
            }
            if outliers.is_some() {
                not_followed(format!("{field}.outlierDetection"));
            }
        };
    for (field, policy) in object.policies() {
        part(
            &field,
            policy.load_balancer.as_ref(),
            policy.outlier_detection.as_ref(),
        );
        for (index, port) in policy.port_level_settings.iter().enumerate() {
            let field = format!("{field}.portLevelSettings[{index}]");
            part(
                &field,
                port.load_balancer.as_ref(),
                port.outlier_detection.as_ref(),
            );
        }
    }
    for (index, subset) in object.spec.subsets.iter().enumerate() {
        if !subset.labels.is_empty() {
            not_followed(format!("spec.subsets[{index}].labels"));
        }
    }
    found
}

/// Whether a balancer says what is so in any case, and nothing else.
fn says_only(balancer: &LoadBalancer, simple: &Simple) -> bool {
    balancer.simple.as_ref() == Some(simple)
        && balancer.consistent_hash.is_none()
        && balancer.locality_lb_setting.is_none()
        && balancer.warmup.is_none()
        && balancer.warmup_duration_secs.is_none()
}
