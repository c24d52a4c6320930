//! The scenarios, in the order in which they are run. Each has namespaces of its own and answers a
//! sentence with what it measured.

mod agent_away;
mod broken_objects;
mod churn;
mod command_line;
mod control_plane_away;
mod credentials;
mod dashboards;
mod enrolment;
mod first_byte;
mod identity;
mod install;
mod istio_objects;
mod leader_killed;
mod node_reboot;
mod node_taint;
mod not_captured;
mod outside;
mod own_authority;
mod pair;
mod permissions;
mod planes;
mod probes;
mod rolling_restart;
mod said;
mod service_entries;
mod services;
mod stranger;
mod strangers;
mod team;
mod uninstall;
mod waypoint;
mod waypoint_restart;

use std::time::Duration;

use ambit_e2e::cluster::Cluster;
use anyhow::Result;

/// Until a change of the mesh's configuration is in force everywhere, at the latest.
const BITE: Duration = Duration::from_secs(10);

/// Something that is to be shown.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// A word to choose it by.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) shows: &'static str,
    /// Shows it.
    pub(crate) run: fn(&Cluster) -> Result<String>,
}

/// Comes before all others.
pub(crate) const FIRST: Scenario = Scenario {
    name: "install",
    shows: "helm install makes control planes and agents ready; a second install says so",
    run: install::run,
};

/// Comes after all others.
pub(crate) const LAST: Scenario = Scenario {
    name: "uninstall",
    shows: "helm uninstall leaves pods working and nothing on the nodes; reinstalling works",
    run: uninstall::run,
};

/// Those that need the mesh.
pub(crate) const MIDDLE: &[Scenario] = &[
    Scenario {
        name: "enrolment",
        shows: "40 running pods are captured in 5 s, and released; no connection breaks",
        run: enrolment::run,
    },
    Scenario {
        name: "first-byte",
        shows: "the first byte of an init container is tunnelled; a Job completes",
        run: first_byte::run,
    },
    Scenario {
        name: "probes",
        shows: "probes pass under STRICT, and fail when the application is dead",
        run: probes::run,
    },
    Scenario {
        name: "services",
        shows: "services of every kind behave as they did without the mesh",
        run: services::run,
    },
    Scenario {
        name: "strangers",
        shows: "STRICT refuses clients outside the mesh, by every way in",
        run: strangers::run,
    },
    Scenario {
        name: "istio-objects",
        shows: "Istio's label and its policies work unmodified",
        run: istio_objects::run,
    },
    Scenario {
        name: "broken-objects",
        shows: "broken policies are refused, or say in their status what became of them",
        run: broken_objects::run,
    },
    Scenario {
        name: "identity",
        shows: "an agent gets identities of its own node only, a pod none",
        run: identity::run,
    },
    Scenario {
        name: "command-line",
        shows: "ambit enrols, tells, explains, cuts older connections and releases",
        run: command_line::run,
    },
    Scenario {
        name: "not-captured",
        shows: "a pod that cannot be captured says why, and is when nothing is in the way",
        run: not_captured::run,
    },
    Scenario {
        name: "permissions",
        shows: "service accounts may do what docs/permissions.md says, no more",
        run: permissions::run,
    },
    Scenario {
        name: "churn",
        shows: "300 pods come and go on a few addresses; none is taken for another, nothing is left",
        run: churn::run,
    },
    Scenario {
        name: "waypoint",
        shows: "one command makes a waypoint, traffic goes through it, statuses tell, drift is mended",
        run: waypoint::run,
    },
    Scenario {
        name: "waypoint-restart",
        shows: "a waypoint is restarted, scaled and unbound at 500 requests/s and none fails",
        run: waypoint_restart::run,
    },
    Scenario {
        name: "dashboards",
        shows: "Prometheus, in the mesh and outside, answers dashboards with what was sent",
        run: dashboards::run,
    },
    Scenario {
        name: "team",
        shows: "a team's YAML for Istio works unmodified, and its panels, alerts and log tell of it",
        run: team::run,
    },
    Scenario {
        name: "service-entries",
        shows: "hosts outside have addresses and names, by the leader; all else outside is refused",
        run: service_entries::run,
    },
    Scenario {
        name: "credentials",
        shows: "a server outside is shown the certificate of a Secret, and no other Secret may be had",
        run: credentials::run,
    },
    Scenario {
        name: "agent-away",
        shows: "without its agent a pod refuses and a new one waits; both serve when it is back",
        run: agent_away::run,
    },
    Scenario {
        name: "leader-killed",
        shows: "the leading control plane is killed under load: another leads, no connection fails",
        run: leader_killed::run,
    },
    Scenario {
        name: "control-plane-away",
        shows: "90 s without a control plane: pods serve on, a new one refuses, then all serve",
        run: control_plane_away::run,
    },
    Scenario {
        name: "node-taint",
        shows: "a tainted node gets pods only once its agent is ready",
        run: node_taint::run,
    },
    Scenario {
        name: "node-reboot",
        shows: "all pods of a node that boots come back captured, and none speaks before",
        run: node_reboot::run,
    },
    Scenario {
        name: "own-authority",
        shows: "a user's intermediate takes over signing under load, and no connection fails",
        run: own_authority::run,
    },
    Scenario {
        name: "rolling-restart",
        shows: "agents are replaced under 20,000 new connections and none fails",
        run: rolling_restart::run,
    },
];
