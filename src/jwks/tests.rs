use std::sync::atomic::{AtomicUsize, Ordering};

use super::fetch::tests::{KEYS, answer, serve};
use super::*;
use crate::config::keys::Want;

#[tokio::test]
async fn what_is_wanted_is_fetched_told_and_counted() {
    let asked: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&asked);
    let at = serve(move |path, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        match path {
            "/keys" => answer("200 OK", "", KEYS),
            _ => answer("500 Broken", "", ""),
        }
    });
    let at = at.await;
    let (wanting, wanted) = watch::channel(Arc::default());
    let (sender, mut found) = mpsc::channel(1);
    let registry = Registry::new();
    let (fetcher, fetches) = (Fetcher::anywhere(), Fetches::new(&registry));
    let errand = Errand {
        wanted,
        found: sender,
    };
    let fetching = fetch_all(errand, Duration::from_secs(1200), &fetcher, &fetches);
    let source = |path: &str| KeySource::Uri(format!("http://{at}{path}").into());
    let want = Want {
        patience: Duration::from_secs(20),
        namespaces: ["shop".into()].into(),
    };
    let asking = async {
        wanting.send_replace(Arc::new([(source("/keys"), want.clone())].into()));
        let first = found.recv().await.unwrap();
        assert_eq!(first.source, source("/keys"));
        assert_eq!(&*first.fetched.unwrap(), KEYS);
        wanting.send_replace(Arc::new([(source("/broken"), want)].into()));
        // Once more after a failure.
        for _ in 0..2 {
            let found = found.recv().await.unwrap();
            assert!(found.fetched.unwrap_err().contains("status 500"));
        }
    };
    tokio::select! {
        () = fetching => panic!("it ended"),
        () = asking => {}
    }
    assert!(asked.load(Ordering::Relaxed) >= 3);
    let (_, page) = registry.render(None);
    for line in [
        "ambit_jwks_fetches_total{outcome=\"fetched\"} 1",
        "ambit_jwks_fetches_total{outcome=\"status\"} 2",
        "ambit_jwks_fetches_total{outcome=\"late\"} 0",
    ] {
        assert!(page.contains(line), "{page}");
    }
}
