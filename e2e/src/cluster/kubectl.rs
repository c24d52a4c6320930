//! `kubectl`, with types where scenarios look at what it answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bounded::{self, Said};
use super::{Access, Pod, SYSTEM};

/// The cluster's API, through its command line.
#[derive(Clone, Debug)]
pub struct Kubectl {
    access: Arc<Access>,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

impl Kubectl {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    /// A command to be started with further arguments.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.access.client("kubectl");
        command.args(args);
        command
    }

    /// Runs it to a success and answers what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        bounded::run(self.command(args), bounded::USUAL)
    }

    /// The same, for what takes its time.
    pub fn run_within(&self, limit: Duration, args: &[&str]) -> Result<String> {
        bounded::run(self.command(args), limit)
    }

    /// Runs it, however it ends.
    pub fn say(&self, args: &[&str]) -> Result<Said> {
        bounded::say(self.command(args), &[], bounded::USUAL)
    }

    /// Names of the objects that a `get` finds.
    pub fn names(&self, get: &[&str]) -> Result<Vec<String>> {
        let output = [get, &["-o", "jsonpath={.items[*].metadata.name}"]].concat();
        let text = self.run(&output)?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// The objects that a `get` finds.
    pub fn list<T: DeserializeOwned>(&self, get: &[&str]) -> Result<Vec<T>> {
        Ok(self.json::<List<T>>(get)?.items)
    }

    /// What a `get` answers.
    pub fn json<T: DeserializeOwned>(&self, get: &[&str]) -> Result<T> {
        let text = self.run(&[get, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("reading kubectl {}", get.join(" ")))
    }

    /// The pods of a namespace that a selector of labels finds; an empty one finds all.
    pub fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        self.list(&["-n", namespace, "get", "pods", "-l", selector])
    }

    /// Creates or changes objects of a namespace.
    pub fn apply(&self, namespace: &str, objects: &[Value]) -> Result<()> {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.apply_text(namespace, &list.to_string())
    }

    /// Creates or changes what a text of YAML or JSON holds.
    pub fn apply_text(&self, namespace: &str, text: &str) -> Result<()> {
        let command = self.command(&["-n", namespace, "apply", "-f", "-"]);
        bounded::succeed(command, text.as_bytes(), bounded::USUAL)?;
        Ok(())
    }

    /// Asks whether a text of YAML or JSON would be taken, and writes nothing.
    pub fn offer(&self, namespace: &str, text: &str) -> Result<Said> {
        self.offer_with(namespace, text, &[])
    }

    /// The same over what is there, whoever made it.
    pub fn offer_over(&self, namespace: &str, text: &str) -> Result<Said> {
        self.offer_with(namespace, text, &["--server-side", "--force-conflicts"])
    }

    fn offer_with(&self, namespace: &str, text: &str, more: &[&str]) -> Result<Said> {
        let offer = ["-n", namespace, "apply", "--dry-run=server", "-f", "-"];
        let command = self.command(&[&offer[..], more].concat());
        bounded::say(command, text.as_bytes(), bounded::USUAL)
    }

    /// Runs it to a success with `input` on its stdin.
    pub fn tell(&self, args: &[&str], input: &[u8], limit: Duration) -> Result<()> {
        bounded::succeed(self.command(args), input, limit)?;
        Ok(())
    }

    /// Runs a program in a pod, to a success.
    pub fn exec(&self, namespace: &str, pod: &str, program: &[&str]) -> Result<String> {
        self.run(&[&["-n", namespace, "exec", pod, "--"], program].concat())
    }

    /// Runs a program in a pod with `input` on its stdin.
    pub fn feed(&self, namespace: &str, pod: &str, program: &[&str], input: &[u8]) -> Result<()> {
        let command =
            self.command(&[&["-n", namespace, "exec", "-i", pod, "--"], program].concat());
        bounded::succeed(command, input, bounded::USUAL)?;
        Ok(())
    }

    /// Waits until all pods of the mesh's own `KIND/NAME` are as it says and ready.
    pub fn rolled_out(&self, what: &str, limit: Duration) -> Result<()> {
        self.run_within(limit, &["-n", SYSTEM, "rollout", "status", what])?;
        Ok(())
    }

    /// Sets a label `KEY=VALUE` of a namespace, or with `KEY-` takes it away.
    pub fn label_namespace(&self, namespace: &str, label: &str) -> Result<()> {
        self.run(&["label", "--overwrite", "namespace", namespace, label])?;
        Ok(())
    }
}
