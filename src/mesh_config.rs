//! What holds for the whole mesh, under the names of Istio's `meshConfig`: a file, which the chart
//! writes. A file that cannot be followed keeps the control plane from starting; one that has changed
//! into such is a problem, and what held before stays.

mod follow;
mod tracing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_logformat::{Format, FormatError};
use ambit_model::{LogLines, MeshTelemetry};
use serde::Deserialize;

use crate::config::problem::{Cause, Finding, Origin, Problem, Severity};

pub use follow::{MeshConfig, MeshConfigFile};

/// Where lines of the access log are written.
const OUTPUT: &str = "/dev/stdout";
/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The file as it is written. A key that is not here is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    access_log_file: Option<String>,
    access_log_format: Option<String>,
    access_log_encoding: Option<String>,
    enable_tracing: Option<bool>,
    enable_auto_mtls: Option<bool>,
    outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    default_config: tracing::DefaultConfig,
    default_providers: tracing::DefaultProviders,
    extension_providers: Vec<tracing::Provider>,
}

/// What becomes of connections to outside the mesh: a matter of agents.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct OutboundTrafficPolicy {
    mode: Option<String>,
}

/// The file cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum MeshConfigError {
    /// It cannot be read.
    #[error("cannot read {path} (--mesh-config): {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What it says is wrong.
    #[error("{path} (--mesh-config): {finding}")]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        finding: Finding,
    },
}

impl MeshConfigError {
    /// The same for whoever asks what is wrong with the configuration.
    fn problem(&self) -> Problem {
        let (path, cause) = match self {
            Self::File { path, .. } => (path, Cause::UnreadableFile),
            Self::Content { path, .. } => (path, Cause::Field),
        };
        let finding = match self {
            Self::File { source, .. } => Finding::new("", source.to_string(), LAST_GOOD),
            Self::Content { finding, .. } => finding.clone(),
        };
        let origin = Origin::file(&Arc::from(path.display().to_string()));
        finding.at(&origin, "meshConfig", Severity::Error, cause)
    }
}

/// What is done meanwhile.
const LAST_GOOD: &str = "what held before stays in force";

/// Reads the file.
fn read(path: &Path) -> Result<MeshTelemetry, MeshConfigError> {
    let file = |source| MeshConfigError::File {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(file)?.len();
    if length > LARGEST {
        return Err(file(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = std::fs::read_to_string(path).map_err(file)?;
    parse(&text).map_err(|finding| MeshConfigError::Content {
        path: path.to_owned(),
        finding,
    })
}

/// What holds by such a file; an error names the field that cannot be followed, and what to write.
pub fn parse(text: &str) -> Result<MeshTelemetry, Finding> {
    let written = match text.trim() {
        "" => Written::default(),
        text => serde_saphyr::from_str(text).map_err(|error| {
            let advice = "see docs/telemetry.md for the keys that there are";
            Finding::new("", error.to_string(), advice)
        })?,
    };
    written.is_of_the_mesh()?;
    let access_log = match written.access_log_file.as_deref() {
        None | Some(OUTPUT) => true,
        Some("") => false,
        Some(other) => {
            let what = format!("lines cannot be written to `{other}`");
            let advice = "write /dev/stdout, or an empty text for no access log";
            return Err(Finding::new("accessLogFile", what, advice));
        }
    };
    let mut providers = written.providers()?;
    let tracing = written.tracing(&mut providers)?;
    Ok(MeshTelemetry {
        access_log,
        tracing,
        providers,
        lines: lines(written)?,
    })
}

impl Written {
    /// An error where the file wants the mesh to be what it is not, or speaks of what others are told.
    fn is_of_the_mesh(&self) -> Result<(), Finding> {
        if self.enable_auto_mtls == Some(false) {
            let what = "mutual TLS between enrolled pods cannot be switched off";
            let advice = "leave it out; pods that are to take plaintext too need mode PERMISSIVE of PeerAuthentication";
            return Err(Finding::new("enableAutoMtls", what, advice));
        }
        let egress = self.outbound_traffic_policy.as_ref();
        if let Some(mode) = egress.and_then(|policy| policy.mode.as_deref()) {
            let what = format!("`{mode}` is not for the control plane, but for agents");
            let advice =
                "give agents --egress; in the chart write it in the values, not in this file";
            return Err(Finding::new("outboundTrafficPolicy.mode", what, advice));
        }
        Ok(())
    }
}

/// The lines of the access log. Without a format they are our own, or Istio's if an encoding is said.
fn lines(written: Written) -> Result<LogLines, Finding> {
    let format = written.access_log_format.unwrap_or_default();
    let is_json = match written.access_log_encoding.as_deref() {
        None | Some("") => None,
        Some("TEXT") => Some(false),
        Some("JSON") => Some(true),
        Some(other) => {
            let what = format!("`{other}` is no encoding");
            return Err(Finding::new(
                "accessLogEncoding",
                what,
                "write TEXT or JSON",
            ));
        }
    };
    let lines = match (format.trim().is_empty(), is_json) {
        (true, None) => LogLines::Usual,
        (true, Some(false)) => LogLines::Text(ambit_logformat::ISTIO_TEXT.into()),
        (true, Some(true)) => LogLines::Json(ambit_logformat::ISTIO_JSON.into()),
        (false, Some(true)) => LogLines::Json(format.into()),
        (false, _) => LogLines::Text(format.into()),
    };
    check(&lines)?;
    Ok(lines)
}

/// An error if lines cannot be written so.
fn check(lines: &LogLines) -> Result<(), Finding> {
    let read = match lines {
        LogLines::Usual => return Ok(()),
        LogLines::Text(text) => Format::text(text),
        LogLines::Json(text) => Format::json(&serde_json::Value::from(&**text)),
    };
    let wrong = |error: FormatError| {
        let advice = "write operators of Envoy's that are listed in docs/telemetry.md";
        Finding::new("accessLogFormat", error.to_string(), advice)
    };
    read.map(drop).map_err(wrong)
}

#[cfg(test)]
mod tests;
