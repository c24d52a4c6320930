use super::*;

const SAID: &str = "finished in 2.00s, 31021.50 req/s, 34.80MB/s\n\
    requests: 62043 total, 62107 started, 62043 done, 62043 succeeded, 0 failed, 0 errored, 0 timeout\n\
    status codes: 62043 2xx, 0 3xx, 0 4xx, 0 5xx\n";

#[test]
fn what_was_done_is_read() {
    let work = read(SAID, 0.0).unwrap();
    assert_eq!(work.done, 62_043.0);
    assert!((work.seconds - 2.0).abs() < 0.01, "{work:?}");
}

#[test]
fn an_answer_that_is_no_success_is_an_error() {
    for (good, bad) in [
        ("62043 2xx, 0 3xx", "62042 2xx, 1 3xx"),
        ("0 failed", "1 failed"),
    ] {
        read(&SAID.replace(good, bad), 0.0).unwrap_err();
    }
}

#[test]
fn others_may_fail_seldom() {
    let failed = |number: u32| SAID.replace("0 failed", &format!("{number} failed"));
    read(&failed(62), OTHERS_FAIL).unwrap();
    read(&failed(63), OTHERS_FAIL).unwrap_err();
}
