//! TLS that is begun with a host outside of the mesh, for clients that speak without.
//!
//! What users give for that ([`Credentials`]) comes from the control plane and stays in memory. Another version of it
//! holds for connections that are begun from then on.

mod credentials;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ambit_identity::outside::{Means, OutsideRoots, config, server_name, told};
use ambit_model::OutsideTls;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

pub(crate) use self::credentials::Credentials;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Configurations that are kept.
const KEPT: usize = 256;

/// What is spoken in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Inner {
    /// HTTP/1.1; a server that does not say what it speaks will do.
    Http1,
    /// HTTP/2, which a server has to say.
    Http2,
    /// Anything.
    Other,
}

impl Inner {
    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Other => &[],
        }
    }
}

/// What a server is asked for, and by what it is verified.
type Ask = (Arc<OutsideTls>, Inner);

/// Begins TLS; clones share what is believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Originator {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The system's if nothing else is said, read when they are first needed.
    roots: OnceLock<OutsideRoots>,
    /// Each with the version of the credential that it is for.
    configs: Mutex<HashMap<Ask, (u64, Arc<ClientConfig>)>>,
    credentials: Credentials,
}

/// A connection in TLS.
pub(crate) type Secure = Box<TlsStream<TcpStream>>;

impl Originator {
    /// One that believes these.
    pub(crate) fn believing(roots: OutsideRoots) -> Self {
        let originator = Self::default();
        originator.shared.roots.get_or_init(|| roots);
        originator
    }

    /// Begins TLS with a host; why not, in words.
    pub(crate) async fn begin(
        &self,
        tcp: TcpStream,
        host: Option<&str>,
        ask: &Arc<OutsideTls>,
        inner: Inner,
    ) -> Result<Secure, String> {
        if let (Some(why), None) = (&ask.unusable, &ask.credential) {
            return Err(format!("as its DestinationRule asks for it: {why}"));
        }
        let name = ask.sni.as_deref().or(host).unwrap_or_default();
        let server = server_name(name).ok_or_else(|| format!("`{name}` is no name of a server"))?;
        let connector = TlsConnector::from(self.config(ask, inner)?);
        let shaken = timeout(PATIENCE, connector.connect(server, tcp)).await;
        let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
        let shaken = shaken.map_err(late).flatten();
        let secure = shaken.map_err(|error| format!("as {name}: {}", told(&error)))?;
        if inner == Inner::Http2 && secure.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(format!("as {name}: it does not say that it speaks HTTP/2"));
        }
        Ok(Box::new(secure))
    }

    /// What users give.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.shared.credentials
    }

    fn config(&self, ask: &Arc<OutsideTls>, inner: Inner) -> Result<Arc<ClientConfig>, String> {
        let held = match &ask.credential {
            Some(asked) => Some(self.shared.credentials.held(asked, ask.unverified)?),
            None => None,
        };
        let version = held.as_ref().map_or(0, |held| held.version);
        let key = (Arc::clone(ask), inner);
        if let Some((of, kept)) = self.shared.configs.lock().get(&key)
            && *of == version
        {
            return Ok(Arc::clone(kept));
        }
        let means = match &held {
            Some(held) => Means::Papers(&held.papers),
            None => Means::Roots(self.shared.roots.get_or_init(OutsideRoots::system)),
        };
        let config = config(means, ask, inner.protocols());
        let config = config.map_err(|error| error.to_string())?;
        let mut configs = self.shared.configs.lock();
        if configs.len() >= KEPT {
            configs.clear();
        }
        configs.insert(key, (version, Arc::clone(&config)));
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
