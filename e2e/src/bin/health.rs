//! A gRPC server that says that it is healthy, for probes of pods.
//!
//!   health IP:PORT

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tonic::transport::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: health IP:PORT")?;
    let address: SocketAddr = address.parse().context("usage: health IP:PORT")?;
    // The server as a whole, which is what a probe without a service asks for, is healthy.
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(health);
    server.serve(address).await.context("serving")
}
