use proptest::prelude::*;

use super::*;

const RESULT: &str = r#"{ "cniVersion": "0.4.0", "interfaces": [ {"name":"eth0"} ],
  "ips": [ {"version":"4","address":"10.244.1.7/24","interface":0}, {"address":"fd00::7/64"} ] }"#;

#[test]
fn a_configuration_is_read_with_what_stands_around_our_settings() {
    let text = r#"{"cniVersion":"1.0.0","name":"kube","type":"ambit-cni","agentSocket":"/x/a.sock",
        "runtimeConfig":{"dns":{}},"prevResult": {"ips": []} }"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    assert_eq!(config.version, "1.0.0");
    assert_eq!(config.previous, Some(r#"{"ips": []}"#));
    let expected = Entry {
        agent_socket: "/x/a.sock".into(),
        ..Entry::default()
    };
    assert_eq!(config.entry, expected);
}

#[test]
fn an_entry_is_written_as_it_is_read() {
    let entry = Entry {
        system_namespaces: vec!["infra".to_owned()],
        was_conf: true,
        ..Entry::default()
    };
    let text = serde_json::to_string(&entry).unwrap();
    assert!(
        text.starts_with(r#"{"type":"ambit-cni","agentSocket":"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
}

#[test]
fn versions_that_are_not_spoken_are_refused_by_name() {
    for version in ["", "0.2.0", "1.2.0", "latest"] {
        let text = format!(r#"{{"cniVersion":"{version}"}}"#);
        let error = Config::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), 1, "{version}");
        assert!(error.to_string().contains(&format!("{version:?}")));
    }
    assert_eq!(Config::parse(b"{}").unwrap_err().code(), 1);
    assert_eq!(Config::parse(b"nonsense").unwrap_err().code(), 6);
}

#[test]
fn a_pod_is_named_by_kubernetes_arguments_only() {
    let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;\
                     K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1";
    let pod = Pod::parse(arguments).unwrap();
    assert_eq!(
        (&*pod.namespace, &*pod.name, &*pod.uid),
        ("shop", "web-0", "u-1")
    );
    for none in [
        "",
        ";;=;",
        "IgnoreUnknown=1",
        "K8S_POD_NAMESPACE=",
        "K8S_POD_NAMESPACE",
    ] {
        assert_eq!(Pod::parse(none), None, "{none:?}");
    }
    assert_eq!(Pod::parse("K8S_POD_NAMESPACE=shop").unwrap().uid, "");
}

#[test]
fn a_result_of_the_right_version_goes_out_byte_for_byte() {
    assert_eq!(in_version(RESULT, "0.4.0").unwrap(), RESULT);
}

#[test]
fn a_result_of_another_version_changes_in_that_alone() {
    let changed = in_version(RESULT, "1.1.0").unwrap();
    assert_eq!(changed, RESULT.replace("0.4.0", "1.1.0"));
    assert_eq!(
        in_version("{}", "1.0.0").unwrap(),
        r#"{"cniVersion":"1.0.0"}"#
    );
    let added = in_version(r#"{ "ips": [] }"#, "1.0.0").unwrap();
    assert_eq!(added, r#"{"cniVersion":"1.0.0", "ips": [] }"#);
    assert_eq!(in_version("7", "1.0.0").unwrap_err().code(), 6);
}

#[test]
fn addresses_come_without_their_masks() {
    let expected: Vec<IpAddr> = vec!["10.244.1.7".parse().unwrap(), "fd00::7".parse().unwrap()];
    assert_eq!(addresses(RESULT).unwrap(), expected);
    assert!(addresses("{}").unwrap().is_empty());
    let error = addresses(r#"{"ips":[{"address":"ten/8"}]}"#).unwrap_err();
    assert!(error.to_string().contains("ten/8"), "{error}");
}

#[test]
fn an_error_is_the_object_that_a_runtime_reads() {
    let error = PluginError::NotReady("it is away".to_owned());
    let object: serde_json::Value = serde_json::from_str(&error.to_json("1.0.0")).unwrap();
    assert_eq!(object["cniVersion"], "1.0.0");
    assert_eq!(object["code"], 11);
    let text = "the node agent of ambit is not ready on this node: it is away; \
                the kubelet tries again";
    assert_eq!(object["msg"], text);
}

#[test]
fn version_answers_in_the_version_of_the_question() {
    let answer = |input: &str| -> serde_json::Value {
        serde_json::from_str(&versions(input.as_bytes())).unwrap()
    };
    assert_eq!(answer(r#"{"cniVersion":"0.4.0"}"#)["cniVersion"], "0.4.0");
    for other in ["", "garbage", r#"{"cniVersion":"9.9.9"}"#] {
        assert_eq!(answer(other)["cniVersion"], NEWEST);
        assert_eq!(answer(other)["supportedVersions"][4], NEWEST);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        drop(Config::parse(&bytes));
        versions(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        drop((addresses(&text), in_version(&text, NEWEST), Pod::parse(&text)));
    }

    #[test]
    fn no_damage_to_a_result_makes_a_broken_one(at in 0..RESULT.len(), byte in 32u8..127) {
        let mut bytes = RESULT.as_bytes().to_vec();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(changed) = in_version(&text, "1.0.0") {
            let object: serde_json::Value = serde_json::from_str(&changed).unwrap();
            prop_assert_eq!(&object["cniVersion"], "1.0.0");
        }
    }
}
