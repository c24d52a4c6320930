//! The thread around the scanner.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::{DENY, folder, keys, pod, write};
use crate::config::Batch;
use crate::config::directory::watch;

const PATIENCE: Duration = Duration::from_secs(20);

/// Events until the given one has come.
async fn until(batches: &mut Receiver<Batch>, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while !seen.iter().any(|event| event == wanted) {
        let batch = timeout(PATIENCE, batches.recv()).await;
        let batch = batch.unwrap_or_else(|_| panic!("no {wanted}, only {seen:?}"));
        seen.extend(keys(&batch.expect("the thread runs")));
    }
    seen
}

#[tokio::test]
async fn the_first_batch_holds_everything() {
    let folder = folder();
    write(&folder, "a.yaml", &pod("a", "10.0.0.1"));
    write(&folder, "b/b.yaml", DENY);
    let mut batches = watch(folder.path(), None).expect("watching");
    let first = timeout(PATIENCE, batches.recv())
        .await
        .expect("in time")
        .expect("a batch");
    assert_eq!(
        keys(&first),
        ["+Pod shop/a", "+AuthorizationPolicy shop/deny"]
    );
}

#[tokio::test]
async fn the_first_batch_of_an_empty_folder_is_empty() {
    let folder = folder();
    let mut batches = watch(folder.path(), None).expect("watching");
    let first = timeout(PATIENCE, batches.recv())
        .await
        .expect("in time")
        .expect("a batch");
    assert!(keys(&first).is_empty());
}

#[tokio::test]
async fn changes_come_as_they_are_made() {
    let folder = folder();
    write(&folder, "a.yaml", &pod("a", "10.0.0.1"));
    let mut batches = watch(folder.path(), None).expect("watching");
    until(&mut batches, "+Pod shop/a").await;
    write(&folder, "a.yaml", &pod("a", "10.0.0.2"));
    assert_eq!(until(&mut batches, "+Pod shop/a").await, ["+Pod shop/a"]);
    write(&folder, "new/deep/b.yaml", &pod("b", "10.0.0.3"));
    until(&mut batches, "+Pod shop/b").await;
    fs::write(folder.path().join("aside"), DENY).expect("written");
    fs::rename(folder.path().join("aside"), folder.path().join("c.yaml")).expect("renamed");
    until(&mut batches, "+AuthorizationPolicy shop/deny").await;
    fs::remove_file(folder.path().join("a.yaml")).expect("removed");
    until(&mut batches, "-Pod shop/a").await;
    fs::remove_dir_all(folder.path().join("new")).expect("removed");
    until(&mut batches, "-Pod shop/b").await;
}

#[tokio::test]
async fn a_file_in_the_midst_of_writing_is_not_read() {
    let folder = folder();
    let text = format!("{}---\n{DENY}", pod("a", "10.0.0.1"));
    write(&folder, "a.yaml", &text);
    let mut batches = watch(folder.path(), None).expect("watching");
    until(&mut batches, "+AuthorizationPolicy shop/deny").await;
    let path = folder.path().join("a.yaml");
    let mut file = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .expect("opened");
    file.write_all(pod("a", "10.0.0.2").as_bytes())
        .expect("written");
    // Another file shows that the thread goes on meanwhile.
    write(&folder, "b.yaml", &pod("b", "10.0.0.3"));
    let meanwhile = until(&mut batches, "+Pod shop/b").await;
    assert_eq!(meanwhile, ["+Pod shop/b"]);
    file.write_all(format!("---\n{DENY}").as_bytes())
        .expect("written");
    drop(file);
    assert_eq!(until(&mut batches, "+Pod shop/a").await, ["+Pod shop/a"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    let folder = folder();
    let error = watch(&folder.path().join("missing"), None)
        .expect_err("an error")
        .to_string();
    assert!(error.contains("missing"), "{error}");
}
