//! When requests, tries and answers are late.

use super::*;

#[test]
fn times_begin_at_the_head_or_when_all_has_come() {
    let began = Instant::now();
    let at = |seconds| began + Duration::from_secs(seconds);
    let limit = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    // Of all and of each try, from the end; when all had come, when the try began; of the try, of its answer.
    for ((all, each, timed_from_end), (from, tried), of_try, of_answer) in [
        ((0, 0, false), (0, 3), None, None),
        ((10, 0, false), (0, 3), Some(10), Some(10)),
        ((10, 2, false), (0, 3), Some(5), Some(5)),
        ((10, 2, true), (0, 3), Some(5), Some(10)),
        ((10, 2, true), (8, 3), Some(10), Some(18)),
        ((10, 2, true), (8, 17), Some(18), Some(18)),
        ((0, 2, true), (8, 3), Some(10), None),
    ] {
        let rule = HttpRule {
            timeout: limit(all),
            try_timeout: limit(each),
            timed_from_end,
            ..HttpRule::default()
        };
        let time = Time::by(&rule, began);
        let found = (
            time.of_try(at(from), at(tried)),
            time.of_answer(at(from), at(tried)),
        );
        let expected = (of_try.map(at), of_answer.map(at));
        assert_eq!(
            found, expected,
            "{all} {each} {timed_from_end} {from} {tried}"
        );
    }
}
