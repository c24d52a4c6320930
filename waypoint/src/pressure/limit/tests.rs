//! What files are read, and what they say.

use super::*;

#[test]
fn the_own_group_and_those_around_it_are_looked_at() {
    let pod = "0::/kubepods/pod1/c1\n";
    let expected = ["kubepods/pod1/c1/", "kubepods/pod1/", "kubepods/", ""];
    let expected = expected.map(|group| PathBuf::from(format!("{TREE}/{group}memory.max")));
    assert_eq!(files(pod), expected);
    // As a container with a namespace of its own is told.
    assert_eq!(
        files("0::/\n"),
        [PathBuf::from("/sys/fs/cgroup/memory.max")]
    );
    let first = "9:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/a\n";
    let expected = ["a/", ""];
    let expected =
        expected.map(|group| PathBuf::from(format!("{TREE}/memory/{group}memory.limit_in_bytes")));
    assert_eq!(files(first), expected);
    assert!(files("garbage\n4\n").is_empty());
}

#[test]
fn a_limit_is_a_number_of_bytes() {
    assert_eq!(number("1073741824\n"), Some(1 << 30));
    for none in ["max\n", "", "0\n", "-1\n", "1 GiB\n"] {
        assert_eq!(number(none), None, "{none:?}");
    }
    let meminfo = "MemFree: 5 kB\nMemTotal:       16384 kB\n";
    assert_eq!(total(meminfo), Some(16 << 20));
    assert_eq!(total("MemTotal: many kB\n"), None);
    assert!(limit().is_some(), "this machine has a limit");
}
