//! Traces, as `meshConfig` says them: which collector, and how much it is told.

use ambit_model::{MeshTracing, TraceProtocol};
use serde::Deserialize;

use super::Written;
use crate::config::problem::Finding;

/// Istio's share where nothing is said, of a hundred.
const SAMPLING: f64 = 1.0;
/// Parts of a hundred that a share is told in.
const PARTS: f64 = 1e6;

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
    /// How requests are traced; without a provider they are not.
    pub(super) fn tracing(&self) -> Result<Option<MeshTracing>, Finding> {
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
        let name = match self.default_providers.tracing.as_slice() {
            [] => return Ok(None),
            [name] => name,
            [..] => {
                let field = "defaultProviders.tracing";
                let what = "names several providers";
                return Err(Finding::new(field, what, "name one"));
            }
        };
        let mut providers = self.extension_providers.iter();
        let Some(provider) = providers.find(|provider| provider.name == *name) else {
            let what = format!("there is no provider `{name}`");
            let advice = "name one of extensionProviders, which has opentelemetry";
            return Err(Finding::new("defaultProviders.tracing", what, advice));
        };
        let OpenTelemetry {
            service,
            port,
            http,
        } = &provider.opentelemetry;
        // Istio's form may begin with the namespace.
        let host = service.rsplit('/').next().unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 10^8"
        )]
        let tracing = MeshTracing {
            address: format!("{host}:{port}").into(),
            protocol: match http {
                None => TraceProtocol::Grpc,
                Some(http) => TraceProtocol::Http(http.path.as_str().into()),
            },
            sampling: (percent * PARTS).round() as u32,
            keep_errors,
        };
        Ok(Some(tracing).filter(|_| self.enable_tracing != Some(false)))
    }
}
