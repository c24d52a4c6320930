use std::collections::BTreeMap;

use ambit_model::ServiceName;
use ambit_telemetry::{Ends, Line, Onward, Protocol};
use http::Request;

use super::*;

/// What users of Istio write.
const USUAL: &str = r#"{
  "timestamp": "%START_TIME%",
  "method": "%REQ(:METHOD)%",
  "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  "protocol": "%PROTOCOL%",
  "response_code": "%RESPONSE_CODE%",
  "response_flags": "%RESPONSE_FLAGS%",
  "upstream_service": "%UPSTREAM_CLUSTER%",
  "duration_ms": "%DURATION%",
  "request_id": "%REQ(X-REQUEST-ID)%",
  "upstream_host": "%UPSTREAM_HOST%"
}
"#;

fn exchange(ends: &Ends) -> Exchange<'_> {
    Exchange {
        ends,
        protocol: Protocol::Http,
        version: "HTTP/1.1",
        method: b"GET",
        path: b"/old?a=1&token=secret",
        host: b"server",
        request_id: b"5f3c",
        user_agent: b"",
        status: Some(200),
        grpc_status: None,
        flags: "-",
        reason: None,
        policy: None,
        error: None,
        route: Some("HTTPRoute/shop/all/0"),
        source: "10.244.1.10:4000".parse().unwrap(),
        destination: "10.96.0.10:80".parse().unwrap(),
        upstream: Some("10.244.2.20:8080".parse().unwrap()),
        onward: Onward::MutualTls,
        sent: 12,
        received: 345,
        request_messages: 0,
        response_messages: 0,
        duration: Duration::from_millis(42),
        tries: 2,
        trace: None,
        shaped: None,
    }
}

fn kept(telling: &Telling, target: &str) -> Kept {
    let names = telling.kept().unwrap();
    let request = Request::get(target)
        .header("host", "other")
        .header("x-a", "first")
        .header("x-a", "second");
    let head = request.body(()).unwrap().into_parts().0;
    let mut kept = Kept::default();
    kept.sent(names, &head);
    kept.goes_to(&Target::Service(
        ServiceName::new("shop", "cart.shop.svc.cluster.local"),
        80,
        None,
    ));
    let answer = Response::builder().header("server", "nginx");
    kept.answer(names, &answer.body(()).unwrap());
    kept
}

fn written(telling: &Telling, line: RequestLine<'_>) -> String {
    let Line::Own(line) = telling.line(|| line) else {
        panic!("no line of a format");
    };
    String::from_utf8(line).unwrap()
}

