use ambit_model::{AccessLogRule, TelemetryScope, TelemetryTarget};
use http::{HeaderMap, HeaderValue};

use super::*;

#[test]
fn only_a_format_or_a_filter_has_anything_kept() {
    assert!(Telling::default().kept().is_none());
    let telling = Telling::formatted("%REQ(X-B?X-A)% %REQ(:PATH)% %RESP(SERVER)% %TRAILER(X-T)%");
    let kept = telling.kept().unwrap();
    let names = |names: &List| names.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&kept.request), ["x-a", "x-b"]);
    assert_eq!(names(&kept.response), ["server"]);
    assert_eq!(names(&kept.trailers), ["x-t"]);
    let headers: HeaderMap = [("x-b", "b"), ("x-c", "c")]
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    let values = kept.request.take(&headers);
    assert_eq!(kept.request.find(&values, "x-b"), Some(&b"b"[..]));
    for absent in ["x-a", "x-c", ":path"] {
        assert_eq!(kept.request.find(&values, absent), None);
    }
    let logging = AccessLogging {
        enabled: true,
        filter: Some("request.headers['x-f'] == 'a'".into()),
    };
    let telling = Telling::of(None, &logging, None).unwrap();
    assert_eq!(names(&telling.kept().unwrap().request), ["x-f"]);
}

#[test]
fn what_cannot_be_read_is_no_telling() {
    for wrong in [
        LogLines::Text("%NOTHING%".into()),
        LogLines::Json("[]".into()),
        LogLines::Json(r#"{"a": "%NOTHING%"}"#.into()),
    ] {
        assert!(format(&wrong).is_err());
    }
    assert!(filter("response.code").is_err());
}

/// An entry with a status.
struct Answered(u16);

impl Entry for Answered {
    fn start_time(&self) -> std::time::SystemTime {
        std::time::UNIX_EPOCH
    }

    fn duration(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn response_code(&self) -> Option<u16> {
        Some(self.0)
    }
}

#[test]
fn rules_of_the_waypoint_and_of_services_hold() {
    let tellings = Tellings::new(("shop", "waypoint"), "");
    let cart = ServiceName::new("shop", "cart");
    let put = |name: &str, scope, disabled, filter: Option<&str>| {
        let rules = TelemetryRules {
            namespace: "shop".into(),
            name: name.into(),
            since: name.into(),
            scope,
            access_log: vec![AccessLogRule {
                disabled,
                filter: filter.map(Into::into),
            }],
            tracing: Vec::new(),
            metrics: Vec::new(),
            client_identity: None,
        };
        tellings.change(|told| drop(told.rules.insert(name.into(), rules)))
    };
    let line =
        |service: Option<&ServiceName>, code| match tellings.of(service).line(|| Answered(code)) {
            Line::Usual => "usual".to_owned(),
            Line::None => "none".to_owned(),
            Line::Own(line) => String::from_utf8(line).unwrap().trim_end().to_owned(),
        };
    assert_eq!(line(None, 200), "usual");
    put(
        "a",
        TelemetryScope::Namespace,
        false,
        Some("response.code >= 400"),
    );
    assert_eq!(
        (line(None, 200), line(None, 500)),
        ("none".to_owned(), "usual".to_owned())
    );
    let target = TelemetryTarget::Service(cart.clone());
    put("b", TelemetryScope::Targets(vec![target]), false, None);
    assert_eq!(
        (line(None, 200), line(Some(&cart), 200)),
        ("none".to_owned(), "usual".to_owned())
    );
    tellings.change(|told| told.mesh.lines = LogLines::Text("%RESPONSE_CODE%".into()));
    assert_eq!(
        (line(None, 500), line(Some(&cart), 200)),
        ("500".to_owned(), "200".to_owned())
    );
    put("a", TelemetryScope::Namespace, true, None);
    assert_eq!(
        (line(None, 500), line(Some(&cart), 200)),
        ("none".to_owned(), "200".to_owned())
    );
    // What cannot be followed leaves what held before, and is told of.
    let target = TelemetryTarget::Service(cart.clone());
    let scope = TelemetryScope::Targets(vec![target]);
    let wrong = put("b", scope, false, Some("response.kode == 1"));
    assert_eq!(wrong.len(), 1);
    let said = wrong.concat();
    assert!(
        said.starts_with("shop/cart: ") && said.contains("response.kode"),
        "{said}"
    );
    let held = || (line(None, 500), line(Some(&cart), 200));
    assert_eq!(held(), ("none".to_owned(), "200".to_owned()));
    let wrong = tellings.change(|told| told.mesh.lines = LogLines::Text("%NOTHING%".into()));
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(held(), ("none".to_owned(), "200".to_owned()));
    let wrong = tellings.change(|told| {
        told.mesh.lines = LogLines::Text("%RESPONSE_CODE%".into());
        told.rules.clear();
    });
    assert_eq!(wrong, [""; 0]);
    assert_eq!(line(Some(&cart), 200), "200");
}

#[test]
fn labels_of_series_come_from_entries_and_keep_what_they_need() {
    use ambit_model::{Metric, MetricsRule};
    let tellings = Tellings::new(("shop", "waypoint"), "");
    let put = |value: &str, disabled| {
        let rules = TelemetryRules {
            namespace: "shop".into(),
            name: "a".into(),
            since: "".into(),
            scope: TelemetryScope::Namespace,
            access_log: vec![AccessLogRule {
                disabled,
                filter: None,
            }],
            tracing: Vec::new(),
            metrics: vec![MetricsRule {
                metrics: vec![Metric::RequestCount],
                disabled: None,
                tags: [("code".into(), Some(value.into()))].into(),
            }],
            client_identity: None,
        };
        tellings.change(|told| drop(told.rules.insert("a".into(), rules)));
    };
    let value = |code| tellings.of(None).values(|| Answered(code)).join(" ");
    assert_eq!(value(200), "");
    assert!(tellings.of(None).shaped(&[]).is_none());
    put("response.code >= 500 ? 'bad' : 'good'", false);
    assert_eq!((value(200), value(500)), ("good".into(), "bad".into()));
    let telling = tellings.of(None);
    assert!(matches!(telling.line(|| Answered(200)), Line::Usual));
    // The same rules are the same shape: what was counted by it is found again.
    let shape = |telling: &Telling| Arc::as_ptr(telling.shaped(&[]).unwrap().shape);
    put("response.code >= 500 ? 'bad' : 'good'", true);
    let again = tellings.of(None);
    assert_eq!(shape(&telling), shape(&again));
    assert!(matches!(again.line(|| Answered(200)), Line::None));
    // What labels are made of is kept, though there is no log.
    put("request.headers['x-a']", true);
    assert!(tellings.of(None).kept().is_some());
    assert_ne!(shape(&telling), shape(&tellings.of(None)));
    tellings.change(|told| told.rules.clear());
    assert!(tellings.of(None).shaped(&[]).is_none());
}
