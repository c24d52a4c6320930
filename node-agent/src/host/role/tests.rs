use super::*;

#[tokio::test]
async fn two_roles_cannot_have_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = lock(folder.path()).await.unwrap();
    let again = tokio::time::timeout(Duration::from_millis(200), lock(folder.path())).await;
    assert!(again.is_err(), "the second role waits");
    drop(first);
    lock(folder.path()).await.unwrap();
}
