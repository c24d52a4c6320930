//! The control role without root.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use ambit_netsys::confine::CONTROL_ID;
use ambit_node_agent::launch::{Child, ControlLaunch, launch_control};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::{PATIENCE, assert_powerless, namespace, status};

/// A running control role that has done what it must be able to do.
pub(crate) struct Control {
    pub(crate) child: Child,
    _host: UnixStream,
    /// Its state, in a directory below; gone with this.
    _directory: tempfile::TempDir,
}

impl Control {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .expect("others may pass through");
        let own = directory.path().join("state/control");
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let reach = listener.local_addr().expect("address").to_string();
        let (host, theirs) = ambit_netsys::passing::stream_pair().expect("pair");
        let arguments = vec![
            "--own".into(),
            own.clone().into(),
            "--reach".into(),
            reach.into(),
        ];
        let child = launch_control(ControlLaunch {
            host: theirs,
            arguments,
        });
        let child = child.await.expect("launch");
        let mut host = stream(host);
        let mut answer = [0; 1];
        timeout(PATIENCE, host.read_exact(&mut answer))
            .await
            .expect("in time")
            .expect("an answer");
        assert_eq!(std::fs::read(own.join("state")).expect("state"), b"state");
        Self {
            child,
            _host: host,
            _directory: directory,
        }
    }
}

fn stream(fd: OwnedFd) -> UnixStream {
    UnixStream::from_std(fd.into()).expect("stream")
}

pub(crate) async fn has_no_power() {
    let mut control = Control::start().await;
    let pid = control.child.pid();
    assert_powerless(pid, CONTROL_ID);
    // It speaks to the control plane from the node's network.
    assert_eq!(namespace(&pid.to_string(), "net"), namespace("self", "net"));
    assert_eq!(status(pid, "Name"), "ambit-control");
    control.child.kill().expect("kill");
    timeout(PATIENCE, control.child.wait())
        .await
        .expect("ends")
        .expect("status");
}
