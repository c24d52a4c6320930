//! The plugin's commands. [`run`] is what the container runtime starts, [`add`] its reason to be.
//!
//! What fails and what does not:
//! - ADD fails for a pod that must be captured and is not; the kubelet tries again and again. Of a
//!   pod outside enrolled namespaces only an agent can say that, for it may be enrolled by a label of
//!   its own: without one, or one that takes long, the pod starts, and is captured afterwards.
//! - DEL never fails: a pod that cannot be deleted is worse than anything we could miss, and the
//!   agent notices by itself when a network namespace is gone.
//! - GC has nothing to do: nothing is kept here for a pod.
//! - STATUS does not ask the agent. The runtime runs it every few seconds, and one failure makes
//!   the whole node's network not ready: the node is tainted, no pod starts on it, in the end pods
//!   are evicted. Pods outside the mesh do not need the agent, so its restart must not do that to
//!   them; ADD of a pod that does need it fails by itself, with a reason that names the agent.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::agent::{self, Answer, Attachment, Request};
use crate::namespaces::{Decision, NamespaceList, decide};
use crate::spec::{self, Config, Entry, PluginError, Pod};

/// How long a pod that must be captured waits; the kubelet tries again afterwards.
const FIRM: Duration = Duration::from_secs(30);
/// How long a pod that need not be waits for the agent to take note of it.
const LOOSE: Duration = Duration::from_secs(1);
/// What an agent says of a pod of the mesh that it could not capture.
const NOT_CAPTURED: &str = "not-captured";

/// What the runtime says in the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `CNI_COMMAND`
    pub command: String,
    /// `CNI_CONTAINERID`
    pub container: String,
    /// `CNI_NETNS`
    pub netns: PathBuf,
    /// `CNI_ARGS`
    pub arguments: String,
}

/// What goes to stdout, and how the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// A result, an error, or nothing.
    pub output: String,
    /// Whether the command succeeded.
    pub success: bool,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        let text = |name| variable(name).to_string_lossy().into_owned();
        Self {
            command: text("CNI_COMMAND"),
            container: text("CNI_CONTAINERID"),
            netns: variable("CNI_NETNS").into(),
            arguments: text("CNI_ARGS"),
        }
    }
}

/// Does what the runtime asks; `input` is the network configuration from stdin.
pub fn run(environment: &Environment, input: &[u8]) -> Outcome {
    match obey(environment, input) {
        Ok(output) => Outcome {
            output,
            success: true,
        },
        Err(error) => Outcome {
            output: error.to_json(spec::version_of(input)),
            success: false,
        },
    }
}

fn obey(environment: &Environment, input: &[u8]) -> Result<String, PluginError> {
    match environment.command.as_str() {
        "VERSION" => return Ok(spec::versions(input)),
        "ADD" => return add(environment, &Config::parse(input)?),
        "CHECK" => check(environment, &Config::parse(input)?)?,
        "DEL" => delete(environment, input),
        "GC" | "STATUS" => drop(Config::parse(input)?),
        unknown => return Err(PluginError::Command(unknown.to_owned())),
    }
    Ok(String::new())
}

fn add(environment: &Environment, config: &Config<'_>) -> Result<String, PluginError> {
    let previous = config.previous()?;
    if let Some(pod) = Pod::parse(&environment.arguments) {
        match decision_on(&pod, &config.entry) {
            Decision::Pass => {}
            Decision::AskFirmly => {
                let answer = ask(Request::CniAdd, environment, config, &pod, FIRM)?;
                confirm(&pod, answer)?;
            }
            Decision::AskLoosely => match ask(Request::CniAdd, environment, config, &pod, LOOSE) {
                Ok(answer) if answer.state.as_deref() == Some(NOT_CAPTURED) => {
                    confirm(&pod, answer)?;
                }
                Ok(_) | Err(_) => {}
            },
            Decision::Fail(why) => return Err(PluginError::NotReady(why)),
        }
    }
    spec::in_version(previous, config.version)
}

fn check(environment: &Environment, config: &Config<'_>) -> Result<(), PluginError> {
    let Some(pod) = Pod::parse(&environment.arguments) else {
        return Ok(());
    };
    match decision_on(&pod, &config.entry) {
        Decision::Pass | Decision::AskLoosely => Ok(()),
        Decision::AskFirmly => {
            let answer = ask(Request::CniCheck, environment, config, &pod, FIRM)?;
            confirm(&pod, answer)
        }
        Decision::Fail(why) => Err(PluginError::NotReady(why)),
    }
}

fn delete(environment: &Environment, input: &[u8]) {
    let Some(pod) = Pod::parse(&environment.arguments) else {
        return;
    };
    let entry = Config::parse(input).map_or_else(|_unreadable| Entry::default(), |c| c.entry);
    let request = Request::CniDel {
        uid: pod.uid,
        container: environment.container.clone(),
    };
    // Whatever comes of it, see above.
    drop(agent::ask(&entry.agent_socket, &request, None, LOOSE));
}

fn decision_on(pod: &Pod, entry: &Entry) -> Decision {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since_epoch.unwrap_or_default().as_secs();
    let path = &entry.namespace_list;
    let list = NamespaceList::read(path, now);
    match decide(&list, &pod.namespace, &entry.system_namespaces) {
        Decision::Fail(why) => Decision::Fail(format!("{why} ({})", path.display())),
        decision => decision,
    }
}

fn ask(
    about: impl FnOnce(Attachment) -> Request,
    environment: &Environment,
    config: &Config<'_>,
    pod: &Pod,
    patience: Duration,
) -> Result<Answer, PluginError> {
    let netns = File::open(&environment.netns).map_err(|source| PluginError::Netns {
        path: environment.netns.clone(),
        source,
    })?;
    let request = about(Attachment {
        netns: environment.netns.clone(),
        uid: pod.uid.clone(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        ips: spec::addresses(config.previous()?)?,
        container: environment.container.clone(),
    });
    agent::ask(&config.entry.agent_socket, &request, Some(&netns), patience)
        .map_err(|error| PluginError::NotReady(error.to_string()))
}

/// Only what is known to be enough is taken as a yes.
fn confirm(pod: &Pod, answer: Answer) -> Result<(), PluginError> {
    let why = match (answer.ok, answer.state.as_deref()) {
        (true, Some("captured" | "not-enrolled")) => return Ok(()),
        (true, state) => format!("it is {}", state.unwrap_or("in no state")),
        (false, _) => {
            let error = answer.error.unwrap_or_else(|| "no reason given".to_owned());
            let word = answer.reason.map(|reason| format!(" ({reason})"));
            error + &word.unwrap_or_default()
        }
    };
    Err(PluginError::Refused {
        pod: format!("{}/{}", pod.namespace, pod.name),
        why,
    })
}
