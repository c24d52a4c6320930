use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use super::*;

#[test]
fn an_agent_is_ready_when_one_of_its_own_container_owns_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let nobody = check(&socket).unwrap_err();
    assert!(matches!(nobody, NotReady::Nobody { .. }), "{nobody}");
    let listener = UnixListener::bind(&socket).unwrap();
    check(&socket).unwrap();
    // As one that was killed leaves it.
    drop(listener);
    let nobody = check(&socket).unwrap_err();
    assert!(matches!(nobody, NotReady::Nobody { .. }), "{nobody}");
}

#[test]
fn a_process_with_another_view_of_the_file_system_is_of_another_container() {
    let mut other = Command::new("unshare")
        .args(["--mount", "sh", "-c", "echo; read _"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = other.stdout.as_mut().unwrap();
    io::Read::read_exact(said, &mut [0]).unwrap();
    let process = i32::try_from(other.id()).unwrap();
    assert!(!is_of_this_container(process).unwrap());
    assert!(is_of_this_container(std::process::id().cast_signed()).unwrap());
    drop(other.stdin.take());
    other.wait().unwrap();
    assert!(is_of_this_container(process).is_err());
}
