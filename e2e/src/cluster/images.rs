//! The images of the mesh, built from this tree and put where the nodes find them, and programs for
//! pods of any image.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Access, Options, bounded, repository};
use crate::mesh::binary;

const BUILD: Duration = Duration::from_secs(1800);
const LOAD: Duration = Duration::from_secs(300);
const REFERENCES: [&str; 4] = [
    "localhost/ambit:dev",
    "localhost/ambit-node-agent:dev",
    "localhost/ambit-cni:dev",
    "localhost/ambit-waypoint:dev",
];

/// Builds and loads the images.
pub(super) fn build(access: &Access, options: &Options) -> Result<()> {
    let root = repository()?;
    let mut script = Command::new(root.join("manifests/docker/images.sh"));
    if access.kit().is_some() {
        script.env_remove("DOCKER");
        script.env("KUBE_KIT", options.kit.as_deref().unwrap_or(&root));
    } else if std::env::var_os("DOCKER").is_none() {
        script.env("DOCKER", "docker");
    }
    bounded::run(script, BUILD).context("building the images")?;
    if let (None, Some(loader)) = (access.kit(), &options.image_loader) {
        let mut words = loader.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(REFERENCES);
        bounded::run(command, LOAD).context("IMAGE_LOADER")?;
    }
    Ok(())
}

/// Debian's Prometheus as an image, which only the kit can make.
pub(super) fn prometheus(access: &Access) -> Result<String> {
    let missing =
        "set PROMETHEUS_IMAGE to an image of Prometheus, such as docker.io/prom/prometheus";
    let kube = access.kit().context(missing)?;
    let root = repository()?.join("target/prometheus-image");
    fs::remove_dir_all(&root).ok();
    let folder = root.to_string_lossy();
    let program = "/usr/bin/prometheus";
    let words = |words: &[&str]| {
        let mut command = Command::new(kube);
        command.args(words);
        bounded::run(command, LOAD)
    };
    words(&["rootfs", &folder, program])
        .context("is Debian's package prometheus there? e2e/install-packages.sh installs it")?;
    let entrypoint = format!("[\"{program}\"]");
    let reference = "localhost/prometheus:dev";
    let image = ["image", reference, &folder];
    words(&[&image[..], &["--entrypoint", &entrypoint, "--cmd", "[]"]].concat())?;
    fs::remove_dir_all(&root).ok();
    Ok(reference.to_owned())
}

/// One of our programs, linked so that it runs in any image.
pub(super) fn portable(program: &str) -> Result<Vec<u8>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()?);
    cargo.args(["rustc", "--locked", "-q", "-p", "ambit-e2e"]);
    cargo.args(["--bin", program, "--", "-C", "target-feature=+crt-static"]);
    cargo.args(["-C", "strip=symbols"]);
    bounded::run(cargo, BUILD).with_context(|| format!("building {program}"))?;
    fs::read(binary(program)?).with_context(|| format!("reading {program}"))
}
