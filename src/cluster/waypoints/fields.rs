//! Setting fields of documents. What leads to a field is made if it is not there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The value at a path of names.
pub(super) fn at<'a>(document: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut place = document;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(map) => map.entry(*name).or_insert(Value::Null),
            other => other,
        };
    }
    place
}

/// Sets a field.
pub(super) fn set(document: &mut Value, path: &[&str], value: impl Into<Value>) {
    *at(document, path) = value.into();
}

/// Adds texts to a map of texts.
pub(super) fn add<K, V>(document: &mut Value, path: &[&str], texts: &BTreeMap<K, V>)
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    if texts.is_empty() {
        return;
    }
    let map = at(document, path);
    for (name, text) in texts {
        set(map, &[name.as_ref()], text.as_ref());
    }
}

/// Whether a setting asks for nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
