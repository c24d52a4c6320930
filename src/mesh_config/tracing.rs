//! Traces, as `meshConfig` says them: which collector, and how much it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{MeshTracing, TraceProtocol};
use http::uri::PathAndQuery;
use serde::Deserialize;

use super::Written;
use crate::config::problem::Finding;

/// Istio's share where nothing is said, of a hundred.
const SAMPLING: f64 = 1.0;
/// Providers there may be: a waypoint has a queue for each that is used.
const MOST_PROVIDERS: usize = 16;
/// Parts of a hundred that a share is told in.
const PARTS: f64 = 1e6;

/// Ways to trace, by the names of their collectors.
type Providers = BTreeMap<Arc<str>, MeshTracing>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DefaultConfig {
    tracing: Tracing,
    /// A pod starts when it is captured, whatever is said here.
    #[serde(rename = "holdApplicationUntilProxyStarts")]
    _hold: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Tracing {
    sampling: Option<f64>,
    /// Ours: requests that failed are recorded in any case.
    keep_errors: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct DefaultProviders {
    tracing: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Provider {
    name: String,
    opentelemetry: OpenTelemetry,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OpenTelemetry {
    service: String,
    port: u16,
    #[serde(default)]
    http: Option<Http>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    path: String,
}

impl Written {
    /// All providers, by their names; none if nothing is traced.
    pub(super) fn providers(&self) -> Result<Providers, Finding> {
        let Tracing {
            sampling,
            keep_errors,
        } = self.default_config.tracing;
        let percent = sampling.unwrap_or(SAMPLING);
        if !(0.0..=100.0).contains(&percent) {
            let what = format!("{percent} is no percentage");
            let field = "defaultConfig.tracing.sampling";
            return Err(Finding::new(field, what, "write a number from 0 to 100"));
        }
        if self.extension_providers.len() > MOST_PROVIDERS {
            let what = format!("has more than {MOST_PROVIDERS} providers");
            let advice = "name those only that are used";
            return Err(Finding::new("extensionProviders", what, advice));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 10^8"
        )]
        let sampling = (percent * PARTS).round() as u32;
        let mut providers = Providers::new();
        for (index, provider) in self.extension_providers.iter().enumerate() {
            let field = format!("extensionProviders[{index}].opentelemetry");
            provider.opentelemetry.check(&field)?;
            let tracing = provider.opentelemetry.tracing(sampling, keep_errors);
            let name = provider.name.as_str();
            if providers.insert(name.into(), tracing).is_some() {
                let field = format!("extensionProviders[{index}].name");
                let what = format!("there are two providers `{name}`");
                return Err(Finding::new(field, what, "give each a name of its own"));
            }
        }
        Ok(providers)
    }

    /// How requests are traced where no rule says otherwise; without a provider they are not. If nothing
    /// is to be traced, no provider is left.
    pub(super) fn tracing(
        &self,
        providers: &mut Providers,
    ) -> Result<Option<MeshTracing>, Finding> {
        let field = "defaultProviders.tracing";
        let tracing = match self.default_providers.tracing.as_slice() {
            [] => None,
            [name] => match providers.get(name.as_str()) {
                Some(tracing) => Some(tracing.clone()),
                None => {
                    let what = format!("there is no provider `{name}`");
                    let advice = "name one of extensionProviders, which has opentelemetry";
                    return Err(Finding::new(field, what, advice));
                }
            },
            [..] => return Err(Finding::new(field, "names several providers", "name one")),
        };
        if self.enable_tracing == Some(false) {
            providers.clear();
            return Ok(None);
        }
        Ok(tracing)
    }
}

impl OpenTelemetry {
    /// An error where nobody could be told.
    fn check(&self, field: &str) -> Result<(), Finding> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_./:[]".contains(c);
        if self.host().is_empty() || !self.service.chars().all(is_of_name) {
            let what = format!("`{}` is no name of a service", self.service);
            let advice = "write NAME.NAMESPACE.svc.cluster.local, or an address";
            return Err(Finding::new(format!("{field}.service"), what, advice));
        }
        if self.port == 0 {
            let advice = "write that of the collector: 4317 for gRPC, 4318 for HTTP";
            return Err(Finding::new(
                format!("{field}.port"),
                "0 is no port",
                advice,
            ));
        }
        let path = self.http.as_ref().map_or("", |http| http.path.as_str());
        let is_path = path.starts_with('/') && path.parse::<PathAndQuery>().is_ok();
        if !path.is_empty() && !is_path {
            let what = format!("`{path}` is no path");
            let advice = "write one that begins with `/`, as /v1/traces";
            return Err(Finding::new(format!("{field}.http.path"), what, advice));
        }
        Ok(())
    }

    /// The collector's, which Istio may write behind its namespace.
    fn host(&self) -> &str {
        self.service.rsplit('/').next().unwrap_or_default()
    }

    /// How requests are traced that are told here.
    fn tracing(&self, sampling: u32, keep_errors: bool) -> MeshTracing {
        MeshTracing {
            address: format!("{}:{}", self.host(), self.port).into(),
            protocol: match &self.http {
                None => TraceProtocol::Grpc,
                Some(http) => TraceProtocol::Http(http.path.as_str().into()),
            },
            sampling,
            keep_errors,
        }
    }
}
