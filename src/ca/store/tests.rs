use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn what_was_kept_comes_back_and_only_we_can_read_it() {
    let state = tempfile::tempdir().unwrap();
    let folder = Folder::open(state.path()).unwrap();
    assert!(folder.load().await.unwrap().is_none());
    for content in [&b"one"[..], b"two"] {
        folder.keep(content.to_vec(), None).await.unwrap();
        assert_eq!(folder.load().await.unwrap().unwrap().content, content);
    }
    for (path, mode) in [("ca", 0o700), ("ca/authority.json", 0o600)] {
        let found = fs::metadata(state.path().join(path))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}

#[test]
fn a_directory_open_to_others_is_refused() {
    let state = tempfile::tempdir().unwrap();
    Folder::open(state.path()).unwrap();
    fs::set_permissions(state.path().join("ca"), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Folder::open(state.path()).unwrap_err();
    assert!(refused.to_string().contains("open to others"), "{refused}");
}
