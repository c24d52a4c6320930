//! Which rules of a policy are worth a look: most rules name the identities that they are for, and all
//! others of these are passed over at once. A policy of a hundred rules costs what those of its client do.

use std::sync::Arc;

use foldhash::HashMap;

use crate::rule::Rule;

/// The places of rules, each list in the order of the policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Of those that can only match for certain principals, by these.
    by_principal: HashMap<Arc<str>, Vec<usize>>,
    /// Of all others.
    others: Vec<usize>,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let Some(principals) = rule.principals() else {
                index.others.push(place);
                continue;
            };
            for principal in principals {
                let places = index.by_principal.entry(Arc::clone(principal)).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// Places of rules that may match for a client, in the order of the policy.
    pub(crate) fn candidates(&self, principal: Option<&str>) -> impl Iterator<Item = usize> {
        let own = principal.and_then(|principal| self.by_principal.get(principal));
        let mut own = own.map_or(&[][..], Vec::as_slice);
        let mut others = self.others.as_slice();
        std::iter::from_fn(move || {
            let first = match (own.first(), others.first()) {
                (Some(one), Some(other)) if one < other => &mut own,
                (Some(_), None) => &mut own,
                _ => &mut others,
            };
            let (place, rest) = first.split_first()?;
            *first = rest;
            Some(*place)
        })
    }
}
