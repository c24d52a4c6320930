//! What is kept of a failure: logs of the mesh's own pods, pods and events of the cluster.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Kubectl, SYSTEM};

/// Lines of each container.
const TAIL: &str = "--tail=5000";

/// Saves it all in a folder of the scenario's name; what cannot be had is said in its file.
pub(super) fn save(kubectl: &Kubectl, dir: &Path, scenario: &str) -> PathBuf {
    let folder = dir.join(scenario);
    fs::create_dir_all(&folder).ok();
    let keep = |file: &str, args: &[&str]| {
        let text = kubectl
            .run(args)
            .unwrap_or_else(|error| format!("{error:#}"));
        fs::write(folder.join(file), text).ok();
    };
    keep("pods.txt", &["get", "pods", "-A", "-o", "wide"]);
    keep("pods.yaml", &["get", "pods", "-A", "-o", "yaml"]);
    keep(
        "events.txt",
        &["get", "events", "-A", "--sort-by=.lastTimestamp"],
    );
    for pod in kubectl.pods(SYSTEM, "").unwrap_or_default() {
        let (name, all) = (pod.name(), "--all-containers");
        let logs = ["-n", SYSTEM, "logs", name, all, TAIL];
        keep(&format!("{name}.log"), &logs);
        if pod.restarts() > 0 {
            keep(
                &format!("{name}.previous.log"),
                &[&logs[..], &["-p"]].concat(),
            );
        }
    }
    folder
}
