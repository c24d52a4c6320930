//! Envoy with a certificate of the mesh: a peer that shares no code with ours.

use std::fs;

use anyhow::{Context as _, Result};

use crate::forge::{Forger, Life};
use crate::lab::{Pod, Program};
use crate::programs;
use crate::world::{World, identity};

/// The package of the API's TLS contexts.
pub const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// Envoy in a pod, with a certificate of the mesh for the service account `name`, once it listens
/// on `port`. `resources` may use `@TLS@` for the part of a TLS context that both sides share, and
/// `@DIR@` for the folder that has `root.pem`.
pub fn envoy(world: &World, pod: &Pod, name: &str, resources: &str, port: u16) -> Result<Program> {
    let forger = Forger::with_the_meshs_key(world.mesh.control_plane.state())?;
    let leaf = forger.sign(&identity(name), Life::Now)?;
    let dir = world.dir("envoy");
    fs::create_dir_all(&dir).context("making Envoy's folder")?;
    fs::write(dir.join("leaf.pem"), &leaf.certificate_pem).context("writing a certificate")?;
    fs::write(dir.join("key.pem"), &leaf.key_pem).context("writing a key")?;
    fs::copy(world.mesh.control_plane.root(), dir.join("root.pem")).context("copying the root")?;
    let here = dir.display();
    let common = format!(
        "alpn_protocols: [h2], tls_params: {{tls_minimum_protocol_version: TLSv1_3, \
         tls_maximum_protocol_version: TLSv1_3}}, tls_certificates: [{{certificate_chain: \
         {{filename: {here}/leaf.pem}}, private_key: {{filename: {here}/key.pem}}}}]"
    );
    let text = resources
        .replace("@TLS@", &common)
        .replace("@DIR@", &here.to_string());
    programs::envoy(pod, &dir, &text, port)
}
