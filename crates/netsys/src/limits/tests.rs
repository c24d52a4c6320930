use super::*;

#[test]
fn open_files_go_up_to_the_hard_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
    assert_eq!(raise_open_files(0).expect("raise"), hard);
    assert_eq!(
        getrlimit(Resource::RLIMIT_NOFILE).expect("limit"),
        (hard, hard)
    );
}

#[cfg(target_env = "gnu")]
#[test]
fn the_allocator_takes_its_settings() {
    assert!(keep_freed_memory(8 << 20));
}
