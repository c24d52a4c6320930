//! How endpoints are picked: algorithms, hashes, localities, warming up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::policy::check_span;
use crate::config::objects::virtual_service::values::Span;
use crate::config::problem::Finding;

/// How endpoints are picked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct LoadBalancer {
    pub simple: Option<Simple>,
    pub consistent_hash: Option<ConsistentHash>,
    pub locality_lb_setting: Option<LocalityLbSetting>,
    pub warmup_duration_secs: Option<Span>,
    pub warmup: Option<Warmup>,
}

/// An algorithm without a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's, documented there")]
pub enum Simple {
    Unspecified,
    LeastConn,
    Random,
    Passthrough,
    RoundRobin,
    LeastRequest,
}

/// An algorithm with one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct ConsistentHash {
    pub http_header_name: Option<Arc<str>>,
    pub http_cookie: Option<HttpCookie>,
    pub use_source_ip: Option<bool>,
    pub http_query_parameter_name: Option<Arc<str>>,
    pub ring_hash: Option<RingHash>,
    pub maglev: Option<Maglev>,
    pub minimum_ring_size: Option<u64>,
}

/// A cookie that is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct HttpCookie {
    pub name: Option<Arc<str>>,
    pub path: Option<Arc<str>>,
    pub ttl: Option<Span>,
    pub attributes: Vec<CookieAttribute>,
}

/// What else is said of a cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct CookieAttribute {
    pub name: Option<Arc<str>>,
    pub value: Option<Arc<str>>,
}

/// Hashes are looked up on a ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct RingHash {
    pub minimum_ring_size: Option<u64>,
}

/// Hashes are looked up in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Maglev {
    pub table_size: Option<u64>,
}

/// Which endpoints are near.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct LocalityLbSetting {
    pub distribute: Vec<Distribute>,
    pub failover: Vec<Failover>,
    pub failover_priority: Vec<Arc<str>>,
    pub enabled: Option<bool>,
}

/// Parts of the requests from a locality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Distribute {
    pub from: Arc<str>,
    pub to: BTreeMap<Arc<str>, u32>,
}

/// A region that goes before others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Failover {
    pub from: Arc<str>,
    pub to: Arc<str>,
}

/// How an endpoint that joins others comes to its share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Warmup {
    pub duration: Option<Span>,
    pub minimum_percent: Option<u32>,
    pub aggression: Option<serde_json::Number>,
}

impl LoadBalancer {
    /// Labels that its failover asks for.
    pub fn failover_labels(&self) -> impl Iterator<Item = &Arc<str>> {
        let setting = self.locality_lb_setting.iter();
        setting.flat_map(|setting| &setting.failover_priority)
    }

    pub(super) fn check(&self, field: &str) -> Result<(), Finding> {
        if self.simple.is_some() && self.consistent_hash.is_some() {
            let what = "both simple and consistentHash";
            return Err(Finding::new(field, what, "keep one of them"));
        }
        if let Some(hash) = &self.consistent_hash {
            hash.check(&format!("{field}.consistentHash"))?;
        }
        let warmup = self.warmup.as_ref();
        check_span(
            &format!("{field}.warmupDurationSecs"),
            self.warmup_duration_secs,
        )?;
        check_span(
            &format!("{field}.warmup.duration"),
            warmup.and_then(|warmup| warmup.duration),
        )?;
        if let Some(warmup) = warmup {
            if warmup.duration.is_none() {
                let field = format!("{field}.warmup.duration");
                return Err(Finding::new(field, "missing", "say how long it takes"));
            }
            if let Some(percent) = warmup.minimum_percent.filter(|percent| *percent > 100) {
                let what = format!("{percent} is not from 0 to 100");
                let field = format!("{field}.warmup.minimumPercent");
                return Err(Finding::new(field, what, "write a percentage"));
            }
        }
        match &self.locality_lb_setting {
            Some(setting) => setting.check(&format!("{field}.localityLbSetting")),
            None => Ok(()),
        }
    }
}

