//! The line of a request, written at its end.
//!
//! The query is left out unless it is asked for: it is where clients put what must not be in logs.

use std::borrow::Cow;

use super::Exchange;
use crate::object::Object;
use crate::telemetry::Masking;

impl Exchange<'_> {
    /// One line of JSON with its end, for the [`LineWriter`](crate::LineWriter); with the query of
    /// the path only if there is something that takes the secrets out.
    pub fn to_line(&self, queries: Option<Masking>) -> Vec<u8> {
        let failed = self.reason.is_some() || self.error.is_some();
        let mut line = Object::new("level", if failed { "error" } else { "info" });
        line.now("time");
        line.text("scope", b"access");
        line.text("message", b"access");
        self.write_request(&mut line, queries);
        self.write_outcome(&mut line);
        line.address("src.addr", self.source);
        line.address("dst.addr", self.destination);
        line.ends(self.ends);
        if let Some(upstream) = self.upstream {
            line.address("upstream", upstream);
        }
        line.number("bytes_sent", self.sent);
        line.number("bytes_recv", self.received);
        line.millis("duration_ms", self.duration);
        line.number("tries", self.tries);
        if let Some((trace, span)) = self.trace {
            line.text("trace_id", trace.as_bytes());
            line.text("span_id", span.as_bytes());
        }
        line.into_line()
    }

    fn write_request(&self, line: &mut Object, queries: Option<Masking>) {
        let before_query = || self.path.split(|byte| *byte == b'?').next();
        let path = match queries {
            Some(mask) => Cow::Owned(mask(self.path)),
            None => Cow::Borrowed(before_query().unwrap_or_default()),
        };
        line.text("request_id", self.request_id);
        line.text("method", self.method);
        line.text("path", &path);
        line.text("host", self.host);
        line.text("protocol", self.version.as_bytes());
        line.text("user_agent", self.user_agent);
        line.known("route", self.route);
    }

    fn write_outcome(&self, line: &mut Object) {
        if let Some(status) = self.status {
            line.number("status", status);
        }
        if let Some(status) = self.grpc_status {
            line.number("grpc_status", status);
        }
        line.text("response_flags", self.flags.as_bytes());
        line.known("reason", self.reason);
        if let Some(policy) = self.policy {
            line.text("policy", policy.to_string().as_bytes());
        }
        line.known("error", self.error);
    }
}
