use ambit_model::BackendTarget;

use super::*;

fn mirror(share: u32, of: u32) -> Mirror {
    let target = BackendTarget::Invalid { why: "gone".into() };
    Mirror {
        target,
        share,
        of,
        shadow: false,
    }
}

#[test]
fn so_many_are_copied_as_the_mirror_says() {
    // Numbers at even distances are copied to the exact share.
    let step = u64::MAX / 1000;
    for (share, of, expected) in [
        (0, 100, 0),
        (1, 100, 10),
        (50, 100, 500),
        (100, 100, 1000),
        (1, 1000, 1),
        (3, 4, 750),
        (7, 3, 1000),
        (1, 0, 0),
    ] {
        let mirror = mirror(share, of);
        let copied = (0..1000).filter(|n| should_mirror(&mirror, n * step + step / 2));
        assert_eq!(copied.count(), expected, "{share} of {of}");
    }
    assert!(should_mirror(&mirror(1, 1), u64::MAX));
}

#[test]
fn the_host_of_a_copy_says_that_it_is_one() {
    for (target, host, expected) in [
        ("/", Some("shop"), "shop-shadow"),
        ("/", Some("shop:80"), "shop-shadow:80"),
        ("/", Some("[::1]:80"), "[::1]:80"),
        ("http://shop:80/", None, "shop-shadow:80"),
    ] {
        let mut request = http::Request::get(target);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        shadow(&mut parts);
        assert_eq!(Head::of(&parts).authority, Some(expected));
    }
}
