//! Lines of the access log: a format of a user, and a request of which a client has chosen all that
//! it can.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_logformat::{Entry, Filter, Flag, Format, Shape};
use serde_json::{Value, json};

/// A request whose headers all have one value.
struct Chosen<'a>(&'a [u8]);

impl Entry for Chosen<'_> {
    fn start_time(&self) -> SystemTime {
        let nanos = self
            .0
            .iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        UNIX_EPOCH + Duration::from_nanos(nanos)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.0.len() as u64)
    }

    fn request_header(&self, _name: &str) -> Option<&[u8]> {
        Some(self.0)
    }

    fn response_header(&self, name: &str) -> Option<&[u8]> {
        self.request_header(name)
    }

    fn requested_server_name(&self) -> Option<&[u8]> {
        Some(self.0)
    }

    fn response_flags(&self) -> &[Flag] {
        Flag::ALL
    }
}

/// Formats of users and headers of clients, the first up to a NUL, as text and as JSON: whatever
/// they are, a line is UTF-8, has no breaks but those of its format, and is JSON where it says so.
pub fn log_format(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let entry = Chosen(parts.next().unwrap_or_default());
    let text = text.trim_end_matches(['\n', '\r']);
    let object = json!({"a": text, "b": ["x", text]});
    for format in [
        Format::text(text),
        Format::json(&object),
        Format::json(&json!(text)),
    ] {
        let Ok(format) = format else {
            continue;
        };
        for format in [format.clone(), format.omitting_empty()] {
            let mut line = Vec::new();
            format.write(&entry, &mut line);
            let Ok(line) = String::from_utf8(line) else {
                unreachable!("a line is UTF-8");
            };
            if format.shape() == Shape::Text {
                assert!(line.matches('\n').count() <= text.matches('\n').count() + 1);
            } else {
                assert_eq!(line.matches('\n').count(), 1);
                assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
            }
        }
    }
}

/// Filters of users and requests of clients, the first up to a NUL: whatever is read says yes or no.
pub fn log_filter(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let entry = Chosen(parts.next().unwrap_or_default());
    if let Ok(filter) = Filter::read(&text) {
        let passes = filter.passes(&entry);
        assert_eq!(passes, filter.passes(&entry));
        if let Ok(opposite) = Filter::read(&format!("!({text})")) {
            // What cannot be evaluated passes neither.
            assert!(!(passes && opposite.passes(&entry)), "{text}");
        }
    }
}
