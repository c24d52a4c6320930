use serde_json::{Value, json};

use super::*;
use crate::claims::Claims;

fn verified(length: usize) -> Arc<Verified> {
    let Value::Object(all) = json!({"iss": "x".repeat(length)}) else {
        panic!("an object");
    };
    let claims = Claims::read(all).unwrap();
    Arc::new(Verified::new(claims, 0, Vec::new()))
}

fn tag(cache: &Cache, number: u32) -> Tag {
    let scope = cache.scope(b"scope");
    scope.tag(&number.to_be_bytes()).unwrap()
}

#[test]
fn what_is_kept_is_found() {
    let cache = Cache::new(1 << 20).unwrap();
    let (one, kept) = (tag(&cache, 1), verified(10));
    assert!(cache.find(&one).is_none());
    cache.keep(one, &kept);
    cache.keep(one, &kept);
    assert!(Arc::ptr_eq(&cache.find(&one).unwrap(), &kept));
    assert!(cache.find(&tag(&cache, 2)).is_none());
    let counts = cache.counts();
    assert_eq!((counts.hits, counts.misses, counts.tokens), (1, 2, 1));
    assert_eq!(counts.bytes, OVERHEAD + kept.bytes);
}

#[test]
fn scopes_and_caches_do_not_meet() {
    let (one, other) = (Cache::new(1 << 20).unwrap(), Cache::new(1 << 20).unwrap());
    let tags = [
        one.scope(b"a").tag(b"token"),
        one.scope(b"b").tag(b"token"),
        other.scope(b"a").tag(b"token"),
    ];
    for (index, tag) in tags.iter().enumerate() {
        assert!(tag.is_some());
        assert!(!tags[index + 1..].contains(tag));
    }
    // The same rules and keys are the same scope.
    assert_eq!(one.scope(b"a").tag(b"token"), tags[0]);
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let bytes = 1 << 20;
    let cache = Cache::new(bytes).unwrap();
    let used = tag(&cache, u32::MAX);
    cache.keep(used, &verified(10));
    for number in 0..100_000 {
        cache.keep(tag(&cache, number), &verified(100));
        if number % 16 == 0 {
            assert!(cache.find(&used).is_some(), "what is used stays: {number}");
        }
        if number % 1000 == 0 {
            assert!(cache.counts().bytes <= bytes);
        }
    }
    let counts = cache.counts();
    assert!(
        counts.bytes > bytes / 4 && counts.bytes <= bytes,
        "{counts:?}"
    );
    assert!(cache.find(&tag(&cache, 0)).is_none());
    assert!(cache.find(&tag(&cache, 99_999)).is_some());
    // What would drive out many is not kept.
    let large = tag(&cache, 200_000);
    cache.keep(large, &verified(bytes / SHARDS / 4));
    assert!(cache.find(&large).is_none());
}

#[test]
fn a_cache_of_nothing_keeps_nothing() {
    let cache = Cache::new(0).unwrap();
    cache.keep(tag(&cache, 1), &verified(1));
    assert_eq!(cache.counts().tokens, 0);
}