impl ConsistentHash {
    fn check(&self, field: &str) -> Result<(), Finding> {
        let is_empty = |text: &Option<Arc<str>>| text.as_deref().is_some_and(str::is_empty);
        let keys = [
            self.http_header_name.is_some(),
            self.http_cookie.is_some(),
            self.use_source_ip.is_some(),
            self.http_query_parameter_name.is_some(),
        ];
        if keys.iter().filter(|is_there| **is_there).count() > 1 {
            let what = "more than one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName";
            return Err(Finding::new(field, what, "keep one of them"));
        }
        if self.ring_hash.is_some() && self.maglev.is_some() {
            let what = "both ringHash and maglev";
            return Err(Finding::new(field, what, "keep one of them"));
        }
        for (name, text) in [
            ("httpHeaderName", &self.http_header_name),
            ("httpQueryParameterName", &self.http_query_parameter_name),
        ] {
            if is_empty(text) {
                return Err(Finding::new(
                    format!("{field}.{name}"),
                    "empty",
                    "write its name",
                ));
            }
        }
        let Some(cookie) = &self.http_cookie else {
            return Ok(());
        };
        if cookie.name.as_deref().is_none_or(str::is_empty) {
            let field = format!("{field}.httpCookie.name");
            return Err(Finding::new(
                field,
                "missing",
                "write the name of the cookie",
            ));
        }
        for (index, attribute) in cookie.attributes.iter().enumerate() {
            if attribute.name.as_deref().is_none_or(str::is_empty) {
                let field = format!("{field}.httpCookie.attributes[{index}].name");
                return Err(Finding::new(field, "missing", "write the attribute's name"));
            }
        }
        Ok(())
    }
}

impl LocalityLbSetting {
    fn check(&self, field: &str) -> Result<(), Finding> {
        let others = !self.failover.is_empty() || !self.failover_priority.is_empty();
        if !self.distribute.is_empty() && others {
            let what = "distribute beside failover or failoverPriority";
            return Err(Finding::new(field, what, "keep one of them"));
        }
        for (index, one) in self.distribute.iter().enumerate() {
            let field = format!("{field}.distribute[{index}]");
            if one.from.is_empty() {
                let advice = "write a locality, or `*`";
                return Err(Finding::new(format!("{field}.from"), "missing", advice));
            }
            let sum: u64 = one.to.values().map(|weight| u64::from(*weight)).sum();
            if sum != 100 || one.to.values().any(|weight| *weight == 0) {
                let what = format!("weights whose sum is {sum}, or one of 0");
                let advice = "give each locality from 1 to 100, all together 100";
                return Err(Finding::new(format!("{field}.to"), what, advice));
            }
            let places = [&one.from].into_iter().chain(one.to.keys());
            if let Some(wrong) = places.clone().find(|place| !is_locality(place)) {
                let what = format!("`{wrong}` is no locality");
                let advice =
                    "write region, region/zone or region/zone/subzone; `*` stands at the end alone";
                return Err(Finding::new(field, what, advice));
            }
        }
        for (index, one) in self.failover.iter().enumerate() {
            let field = format!("{field}.failover[{index}]");
            for (name, region) in [("from", &one.from), ("to", &one.to)] {
                if region.is_empty() || region.contains(['/', '*']) {
                    let what = format!("`{region}` is no region");
                    return Err(Finding::new(
                        format!("{field}.{name}"),
                        what,
                        "write a region",
                    ));
                }
            }
            if one.from == one.to {
                let what = "a region that fails over to itself";
                return Err(Finding::new(field, what, "name another region"));
            }
        }
        Ok(())
    }
}

/// Whether it is a locality as Istio takes it: what is behind `*` is nothing.
fn is_locality(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let star = parts.iter().position(|part| part.contains('*'));
    let ends = star.is_none_or(|at| at + 1 == parts.len() && parts.get(at) == Some(&"*"));
    ends && parts.len() <= 3 && parts.iter().all(|part| !part.is_empty())
}
