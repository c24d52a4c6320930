//! A namespace of one scenario: what is made in it goes with it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{ENROL, Kubectl, Pod, images};
use crate::wait::{wait_until, wait_with_pauses};

/// What a scenario's namespaces are known by.
const MARK: &str = "ambit-e2e";
/// Until pods run, on a machine that starts forty at once.
const START: Duration = Duration::from_secs(120);
/// Between two looks at pods: each takes a good part of a processor that the pods share.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a file is written into a pod before that is given up.
const ATTEMPTS: usize = 5;
const CURL: &[&str] = &["curl", "-sS", "--fail", "-m", "5"];
/// What `curl` ends with: no connection, no answer in time, none at all, cut off.
const REFUSALS: [i32; 4] = [7, 28, 52, 56];
const SWEEP: Duration = Duration::from_secs(120);

/// A namespace, deleted when dropped.
#[derive(Debug)]
pub struct Sandbox {
    /// Its name.
    pub name: String,
    /// Image of its pods.
    pub image: String,
    /// The cluster's API.
    pub kubectl: Kubectl,
}

impl Sandbox {
    pub(super) fn create(kubectl: Kubectl, name: &str, image: &str) -> Result<Self> {
        let name = format!("e2e-{name}");
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { MARK: "true" } },
        });
        kubectl.apply("default", &[namespace])?;
        Ok(Self {
            name,
            image: image.to_owned(),
            kubectl,
        })
    }

    /// Asks for its pods to be captured.
    pub fn enrol(&self) -> Result<()> {
        self.kubectl.label_namespace(&self.name, ENROL)
    }

    /// Takes that back.
    pub fn release(&self) -> Result<()> {
        let key = ENROL.split('=').next().unwrap_or_default();
        self.kubectl.label_namespace(&self.name, &format!("{key}-"))
    }

    /// Creates or changes objects in it.
    pub fn apply(&self, objects: &[Value]) -> Result<()> {
        self.kubectl.apply(&self.name, objects)
    }

    /// Its pods by labels.
    pub fn pods(&self, selector: &str) -> Result<Vec<Pod>> {
        self.kubectl.pods(&self.name, selector)
    }

    /// Waits until so many of its pods by labels are ready.
    pub fn ready(&self, selector: &str, count: usize) -> Result<Vec<Pod>> {
        self.pods_that(
            &format!("{count} ready pods {selector}"),
            START,
            selector,
            |pods| pods.len() == count && pods.iter().all(Pod::is_ready),
        )
    }

    /// Waits until its one pod by labels is ready.
    pub fn ready_one(&self, selector: &str) -> Result<Pod> {
        let pods = self.ready(selector, 1)?;
        pods.into_iter().next().context("no pod")
    }

    /// Waits until its pods by labels are as they should be.
    pub fn pods_that(
        &self,
        what: &str,
        limit: Duration,
        selector: &str,
        are: impl Fn(&[Pod]) -> bool,
    ) -> Result<Vec<Pod>> {
        let mut last = None;
        let found = wait_with_pauses(PAUSE, what, limit, || {
            let pods = self.pods(selector).ok()?;
            let good = are(&pods);
            last = Some(pods.clone());
            good.then_some(pods)
        });
        found.with_context(|| format!("in {}: {}", self.name, told(last.as_deref())))
    }

    /// Waits until all its pods by labels are recorded as captured; answers how long it took.
    pub fn captured(&self, selector: &str, limit: Duration) -> Result<Duration> {
        let start = std::time::Instant::now();
        self.pods_that("captured pods", limit, selector, |pods| {
            !pods.is_empty() && pods.iter().all(Pod::is_captured)
        })?;
        Ok(start.elapsed())
    }

    /// Waits until none of its pods is recorded as captured.
    pub fn released(&self, limit: Duration) -> Result<Duration> {
        let start = std::time::Instant::now();
        self.pods_that("released pods", limit, "", |pods| {
            pods.iter().all(|pod| pod.redirection().is_none())
        })?;
        Ok(start.elapsed())
    }

    /// Runs a program in one of its pods, to a success.
    pub fn exec(&self, pod: &str, program: &[&str]) -> Result<String> {
        self.kubectl.exec(&self.name, pod, program)
    }

    /// Writes a file in one of its pods, whole or not at all.
    pub fn put(&self, pod: &str, path: &str, mode: &str, content: &[u8]) -> Result<()> {
        let length = content.len();
        let new = format!("{path}.new");
        let write = format!(
            "cat > {new} && [ $(wc -c < {new}) = {length} ] && chmod {mode} {new} && mv {new} {path}"
        );
        // On a busy machine the end of stdin may overtake what was written to it.
        let mut written = Ok(());
        for _ in 0..ATTEMPTS {
            let program = ["sh", "-c", &write];
            written = self.kubectl.feed(&self.name, pod, &program, content);
            if written.is_ok() {
                break;
            }
        }
        written.with_context(|| format!("writing {path} in {pod}, {ATTEMPTS} times"))
    }

    /// Puts one of our programs into one of its pods, in `/tmp` under its name.
    pub fn bring(&self, pod: &str, program: &str) -> Result<()> {
        let content = images::portable(program)?;
        self.put(pod, &format!("/tmp/{program}"), "755", &content)
    }

    /// What `curl` in one of its pods gets from a URL; an error if it gets nothing good.
    pub fn curl(&self, pod: &str, url: &str) -> Result<String> {
        self.exec(pod, &[CURL, &[url]].concat())
    }

    /// An error unless `curl` in one of its pods is refused, cut off or left without an answer.
    pub fn refused(&self, pod: &str, url: &str) -> Result<()> {
        let exec = ["-n", &self.name, "exec", pod, "--"];
        let said = self.kubectl.say(&[&exec[..], CURL, &[url]].concat())?;
        let code = said.status.code();
        if !code.is_some_and(|code| REFUSALS.contains(&code)) {
            let (name, status) = (&self.name, said.status);
            let said = [said.out.trim(), said.err.trim()].concat();
            bail!("curl {url} in {pod} of {name} ended with {status}: {said}");
        }
        Ok(())
    }

    /// Waits until `curl` in one of its pods is no longer answered.
    pub fn becomes_refused(&self, pod: &str, url: &str, limit: Duration) -> Result<()> {
        let refused = || self.refused(pod, url).is_ok();
        wait_until(&format!("{pod} to be refused by {url}"), limit, refused)?;
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let args = ["delete", "namespace", &self.name, "--wait=false"];
        self.kubectl.run(&args).ok();
    }
}

/// Deletes what a killed run left behind, and waits until it is gone.
pub(super) fn sweep(kubectl: &Kubectl) -> Result<()> {
    let selector = format!("{MARK}=true");
    let args = ["delete", "namespaces", "-l", &selector, "--wait=true"];
    kubectl.run_within(SWEEP, &args)?;
    Ok(())
}

fn told(pods: Option<&[Pod]>) -> String {
    let Some(pods) = pods else {
        return "the pods cannot be listed".to_owned();
    };
    let told = pods.iter().map(|pod| {
        let ready = if pod.is_ready() { "ready" } else { "not ready" };
        let redirection = pod.redirection().unwrap_or("not captured");
        format!("{} on {}: {ready}, {redirection}", pod.name(), pod.node())
    });
    told.collect::<Vec<_>>().join("; ")
}
