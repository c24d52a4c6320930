//! Policies as people write them, field by field.
//!
//! A problem names the field as Istio does, so that whoever reads a whole object only puts the way to
//! the field before it ([`PolicyProblem::within`]).

use std::fmt;
use std::sync::Arc;

use super::{Condition, Operation, Source, Values, text};
use crate::policy::StringMatch;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}; {advice}")]
pub struct PolicyProblem {
    /// The field, such as `notPaths[1]`.
    pub field: String,
    /// What was found.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
    /// Istio knows it, and it cannot be evaluated here: instead of refusing the whole policy, its
    /// rule may be marked as [unsupported](super::RequestRule::unsupported).
    pub is_unsupported: bool,
}

impl PolicyProblem {
    fn new(field: impl Into<String>, what: impl Into<String>, advice: &'static str) -> Self {
        Self {
            field: field.into(),
            what: what.into(),
            advice,
            is_unsupported: false,
        }
    }

    fn unsupported(field: &str, what: String, advice: &'static str) -> Self {
        Self {
            is_unsupported: true,
            ..Self::new(field, what, advice)
        }
    }

    /// The same, of a field within another one: `principals[0]` within `from[1].source`.
    #[must_use]
    pub fn within(mut self, path: impl fmt::Display) -> Self {
        self.field = format!("{path}.{}", self.field);
        self
    }
}

/// What can be done about most values.
const CORRECT: &str = "correct the value";
const PATTERN: &str = "write VALUE, PREFIX*, *SUFFIX or * alone";

impl Source {
    /// Adds the values of one field of Istio's `source`. `own` is the policy's namespace, which names
    /// service accounts that are written without one.
    pub fn put(
        &mut self,
        field: &str,
        values: &[impl AsRef<str>],
        own: &Arc<str>,
    ) -> Result<(), PolicyProblem> {
        let put = Put { field, values };
        match positive(field).as_str() {
            "principals" => put.into(&mut self.principals, PATTERN, text::principal),
            "requestPrincipals" => {
                const ADVICE: &str = "write ISSUER/SUBJECT, ISSUER/* or * alone";
                put.into(
                    &mut self.request_principals,
                    ADVICE,
                    text::request_principal,
                )
            }
            "namespaces" => put.into(&mut self.namespaces, PATTERN, StringMatch::parse),
            "serviceAccounts" => put.into(&mut self.service_accounts, CORRECT, |text| {
                text::account(text, own)
            }),
            "ipBlocks" => put.into(&mut self.ip_blocks, CORRECT, text::ip_block),
            "remoteIpBlocks" => put.into(&mut self.remote_ip_blocks, CORRECT, text::ip_block),
            _ => Err(unknown(field, "no field of a source")),
        }
    }
}

impl Operation {
    /// Adds the values of one field of Istio's `operation`.
    pub fn put(&mut self, field: &str, values: &[impl AsRef<str>]) -> Result<(), PolicyProblem> {
        const PATH: &str =
            "write /PATH, /PREFIX*, *SUFFIX, * alone, or whole segments {*} and {**}";
        const HOST: &str = "write HOST or HOST:PORT, PREFIX*, *SUFFIX or * alone";
        let put = Put { field, values };
        match positive(field).as_str() {
            "hosts" => put.into(&mut self.hosts, HOST, text::host),
            "ports" => put.into(&mut self.ports, CORRECT, text::port),
            "methods" => put.into(&mut self.methods, PATTERN, text::method),
            "paths" => put.into(&mut self.paths, PATH, text::path),
            _ => Err(unknown(field, "no field of an operation")),
        }
    }
}

impl Condition {
    /// Reads one condition of Istio's `when`; `own` is the policy's namespace.
    ///
    /// Keys of pseudo-headers (`request.headers[:path]`) cannot be evaluated: the path that is judged
    /// is the normal form of a part of what such a header has, and the other ones have fields of
    /// their own.
    pub fn parse(
        key: &str,
        values: &[impl AsRef<str>],
        not_values: &[impl AsRef<str>],
        own: &Arc<str>,
    ) -> Result<Self, PolicyProblem> {
        if values.is_empty() && not_values.is_empty() {
            let what = format!("`{key}` has neither values nor notValues");
            return Err(PolicyProblem::new("values", what, "give one of them"));
        }
        let read = Both { values, not_values };
        let texts = || read.parse(PATTERN, StringMatch::parse);
        let nets = || read.parse(CORRECT, text::ip_block);
        if let Some(name) = in_brackets(key, "request.headers") {
            let name = header_name(key, name)?;
            let values = texts()?;
            return Ok(Self::Header { name, values });
        }
        if let Some(names) = in_brackets(key, "request.auth.claims") {
            let path = claim_path(key, names)?;
            let values = texts()?;
            return Ok(Self::Claim { path, values });
        }
        Ok(match key {
            "request.auth.principal" => {
                Self::RequestPrincipal(read.parse(PATTERN, text::request_principal)?)
            }
            "request.auth.audiences" => Self::Audiences(texts()?),
            "request.auth.presenter" => Self::Presenter(texts()?),
            "source.ip" => Self::SourceIp(nets()?),
            "remote.ip" => Self::RemoteIp(nets()?),
            "source.namespace" => Self::SourceNamespace(texts()?),
            "source.principal" => Self::SourcePrincipal(read.parse(PATTERN, text::principal)?),
            "source.serviceAccount" => {
                let account = |text: &str| text::account(text, own);
                Self::SourceServiceAccount(read.parse(CORRECT, account)?)
            }
            "destination.ip" => Self::DestinationIp(nets()?),
            "destination.port" => Self::DestinationPort(read.parse(CORRECT, text::port)?),
            // Names have no case, and clients' are in lower case.
            "connection.sni" => Self::Sni(read.parse(PATTERN, |text| {
                StringMatch::parse(&text.to_ascii_lowercase())
            })?),
            key if is_experimental(key) => {
                let what = format!("`{key}` is an attribute of Envoy, and cannot be evaluated");
                let advice = "use one of Istio's other attributes";
                return Err(PolicyProblem::unsupported("key", what, advice));
            }
            key => {
                let what = format!("unknown key `{key}`");
                let advice = "use one of Istio's attributes, such as source.namespace or request.headers[NAME]";
                return Err(PolicyProblem::new("key", what, advice));
            }
        })
    }
}

