//! Istio's `VirtualService`, read strictly: a field that is misspelt or of the wrong type makes the
//! whole object an error, so that nothing of it is passed over in silence.
//!
//! What a field means, and which values of it can be followed, is said in
//! `translate/virtual_service.rs`; what is wrong there is wrong in its rule only.

pub mod actions;
pub mod hosts;
pub mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::actions::{
    CorsPolicy, DirectResponse, Fault, Headers, Redirect, Retries, Rewrite, WeightedDestination,
};
use self::values::{Percentage, Span};
use super::metadata::{Labels, Metadata};
use super::names::{Label, Name};
use super::route_values::{FieldName, RoutePort};
use crate::config::problem::Finding;

/// Most rules of one kind.
const MAX_RULES: usize = 512;
/// Most rules and matches where a host has a `*`: every service that it means has them all.
const MAX_WIDE: (usize, usize) = (32, 128);
/// Most matches of all rules together.
pub const MAX_MATCHES: usize = 4096;

/// A `VirtualService`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualService {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default)]
    pub spec: VirtualServiceSpec,
}

/// `spec` of a virtual service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VirtualServiceSpec {
    /// Whose traffic it is for; none for one that others delegate to.
    pub hosts: Vec<Arc<str>>,
    /// Where it holds; `mesh` if absent.
    pub gateways: Vec<Arc<str>>,
    /// For requests, the first that matches.
    pub http: Vec<HttpRule>,
    /// For TLS connections that are passed through.
    pub tls: Vec<TlsRule>,
    /// For connections.
    pub tcp: Vec<TcpRule>,
    /// Namespaces of whose clients it holds; `*` if absent.
    pub export_to: Vec<Arc<str>>,
}

/// What happens to requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct HttpRule {
    pub name: Option<Arc<str>>,
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    pub route: Vec<WeightedDestination>,
    pub redirect: Option<Redirect>,
    pub direct_response: Option<DirectResponse>,
    pub delegate: Option<Delegate>,
    pub rewrite: Option<Rewrite>,
    pub timeout: Option<Span>,
    pub retries: Option<Retries>,
    pub fault: Option<Fault>,
    pub mirror: Option<Destination>,
    pub mirrors: Vec<Mirror>,
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    pub mirror_percentage: Option<Percentage>,
    pub cors_policy: Option<CorsPolicy>,
    pub headers: Option<Headers>,
}

/// What a request must be like: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct HttpMatch {
    pub name: Option<Arc<str>>,
    pub uri: Option<StringMatch>,
    pub scheme: Option<StringMatch>,
    pub method: Option<StringMatch>,
    pub authority: Option<StringMatch>,
    pub headers: BTreeMap<FieldName, StringMatch>,
    pub port: Option<RoutePort>,
    pub source_labels: Labels,
    pub gateways: Vec<Arc<str>>,
    pub query_params: BTreeMap<Arc<str>, StringMatch>,
    pub ignore_uri_case: bool,
    pub without_headers: BTreeMap<FieldName, StringMatch>,
    pub source_namespace: Option<Label>,
    pub stat_prefix: Option<Arc<str>>,
}

/// How a text is compared: by one of these, or that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct StringMatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Arc<str>>,
}

/// Another virtual service that says what becomes of these requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegate {
    /// Its name.
    pub name: Name,
    /// That of the one that delegates if absent.
    #[serde(default)]
    pub namespace: Option<Label>,
}

/// Where traffic goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// A service.
    pub host: Arc<str>,
    /// A part of its endpoints.
    #[serde(default)]
    pub subset: Option<Arc<str>>,
    /// Its port; not needed if it has one only.
    #[serde(default)]
    pub port: Option<PortSelector>,
}

/// A port by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSelector {
    /// The number.
    pub number: RoutePort,
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where it goes.
    pub destination: Destination,
    /// How many are copied; all if absent.
    #[serde(default)]
    pub percentage: Option<Percentage>,
}

/// What happens to TLS connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct TlsRule {
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    pub route: Vec<StreamDestination>,
}

/// What a TLS connection must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct TlsMatch {
    pub sni_hosts: Vec<Arc<str>>,
    pub destination_subnets: Vec<Arc<str>>,
    pub port: Option<RoutePort>,
    pub source_labels: Labels,
    pub gateways: Vec<Arc<str>>,
    pub source_namespace: Option<Label>,
}

/// What happens to connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct TcpRule {
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    pub route: Vec<StreamDestination>,
}

/// What a connection must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct TcpMatch {
    pub destination_subnets: Vec<Arc<str>>,
    pub port: Option<RoutePort>,
    pub source_labels: Labels,
    pub gateways: Vec<Arc<str>>,
    pub source_namespace: Option<Label>,
    pub source_subnet: Option<Arc<str>>,
}

/// Where connections go, by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamDestination {
    /// Where.
    pub destination: Destination,
    /// Its share; needed where there are several.
    #[serde(default)]
    pub weight: u32,
}

/// The gateway that stands for all clients of the mesh.
pub const MESH: &str = "mesh";

impl VirtualService {
    /// True if it is for clients of the mesh: gateways are others' matter.
    pub fn is_for_mesh(&self) -> bool {
        is_mesh(&self.spec.gateways)
    }

    /// True if others delegate to it.
    pub fn is_delegate(&self) -> bool {
        self.spec.hosts.is_empty()
    }

