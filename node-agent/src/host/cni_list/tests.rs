use std::fs;
use std::os::unix::fs::MetadataExt;

use ambit_cni::namespaces::{Decision, decide};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn namespaces(enrolled: &[&str]) -> Namespaces {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Namespaces {
        enrolled: set(enrolled),
        system: set(&["ambit-system", "kube-system"]),
    }
}

/// Waits until the file holds a list that says this, and gives it.
async fn await_list(path: &Path, enrolled: &[&str]) -> NamespaceList {
    let expected = namespaces(enrolled).enrolled;
    let look = async {
        loop {
            let now = clock::unix_seconds(clock::wall());
            match NamespaceList::read(path, now) {
                Ok(list) if list.enrolled == expected => return list,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap()
}

#[test]
fn the_text_is_the_same_for_the_same_namespaces_and_time() {
    let at = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let text = content(&namespaces(&["shop", "blog"]), at);
    let expected = "{\"version\":1,\"written_unix\":1800000000,\"enrolled\":[\"blog\",\"shop\"],\
                    \"system\":[\"ambit-system\",\"kube-system\"]}";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn the_plugin_relies_on_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cni-namespaces.json");
    write(&path, &namespaces(&["shop"])).unwrap();
    let list = NamespaceList::read(&path, clock::unix_seconds(clock::wall()));
    assert_eq!(decide(&list, "shop", &[]), Decision::AskFirmly);
    assert_eq!(decide(&list, "kube-system", &[]), Decision::Pass);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_list_is_written_when_it_is_known_and_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cni-namespaces.json");
    let (sender, known) = watch::channel(None);
    let task = tokio::spawn(keep_written(path.clone(), known, CancellationToken::new()));
    sender.send_replace(Some(namespaces(&["shop"])));
    await_list(&path, &["shop"]).await;
    sender.send_replace(Some(namespaces(&["blog", "shop"])));
    await_list(&path, &["blog", "shop"]).await;
    // Nobody knows any more: what is written grows stale.
    drop(sender);
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn nothing_is_written_before_the_namespaces_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cni-namespaces.json");
    let (sender, known) = watch::channel(None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(keep_written(path.clone(), known, stop.clone()));
    tokio::task::yield_now().await;
    stop.cancel();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(!path.exists());
    drop(sender);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_written_again_before_it_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cni-namespaces.json");
    let (sender, known) = watch::channel(Some(namespaces(&["shop"])));
    tokio::spawn(keep_written(path.clone(), known, CancellationToken::new()));
    await_list(&path, &["shop"]).await;
    fs::remove_file(&path).unwrap();
    let away = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(2 * REWRITE_EVERY, away).await.unwrap();
    drop(sender);
}