fn is_experimental(key: &str) -> bool {
    ["experimental.", "request.experimental."]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

fn unknown(field: &str, what: &str) -> PolicyProblem {
    PolicyProblem::new(field, what, "correct its name")
}

/// Name of the field without its `not`: `notPaths` is of `paths`.
fn positive(field: &str) -> String {
    let mut rest = field.strip_prefix("not").unwrap_or_default().chars();
    match rest.next().filter(char::is_ascii_uppercase) {
        Some(first) => format!("{}{}", first.to_ascii_lowercase(), rest.as_str()),
        None => field.to_owned(),
    }
}

/// The texts of one field.
struct Put<'t, T> {
    field: &'t str,
    values: &'t [T],
}

impl<T: AsRef<str>> Put<'_, T> {
    fn into<V>(
        self,
        field: &mut Values<V>,
        advice: &'static str,
        parse: impl Fn(&str) -> Result<V, String>,
    ) -> Result<(), PolicyProblem> {
        let parsed = parsed(self.field, self.values, advice, parse)?;
        let list = match self.field.starts_with("not") {
            true => &mut field.none,
            false => &mut field.any,
        };
        list.extend(parsed);
        Ok(())
    }
}

/// The texts of a condition.
struct Both<'t, T, N> {
    values: &'t [T],
    not_values: &'t [N],
}

impl<T: AsRef<str>, N: AsRef<str>> Both<'_, T, N> {
    fn parse<V>(
        &self,
        advice: &'static str,
        parse: impl Fn(&str) -> Result<V, String>,
    ) -> Result<Values<V>, PolicyProblem> {
        Ok(Values {
            any: parsed("values", self.values, advice, &parse)?,
            none: parsed("notValues", self.not_values, advice, &parse)?,
        })
    }
}

fn parsed<V>(
    field: &str,
    values: &[impl AsRef<str>],
    advice: &'static str,
    parse: impl Fn(&str) -> Result<V, String>,
) -> Result<Vec<V>, PolicyProblem> {
    let values = values.iter().enumerate();
    values
        .map(|(index, value)| {
            parse(value.as_ref())
                .map_err(|what| PolicyProblem::new(format!("{field}[{index}]"), what, advice))
        })
        .collect()
}

/// What follows `name` in a key, which has to be in brackets; `None` for another key.
fn in_brackets<'k>(key: &'k str, name: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with('[')).then_some(rest)
}

fn header_name(key: &str, brackets: &str) -> Result<Arc<str>, PolicyProblem> {
    let name = brackets
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or_default();
    if name.starts_with(':') {
        let what = format!("`{key}` is a pseudo-header, and cannot be evaluated");
        let advice = "use the hosts, methods or paths of an operation";
        return Err(PolicyProblem::unsupported("key", what, advice));
    }
    if name.is_empty() || !name.bytes().all(text::is_token) {
        let what = format!("`{key}` has no name of a header in brackets");
        let advice = "write request.headers[NAME]";
        return Err(PolicyProblem::new("key", what, advice));
    }
    Ok(name.to_ascii_lowercase().into())
}

fn claim_path(key: &str, brackets: &str) -> Result<Vec<Arc<str>>, PolicyProblem> {
    let names = brackets
        .strip_prefix('[')
        .and_then(|names| names.strip_suffix(']'))
        .unwrap_or_default();
    let path: Vec<Arc<str>> = names.split("][").map(Arc::from).collect();
    let is_name = |name: &Arc<str>| !name.is_empty() && !name.contains(['[', ']']);
    if !path.iter().all(is_name) {
        let what = format!("`{key}` has no names of claims in brackets");
        let advice = "write request.auth.claims[NAME], or [OUTER][INNER]";
        return Err(PolicyProblem::new("key", what, advice));
    }
    Ok(path)
}
