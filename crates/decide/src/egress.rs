//! What happens to connections that leave the mesh, under the names of Istio's meshConfig.

use std::fmt;
use std::str::FromStr;

/// What happens to connections to a destination that the mesh does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressMode {
    /// They pass.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

/// A text that is no egress mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an egress mode: ALLOW_ANY or REGISTRY_ONLY expected")]
pub struct EgressModeError(String);

impl FromStr for EgressMode {
    type Err = EgressModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ALLOW_ANY" => Ok(Self::AllowAny),
            "REGISTRY_ONLY" => Ok(Self::RegistryOnly),
            _ => Err(EgressModeError(text.to_owned())),
        }
    }
}

impl fmt::Display for EgressMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowAny => "ALLOW_ANY",
            Self::RegistryOnly => "REGISTRY_ONLY",
        })
    }
}

#[cfg(test)]
mod tests;
