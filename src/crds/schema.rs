//! Pieces of a structural schema, in as many words as a definition needs.

use serde_json::{Map, Value, json};

/// One place of a document, and what may stand there.
#[derive(Clone, Debug)]
pub(super) struct Schema(Map<String, Value>);

impl Schema {
    fn of(kind: &str, description: &str) -> Self {
        let schema = Self(Map::new()).with("type", kind);
        if description.is_empty() {
            schema
        } else {
            schema.with("description", description)
        }
    }

    /// A text.
    pub(super) fn text(description: &str) -> Self {
        Self::of("string", description)
    }

    /// A whole number.
    pub(super) fn number(description: &str) -> Self {
        Self::of("integer", description).with("format", "int64")
    }

    /// A part of a hundred.
    pub(super) fn share(description: &str) -> Self {
        let number = Self::of("number", description).with("format", "double");
        number.with("minimum", 0).with("maximum", 100)
    }

    /// Yes or no.
    pub(super) fn truth(description: &str) -> Self {
        Self::of("boolean", description)
    }

    /// A time of day.
    pub(super) fn time(description: &str) -> Self {
        Self::text(description).with("format", "date-time")
    }

    /// One of these words.
    pub(super) fn word(description: &str, words: &[&str]) -> Self {
        Self::text(description).with("enum", words)
    }

    /// A list of such.
    pub(super) fn list(description: &str, item: Self) -> Self {
        Self::of("array", description).with("items", item)
    }

    /// A map from any text to such.
    pub(super) fn map(description: &str, value: Self) -> Self {
        Self::of("object", description).with("additionalProperties", value)
    }

    /// An object of these fields. A field that is not among them is kept, for the reader to refuse.
    pub(super) fn object<const N: usize>(description: &str, fields: [(&str, Self); N]) -> Self {
        let fields: Map<String, Value> = fields
            .into_iter()
            .map(|(name, schema)| (name.to_owned(), schema.into()))
            .collect();
        Self::of("object", description)
            .with("properties", fields)
            .with("x-kubernetes-preserve-unknown-fields", true)
    }

    /// With one more keyword.
    pub(super) fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0.insert(keyword.to_owned(), value.into());
        self
    }

    /// With a rule in CEL, and what is said if it does not hold.
    pub(super) fn rule(mut self, rule: &str, message: &str) -> Self {
        let rules = self.0.entry("x-kubernetes-validations");
        if let Value::Array(rules) = rules.or_insert_with(|| json!([])) {
            rules.push(json!({"rule": rule, "message": message}));
        }
        self
    }
}

impl From<Schema> for Value {
    fn from(schema: Schema) -> Self {
        Self::Object(schema.0)
    }
}
