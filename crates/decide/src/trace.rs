//! Steps of a decision, written down for `ambit explain` and for nobody else.
//!
//! A decision function takes a [`Trace`] and hands it each step as a closure. On a connection's
//! path the trace is [`Silent`]: the closures are never called and nothing is left of them.

use std::fmt;

use crate::refusal::Refusal;

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// What was found or decided.
    pub text: String,
    /// The object that it rests on, such as `service shop/web.shop.svc.cluster.local`.
    pub object: Option<String>,
}

impl Step {
    /// A step that rests on no object.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            object: None,
        }
    }

    /// A step that rests on an object of this kind and name.
    pub(crate) fn of(kind: &str, name: &dyn fmt::Display, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            object: Some(format!("{kind} {name}")),
        }
    }
}

/// How a decision came about, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<T> {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The decision.
    pub outcome: Result<T, Refusal>,
}

impl<T> Explanation<T> {
    /// Runs a decision and keeps its steps; a refusal becomes the last of them.
    pub(crate) fn of(decide: impl FnOnce(&mut Vec<Step>) -> Result<T, Refusal>) -> Self {
        let mut steps = Vec::new();
        let outcome = decide(&mut steps);
        if let Err(refusal) = &outcome {
            let object = refusal
                .policy
                .as_ref()
                .map(|policy| format!("policy {policy}"));
            steps.push(Step {
                text: format!("refused: {refusal}"),
                object,
            });
        }
        Self { steps, outcome }
    }
}

/// Somebody who may or may not want to know the steps.
pub(crate) trait Trace {
    /// Takes a step.
    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody.
pub(crate) struct Silent;

impl Trace for Silent {
    fn note(&mut self, _step: impl FnOnce() -> Step) {}
}

impl Trace for Vec<Step> {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}
