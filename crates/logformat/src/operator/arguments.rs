//! Reads what an operator is given.

use super::table::{Address, Field, Kind};
use super::{Header, Headers, Operator, Part, Source};
use crate::error::Fault;
use crate::grpc::Form;
use crate::redact::Treatment;
use crate::time::TimeFormat;

/// Variables of the environment that may be told: who the proxy is. Others hold secrets.
pub const ENVIRONMENT: &[&str] = &[
    "HOSTNAME",
    "HOST_IP",
    "INSTANCE_IP",
    "NODE_NAME",
    "POD_IP",
    "POD_NAME",
    "POD_NAMESPACE",
    "SERVICE_ACCOUNT",
];

/// The header that tells what the client asked for before a rewrite.
const ORIGINAL_PATH: &str = "x-envoy-original-path";
const ORIGINAL_HOST: &str = "x-envoy-original-host";

/// An operator with its words, while it is read.
struct Given<'t> {
    name: &'static str,
    argument: &'t str,
    length: Option<&'t str>,
}

/// Reads an operator of this kind.
pub(super) fn read(
    name: &'static str,
    kind: Kind,
    argument: &str,
    length: Option<&str>,
) -> Result<Operator, Fault> {
    let given = Given {
        name,
        argument,
        length,
    };
    let takes_length = matches!(kind, Kind::Headers(..) | Kind::Path | Kind::Environment);
    if let Some(length) = given.length.filter(|_| !takes_length) {
        return Err(Fault::Length {
            name,
            length: length.into(),
        });
    }
    match kind {
        Kind::Field(field) => given.alone(Operator::Field(field)),
        Kind::Span(span) => given.alone(Operator::Span(span)),
        Kind::GrpcNumber => given.alone(Operator::Grpc(Form::Number)),
        Kind::Time(is_local) => given.time(is_local),
        Kind::Headers(source, with_query) => given.headers(source, with_query),
        Kind::Path => given.path(),
        Kind::ServerName => given.server_name(),
        Kind::Details => match argument {
            "" => Ok(Operator::Details(false)),
            "ALLOW_WHITESPACES" => Ok(Operator::Details(true)),
            _ => given.wrong("ALLOW_WHITESPACES or nothing"),
        },
        Kind::Grpc => match argument {
            "" | "CAMEL_STRING" => Ok(Operator::Grpc(Form::Camel)),
            "SNAKE_STRING" => Ok(Operator::Grpc(Form::Snake)),
            "NUMBER" => Ok(Operator::Grpc(Form::Number)),
            _ => given.wrong("CAMEL_STRING, SNAKE_STRING or NUMBER"),
        },
        Kind::Address(address, part) => given.address(address, part),
        Kind::Environment => given.environment(),
    }
}

