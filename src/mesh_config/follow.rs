//! Following the file: it is looked at now and then, as a mounted ConfigMap changes without notice.
//!
//! Task: "mesh settings", one, ended by the stop token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::tasks::Tasks;
use ambit_model::MeshTelemetry;
use tokio::sync::watch;

use super::{MeshConfigError, read};
use crate::config::problem::Problem;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(2);

/// What holds for the whole mesh now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshConfig {
    /// What waypoints tell of requests.
    pub telemetry: Arc<MeshTelemetry>,
    /// What is wrong with the file, if it cannot be followed as it is now.
    pub problem: Option<Problem>,
}

/// The file, once read.
#[derive(Debug)]
pub struct MeshConfigFile {
    path: PathBuf,
    now: watch::Sender<MeshConfig>,
}

impl MeshConfigFile {
    /// Reads it for the first time.
    pub fn open(path: &Path) -> Result<Self, MeshConfigError> {
        let telemetry = Arc::new(read(path)?);
        Ok(Self {
            path: path.to_owned(),
            now: watch::Sender::new(MeshConfig {
                telemetry,
                problem: None,
            }),
        })
    }

    /// What holds now, and what comes.
    pub fn subscribe(&self) -> watch::Receiver<MeshConfig> {
        self.now.subscribe()
    }

    /// Follows it until the tasks end.
    pub fn start(self, tasks: &Tasks) {
        let stop = tasks.token();
        drop(tasks.spawn("mesh settings", async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => self.look(),
                    () = stop.cancelled() => return,
                }
            }
        }));
    }

    /// Looks whether it says something else.
    pub(super) fn look(&self) {
        let read = read(&self.path);
        self.now.send_if_modified(|now| {
            let next = match read {
                Ok(telemetry) if *now.telemetry == telemetry => MeshConfig {
                    telemetry: Arc::clone(&now.telemetry),
                    problem: None,
                },
                Ok(telemetry) => {
                    tracing::info!("the settings of the mesh have changed");
                    MeshConfig {
                        telemetry: Arc::new(telemetry),
                        problem: None,
                    }
                }
                Err(error) => MeshConfig {
                    telemetry: Arc::clone(&now.telemetry),
                    problem: Some(error.problem()),
                },
            };
            let is_other = *now != next;
            *now = next;
            is_other
        });
    }
}
