//! A span as its bytes: `opentelemetry.proto.trace.v1.Span`, written in one go into one piece of memory.
//! One request in ten may have two of them, so nothing is built before that only to be written.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::encoding::{encode_varint, encoded_len_varint};

use super::ERROR;
use crate::span::{Kind, Span, Value};

/// Wire types of protobuf.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
/// Bytes of a span beside its texts and attributes, at most.
const REST: usize = 96;

/// A span as the collector gets it.
#[derive(Debug)]
pub(crate) struct Encoded(Vec<u8>);

impl Encoded {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<&Span<'_>> for Encoded {
    fn from(span: &Span<'_>) -> Self {
        let mut out = Vec::with_capacity(room(span));
        bytes(1, span.trace.bytes(), &mut out);
        bytes(2, span.id.bytes(), &mut out);
        if !span.state.is_empty() {
            bytes(3, span.state.as_bytes(), &mut out);
        }
        if let Some(parent) = span.parent {
            bytes(4, parent.bytes(), &mut out);
        }
        bytes(5, span.name.as_bytes(), &mut out);
        let kind = match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        };
        number(6, kind, &mut out);
        time(7, span.began, &mut out);
        time(8, span.ended, &mut out);
        for (name, value) in span.attributes {
            attribute(9, name, value, &mut out);
        }
        if let Some(message) = span.error {
            let code = 1 + encoded_len_varint(ERROR);
            begin(15, length_of(message) + code, &mut out);
            bytes(2, message.as_bytes(), &mut out);
            number(3, ERROR, &mut out);
        }
        Self(out)
    }
}

/// As many bytes as the span takes, or a few more.
fn room(span: &Span<'_>) -> usize {
    let of_attribute =
        |(name, value): &(&str, Value<'_>)| length_of_message(length_of_attribute(name, value));
    let attributes: usize = span.attributes.iter().map(of_attribute).sum();
    let error = span.error.map_or(0, length_of);
    REST + length_of(span.state) + length_of(span.name) + attributes + error
}

/// `KeyValue`, with the `AnyValue` in it.
fn attribute(field: u8, name: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    begin(field, length_of_attribute(name, value), out);
    bytes(1, name.as_bytes(), out);
    begin(2, length_of_value(value), out);
    match value {
        Value::Text(text) => bytes(1, text.as_bytes(), out),
        Value::Number(value) => number(3, value.cast_unsigned(), out),
    }
}

/// Bytes of a `KeyValue`.
fn length_of_attribute(name: &str, value: &Value<'_>) -> usize {
    length_of(name) + length_of_message(length_of_value(value))
}

/// Bytes of an `AnyValue`.
fn length_of_value(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => length_of(text),
        Value::Number(number) => 1 + encoded_len_varint(number.cast_unsigned()),
    }
}

/// Bytes of a field that is a text.
fn length_of(text: &str) -> usize {
    length_of_message(text.len())
}

/// Bytes of a field that is a text or message of this length.
fn length_of_message(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Before the bytes of a text or message. Fields of these messages are below 16.
fn begin(field: u8, length: usize, out: &mut Vec<u8>) {
    out.push(field << 3 | BYTES);
    encode_varint(length as u64, out);
}

fn bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    begin(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn number(field: u8, number: u64, out: &mut Vec<u8>) {
    out.push(field << 3 | VARINT);
    encode_varint(number, out);
}

fn time(field: u8, time: SystemTime, out: &mut Vec<u8>) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    out.push(field << 3 | FIXED64);
    out.extend_from_slice(&nanos.to_le_bytes());
}

#[cfg(test)]
pub(super) mod tests;
