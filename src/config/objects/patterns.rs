//! Values within policies: text patterns, address blocks, ports, service accounts.
//!
//! Each is checked on reading, so that translation cannot fail.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{ServiceAccountMatch, StringMatch};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::names::{Label, Name};

/// A text with at most one star, at its beginning or its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Arc<str>);

/// An address or a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpBlock(IpNet);

/// A port, written as text as Istio does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyPort(u16);

/// `NAMESPACE/NAME` of a service account, or `NAME` for one of the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account {
    namespace: Option<Label>,
    name: Name,
}

impl Pattern {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, String> {
        StringMatch::parse(text)?;
        Ok(Self(text.into()))
    }

    /// How the model compares it.
    pub fn string_match(&self) -> StringMatch {
        if &*self.0 == "*" {
            StringMatch::Presence
        } else if let Some(prefix) = self.0.strip_suffix('*') {
            StringMatch::Prefix(prefix.into())
        } else if let Some(suffix) = self.0.strip_prefix('*') {
            StringMatch::Suffix(suffix.into())
        } else {
            StringMatch::Exact(Arc::clone(&self.0))
        }
    }

    /// The same for a principal, which policies write without `spiffe://`; with it, it would never
    /// match, so it is taken off.
    pub fn principal_match(&self) -> StringMatch {
        match self.0.strip_prefix("spiffe://") {
            Some(rest) => Self(rest.into()).string_match(),
            None => self.string_match(),
        }
    }
}

impl IpBlock {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let net = text
            .parse::<IpAddr>()
            .map(IpNet::from)
            .or_else(|_single| text.parse());
        let net = net.map_err(|_unparsed: ipnet::AddrParseError| {
            format!("`{text}` is neither an address nor a block such as 10.0.0.0/8")
        })?;
        unmapped(net).map(Self).ok_or_else(|| {
            format!("`{text}` holds IPv4 addresses and others: write the IPv4 block as such")
        })
    }

    /// The block.
    pub fn net(self) -> IpNet {
        self.0.trunc()
    }
}

/// Addresses of clients are looked at as IPv4 where they are IPv4-mapped (RFC 4291 2.5.5.2); a
/// block of such addresses is its IPv4 block. None for one that only partly is.
fn unmapped(net: IpNet) -> Option<IpNet> {
    const MAPPED: u8 = 96;
    let IpNet::V6(block) = net else {
        return Some(net);
    };
    let Some(address) = block.trunc().addr().to_ipv4_mapped() else {
        return Some(net);
    };
    let length = block.prefix_len().checked_sub(MAPPED)?;
    Ipv4Net::new(address, length).ok().map(IpNet::V4)
}

impl PolicyPort {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(port) if port != 0 => Ok(Self(port)),
            _ => Err(format!("`{text}` is not a port from 1 to 65535")),
        }
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl Account {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let namespace = namespace
            .map(Label::new)
            .transpose()
            .map_err(|e| e.to_string())?;
        let name = Name::new(name).map_err(|error| error.to_string())?;
        Ok(Self { namespace, name })
    }

    /// How the model compares it, for a policy of the given namespace.
    pub fn account_match(&self, namespace: &Arc<str>) -> ServiceAccountMatch {
        ServiceAccountMatch {
            namespace: self
                .namespace
                .as_ref()
                .map_or_else(|| Arc::clone(namespace), Label::shared),
            service_account: self.name.shared(),
        }
    }
}

macro_rules! checked_text {
    ($($type:ident: $text:expr),*) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                $text(&value)
            }
        }
    )*};
}

checked_text!(
    Pattern: |pattern: &Pattern| pattern.0.as_ref().to_owned(),
    IpBlock: |block: &IpBlock| block.0.to_string(),
    PolicyPort: |port: &PolicyPort| port.0.to_string(),
    Account: |account: &Account| match &account.namespace {
        Some(namespace) => format!("{namespace}/{}", account.name),
        None => account.name.to_string(),
    }
);

#[cfg(test)]
mod tests;
