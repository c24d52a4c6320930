//! Two pods that are not of the mesh: what one says to the other can be read on the wire.

use std::net::SocketAddr;

use ambit_e2e::capture::Captured;
use ambit_e2e::cluster::{Cluster, Echo, HTTP, Sandbox, Wire};
use anyhow::{Context as _, Result};

/// A client and a server on two nodes.
pub(super) struct Outside {
    sandbox: Sandbox,
    client: String,
    server: String,
}

impl Outside {
    /// In a namespace of their own.
    pub(super) fn new(cluster: &Cluster, name: &str, near: &str, far: &str) -> Result<Self> {
        let sandbox = cluster.sandbox(name)?;
        let (client, server) = (Echo::one("client").on(near), Echo::one("server").on(far));
        sandbox.apply(&client.objects(&sandbox))?;
        sandbox.apply(&server.objects(&sandbox))?;
        let client = sandbox.ready_one(&client.selector())?.name().to_owned();
        let server = server.selector();
        sandbox.ready_one(&server)?;
        Ok(Self {
            sandbox,
            client,
            server,
        })
    }

    /// What went over the wire up to a word that is sent now, in the clear.
    pub(super) fn until(&self, wire: &Wire, word: &str) -> Result<Captured> {
        let server = self.sandbox.ready_one(&self.server)?;
        let server = SocketAddr::new(server.ip().context("no address")?, HTTP);
        self.sandbox
            .curl(&self.client, &format!("http://{server}/?{word}"))?;
        wire.until(word)
    }

    /// An error if a pod answers the client.
    pub(super) fn refused(&self, url: &str) -> Result<()> {
        self.sandbox.refused(&self.client, url)
    }
}
