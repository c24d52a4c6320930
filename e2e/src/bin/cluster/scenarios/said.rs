//! The program `ambit`, as a user of the cluster runs it.

use ambit_e2e::cluster::Cluster;
use anyhow::{Result, ensure};

/// The label by which a namespace or an object names its waypoint.
pub(super) const BOUND: &str = "ambit.mesh/use-waypoint";

/// What `ambit` prints, if it ends with that exit code.
pub(super) fn said(cluster: &Cluster, args: &[&str], code: i32) -> Result<String> {
    let said = cluster.ambit(args)?;
    ensure!(
        said.status.code() == Some(code),
        "`ambit {}` ended with {}: {}{}",
        args.join(" "),
        said.status,
        said.out,
        said.err
    );
    Ok(said.out)
}

/// Makes the waypoint of a namespace and binds the namespace to it; it is ready then.
pub(super) fn make_waypoint(cluster: &Cluster, namespace: &str) -> Result<()> {
    let args = ["waypoint", "apply", "-n", namespace];
    said(
        cluster,
        &[&args[..], &["--enroll-namespace", "--wait"]].concat(),
        0,
    )?;
    Ok(())
}