impl Given<'_> {
    /// This operator, which takes no argument.
    fn alone(&self, operator: Operator) -> Result<Operator, Fault> {
        match self.argument.is_empty() {
            true => Ok(operator),
            false => Err(Fault::Argument {
                name: self.name,
                argument: self.shown(),
            }),
        }
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, Fault> {
        Err(Fault::WrongArgument {
            name: self.name,
            argument: self.shown(),
            expected,
        })
    }

    /// The argument for a person.
    fn shown(&self) -> String {
        self.argument.chars().take(60).collect()
    }

    fn length(&self) -> Result<Option<usize>, Fault> {
        let parse = |length: &str| {
            // Digits, as the scanner has seen.
            length.parse().map_err(|_large| Fault::WrongLength {
                name: self.name.into(),
                length: length.chars().take(20).collect(),
            })
        };
        self.length.map(parse).transpose()
    }

    fn time(&self, is_local: bool) -> Result<Operator, Fault> {
        let text = match self.argument {
            "" if is_local => "%Y-%m-%dT%H:%M:%S.%3f%z",
            "" => "%Y-%m-%dT%H:%M:%S.%3fZ",
            text => text,
        };
        let format = TimeFormat::read(text).map_err(|specifier| Fault::Time {
            name: self.name,
            specifier,
        })?;
        Ok(Operator::Start(format))
    }

    fn headers(&self, source: Source, with_query: bool) -> Result<Operator, Fault> {
        let (main, other) = self.argument.split_once('?').unwrap_or((self.argument, ""));
        let is_name = |name: &str| {
            let name = name.strip_prefix(':').unwrap_or(name);
            name.bytes().all(is_token)
        };
        if !is_name(main) || !is_name(other) || (main.is_empty() && other.is_empty()) {
            return self.wrong("the name of a header, and after `?` that of another");
        }
        let headers = Headers {
            with_query,
            ..headers(source, main, other, self.length()?)
        };
        Ok(Operator::Headers(headers))
    }

    fn path(&self) -> Result<Operator, Fault> {
        let (what, from) = self.argument.split_once(':').unwrap_or((self.argument, ""));
        let with_query = match what {
            "" | "WQ" => true,
            "NQ" => false,
            _ => return self.wrong("WQ or NQ, and after `:` ORIG, PATH or ORIG_OR_PATH"),
        };
        let (main, other) = match from {
            "" | "ORIG_OR_PATH" => (ORIGINAL_PATH, ":path"),
            "ORIG" => (ORIGINAL_PATH, ""),
            "PATH" => (":path", ""),
            _ => return self.wrong("WQ or NQ, and after `:` ORIG, PATH or ORIG_OR_PATH"),
        };
        Ok(Operator::Headers(Headers {
            with_query,
            ..headers(Source::Request, main, other, self.length()?)
        }))
    }

    fn server_name(&self) -> Result<Operator, Fault> {
        const EXPECTED: &str =
            "SNI_ONLY, SNI_FIRST or HOST_FIRST, and after `:` ORIG, HOST or ORIG_OR_HOST";
        let (what, from) = self.argument.split_once(':').unwrap_or((self.argument, ""));
        let (main, other) = match from {
            "" | "ORIG_OR_HOST" => (ORIGINAL_HOST, ":authority"),
            "ORIG" => (ORIGINAL_HOST, ""),
            "HOST" => (":authority", ""),
            _ => return self.wrong(EXPECTED),
        };
        let host_first = match what {
            "" | "SNI_ONLY" => return Ok(Operator::Field(Field::ServerName)),
            "SNI_FIRST" => false,
            "HOST_FIRST" => true,
            _ => return self.wrong(EXPECTED),
        };
        Ok(Operator::ServerName {
            host_first,
            host: headers(Source::Request, main, other, None),
        })
    }

    fn address(&self, address: Address, part: Part) -> Result<Operator, Fault> {
        if part != Part::Ip {
            return self.alone(Operator::Address(address, part));
        }
        let part = match self.argument {
            "" => Part::Ip,
            bits => match bits.parse() {
                Ok(bits @ 0..=128) => Part::Network(bits),
                _ => return self.wrong("a number of bits, up to 32 or 128"),
            },
        };
        Ok(Operator::Address(address, part))
    }

    fn environment(&self) -> Result<Operator, Fault> {
        if self.argument.is_empty() {
            return self.wrong("the name of a variable of the environment");
        }
        if !ENVIRONMENT.contains(&self.argument) {
            return Err(Fault::Environment {
                name: self.shown(),
                known: ENVIRONMENT,
            });
        }
        // As in Envoy, also where what is absent is otherwise `null`.
        let mut value = std::env::var(self.argument).unwrap_or_else(|_absent| "-".into());
        let longest = self.length()?.unwrap_or(usize::MAX);
        while value.len() > longest {
            value.pop();
        }
        Ok(Operator::Constant(value.into()))
    }
}

/// What a header name is made of.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn headers(source: Source, main: &str, other: &str, length: Option<usize>) -> Headers {
    let header = |name: &str| Header {
        name: match (source, name.to_ascii_lowercase()) {
            // HTTP/2 has no other name for it.
            (Source::Request, name) if name == "host" => ":authority".into(),
            (_, name) => name.into(),
        },
        treatment: Treatment::Plain,
    };
    Headers {
        source,
        main: header(main),
        other: header(other),
        with_query: true,
        length,
    }
}
