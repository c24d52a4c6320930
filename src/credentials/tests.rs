use std::fs;

use super::*;

fn values(given: &[(&str, &str)]) -> Values {
    let given = given
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    Some(given.collect())
}

fn shown(given: &Given) -> [&str; 3] {
    let given = given.as_ref().unwrap().as_ref().unwrap();
    [&given.chain, &given.key, &given.roots].map(AsRef::as_ref)
}

#[test]
fn parts_have_the_names_of_kubernetes_or_of_istio() {
    let ours = values(&[
        ("tls.crt", "c"),
        ("tls.key", "k"),
        ("ca.crt", "r"),
        ("more", "x"),
    ]);
    assert_eq!(shown(&parts(ours.clone(), None)), ["c", "k", "r"]);
    let istios = values(&[("cert", "c"), ("key", "k"), ("cacert", "r")]);
    assert_eq!(shown(&parts(istios, None)), ["c", "k", "r"]);
    let apart = values(&[("ca.crt", "s")]);
    assert_eq!(shown(&parts(ours.clone(), apart.clone())), ["c", "k", "s"]);
    assert_eq!(shown(&parts(None, apart)), ["", "", "s"]);
    assert_eq!(
        shown(&parts(ours, values(&[("ca.crt", "")]))),
        ["c", "k", "r"]
    );
    assert_eq!(parts(None, None), Ok(None));
    let binary = Some(BTreeMap::from([("tls.key".to_owned(), vec![0xff, 0xfe])]));
    assert_eq!(
        parts(binary, None),
        Err("its tls.key is not PEM".to_owned())
    );
    // Only what is used counts.
    let long = "x".repeat(OutsidePapers::LONGEST);
    let rest = values(&[("ca.crt", "r"), ("more", &long)]);
    assert_eq!(shown(&parts(rest, None)), ["", "", "r"]);
    let long = values(&[("ca.crt", &long), ("tls.key", "k")]);
    assert_eq!(
        parts(long, None),
        Err("it is longer than 256 KiB".to_owned())
    );
}

#[tokio::test]
async fn names_that_are_new_are_read_at_once_and_no_others_and_never_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| SecretName {
        namespace: "shop".into(),
        name: name.into(),
    };
    let wanted = |names: &[&str]| Arc::new(names.iter().map(|it| name(it)).collect::<Wanted>());
    let (want, wants) = watch::channel(wanted(&["a"]));
    let (found, mut told) = mpsc::channel(1);
    let reader = Reader::Folder(folder.path().to_owned());
    let errand = Errand {
        wanted: wants,
        found,
    };
    let pace = Pace {
        again: Duration::from_secs(3600),
        pause: Duration::from_millis(50),
    };
    let begun = Instant::now();
    let running = tokio::spawn(async move { read_all(errand, &reader, pace).await });
    let mut next = async || told.recv().await.unwrap().name.name.to_string();
    assert_eq!(next().await, "a");
    want.send_replace(wanted(&["a", "b"]));
    assert_eq!(next().await, "b");
    assert!(begun.elapsed() >= pace.pause, "{:?}", begun.elapsed());
    // Another rule, the same names.
    want.send_replace(wanted(&["a", "b"]));
    want.send_replace(wanted(&["a", "b", "c"]));
    assert_eq!(next().await, "c");
    running.abort();
}

#[tokio::test]
async fn what_is_wanted_is_read_again_and_again_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["wanted", "other"] {
        let path = folder.path().join("shop").join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("ca.crt"), name).unwrap();
    }
    let name = |name: &str| SecretName {
        namespace: "shop".into(),
        name: name.into(),
    };
    let (want, wanted) = watch::channel(Arc::new(Wanted::from([name("wanted")])));
    let (found, mut told) = mpsc::channel(1);
    let reader = Reader::Folder(folder.path().to_owned());
    let running = tokio::spawn(async move {
        let every = Duration::from_millis(5);
        let pace = Pace {
            again: every,
            pause: every,
        };
        read_all(Errand { wanted, found }, &reader, pace).await;
    });
    for _ in 0..2 {
        let found = told.recv().await.unwrap();
        assert_eq!(
            (&found.name, shown(&found.given)),
            (&name("wanted"), ["", "", "wanted"])
        );
    }
    fs::remove_file(folder.path().join("shop/wanted/ca.crt")).unwrap();
    while told.recv().await.unwrap().given != Ok(None) {}
    // Of one namespace not more than so many.
    let many = (0..=MOST).map(|number| name(&format!("n{number}")));
    want.send_replace(Arc::new(many.collect()));
    let refused = loop {
        if let Err(why) = told.recv().await.unwrap().given {
            break why;
        }
    };
    assert!(refused.contains("more than 64"), "{refused}");
    drop(told);
    running.await.unwrap();
}
