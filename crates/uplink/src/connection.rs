//! The way to the control plane: who it must be, who we are, and one HTTP/2 connection for all
//! calls, made again whenever it breaks.
//!
//! The connection is TLS 1.3, verified against the root file and the roots of the trust bundle for
//! the configured name. Both files, token and roots, are read again for every use; what cannot be
//! read (any more: the process may have given up root) is used as it was last seen.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a TCP connection, and then a TLS handshake, may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the control plane may take to answer a call.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How often an idle connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long the answer may take.
const PING_TIME: Duration = Duration::from_secs(10);
/// Window of one stream: a first state comes without waiting for many round trips.
const STREAM_WINDOW: u32 = 4 << 20;
/// Window of the connection.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Where the control plane is and what proves it and us.
#[derive(Clone, Debug)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// The DNS name that its certificate must have.
    pub server_name: String,
    /// Name of this cluster.
    pub cluster: String,
    /// The token that says who we are.
    pub token_file: PathBuf,
    /// The roots that the control plane is verified against.
    pub root_file: PathBuf,
}

/// Why there is no way to the control plane.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file that is needed cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    File {
        /// What it holds.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The token cannot be sent.
    #[error("the token in {} is empty or has characters that cannot be sent", .0.display())]
    Token(PathBuf),
    /// No certificate is in the root file.
    #[error("no usable certificate is in the root file {}", .0.display())]
    Roots(PathBuf),
    /// The server name is none.
    #[error("`{0}` is not the name of a server: {1}")]
    ServerName(String, InvalidDnsNameError),
    /// The address is none.
    #[error("`{0}` is not HOST:PORT: {1}")]
    Address(String, tonic::transport::Error),
    /// The TLS library refused its settings.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What proves the two ends to each other.
pub struct Access {
    target: Target,
    server_name: ServerName<'static>,
    token: Mutex<Vec<u8>>,
    roots: Mutex<Vec<u8>>,
    /// Roots of the trust bundle, DER: the control plane's next certificate may be of a new root
    /// before anybody has put that into the file.
    bundle: Mutex<Vec<Vec<u8>>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Reads both files for the first time: a process may give up root afterwards.
    pub fn open(target: Target) -> Result<Arc<Self>, AccessError> {
        let token = read("token", &target.token_file)?;
        let roots = read("root certificates", &target.root_file)?;
        let server_name = ServerName::try_from(target.server_name.clone())
            .map_err(|error| AccessError::ServerName(target.server_name.clone(), error))?;
        let access = Self {
            target,
            server_name,
            token: Mutex::new(token),
            roots: Mutex::new(roots),
            bundle: Mutex::default(),
        };
        access.token()?;
        access.tls_config()?;
        Ok(Arc::new(access))
    }

    /// Believes in the roots of a trust bundle too, from the next connection on.
    pub fn trust(&self, roots: Vec<Vec<u8>>) {
        *self.bundle.lock() = roots;
    }

    /// Roots of the root file, DER.
    pub fn file_roots(&self) -> Vec<Vec<u8>> {
        let pem = refreshed(&self.target.root_file, &self.roots);
        CertificateDer::pem_slice_iter(&pem)
            .flatten()
            .map(|der| der.to_vec())
            .collect()
    }

    /// A call with who we are.
    pub fn request<T>(&self, message: T) -> Result<tonic::Request<T>, AccessError> {
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.token()?);
        if let Ok(cluster) = MetadataValue::try_from(self.target.cluster.as_str()) {
            request.metadata_mut().insert("clusterid", cluster);
        }
        Ok(request)
    }

    /// A channel that connects when it is first used, and again after every break.
    pub fn channel(self: &Arc<Self>) -> Result<Channel, AccessError> {
        // The scheme only names the authority of requests: TLS is made by `connect`.
        let address = &self.target.address;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| AccessError::Address(address.clone(), error))?
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIME)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let access = Arc::clone(self);
        let connector = tower::service_fn(move |_: Uri| {
            let access = Arc::clone(&access);
            async move { access.connect().await.map(TokioIo::new) }
        });
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let address = &self.target.address;
        let about = |what: &'static str| {
            move |_| {
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{what} {address} took too long"),
                )
            }
        };
        let config = self.tls_config().map_err(io::Error::other)?;
        let tcp = timeout(CONNECT_TIME, TcpStream::connect(address))
            .await
            .map_err(about("connecting to"))??;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(config));
        timeout(
            CONNECT_TIME,
            connector.connect(self.server_name.clone(), tcp),
        )
        .await
        .map_err(about("the TLS handshake with"))?
    }

    fn token(&self) -> Result<MetadataValue<Ascii>, AccessError> {
        let unusable = || AccessError::Token(self.target.token_file.clone());
        let content = refreshed(&self.target.token_file, &self.token);
        let token = content.trim_ascii();
        if token.is_empty() {
            return Err(unusable());
        }
        let bearer = [b"Bearer ", token].concat();
        let text = String::from_utf8(bearer).map_err(|_error| unusable())?;
        let mut value = MetadataValue::try_from(text).map_err(|_error| unusable())?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn tls_config(&self) -> Result<ClientConfig, AccessError> {
        let mut store = RootCertStore::empty();
        let bundle = self.bundle.lock().clone();
        store.add_parsable_certificates(
            self.file_roots()
                .into_iter()
                .chain(bundle)
                .map(CertificateDer::from),
        );
        if store.is_empty() {
            return Err(AccessError::Roots(self.target.root_file.clone()));
        }
        let mut config =
            ClientConfig::builder_with_provider(Arc::clone(ambit_identity::provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(store)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Makes a call that the control plane has to answer in time.
pub async fn in_time<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_elapsed| Status::deadline_exceeded("the control plane did not answer in time");
    timeout(ANSWER_TIME, call).await.map_err(late)?
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, AccessError> {
    std::fs::read(path).map_err(|source| AccessError::File {
        what,
        path: path.to_owned(),
        source,
    })
}

/// The file as it is now, or as it was when it could be read last.
fn refreshed(path: &Path, last: &Mutex<Vec<u8>>) -> Vec<u8> {
    if let Ok(content) = std::fs::read(path)
        && !content.trim_ascii().is_empty()
    {
        *last.lock() = content;
    }
    last.lock().clone()
}
