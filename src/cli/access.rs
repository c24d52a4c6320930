//! The way of the command line to a cluster, and what all subcommands that take it share.

use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long the API server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Access {
    /// File that names clusters and users, instead of KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of that file to use, instead of its current one
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No file, or not a good one.
    #[error("no way to a cluster: {0}; name a file with --kubeconfig or KUBECONFIG")]
    Kubeconfig(String),
    /// What it says cannot be used.
    #[error("the API server cannot be used: {0}")]
    Client(Box<kube::Error>),
}

impl Access {
    /// A client of the API server; nothing is asked yet.
    pub async fn client(&self) -> Result<Client, AccessError> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        Client::try_from(config).map_err(|error| AccessError::Client(Box::new(error)))
    }

    async fn config(&self) -> Result<Config, AccessError> {
        let unusable = |error: &dyn std::error::Error| AccessError::Kubeconfig(chain(error));
        if self.kubeconfig.is_none() && self.context.is_none() {
            return Config::infer().await.map_err(|error| unusable(&error));
        }
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let found = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file).map_err(|error| unusable(&error))?,
            None => Kubeconfig::read().map_err(|error| unusable(&error))?,
        };
        let config = Config::from_custom_kubeconfig(found, &options).await;
        config.map_err(|error| unusable(&error))
    }
}

/// Runs a subcommand that asks a cluster.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// What a cluster was asked; none, once it is said why, if it cannot be told.
pub(super) fn or_said<T>(
    asked: anyhow::Result<T>,
    err: &mut impl Write,
) -> anyhow::Result<Option<T>> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => {
            writeln!(err, "error: {error:#}")?;
            Ok(None)
        }
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
