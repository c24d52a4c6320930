use std::collections::BTreeSet;

use super::*;
use crate::config::objects::authorization_policy as ap;
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::peer_authentication as pa;
use crate::config::objects::request_authentication as ra;
use crate::config::objects::selector::{Selector, TargetReference};
use crate::config::objects::service_entry as se;
use crate::config::objects::telemetry as tm;
use crate::config::objects::virtual_service as vs;
use crate::config::objects::virtual_service::actions;
use crate::config::objects::virtual_service::values::Percentage;
use crate::config::objects::workload_entry::WorkloadEntry;

mod destination_rule;
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
    let rule = |field: &str| spec(&format!("/properties/jwtRules/items{field}"));
    let older_name = BTreeSet::from(["jwks_uri".to_owned()]);
    let request = [
        (spec(""), names::<ra::RequestAuthenticationSpec>()),
        (spec("/properties/selector"), names::<Selector>()),
        (spec("/properties/targetRef"), names::<TargetReference>()),
        (
            spec("/properties/targetRefs/items"),
            names::<TargetReference>(),
        ),
        (rule(""), &names::<ra::JwtRule>() | &older_name),
        (
            rule("/properties/fromHeaders/items"),
            names::<ra::JwtHeader>(),
        ),
        (
            rule("/properties/outputClaimToHeaders/items"),
            names::<ra::ClaimToHeader>(),
        ),
    ];
    let virtual_service = of_virtual_services();
    let rule = destination_rule::pairs();
    let telemetry = of_telemetries();
    let [entry, workload] = of_entries();
    let kinds = [
        (Kind::AuthorizationPolicy, &authorization[..]),
        (Kind::PeerAuthentication, &peer[..]),
        (Kind::RequestAuthentication, &request[..]),
        (Kind::VirtualService, &virtual_service[..]),
        (Kind::DestinationRule, &rule[..]),
        (Kind::Telemetry, &telemetry[..]),
        (Kind::ServiceEntry, &entry[..]),
        (Kind::WorkloadEntry, &workload[..]),
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
    assert_eq!(names::<vs::VirtualService>(), whole);
    assert_eq!(names::<tm::Telemetry>(), whole);
    assert_eq!(names::<DestinationRule>(), whole);
    assert_eq!(names::<WorkloadEntry>(), whole);
    assert_eq!(names::<ra::RequestAuthentication>(), whole);
}

/// Those of service entries and of workload entries.
fn of_entries() -> [Vec<(String, BTreeSet<String>)>; 2] {
    let spec = "/properties/spec";
    let of = |rest: &str| format!("{spec}/properties/{rest}");
    let entry = vec![
        (spec.to_owned(), names::<se::ServiceEntrySpec>()),
        (of("ports/items"), names::<se::ServiceEntryPort>()),
        (of("endpoints/items"), names::<se::Endpoint>()),
        (of("workloadSelector"), names::<se::WorkloadSelector>()),
        (of("location"), names::<se::Location>()),
        (of("resolution"), names::<se::Resolution>()),
    ];
    [entry, vec![(spec.to_owned(), names::<se::Endpoint>())]]
}

/// Places of the schema of virtual services, and the names that the types know there.
fn of_telemetries() -> Vec<(String, BTreeSet<String>)> {
    let spec = "/properties/spec";
    let of = |list: &str, rest: &str| format!("{spec}/properties/{list}/items{rest}");
    let overrides = "/properties/overrides/items";
    let tags = "/properties/customTags/additionalProperties";
    let mut pairs = vec![
        (spec.to_owned(), names::<tm::TelemetrySpec>()),
        (format!("{spec}/properties/selector"), names::<Selector>()),
        (
            format!("{spec}/properties/targetRef"),
            names::<TargetReference>(),
        ),
        (of("targetRefs", ""), names::<TargetReference>()),
        (of("tracing", ""), names::<tm::Tracing>()),
        (of("metrics", ""), names::<tm::Metrics>()),
        (of("accessLogging", ""), names::<tm::AccessLogging>()),
        (
            of("accessLogging", "/properties/filter"),
            names::<tm::LogFilter>(),
        ),
        (of("tracing", tags), names::<tm::CustomTag>()),
        (of("metrics", overrides), names::<tm::MetricsOverrides>()),
        (
            of("metrics", &format!("{overrides}/properties/match")),
            names::<tm::MetricSelector>(),
        ),
        (
            of(
                "metrics",
                &format!("{overrides}/properties/match/properties/mode"),
            ),
            names::<tm::Mode>(),
        ),
    ];
    let tag = format!("{overrides}/properties/tagOverrides/additionalProperties");
    pairs.push((of("metrics", &tag), names::<tm::TagOverride>()));
    let operation = of("metrics", &format!("{tag}/properties/operation"));
    pairs.push((operation, names::<tm::Operation>()));
    for list in ["tracing", "metrics", "accessLogging"] {
        let providers = of(list, "/properties/providers/items");
        pairs.push((providers, names::<tm::ProviderRef>()));
    }
    for list in ["tracing", "accessLogging"] {
        let matches = of(list, "/properties/match");
        pairs.push((format!("{matches}/properties/mode"), names::<tm::Mode>()));
        pairs.push((matches, names::<tm::ModeSelector>()));
    }
    for (name, names) in [
        ("literal", names::<tm::Literal>()),
        ("formatter", names::<tm::Literal>()),
        ("environment", names::<tm::Named>()),
        ("header", names::<tm::Named>()),
    ] {
        pairs.push((of("tracing", &format!("{tags}/properties/{name}")), names));
    }
    pairs
}

