//! Rules read from what people write, in namespace `shop`.

use std::sync::Arc;

use ambit_model::{Condition, Operation, PolicyProblem, RequestRule, Source};
use serde_json::{Map, Value};

/// A rule of Istio. Panics if there is anything wrong with it.
pub(super) fn rule(written: &Value) -> RequestRule {
    try_rule(written).unwrap_or_else(|problem| panic!("{written}: {problem}"))
}

/// A rule of Istio, marked if it has what cannot be evaluated.
pub(super) fn try_rule(written: &Value) -> Result<RequestRule, PolicyProblem> {
    let own: Arc<str> = "shop".into();
    let mut rule = RequestRule::default();
    for entry in list(written, "from") {
        let mut source = Source::default();
        for (field, values) in object(&entry["source"]) {
            source.put(field, &texts(values), &own)?;
        }
        rule.from.push(source);
    }
    for entry in list(written, "to") {
        let mut operation = Operation::default();
        for (field, values) in object(&entry["operation"]) {
            operation.put(field, &texts(values))?;
        }
        rule.to.push(operation);
    }
    for entry in list(written, "when") {
        let key = entry["key"].as_str().unwrap();
        let (yes, no) = (texts(&entry["values"]), texts(&entry["notValues"]));
        match Condition::parse(key, &yes, &no, &own) {
            Ok(condition) => rule.when.push(condition),
            Err(problem) if problem.is_unsupported => rule.unsupported = true,
            Err(problem) => return Err(problem),
        }
    }
    Ok(rule)
}

fn list<'v>(rule: &'v Value, field: &str) -> &'v [Value] {
    rule[field].as_array().map_or(&[], Vec::as_slice)
}

fn object(entry: &Value) -> &Map<String, Value> {
    entry.as_object().unwrap()
}

fn texts(values: &Value) -> Vec<&str> {
    let values = values.as_array().map_or(&[][..], Vec::as_slice);
    values.iter().map(|value| value.as_str().unwrap()).collect()
}
