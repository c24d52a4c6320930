//! What an operator comes to for one entry, and how that is written.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::SystemTime;

use crate::entry::Entry;
use crate::escape::{LONGEST, Sink, Style};
use crate::flags::Flag;
use crate::grpc::{self, Form};
use crate::operator::{Address, Field, Headers, Operator, Part, Source};
use crate::redact::{REDACTED, Redaction, Treatment};
use crate::time::TimeFormat;

/// What stands for what is absent in a text.
const ABSENT: &[u8] = b"-";

/// What an operator comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Absent,
    Number(u64),
    /// A number that is a text for a reader of JSON.
    Digits(u32),
    /// A text of ours.
    Text(&'a str),
    /// A text of ours without white space.
    Words(&'a str),
    /// A text of a client's.
    Foreign(&'a [u8]),
    /// A header's value, of which less may be written.
    Header(&'a [u8], Treatment, &'a Headers),
    Time(&'a TimeFormat, SystemTime),
    Flags(&'a [Flag], fn(Flag) -> &'static str),
    Address(SocketAddr),
    Ip(IpAddr),
    Network(IpAddr, u8),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Into a text format.
    Plain,
    /// Into a text of JSON, within its quotes.
    Quoted,
    /// As a value of JSON.
    Typed,
}

/// What all values of a line are written with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) redaction: &'a Redaction,
    /// Nothing is written for what is absent.
    pub(crate) omits_empty: bool,
}

impl Manner<'_> {
    /// Writes a value.
    pub(crate) fn write(&self, value: Value<'_>, mode: Mode, line: &mut Vec<u8>) {
        match (value, mode) {
            (Value::Absent, Mode::Typed) => line.extend_from_slice(b"null"),
            (Value::Absent, _) if self.omits_empty => {}
            (Value::Absent, _) => line.extend_from_slice(ABSENT),
            (Value::Number(number), _) => Sink::new(line, Style::Plain).number(number),
            (_, Mode::Plain) => self.put(value, Style::Plain, line),
            (_, Mode::Quoted) => self.put(value, Style::Json, line),
            (_, Mode::Typed) => {
                line.push(b'"');
                self.put(value, Style::Json, line);
                line.push(b'"');
            }
        }
    }

    fn put(&self, value: Value<'_>, style: Style, line: &mut Vec<u8>) {
        match value {
            Value::Foreign(bytes) => Sink::of(line, style, bytes, LONGEST).put(bytes),
            Value::Header(bytes, treatment, headers) => {
                let room = headers.length.unwrap_or(LONGEST);
                let bytes = match headers.with_query {
                    true => bytes,
                    false => bytes.split(|byte| *byte == b'?').next().unwrap_or_default(),
                };
                let mut sink = Sink::of(line, style, bytes, room);
                match treatment {
                    Treatment::Plain => sink.put(bytes),
                    Treatment::Address => self.redaction.put_address(bytes, &mut sink),
                    Treatment::Secret => sink.put(REDACTED.as_bytes()),
                }
            }
            ours => put_ours(ours, &mut Sink::new(line, style)),
        }
    }
}

/// Writes a value that no client has chosen.
fn put_ours(value: Value<'_>, sink: &mut Sink<'_>) {
    match value {
        Value::Text(text) => sink.put(text.as_bytes()),
        Value::Digits(number) => sink.number(number),
        Value::Words(text) => sink.words(text),
        Value::Time(format, time) => format.put(time, sink),
        Value::Flags(flags, name) => {
            for (position, flag) in flags.iter().enumerate() {
                let before: &[u8] = if position == 0 { b"" } else { b"," };
                sink.put(before);
                sink.put(name(*flag).as_bytes());
            }
        }
        Value::Ip(ip) => put_ip(ip, sink),
        Value::Address(address @ SocketAddr::V4(_)) => {
            put_ip(address.ip(), sink);
            sink.plain(b":");
            sink.number(address.port());
        }
        // Writing to memory does not fail.
        Value::Address(address) => drop(write!(sink, "{address}")),
        Value::Network(ip, bits) => {
            let (first, bits) = network(ip, bits);
            put_ip(first, sink);
            sink.plain(b"/");
            sink.number(bits);
        }
        Value::Absent | Value::Number(_) | Value::Foreign(_) | Value::Header(..) => {}
    }
}

fn put_ip(ip: IpAddr, sink: &mut Sink<'_>) {
    match ip {
        IpAddr::V4(ip) => {
            for (position, octet) in ip.octets().into_iter().enumerate() {
                let before: &[u8] = if position == 0 { b"" } else { b"." };
                sink.plain(before);
                sink.number(octet);
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(ip) => drop(write!(sink, "{ip}")),
    }
}

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// The first address of a network, and how many bits are the same in all of its addresses.
fn network(ip: IpAddr, bits: u8) -> (IpAddr, u8) {
    match ip {
        IpAddr::V4(ip) => {
            let bits = bits.min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (Ipv4Addr::from_bits(ip.to_bits() & mask).into(), bits)
        }
        IpAddr::V6(ip) => {
            let bits = bits.min(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (Ipv6Addr::from_bits(ip.to_bits() & mask).into(), bits)
        }
    }
}

impl Operator {
    /// What it comes to for this entry.
    pub(crate) fn value<'a>(&'a self, entry: &'a (impl Entry + ?Sized)) -> Value<'a> {
        match self {
            Self::Field(field) => field.value(entry),
            Self::Headers(headers) => headers.value(entry),
            Self::Start(format) => Value::Time(format, entry.start_time()),
            Self::Constant(text) => Value::Text(text),
            Self::Span(span) => span.of(entry).map_or(Value::Absent, |time| {
                Value::Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }),
            Self::Details(with_spaces) => match entry.response_code_details() {
                Some(details) if *with_spaces => Value::Text(details),
                details => words(details),
            },
            Self::Grpc(form) => entry.grpc_status().map_or(Value::Absent, |status| {
                let name = grpc::name(status, *form);
                match form {
                    Form::Number => Value::Number(status.into()),
                    _ => name.map_or(Value::Digits(status), Value::Text),
                }
            }),
            Self::Address(address, part) => {
                let address = address.of(entry);
                address.map_or(Value::Absent, |address| part.value(address))
            }
            Self::ServerName { host_first, host } => {
                let (sni, host) = (foreign(entry.requested_server_name()), host.value(entry));
                match (sni, host) {
                    (Value::Absent, host) => host,
                    (sni, Value::Absent) => sni,
                    (_, host) if *host_first => host,
                    (sni, _) => sni,
                }
            }
        }
    }
}

impl Headers {
    fn value<'a>(&'a self, entry: &'a (impl Entry + ?Sized)) -> Value<'a> {
        let both = [&self.main, &self.other].into_iter();
        let found = both
            .filter(|header| !header.name.is_empty())
            .find_map(|header| {
                let value = match self.source {
                    Source::Request => entry.request_header(&header.name),
                    Source::Response => entry.response_header(&header.name),
                    Source::Trailer => entry.response_trailer(&header.name),
                };
                value.map(|value| (value, header.treatment))
            });
        found.map_or(Value::Absent, |(value, treatment)| {
            Value::Header(value, treatment, self)
        })
    }
}

impl Address {
    fn of(self, entry: &(impl Entry + ?Sized)) -> Option<SocketAddr> {
        match self {
            Self::UpstreamHost => entry.upstream_host(),
            Self::UpstreamLocal => entry.upstream_local_address(),
            Self::UpstreamRemote => entry.upstream_remote_address(),
            Self::Remote => entry.downstream_remote_address(),
            Self::DirectRemote => entry.downstream_direct_remote_address(),
            Self::Local => entry.downstream_local_address(),
        }
    }
}

impl Part {
    fn value<'a>(self, address: SocketAddr) -> Value<'a> {
        match self {
            Self::Whole => Value::Address(address),
            Self::Ip => Value::Ip(address.ip()),
            Self::Network(bits) => Value::Network(address.ip(), bits),
            Self::Port => Value::Number(address.port().into()),
        }
    }
}

impl Field {
    fn value<'a>(self, entry: &'a (impl Entry + ?Sized)) -> Value<'a> {
        let flags = |name| match entry.response_flags() {
            // Never absent.
            [] => Value::Text("-"),
            flags => Value::Flags(flags, name),
        };
        match self {
            Self::Protocol => text(entry.protocol()),
            Self::UpstreamProtocol => text(entry.upstream_protocol()),
            Self::ResponseCode => Value::Number(entry.response_code().unwrap_or(0).into()),
            Self::Flags => flags(Flag::letters),
            Self::LongFlags => flags(Flag::long),
            Self::TerminationDetails => words(entry.connection_termination_details()),
            Self::BytesReceived => Value::Number(entry.bytes_received()),
            Self::BytesSent => Value::Number(entry.bytes_sent()),
            Self::UpstreamCluster => text(entry.upstream_cluster()),
            Self::UpstreamClusterRaw => text(entry.upstream_cluster_raw()),
            Self::UpstreamFailure => words(entry.upstream_transport_failure_reason()),
            Self::Attempts => Value::Number(entry.upstream_request_attempt_count()),
            Self::PeerUri => text(entry.downstream_peer_uri_san()),
            Self::LocalUri => text(entry.downstream_local_uri_san()),
            Self::UpstreamPeerUri => text(entry.upstream_peer_uri_san()),
            Self::TlsVersion => text(entry.downstream_tls_version()),
            Self::ServerName => foreign(entry.requested_server_name()),
            Self::RouteName => text(entry.route_name()),
            Self::VirtualCluster => text(entry.virtual_cluster_name()),
            Self::Hostname => text(entry.hostname()),
            Self::TraceId => text(entry.trace_id()),
            Self::SpanId => text(entry.span_id()),
            Self::StreamId => foreign(entry.stream_id()),
            Self::LogType => text(entry.access_log_type()),
        }
    }
}

fn text(value: Option<&str>) -> Value<'_> {
    value.map_or(Value::Absent, Value::Text)
}

fn words(value: Option<&str>) -> Value<'_> {
    value.map_or(Value::Absent, Value::Words)
}

fn foreign(value: Option<&[u8]>) -> Value<'_> {
    value.map_or(Value::Absent, Value::Foreign)
}
