//! How much the rules of a namespace may be for one service. They are kept for each service that they are for,
//! by the control plane and by its waypoints: one object for `*` would else take all their memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Notes, Routed};
use crate::config::objects::ObjectKey;
use crate::config::problem::{Finding, Severity};
use crate::config::translate::Inputs;

/// Most bytes for a port of a service, of its own namespace or a root one.
const OWN: usize = 2 << 20;
/// Most bytes for a port of a service of another namespace.
const OTHERS: usize = 64 << 10;

/// What is left for one port of a service.
#[derive(Debug)]
pub(super) struct Bytes<'a> {
    inputs: &'a Inputs<'a>,
    service: &'a ObjectKey,
    /// By namespace.
    left: BTreeMap<Arc<str>, usize>,
}

impl<'a> Bytes<'a> {
    /// All of it.
    pub(super) fn of(inputs: &'a Inputs<'a>, service: &'a ObjectKey) -> Self {
        Self {
            inputs,
            service,
            left: BTreeMap::new(),
        }
    }

    /// Takes the rules of an object as far as there is room. In place of the rest stands one rule that answers
    /// whatever comes to it with 500.
    pub(super) fn bound(&mut self, key: &ObjectKey, rules: &mut Vec<Routed>, notes: &mut Notes) {
        let namespace = &key.namespace;
        let is_own =
            *namespace == self.service.namespace || self.inputs.settings.is_root(namespace);
        let most = if is_own { OWN } else { OTHERS };
        let left = self.left.entry(Arc::clone(namespace)).or_insert(most);
        let over = rules.iter().position(|rule| {
            let rest = left.checked_sub(size(rule));
            *left = rest.unwrap_or(0);
            rest.is_none()
        });
        let Some(over) = over else {
            return;
        };
        rules.truncate(over);
        let name = format!("VirtualService/{namespace}/{}/too-large", key.name).into();
        let refusing = ambit_model::HttpRule {
            name,
            ..ambit_model::HttpRule::default()
        };
        rules.push((vec![ambit_model::HttpMatch::default()], refusing));
        let what = format!(
            "more than {most} bytes of rules of namespace {namespace} for {}: all requests that would come to rule \
             {over} of this object or a later one are answered with 500",
            self.service
        );
        let advice = "shorten bodies and headers, or name fewer hosts";
        notes
            .of(key)
            .note(Severity::Error, Finding::new("spec.http", what, advice));
    }
}

/// Bytes of a rule as waypoints are told it, near enough.
fn size((matches, rule): &Routed) -> usize {
    let mut count = Count(0);
    let counted = serde_json::to_writer(&mut count, &(matches, rule));
    // Counting does not fail.
    counted.map_or(usize::MAX, |()| count.0)
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
