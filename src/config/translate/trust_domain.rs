//! Principals of policies, in the mesh's trust domain.
//!
//! `cluster.local/…` stands for the mesh's own trust domain whatever that is called, as in Istio: most policies are
//! written so.

use ambit_model::{Condition, RequestPolicy, Rule, StringMatch, Values};

/// What stands for the mesh's own.
pub(super) const LOCAL: &str = "cluster.local";

/// Puts the mesh's name in the place of the word for it, in what agents judge by.
pub(super) fn name_in_rules(rules: &mut [Rule], trust_domain: &str) {
    let clauses = rules.iter_mut().flat_map(|rule| &mut rule.clauses);
    for one in clauses.flat_map(|clause| &mut clause.matches) {
        let principals = one.principals.iter_mut().chain(&mut one.not_principals);
        principals.for_each(|principal| name_in(principal, trust_domain));
    }
}

/// The same, in what waypoints judge by.
pub(super) fn name_in_requests(policy: &mut RequestPolicy, trust_domain: &str) {
    for rule in &mut policy.rules {
        let sources = rule.from.iter_mut().map(|source| &mut source.principals);
        let conditions = rule
            .when
            .iter_mut()
            .filter_map(|condition| match condition {
                Condition::SourcePrincipal(values) => Some(values),
                _ => None,
            });
        for Values { any, none } in sources.chain(conditions) {
            let principals = any.iter_mut().chain(none);
            principals.for_each(|principal| name_in(principal, trust_domain));
        }
    }
}

fn name_in(principal: &mut StringMatch, trust_domain: &str) {
    if let StringMatch::Exact(text) | StringMatch::Prefix(text) = principal
        && let Some(rest) = text.strip_prefix(LOCAL)
        && rest.starts_with('/')
    {
        *text = format!("{trust_domain}{rest}").into();
    }
}
