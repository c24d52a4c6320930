use super::*;

fn names() -> PodNames {
    PodNames {
        uid: PodUid::parse("0d9a1c1e-7b1f-4a52-9f0c-3e1d2b6a7c55").unwrap(),
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        service_account: "web".to_owned(),
        ips: vec!["10.0.0.2".parse().unwrap()],
    }
}

#[test]
fn a_uid_is_always_a_plain_file_name() {
    for bad in [
        "",
        ".",
        "..",
        ".hidden",
        "-f",
        "a/b",
        "a b",
        "a\0",
        "ä",
        &"x".repeat(41),
    ] {
        assert!(PodUid::parse(bad).is_err(), "{bad:?}");
    }
    for good in ["a", "kube-system_x.1", &"x".repeat(40)] {
        assert!(PodUid::parse(good).is_ok(), "{good:?}");
    }
}

#[test]
fn an_error_names_the_field_and_the_problem() {
    let error = PodNames {
        namespace: "a/b".to_owned(),
        ..names()
    }
    .checked()
    .unwrap_err();
    assert_eq!(error.field, "namespace");
    assert!(
        error.to_string().contains("a character other than"),
        "{error}"
    );
}

#[test]
fn addresses_that_cannot_be_a_pods_are_refused() {
    for bad in ["127.0.0.1", "0.0.0.0", "::1", "::", "224.0.0.1", "ff02::1"] {
        let names = PodNames {
            ips: vec![bad.parse().unwrap()],
            ..names()
        };
        assert_eq!(names.checked().unwrap_err().field, "ips", "{bad}");
    }
    assert!(
        PodNames {
            ips: Vec::new(),
            ..names()
        }
        .checked()
        .is_err()
    );
    assert_eq!(names().checked(), Ok(names()));
}

#[test]
fn json_cannot_carry_a_bad_uid() {
    let json = serde_json::to_string(&names()).unwrap();
    assert_eq!(serde_json::from_str::<PodNames>(&json).unwrap(), names());
    let forged = json.replace(names().uid.as_str(), "../../etc/passwd");
    assert!(serde_json::from_str::<PodNames>(&forged).is_err());
}
