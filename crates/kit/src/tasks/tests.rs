use super::*;

#[tokio::test]
async fn tasks_are_counted_by_name_and_stopped_together() {
    let tasks = Tasks::new();
    for _ in 0..2 {
        let token = tasks.token();
        tasks.spawn("waiter", async move { token.cancelled().await });
    }
    assert_eq!(tasks.spawn("short", async { 7 }).await.unwrap(), 7);
    assert_eq!(tasks.running(), BTreeMap::from([("waiter", 2)]));
    tasks.finish(Duration::from_secs(10)).await.unwrap();
    assert!(tasks.running().is_empty());
}

#[tokio::test]
async fn a_task_that_does_not_heed_is_named() {
    let tasks = Tasks::new();
    let deaf = tasks.spawn("deaf", std::future::pending::<()>());
    let unfinished = tasks.finish(Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(unfinished.names, ["deaf"]);
    deaf.abort();
    assert!(deaf.await.unwrap_err().is_cancelled());
    assert!(tasks.running().is_empty());
}