#[test]
fn the_contract_s_format_makes_one_line_of_json() {
    let (telling, ends) = (Telling::formatted(USUAL), Ends::default());
    let exchange = exchange(&ends);
    let kept = kept(&telling, "/new?a=1");
    let line = RequestLine::new(&exchange, &telling).keeping(Some(&kept));
    let line = written(&telling, line);
    assert_eq!(line.matches('\n').count(), 1);
    let mut fields: BTreeMap<String, String> = serde_json::from_str(&line).unwrap();
    assert!(fields.remove("timestamp").unwrap().ends_with('Z'));
    let expected = [
        ("duration_ms", "42"),
        ("method", "GET"),
        ("path", "/old?a=1&token=REDACTED"),
        ("protocol", "HTTP/1.1"),
        ("request_id", "5f3c"),
        ("response_code", "200"),
        ("response_flags", "-"),
        ("upstream_host", "10.244.2.20:8080"),
        (
            "upstream_service",
            "outbound|80||cart.shop.svc.cluster.local",
        ),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(fields, expected);
}

#[test]
fn headers_are_those_that_are_sent_on_and_come_back() {
    let format = "%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH)% %REQ(:AUTHORITY)% %REQ(X-A)% %REQ(X-NO)% \
        %RESP(SERVER)% %TRAILER(X-T)% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %ROUTE_NAME% %HOSTNAME%";
    let (telling, ends) = (Telling::formatted(format), Ends::default());
    let exchange = exchange(&ends);
    let kept = kept(&telling, "/new");
    let line = || RequestLine::new(&exchange, &telling).keeping(Some(&kept));
    assert_eq!(
        written(&telling, line()),
        "/new /old?a=1&token=REDACTED other first - nginx - 2 HTTPRoute/shop/all/0 -\n"
    );
    // Not rewritten.
    let same = Kept {
        uri: Some("/old?a=1&token=secret".parse().unwrap()),
        ..Kept::default()
    };
    let line = RequestLine::new(&exchange, &telling).keeping(Some(&same));
    let line = written(&telling, line);
    assert!(
        line.starts_with("/old?a=1&token=REDACTED - server - -"),
        "{line}"
    );
}

#[test]
fn of_what_was_never_sent_on_the_target_is_the_client_s() {
    let (telling, ends) = (
        Telling::formatted("%REQ(:PATH)% %REQ(:AUTHORITY)%"),
        Ends::default(),
    );
    let (exchange, kept) = (exchange(&ends), Kept::default());
    let line = RequestLine::new(&exchange, &telling).keeping(Some(&kept));
    let line = written(&telling, line);
    assert_eq!(line, "/old?a=1&token=REDACTED server\n");
}

#[test]
fn the_time_of_the_service_is_that_between_the_request_s_end_and_the_answer_s_head() {
    let format = "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%";
    let (telling, ends) = (Telling::formatted(format), Ends::default());
    let exchange = exchange(&ends);
    for (ended, answered, expected) in [
        (Some(10), Some(17), "7\n"),
        (Some(0), Some(0), "0\n"),
        // It answered before it had everything, or never.
        (Some(10), Some(5), "-\n"),
        (None, Some(5), "-\n"),
        (Some(10), None, "-\n"),
    ] {
        let kept = Kept {
            answered: answered.map(Duration::from_millis),
            ..Kept::default()
        };
        let line = RequestLine {
            request: ended.map(Duration::from_millis),
            ..RequestLine::new(&exchange, &telling)
        };
        let line = written(&telling, line.keeping(Some(&kept)));
        assert_eq!(line, expected, "{ended:?} {answered:?}");
    }
}

#[test]
fn flags_are_envoy_s() {
    let (telling, ends) = (
        Telling::formatted("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%"),
        Ends::default(),
    );
    let exchange = Exchange {
        flags: "UH,DI",
        ..exchange(&ends)
    };
    let line = written(&telling, RequestLine::new(&exchange, &telling));
    assert_eq!(line, "UH,DI NoHealthyUpstream,DelayInjected\n");
}

#[test]
fn every_flag_of_ours_is_one_of_envoy_s() {
    use crate::request::local::{Before, Flag as Ours, Spent};
    for flag in [
        Ours::NoRoute,
        Ours::NoEndpoint,
        Ours::ConnectFailure,
        Ours::Reset,
        Ours::Garbled,
        Ours::RemoteReset,
        Ours::Timeout,
        Ours::TryTimeout,
        Ours::Malformed,
        Ours::Idle,
        Ours::ClientLeft,
        Ours::Overloaded,
        Ours::NoSubset,
        Ours::Overflow,
        Ours::Injected,
    ] {
        for delayed in [false, true] {
            for spent in [None, Some(Spent::Tries), Some(Spent::Budget)] {
                let letters = flag.letters_after(Before { delayed, spent });
                let mut told: Vec<&str> = letters.split(',').collect();
                assert_eq!(flags(letters).len(), told.len(), "{letters}");
                assert_eq!(told.contains(&"DI"), delayed, "{letters}");
                assert_eq!(
                    told.contains(&"URX"),
                    spent == Some(Spent::Tries),
                    "{letters}"
                );
                told.dedup();
                assert_eq!(flags(letters).len(), told.len(), "{letters}");
            }
        }
    }
    assert!(flags(Ours::Denied.letters()).is_empty());
}

#[test]
fn what_is_answered_on_purpose_has_a_cluster_and_was_not_tried() {
    let format = "%UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT%";
    let (telling, ends) = (Telling::formatted(format), Ends::default());
    let exchange = Exchange {
        tries: 0,
        ..exchange(&ends)
    };
    let name = ServiceName::new("shop", "cart.shop.svc.cluster.local");
    let mut kept = Kept::default();
    kept.would_go_to(Target::Service(name, 80, None));
    let line = RequestLine::new(&exchange, &telling).keeping(Some(&kept));
    let line = written(&telling, line);
    assert_eq!(line, "outbound|80||cart.shop.svc.cluster.local 0\n");
}
