use proptest::prelude::*;

use super::*;

const KUBE: &str = r#"{ "cniVersion": "0.4.0", "name": "kube", "plugins": [
  { "type": "bridge", "zeta": 1, "alpha": [ {"subnet": "10.244.1.0/24"} ] },
  { "type": "portmap", "capabilities": { "portMappings": true } } ],
  "zz": "kept", "aa": 1.50 }
"#;
const SINGLE: &str = r#"
{
    "cniVersion": "0.3.1",
    "name": "old\u002dnet",
    "type": "bridge",
    "ipam": { "type": "host-local" }
}
"#;

fn types(text: &str) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_str(text).unwrap();
    let plugins = list["plugins"].as_array().unwrap().iter();
    plugins
        .map(|plugin| plugin["type"].as_str().unwrap().to_owned())
        .collect()
}

fn added(text: &str) -> String {
    add_plugin(text, &Entry::default()).unwrap()
}

#[test]
fn the_entry_comes_last_and_nothing_else_changes() {
    let text = added(KUBE);
    assert_eq!(types(&text), ["bridge", "portmap", "ambit-cni"]);
    let entry = serde_json::to_string(&Entry::default()).unwrap();
    assert_eq!(text.replace(&format!(",\n    {entry}"), ""), KUBE);
    assert!(is_present(&text) && !is_present(KUBE));
}

#[test]
fn adding_twice_is_adding_once() {
    assert_eq!(added(&added(KUBE)), added(KUBE));
    // Written anew by a program that has put itself behind us.
    let reformatted = added(KUBE).replace(
        "\n    {\"type\":\"ambit-cni\"",
        "{ \"type\" :\t\"ambit-cni\"",
    );
    let behind = reformatted.replace(" ],\n  \"zz\"", ", {\"type\":\"other\"} ],\n  \"zz\"");
    assert_eq!(types(&behind), ["bridge", "portmap", "ambit-cni", "other"]);
    assert_eq!(added(&behind), behind);
}

#[test]
fn other_settings_and_a_wrong_place_are_put_right() {
    let other = Entry {
        agent_socket: "/elsewhere.sock".into(),
        ..Entry::default()
    };
    let text = add_plugin(KUBE, &other).unwrap();
    assert_eq!(added(&text), added(KUBE));
    let entry = serde_json::to_string(&Entry::default()).unwrap();
    let first = KUBE.replace("[\n", &format!("[ {entry},\n"));
    assert_eq!(types(&added(&first)), ["bridge", "portmap", "ambit-cni"]);
    let thrice = added(KUBE).replace("[\n", &format!("[ {entry}, {entry},\n"));
    assert_eq!(types(&thrice).len(), 5);
    assert_eq!(types(&added(&thrice)), ["bridge", "portmap", "ambit-cni"]);
    let damaged = added(KUBE).replace("\"/run/ambit/agent.sock\"", "17");
    assert_eq!(added(&damaged), added(KUBE));
}

#[test]
fn taking_out_gives_the_text_from_before() {
    assert_eq!(
        remove_plugin(&added(KUBE)).unwrap(),
        Removed::List(KUBE.to_owned())
    );
    assert_eq!(remove_plugin(KUBE).unwrap(), Removed::Unchanged);
    assert_eq!(remove_plugin(SINGLE).unwrap(), Removed::Unchanged);
    let alone = r#"{"plugins":[ {"type":"ambit-cni"} ]}"#;
    let left = Removed::List(r#"{"plugins":[  ]}"#.to_owned());
    assert_eq!(remove_plugin(alone).unwrap(), left);
}

#[test]
fn a_single_plugin_becomes_a_list_and_comes_back() {
    let list = list_of(SINGLE, &Entry::default()).unwrap();
    assert_eq!(types(&list), ["bridge", "ambit-cni"]);
    let object: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&object["name"], &object["cniVersion"]),
        (&"old-net".into(), &"0.3.1".into())
    );
    assert!(was_conf(&list) && !was_conf(&added(KUBE)));
    // It is remembered over a change of settings.
    let entry = Entry {
        agent_socket: "/elsewhere.sock".into(),
        ..Entry::default()
    };
    let changed = add_plugin(&list, &entry).unwrap();
    let Removed::Single(back) = remove_plugin(&changed).unwrap() else {
        panic!("still a list")
    };
    assert_eq!(back.trim(), SINGLE.trim());
    // Somebody else's plugin would be lost in a single one.
    let more = list.replace(
        "{\"type\":\"ambit-cni\"",
        "{\"type\":\"x\"},{\"type\":\"ambit-cni\"",
    );
    assert!(matches!(remove_plugin(&more).unwrap(), Removed::List(_)));
}

#[test]
fn what_cannot_be_edited_is_said_so() {
    let add = |text: &str| add_plugin(text, &Entry::default()).unwrap_err();
    for text in ["", "{", "[]", "nul", KUBE.trim_end_matches(" }\n")] {
        assert!(matches!(
            add(text),
            ConflistError::Unreadable(_) | ConflistError::Version(_)
        ));
    }
    let twice = KUBE.replace("\"zz\": \"kept\"", "\"plugins\": []");
    assert!(matches!(add(&twice), ConflistError::Unreadable(_)));
    let old = KUBE.replace("0.4.0", "0.2.0");
    assert!(matches!(add(&old), ConflistError::Version(version) if version == "0.2.0"));
    let future = KUBE.replace(
        "\"zz\": \"kept\"",
        "\"cniVersions\": [\"1.0.0\", \"2.0.0\"]",
    );
    assert!(matches!(add(&future), ConflistError::Version(version) if version == "2.0.0"));
    for empty in [r#"{"cniVersion":"1.0.0","plugins":[]}"#, SINGLE] {
        assert!(matches!(add(empty), ConflistError::NoPlugins));
    }
    let single = |text: &str| list_of(text, &Entry::default()).unwrap_err();
    assert!(matches!(single(KUBE), ConflistError::NotSingle));
    assert!(matches!(
        single(r#"{"cniVersion":"1.0.0"}"#),
        ConflistError::NotSingle
    ));
}

proptest! {
    #[test]
    fn every_list_comes_back_as_it_was(
        plugins in proptest::collection::vec("[a-z]{1,8}( [a-zé\\\\]{0,3})?", 1..5),
        spaces in proptest::collection::vec("[ \n\t]{0,3}", 4),
    ) {
        let plugins: Vec<_> = plugins
            .iter()
            .map(|name| serde_json::json!({ "type": name, "ambit-cni": [name] }).to_string())
            .collect();
        let plugins = plugins.join(&format!("{},{}", spaces[0], spaces[1]));
        let text = format!(
            "{0}{{\"plugins\":{1}[{2}{plugins}{3}],{0}\"cniVersion\":\"1.0.0\"}}{1}",
            spaces[0], spaces[1], spaces[2], spaces[3],
        );
        let with = add_plugin(&text, &Entry::default()).unwrap();
        prop_assert_eq!(types(&with).pop().unwrap(), "ambit-cni");
        prop_assert_eq!(remove_plugin(&with).unwrap(), Removed::List(text));
    }

    #[test]
    fn no_damage_makes_the_editors_panic(at in 0..KUBE.len(), byte in any::<char>()) {
        let mut text: String = added(KUBE);
        text.replace_range(at..=at, &byte.to_string());
        drop((add_plugin(&text, &Entry::default()), remove_plugin(&text), is_present(&text)));
        drop(list_of(&text, &Entry::default()));
    }
}