fn of_virtual_services() -> Vec<(String, BTreeSet<String>)> {
    let spec = "/properties/spec";
    let rule = format!("{spec}/properties/http/items");
    let mut pairs = vec![(spec.to_owned(), names::<vs::VirtualServiceSpec>())];
    let mut add = |place: String, names: BTreeSet<String>| pairs.push((place, names));
    let destination = |add: &mut dyn FnMut(String, BTreeSet<String>), place: String| {
        add(
            format!("{place}/properties/port"),
            names::<vs::PortSelector>(),
        );
        add(place, names::<vs::Destination>());
    };
    let headers = |add: &mut dyn FnMut(String, BTreeSet<String>), place: String| {
        for message in ["request", "response"] {
            let operations = names::<actions::HeaderOperations>();
            add(format!("{place}/properties/{message}"), operations);
        }
        add(place, names::<actions::Headers>());
    };
    let of_rule = |field: &str| format!("{rule}/properties/{field}");
    add(rule.clone(), names::<vs::HttpRule>());
    let one = of_rule("match/items");
    for text in ["uri", "scheme", "method", "authority"] {
        add(
            format!("{one}/properties/{text}"),
            names::<vs::StringMatch>(),
        );
    }
    for map in ["headers", "withoutHeaders", "queryParams"] {
        let place = format!("{one}/properties/{map}/additionalProperties");
        add(place, names::<vs::StringMatch>());
    }
    add(one, names::<vs::HttpMatch>());
    let route = of_rule("route/items");
    destination(&mut add, format!("{route}/properties/destination"));
    headers(&mut add, format!("{route}/properties/headers"));
    add(route, names::<actions::WeightedDestination>());
    headers(&mut add, of_rule("headers"));
    let redirect = of_rule("redirect");
    add(
        format!("{redirect}/properties/derivePort"),
        names::<actions::DerivePort>(),
    );
    add(redirect, names::<actions::Redirect>());
    let direct = of_rule("directResponse");
    add(
        format!("{direct}/properties/body"),
        names::<actions::Body>(),
    );
    add(direct, names::<actions::DirectResponse>());
    add(of_rule("delegate"), names::<vs::Delegate>());
    let rewrite = of_rule("rewrite");
    add(
        format!("{rewrite}/properties/uriRegexRewrite"),
        names::<actions::RegexRewrite>(),
    );
    add(rewrite, names::<actions::Rewrite>());
    add(of_rule("retries"), names::<actions::Retries>());
    let fault = of_rule("fault");
    for part in ["delay", "abort"] {
        let place = format!("{fault}/properties/{part}/properties/percentage");
        add(place, names::<Percentage>());
    }
    add(
        format!("{fault}/properties/delay"),
        names::<actions::Delay>(),
    );
    add(
        format!("{fault}/properties/abort"),
        names::<actions::Abort>(),
    );
    add(fault, names::<actions::Fault>());
    destination(&mut add, of_rule("mirror"));
    let mirror = of_rule("mirrors/items");
    destination(&mut add, format!("{mirror}/properties/destination"));
    add(
        format!("{mirror}/properties/percentage"),
        names::<Percentage>(),
    );
    add(mirror, names::<vs::Mirror>());
    add(of_rule("mirrorPercentage"), names::<Percentage>());
    let cors = of_rule("corsPolicy");
    add(
        format!("{cors}/properties/allowOrigins/items"),
        names::<vs::StringMatch>(),
    );
    add(
        format!("{cors}/properties/unmatchedPreflights"),
        names::<actions::Preflights>(),
    );
    add(cors, names::<actions::CorsPolicy>());
    for (kind, rule, one) in [
        ("tls", names::<vs::TlsRule>(), names::<vs::TlsMatch>()),
        ("tcp", names::<vs::TcpRule>(), names::<vs::TcpMatch>()),
    ] {
        let place = format!("{spec}/properties/{kind}/items");
        add(format!("{place}/properties/match/items"), one);
        let route = format!("{place}/properties/route/items");
        destination(&mut add, format!("{route}/properties/destination"));
        add(route, names::<vs::StreamDestination>());
        add(place, rule);
    }
    pairs
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
fn kinds_that_are_for_sidecars_can_be_written_and_lose_nothing() {
    for (kind, name) in [
        (Kind::Sidecar, "sidecars.networking.istio.io"),
        (Kind::EnvoyFilter, "envoyfilters.networking.istio.io"),
    ] {
        assert!(CHART.contains(&format!("name: {name}\n")), "{name}");
        let schema = schema_of(kind);
        for part in ["spec", "status"] {
            let part = &schema["properties"][part];
            assert_eq!(part["x-kubernetes-preserve-unknown-fields"], true);
            assert_eq!(part["properties"], json!({}));
            assert_eq!(part.get("required"), None);
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
            .map(|version| {
                let group = document["spec"]["group"].as_str().unwrap();
                format!("{group}/{}", version["name"].as_str().unwrap())
            })
            .collect();
        assert_eq!(named, kind.api_versions());
        let stored: Vec<bool> = versions.iter().map(|v| v["storage"] == true).collect();
        assert!(stored[0] && !stored[1..].contains(&true), "{stored:?}");
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
