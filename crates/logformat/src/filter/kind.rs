//! What kind of value an expression comes to, and what it is called to people.

use super::{Attribute, Expression, Value};

/// What kind of value something comes to, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Truth,
    Number,
    Text,
    Span,
}

impl Expression {
    /// What kind of value it comes to.
    pub(super) fn kind(&self) -> Option<Type> {
        Some(match self {
            Self::Constant(Value::Number(_)) => Type::Number,
            Self::Constant(Value::Text(_)) => Type::Text,
            Self::Constant(Value::Span(_)) => Type::Span,
            Self::Attribute(Attribute::Known(name)) => match *name {
                "connection.mtls" => Type::Truth,
                "request.duration" => Type::Span,
                "destination.port"
                | "request.size"
                | "response.code"
                | "response.grpc_status"
                | "response.size"
                | "source.port"
                | "upstream.port" => Type::Number,
                _ => Type::Text,
            },
            Self::Attribute(Attribute::Header(..)) | Self::AsText(_) | Self::Join(_) => Type::Text,
            Self::Choice(of) => {
                let [_, one, _] = &**of;
                return one.kind();
            }
            _ => Type::Truth,
        })
    }

    /// It, for people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Attribute(Attribute::Known(name)) => (*name).to_owned(),
            Self::Attribute(Attribute::Header(_, name)) => format!("the header {name}"),
            _ => "a value".to_owned(),
        }
    }
}
