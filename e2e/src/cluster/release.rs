//! The mesh, installed and removed by its chart.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::bounded::{self, Said};
use super::{Access, Kubectl, SYSTEM, repository};

/// Helm's own time-out, and a little more for the command.
const WAIT: Duration = Duration::from_secs(180);
const LONGER: Duration = Duration::from_secs(330);

/// The chart's release.
#[derive(Debug)]
pub struct Release {
    access: Arc<Access>,
    kubectl: Kubectl,
}

impl Release {
    pub(super) fn new(access: Arc<Access>, kubectl: Kubectl) -> Self {
        Self { access, kubectl }
    }

    /// Lints the chart and renders it with every set of values that it comes with.
    pub fn check(&self) -> Result<()> {
        let mut check = Command::new(repository()?.join("manifests/charts/check.sh"));
        check.env("HELM", bounded::shown(&self.access.client("helm")));
        bounded::run(check, WAIT)?;
        Ok(())
    }

    /// Installs the images that were built, and waits until everything is ready.
    pub fn install(&self) -> Result<()> {
        let said = self.install_as("ambit", SYSTEM, &["--wait"])?;
        succeeded(&said).context("helm install")
    }

    /// One template of the chart or, without a name, all of them, as text of YAML.
    pub fn rendered(&self, template: Option<&str>) -> Result<String> {
        let only = template.map(|name| format!("templates/{name}"));
        let more: Vec<&str> = only.iter().flat_map(|name| ["-s", name]).collect();
        let said = self.chart(&["template", "ambit", "-n", SYSTEM], &more)?;
        succeeded(&said).context("helm template")?;
        Ok(said.out)
    }

    /// Tries to install under another name, however it ends.
    pub fn install_as(&self, name: &str, namespace: &str, more: &[&str]) -> Result<Said> {
        self.chart(
            &["install", name, "-n", namespace, "--create-namespace"],
            more,
        )
    }

    /// Upgrades with further values.
    pub fn upgrade(&self, more: &[&str]) -> Result<()> {
        let said = self.chart(&["upgrade", "ambit", "-n", SYSTEM, "--wait"], more)?;
        succeeded(&said).context("helm upgrade")
    }

    /// Uninstalls; an error if the nodes could not be cleared.
    pub fn uninstall(&self) -> Result<()> {
        let said = self.helm(&["uninstall", "ambit", "-n", SYSTEM, "--wait"])?;
        succeeded(&said).context("helm uninstall")
    }

    /// Uninstalls as somebody in a hurry does: the nodes are not told.
    pub fn uninstall_without_hooks(&self) -> Result<()> {
        let said = self.helm(&["uninstall", "ambit", "-n", SYSTEM, "--no-hooks", "--wait"])?;
        succeeded(&said).context("helm uninstall --no-hooks")
    }

    /// Removes what is there of the release, by force, and what an uninstall keeps.
    pub fn clear(&self) -> Result<()> {
        let installed = self.helm(&["status", "ambit", "-n", SYSTEM])?;
        if installed.status.success() && self.uninstall().is_err() {
            self.uninstall_without_hooks().ok();
        }
        let crds = ["delete", "crds", "-l", "app.kubernetes.io/part-of=ambit"];
        self.kubectl.run(&crds)?;
        let namespace = ["delete", "namespace", SYSTEM, "--ignore-not-found"];
        self.kubectl.run_within(WAIT, &namespace)?;
        Ok(())
    }

    fn chart(&self, words: &[&str], more: &[&str]) -> Result<Said> {
        let chart = repository()?.join("manifests/charts/ambit");
        let values = chart.join("ci/kit-values.yaml");
        let (chart, values) = (chart.to_string_lossy(), values.to_string_lossy());
        self.helm(&[words, &[&chart, "-f", &values], more].concat())
    }

    fn helm(&self, args: &[&str]) -> Result<Said> {
        let mut command = self.access.client("helm");
        command.args(args);
        let waits = args.contains(&"--wait");
        if waits {
            command.args(["--timeout", &format!("{}s", WAIT.as_secs())]);
        }
        bounded::say(command, &[], if waits { LONGER } else { bounded::USUAL })
    }
}

fn succeeded(said: &Said) -> Result<()> {
    if !said.status.success() {
        anyhow::bail!("{}: {}", said.status, said.err.trim());
    }
    Ok(())
}
