use super::*;
use crate::host::testing::names;

const UID: &str = "1f2e3d4c-5b6a-7980-8877-665544332211";

#[test]
fn a_process_tells_its_pod_by_its_cgroup() {
    let cgroupfs = format!("12:pids:/kubepods/burstable/pod{UID}/0123abcd\n1:name=systemd:/\n");
    let underscored = UID.replace('-', "_");
    let systemd = format!(
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{underscored}.slice/cri-containerd-0a.scope\n"
    );
    let from_within = format!("0::/../../pod{UID}/0123abcd\n");
    for cgroups in [cgroupfs, systemd, from_within] {
        assert_eq!(pod_of(&cgroups).as_deref(), Some(UID), "{cgroups}");
    }
}

#[test]
fn other_processes_are_of_no_pod() {
    for cgroups in [
        "",
        "0::/system.slice/kubelet.service\n",
        "0::/podman/pod\n",
        "0::/kubepods/burstable\n",
        "0::/tripod1f2e3d4c-5b6a-7980-8877-665544332211x\n",
        "0::/notapod1f2e3d4c-5b6a-7980-8877-665544332211\n",
        "0:\n:::",
    ] {
        assert_eq!(pod_of(cgroups), None, "{cgroups}");
    }
}

#[test]
fn pods_without_a_process_are_not_found() {
    assert!(namespaces_of(&[names(UID)]).unwrap().is_empty());
}

#[test]
fn a_namespace_that_a_process_made_is_not_taken_for_the_pods() {
    let found = |path: Option<&str>| Found {
        netns: NetNs::open(Path::new("/proc/self/ns/net")).unwrap(),
        path: path.map(str::to_owned),
    };
    let pod = names(UID);
    let mounted = Some("/run/netns/cni-1");
    let own = the_pods(&pod, vec![found(None), found(mounted), found(None)]);
    assert_eq!(own.unwrap().path.as_deref(), mounted);
    assert!(the_pods(&pod, vec![found(None)]).is_some());
    assert!(the_pods(&pod, vec![found(None), found(None)]).is_none());
}
