use super::*;

/// Contract line M5 as its users write it.
const USUAL: &str = r#"
accessLogFile: /dev/stdout
accessLogFormat: |
  {
    "timestamp": "%START_TIME%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "duration_ms": "%DURATION%"
  }
"#;

fn log(text: &str) -> LogLines {
    parse(text).unwrap().lines
}

fn wrong(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn what_istio_s_users_write_is_read() {
    assert_eq!(log(""), LogLines::Usual);
    assert_eq!(log("accessLogFile: /dev/stdout"), LogLines::Usual);
    assert!(parse("").unwrap().access_log);
    assert!(!parse("{accessLogFile: \"\"}").unwrap().access_log);
    assert!(matches!(log(USUAL), LogLines::Text(text) if text.contains("%START_TIME%")));
    let istio = |encoding| log(&format!("accessLogEncoding: {encoding}"));
    assert_eq!(
        istio("TEXT"),
        LogLines::Text(ambit_logformat::ISTIO_TEXT.into())
    );
    assert_eq!(
        istio("JSON"),
        LogLines::Json(ambit_logformat::ISTIO_JSON.into())
    );
    let json = "{accessLogEncoding: JSON, accessLogFormat: '{\"a\": \"%PROTOCOL%\"}'}";
    assert_eq!(log(json), LogLines::Json("{\"a\": \"%PROTOCOL%\"}".into()));
}

#[test]
fn what_is_so_in_any_case_may_be_written_and_nothing_else() {
    let usual = "{enableAutoMtls: true, defaultConfig: {holdApplicationUntilProxyStarts: true}}";
    assert_eq!(log(usual), LogLines::Usual);
    let said = wrong("enableAutoMtls: false");
    assert!(said.starts_with("enableAutoMtls: "), "{said}");
    let said = wrong("outboundTrafficPolicy: {mode: REGISTRY_ONLY}");
    assert!(said.contains("--egress"), "{said}");
    wrong("defaultConfig: {holdApplicationUntilProxyStarts: soon}");
}

#[test]
fn what_cannot_be_followed_says_where_and_what_to_do() {
    let said = wrong("accessLogFormat: \"%NOTHING%\"");
    assert!(
        said.starts_with("accessLogFormat: ") && said.contains("%NOTHING%"),
        "{said}"
    );
    let said = wrong("{accessLogEncoding: JSON, accessLogFormat: \"%PROTOCOL%\"}");
    assert!(said.starts_with("accessLogFormat: "), "{said}");
    let said = wrong("accessLogFile: /var/log/access");
    assert!(said.contains("/dev/stdout"), "{said}");
    let said = wrong("accessLogEncoding: XML");
    assert!(said.contains("TEXT or JSON"), "{said}");
    assert!(wrong("accessLogFiel: /dev/stdout").contains("accessLogFiel"));
    // Wrong also where none would be written.
    wrong("{accessLogFile: \"\", accessLogFormat: \"%NOTHING%\"}");
}

#[test]
fn a_file_that_cannot_be_followed_any_more_leaves_what_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.yaml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    assert!(MeshConfigFile::open(&path).is_err());
    write("accessLogFormat: \"%NOTHING%\"");
    assert!(MeshConfigFile::open(&path).is_err());
    write("accessLogFormat: \"%PROTOCOL%\"");
    let file = MeshConfigFile::open(&path).unwrap();
    let mut now = file.subscribe();
    let log = |text: &str| LogLines::Text(text.into());
    assert_eq!(now.borrow_and_update().telemetry.lines, log("%PROTOCOL%"));
    file.look();
    assert!(!now.has_changed().unwrap());
    write("accessLogFormat: \"%NOTHING%\"");
    file.look();
    let wrong = now.borrow_and_update().clone();
    assert_eq!(wrong.telemetry.lines, log("%PROTOCOL%"));
    let said = wrong.problem.unwrap().to_string();
    assert!(
        said.contains("%NOTHING%") && said.contains("mesh.yaml"),
        "{said}"
    );
    write("accessLogFormat: \"%DURATION%\"");
    file.look();
    let right = now.borrow_and_update().clone();
    assert_eq!(right.telemetry.lines, log("%DURATION%"));
    assert_eq!(right.problem, None);
}

#[test]
fn the_collector_is_the_provider_that_is_named() {
    use ambit_model::{MeshTracing, TraceProtocol};
    let providers = "
extensionProviders:
  - {name: otel, opentelemetry: {service: observability/otel.observability.svc.cluster.local, port: 4317}}
  - {name: http, opentelemetry: {service: otel, port: 4318, http: {path: /traces}}}
defaultConfig: {tracing: {sampling: 10.0, keepErrors: true}}
";
    let tracing = |more: &str| parse(&format!("{providers}{more}"));
    assert_eq!(tracing("").unwrap().tracing, None);
    let otel = MeshTracing {
        address: "otel.observability.svc.cluster.local:4317".into(),
        protocol: TraceProtocol::Grpc,
        sampling: 10_000_000,
        keep_errors: true,
    };
    let named = "defaultProviders: {tracing: [otel]}";
    assert_eq!(tracing(named).unwrap().tracing.as_ref(), Some(&otel));
    let off = format!("{named}\nenableTracing: false");
    assert_eq!(tracing(&off).unwrap().tracing, None);
    let http = tracing("defaultProviders: {tracing: [http]}")
        .unwrap()
        .tracing;
    let http = http.unwrap();
    assert_eq!(http.protocol, TraceProtocol::Http("/traces".into()));
    assert_eq!(&*http.address, "otel:4318");
    let said = tracing("defaultProviders: {tracing: [zipkin]}")
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("defaultProviders.tracing: ") && said.contains("zipkin"),
        "{said}"
    );
    // Rules may name any of them.
    let providers = tracing("").unwrap().providers;
    assert_eq!(
        providers.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["http", "otel"]
    );
    assert_eq!(providers["otel"], otel);
    assert!(tracing(&off).unwrap().providers.is_empty());
    let twice = "{name: a, opentelemetry: {service: b, port: 1}}";
    let said = wrong(&format!("extensionProviders: [{twice}, {twice}]"));
    assert!(said.starts_with("extensionProviders[1].name: "), "{said}");
    let said = wrong("defaultConfig: {tracing: {sampling: 101}}");
    assert!(said.contains("percentage"), "{said}");
    let said = wrong("defaultConfig: {tracing: {zipkin: {address: 'zipkin:9411'}}}");
    assert!(said.contains("zipkin"), "{said}");
}

#[test]
fn a_collector_that_nobody_could_reach_is_an_error() {
    for (provider, field) in [
        ("service: '', port: 4317", "service"),
        ("service: observability/, port: 4317", "service"),
        ("service: 'otel collector', port: 4317", "service"),
        ("service: 'http://otel?', port: 4317", "service"),
        ("service: otel, port: 0", "port"),
        (
            "service: otel, port: 4318, http: {path: traces}",
            "http.path",
        ),
        (
            "service: otel, port: 4318, http: {path: '/a b'}",
            "http.path",
        ),
    ] {
        let said = wrong(&format!(
            "extensionProviders: [{{name: a, opentelemetry: {{{provider}}}}}]"
        ));
        let expected = format!("extensionProviders[0].opentelemetry.{field}: ");
        assert!(said.starts_with(&expected), "{provider}: {said}");
    }
    let good = "service: '[2001:db8::1]', port: 4318, http: {path: ''}";
    let good = format!("extensionProviders: [{{name: a, opentelemetry: {{{good}}}}}]");
    let address = &parse(&good).unwrap().providers["a"].address;
    assert_eq!(&**address, "[2001:db8::1]:4318");
}