    /// Every destination that it names, of copies too.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let of_http = self.spec.http.iter().flat_map(|rule| {
            let route = rule.route.iter().map(|weighted| &weighted.destination);
            let mirrors = rule.mirrors.iter().map(|mirror| &mirror.destination);
            route.chain(mirrors).chain(&rule.mirror)
        });
        let of_tls = self.spec.tls.iter().flat_map(|rule| &rule.route);
        let streams = of_tls.chain(self.spec.tcp.iter().flat_map(|rule| &rule.route));
        of_http.chain(streams.map(|stream| &stream.destination))
    }

    /// What it delegates to.
    pub fn delegates(&self) -> impl Iterator<Item = &Delegate> {
        let rules = self.spec.http.iter();
        rules.filter_map(|rule| rule.delegate.as_ref())
    }

    /// Names of the labels of clients that it asks for.
    pub fn source_labels(&self) -> impl Iterator<Item = &Arc<str>> {
        let rules = self.spec.http.iter();
        let matches = rules.flat_map(|rule| &rule.matches);
        matches.flat_map(|one| one.source_labels.keys())
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub(super) fn check(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
            let advice = "add http, tls or tcp with a rule";
            return Err(Finding::new("spec", "no rule of any kind", advice));
        }
        for (field, count) in [
            ("spec.http", spec.http.len()),
            ("spec.tls", spec.tls.len()),
            ("spec.tcp", spec.tcp.len()),
        ] {
            if count > MAX_RULES {
                let what = format!("{count} rules, of which {MAX_RULES} are allowed");
                return Err(Finding::new(field, what, "cut the object in two"));
            }
        }
        let matches: usize = spec.http.iter().map(|rule| rule.matches.len()).sum();
        if matches > MAX_MATCHES {
            let what = format!("{matches} matches, of which {MAX_MATCHES} are allowed");
            return Err(Finding::new("spec.http", what, "cut the object in two"));
        }
        self.check_delegation()?;
        hosts::check(&spec.hosts, &spec.export_to)?;
        let (rules, hosts) = (spec.http.len(), &spec.hosts);
        let is_wide = hosts.iter().any(|host| host.starts_with('*'));
        if is_wide && (rules > MAX_WIDE.0 || matches > MAX_WIDE.1) {
            let what = format!(
                "{rules} rules with {matches} matches for all services that a `*` means: {} and {} are \
                 allowed",
                MAX_WIDE.0, MAX_WIDE.1
            );
            let advice = "name the services one by one, or cut the object in two";
            return Err(Finding::new("spec.http", what, advice));
        }
        let mut rules = spec.http.iter().enumerate();
        rules.try_for_each(|(index, rule)| rule.check(&format!("spec.http[{index}]")))
    }

    /// A delegate stands for nothing by itself and delegates no further.
    fn check_delegation(&self) -> Result<(), Finding> {
        if !self.is_delegate() {
            return Ok(());
        }
        let wrong = |field: &str, what: &str, advice: &str| Err(Finding::new(field, what, advice));
        let only_http = "an object without hosts is a delegate, which has http rules only";
        if !self.spec.tls.is_empty() {
            return wrong("spec.tls", only_http, "give it hosts, or remove tls");
        }
        if !self.spec.tcp.is_empty() {
            return wrong("spec.tcp", only_http, "give it hosts, or remove tcp");
        }
        if !self.spec.gateways.is_empty() {
            let what = "a delegate holds where the one holds that delegates to it";
            return wrong("spec.gateways", what, "remove gateways, or give it hosts");
        }
        if let Some(index) = self
            .spec
            .http
            .iter()
            .position(|rule| rule.delegate.is_some())
        {
            let field = format!("spec.http[{index}].delegate");
            let what = "a delegate that delegates again";
            return wrong(&field, what, "write the rules here");
        }
        Ok(())
    }
}

/// Whether a list of gateways has the mesh's clients in it.
pub fn is_mesh(gateways: &[Arc<str>]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| &**gateway == MESH)
}

impl StringMatch {
    /// Checks that it says one thing at the most.
    fn check(&self, field: &str) -> Result<(), Finding> {
        let given = [&self.exact, &self.prefix, &self.regex];
        if given.iter().filter(|text| text.is_some()).count() > 1 {
            let what = "more than one of exact, prefix and regex";
            return Err(Finding::new(field, what, "keep one of them"));
        }
        Ok(())
    }
}

impl HttpRule {
    fn check(&self, field: &str) -> Result<(), Finding> {
        for (index, one) in self.matches.iter().enumerate() {
            one.check(&format!("{field}.match[{index}]"))?;
        }
        let ends = [
            ("route", !self.route.is_empty()),
            ("redirect", self.redirect.is_some()),
            ("directResponse", self.direct_response.is_some()),
            ("delegate", self.delegate.is_some()),
        ];
        let given: Vec<&str> = ends.iter().filter(|end| end.1).map(|end| end.0).collect();
        match &*given {
            [_] => Ok(()),
            [] => {
                let what = "none of route, redirect, directResponse and delegate";
                Err(Finding::new(field, what, "say where these requests go"))
            }
            several => {
                let what = format!("{} beside each other", several.join(" and "));
                Err(Finding::new(field, what, "keep one of them"))
            }
        }
    }
}

impl HttpMatch {
    fn check(&self, field: &str) -> Result<(), Finding> {
        let single = [
            ("uri", &self.uri),
            ("scheme", &self.scheme),
            ("method", &self.method),
            ("authority", &self.authority),
        ];
        for (name, text) in single {
            let Some(text) = text else { continue };
            text.check(&format!("{field}.{name}"))?;
            if *text == StringMatch::default() {
                let advice = "write one of exact, prefix and regex";
                return Err(Finding::new(format!("{field}.{name}"), "empty", advice));
            }
        }
        for (list, map) in [
            ("headers", &self.headers),
            ("withoutHeaders", &self.without_headers),
        ] {
            for (name, text) in map {
                text.check(&format!("{field}.{list}.{}", name.shared()))?;
            }
        }
        for (name, text) in &self.query_params {
            text.check(&format!("{field}.queryParams.{name}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
