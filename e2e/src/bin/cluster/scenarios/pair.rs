//! Two captured pods on two nodes, one of which calls the other.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_e2e::cluster::{Cluster, Echo, HTTP, Pod, Sandbox};
use anyhow::{Context as _, Result};

/// A client on the first node, and a server on the second.
pub(super) struct Pair {
    pub(super) client: Pod,
    pub(super) server: Pod,
}

impl Pair {
    /// Enrols the namespace and makes both in it, captured within that time of being ready.
    pub(super) fn captured(cluster: &Cluster, shop: &Sandbox, limit: Duration) -> Result<Self> {
        let (near, far) = (cluster.node(0)?, cluster.node(1)?);
        shop.enrol()?;
        let (client, server) = (Echo::one("client").on(near), Echo::one("server").on(far));
        shop.apply(&client.objects(shop))?;
        shop.apply(&server.objects(shop))?;
        let pair = Self {
            client: shop.ready_one(&client.selector())?,
            server: shop.ready_one(&server.selector())?,
        };
        shop.captured("", limit)?;
        Ok(pair)
    }

    /// Where the server answers HTTP.
    pub(super) fn to(&self) -> Result<SocketAddr> {
        let ip = self.server.ip().context("the server has no address")?;
        Ok(SocketAddr::new(ip, HTTP))
    }
}
