use std::collections::BTreeSet;

use super::*;
use crate::config::objects::authorization_policy as ap;
use crate::config::objects::peer_authentication as pa;
use crate::config::objects::selector::{Selector, TargetReference};

mod probe;

use probe::names;

const CHART: &str = include_str!("../../manifests/charts/ambit/files/crds.yaml");

fn schema_of(kind: Kind) -> Value {
    let document = definition(kind).unwrap();
    document["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Names of the fields, or words, that a place of the schema knows.
fn known(schema: &Value) -> BTreeSet<String> {
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().map(|word| word.as_str().unwrap().to_owned());
        return words.collect();
    }
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// Every place below this one that has names to compare.
fn places(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if schema.get("properties").is_some() || schema.get("enum").is_some() {
        found.insert(path.to_owned());
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        places(field, &format!("{path}/properties/{name}"), found);
    }
    for part in ["items", "additionalProperties"] {
        if let Some(part_schema) = schema.get(part) {
            places(part_schema, &format!("{path}/{part}"), found);
        }
    }
}

#[test]
fn schemas_have_the_fields_and_words_of_the_types() {
    const RULE: &str = "/properties/spec/properties/rules/items";
    let at = |list: &str, field: &str| format!("{RULE}/properties/{list}/items{field}");
    let spec = |field: &str| format!("/properties/spec{field}");
    let authorization = [
        (spec(""), names::<ap::AuthorizationPolicySpec>()),
        (spec("/properties/action"), names::<ap::PolicyAction>()),
        (spec("/properties/provider"), names::<ap::Provider>()),
        (spec("/properties/selector"), names::<Selector>()),
        (spec("/properties/targetRef"), names::<TargetReference>()),
        (
            spec("/properties/targetRefs/items"),
            names::<TargetReference>(),
        ),
        (RULE.to_owned(), names::<ap::PolicyRule>()),
        (at("from", ""), names::<ap::From>()),
        (at("from", "/properties/source"), names::<ap::Source>()),
        (at("to", ""), names::<ap::To>()),
        (at("to", "/properties/operation"), names::<ap::Operation>()),
        (at("when", ""), names::<ap::Condition>()),
    ];
    let port = spec("/properties/portLevelMtls/additionalProperties");
    let peer = [
        (spec(""), names::<pa::PeerAuthenticationSpec>()),
        (spec("/properties/selector"), names::<Selector>()),
        (spec("/properties/mtls"), names::<pa::MutualTls>()),
        (
            spec("/properties/mtls/properties/mode"),
            names::<pa::Mode>(),
        ),
        (port.clone(), names::<pa::MutualTls>()),
        (format!("{port}/properties/mode"), names::<pa::Mode>()),
    ];
    let kinds = [
        (Kind::AuthorizationPolicy, &authorization[..]),
        (Kind::PeerAuthentication, &peer[..]),
    ];
    for (kind, pairs) in kinds {
        let schema = schema_of(kind);
        let mut unchecked = BTreeSet::new();
        places(
            &schema["properties"]["spec"],
            "/properties/spec",
            &mut unchecked,
        );
        for (place, names) in pairs {
            let known = known(schema.pointer(place).unwrap());
            assert_eq!(&known, names, "{} {place}", kind.name());
            unchecked.remove(place);
        }
        assert!(unchecked.is_empty(), "{} {unchecked:?}", kind.name());
    }
    let whole = BTreeSet::from(["metadata", "spec"].map(str::to_owned));
    assert_eq!(names::<ap::AuthorizationPolicy>(), whole);
    assert_eq!(names::<pa::PeerAuthentication>(), whole);
}

#[test]
fn no_object_of_a_policy_loses_a_field_that_is_not_known() {
    for kind in KINDS {
        let schema = schema_of(kind);
        let mut found = BTreeSet::new();
        places(&schema, "", &mut found);
        for place in found {
            let schema = schema.pointer(&place).unwrap();
            let keeps = schema.get("x-kubernetes-preserve-unknown-fields");
            assert!(schema["type"] != "object" || keeps.is_some(), "{place}");
        }
    }
}

#[test]
fn every_version_that_is_read_is_served_and_the_preferred_one_is_stored() {
    for kind in KINDS {
        let document = definition(kind).unwrap();
        let versions = document["spec"]["versions"].as_array().unwrap();
        let named: Vec<String> = versions
            .iter()
            .map(|version| format!("{GROUP}/{}", version["name"].as_str().unwrap()))
            .collect();
        assert_eq!(named, kind.api_versions());
        let stored: Vec<bool> = versions.iter().map(|v| v["storage"] == true).collect();
        assert_eq!(stored, [true, false]);
    }
}

#[test]
fn the_chart_has_what_the_command_prints() {
    let printed = yaml().unwrap();
    assert!(
        printed == CHART,
        "run `ambit crds > manifests/charts/ambit/files/crds.yaml`"
    );
    let documents = crate::config::documents::parse_documents(CHART.as_bytes()).unwrap();
    let kinds = KINDS.map(|kind| definition(kind).unwrap());
    let parsed: Vec<Value> = documents.into_iter().map(Result::unwrap).collect();
    assert_eq!(parsed, kinds, "YAML that reads back as something else");
}
