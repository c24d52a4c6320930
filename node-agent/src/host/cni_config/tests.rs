use std::fs;
use std::path::PathBuf;

use ambit_cni::conflist;
use ambit_cni::spec::Entry;

use super::*;

const KUBE: &str = r#"{"cniVersion":"1.0.0","name":"kube","plugins":[{"type":"bridge"}]}"#;
/// Shorter than the time between two looks: only a notice can be so quick.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Waits until a file holds our entry.
async fn await_entry(path: &Path, patience: Duration) {
    let look = async {
        let is_there = || fs::read_to_string(path).is_ok_and(|text| conflist::is_present(&text));
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(patience, look).await;
    assert!(waited.is_ok(), "not in {}", path.display());
}

fn start(directory: PathBuf) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let keeper = Keeper::new(directory, Entry::default());
    (stop.clone(), tokio::spawn(keep_installed(keeper, stop)))
}

#[tokio::test]
async fn whoever_rewrites_the_configuration_finds_the_plugin_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("10-kube.conflist");
    fs::write(&path, KUBE).unwrap();
    let (stop, task) = start(folder.path().to_owned());
    await_entry(&path, AT_ONCE).await;
    // In place, by a rename, and with another file that comes first.
    fs::write(&path, KUBE).unwrap();
    await_entry(&path, AT_ONCE).await;
    let beside = folder.path().join("beside");
    fs::write(&beside, KUBE).unwrap();
    fs::rename(&beside, &path).unwrap();
    await_entry(&path, AT_ONCE).await;
    let first = folder.path().join("05-other.conflist");
    fs::write(&first, KUBE).unwrap();
    await_entry(&first, AT_ONCE).await;
    stop.cancel();
    tokio::time::timeout(AT_ONCE, task).await.unwrap().unwrap();
    assert!(conflist::is_present(&fs::read_to_string(&path).unwrap()));
}

#[tokio::test]
async fn a_directory_that_comes_late_or_is_replaced_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("net.d");
    let path = directory.join("10-kube.conflist");
    let keeper = Keeper::new(&directory, Entry::default());
    let keeping = tokio::spawn(async move {
        let stop = CancellationToken::new();
        keep(&keeper, Duration::from_millis(20), &stop).await;
    });
    for _ in 0..2 {
        fs::create_dir(&directory).unwrap();
        fs::write(&path, KUBE).unwrap();
        await_entry(&path, AT_ONCE).await;
        fs::rename(&directory, folder.path().join("away")).unwrap();
        fs::remove_dir_all(folder.path().join("away")).unwrap();
    }
    keeping.abort();
}

#[tokio::test]
async fn nothing_to_do_is_done_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("10-kube.conflist"), KUBE).unwrap();
    let keeper = Keeper::new(folder.path(), Entry::default());
    keeper.keep().unwrap();
    let woken = Arc::new(Notify::new());
    let notices = Notices::renewed(None, folder.path(), &woken).unwrap();
    assert_eq!(keeper.keep().unwrap(), Kept::Unchanged);
    // The file that is made now is noticed, so what came before would have been.
    let quiet = tokio::time::timeout(SETTLE, woken.notified()).await;
    assert!(quiet.is_err(), "reading wakes the reader");
    fs::write(folder.path().join("20-late.conflist"), KUBE).unwrap();
    tokio::time::timeout(AT_ONCE, woken.notified())
        .await
        .unwrap();
    drop(notices);
}
