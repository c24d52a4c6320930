use super::*;

#[test]
fn a_programs_name_may_hold_brackets_and_blanks() {
    let text = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 100 1 1";
    assert_eq!(ticks(text), Some(42));
}

#[test]
fn a_family_holds_children_of_this_process() {
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("sleep");
    let pid = Pid::from_raw(child.id().cast_signed());
    let family = family(Pid::this());
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert_eq!(family.first(), Some(&Pid::this()));
    assert!(family.contains(&pid), "{family:?}");
}

#[test]
fn this_process_uses_memory_and_time() {
    let used = memory(Pid::this()).expect("memory");
    assert!(used.rss >= used.pss && used.pss > 0.0, "{used:?}");
    let nothing = Threads(BTreeMap::new());
    assert!(Threads::of(&[Pid::this()]).since(&nothing) > 0.0);
    assert_eq!(nothing.since(&Threads::of(&[Pid::this()])), 0.0);
}
