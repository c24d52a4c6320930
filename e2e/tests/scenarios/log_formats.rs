//! Lines of the access log beside those of Envoy: one Envoy writes several formats of each request,
//! ours are made of the same facts. Envoy tells the facts that only it knows (times, addresses,
//! counts) in a format of their own; all texts must then be the same to the byte.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambit_e2e::clients::connect;
use ambit_e2e::lab::{Lab, Pod};
use ambit_e2e::programs;
use ambit_e2e::scripted::Scripted;
use ambit_logformat::{Format, Redaction};
use serde_json::{Value, json};

use self::cases::{Case, answer, cases, foreign};
use self::envoy::{LISTENER, SERVER, config, log};
use self::facts::{FACTS, Facts};

mod cases;
mod envoy;
mod facts;

/// Of each moment, in every letter that is there.
const TIMES: &str = "%START_TIME% %START_TIME()% %START_TIME(%Y-%m-%dT%H:%M:%S.%3f)% \
    %START_TIME(%s %f %1f %2f %6f %9f %%)% %START_TIME(%a %A %b %B %h %d %e %j %y %C %p %P)% \
    %START_TIME(%D|%F|%T|%R|%c|%x|%X|%r)% %START_TIME(%I %l %k %U %W %V %G %g %u %w)% \
    %START_TIME(%z %Z %Ez %:z %E3S %E6S %E4Y (UTC))%";

/// What is said of a request.
const REQUEST: &str = "%REQ(:METHOD)%|%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%|%REQ(:PATH):4%|\
    %REQ(HOST)%|%REQ(:SCHEME)%|%REQ(X-A)%|%REQ(X-A):0%|%REQ(X-A):4%|%REQ(X-A?X-B)%|%REQ(X-B?X-A)%|\
    %REQ(X-EMPTY?X-A)%|%REQ(X-NO?X-EMPTY)%|%REQ(?X-A)%|%REQ(X-A?)%|%REQ(X-NO)%|%REQ(COOKIE)%|\
    %REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH):6%|%PATH%|%PATH(NQ)%|%PATH(NQ:PATH):3%|\
    %PATH(WQ:ORIG)%|%REQUESTED_SERVER_NAME%|%REQUESTED_SERVER_NAME(SNI_FIRST)%|\
    %REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)%|100%%|%PROTOCOL()%|%BYTES_RECEIVED%|%STREAM_ID%";

/// What is said of its answer.
const ANSWER: &str = "%RESPONSE_CODE%|%RESPONSE_CODE_DETAILS%|\
    %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%|%RESPONSE_FLAGS%|%RESPONSE_FLAGS_LONG%|\
    %RESP(:STATUS)%|%RESP(X-SAID?X-NO)%|%RESP(X-TWICE)%|%TRAILER(X-NO)%|%GRPC_STATUS%|\
    %GRPC_STATUS(CAMEL_STRING)%|%GRPC_STATUS(SNAKE_STRING)%|%GRPC_STATUS(NUMBER)%|\
    %GRPC_STATUS_NUMBER%|%BYTES_SENT%|%DURATION%|%REQUEST_DURATION%|%REQUEST_TX_DURATION%|\
    %RESPONSE_DURATION%|%RESPONSE_TX_DURATION%|%CONNECTION_TERMINATION_DETAILS%|%ROUTE_NAME%|\
    %VIRTUAL_CLUSTER_NAME%|%TRACE_ID%|%SPAN_ID%|%ACCESS_LOG_TYPE%|%ENVIRONMENT(INSTANCE_IP)%";

/// What is said of its connections.
const CONNECTIONS: &str = "%UPSTREAM_HOST%|%UPSTREAM_CLUSTER%|%UPSTREAM_CLUSTER_RAW%|\
    %UPSTREAM_LOCAL_ADDRESS%|%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%UPSTREAM_LOCAL_PORT%|\
    %UPSTREAM_REMOTE_ADDRESS%|%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%|%UPSTREAM_REMOTE_PORT%|\
    %UPSTREAM_TRANSPORT_FAILURE_REASON%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%|%UPSTREAM_PROTOCOL%|\
    %DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|\
    %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(20)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(99)%|\
    %DOWNSTREAM_REMOTE_PORT%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|\
    %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_DIRECT_REMOTE_PORT%|\
    %DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%|%DOWNSTREAM_LOCAL_PORT%|\
    %DOWNSTREAM_PEER_URI_SAN%|%DOWNSTREAM_LOCAL_URI_SAN%|%UPSTREAM_PEER_URI_SAN%|\
    %DOWNSTREAM_TLS_VERSION%";

/// Sends a request and reads to the end of its answer.
fn send(pod: &Pod, case: &Case) {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, LISTENER));
    let mut stream = connect(pod.namespace(), at).unwrap();
    let (method, path, length) = (case.method, case.path, case.body.len());
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: shop:80\r\nConnection: close\r\n").into_bytes();
    for (name, value) in &case.headers {
        request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    request.extend(format!("Content-Length: {length}\r\n\r\n{}", case.body).bytes());
    stream.write_all(&request).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// A text that is JSON: the same as Envoy's where no client sends what has to be escaped.
const USUAL: &str = concat!(
    r#"{"timestamp":"%START_TIME%","method":"%REQ(:METHOD)%","#,
    r#""path":"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%","protocol":"%PROTOCOL%","#,
    r#""response_code":"%RESPONSE_CODE%","response_flags":"%RESPONSE_FLAGS%","#,
    r#""upstream_service":"%UPSTREAM_CLUSTER%","duration_ms":"%DURATION%","#,
    r#""request_id":"%REQ(X-REQUEST-ID)%","upstream_host":"%UPSTREAM_HOST%"}"#,
);

/// The formats, as Envoy is given them and as ours.
fn formats() -> Vec<(String, Value, Format)> {
    let text = |name: &str, format: &str| {
        let line = format!("{format}\n");
        let source = json!({"text_format_source": {"inline_string": line}});
        (format!("text-{name}"), source, Format::text(&line).unwrap())
    };
    let mut all = vec![
        text("times", TIMES),
        text("request", REQUEST),
        text("answer", ANSWER),
        text("connections", CONNECTIONS),
        text("usual", USUAL),
        text("istio", ambit_logformat::ISTIO_TEXT.trim_end()),
    ];
    // Every operator alone, with its type, and all in texts.
    let operators = |format: &'static str| format.split('|').map(json_member);
    let mut members: serde_json::Map<String, Value> = [REQUEST, ANSWER, CONNECTIONS]
        .into_iter()
        .flat_map(operators)
        .collect();
    members.insert(
        "all".into(),
        json!({"of": [ANSWER, {"b": CONNECTIONS}, "", true]}),
    );
    members.insert(
        "a \"name\"".into(),
        json!({"time": TIMES, "none": {"no": "%REQ(X-NO)%"}}),
    );
    let istio: Value = serde_json::from_str(ambit_logformat::ISTIO_JSON).unwrap();
    let members = Value::from(members);
    for (name, object) in [("all", members), ("istio", istio)] {
        for omits in [false, true] {
            let given = json!({"json_format": object, "omit_empty_values": omits});
            let format = Format::json(&object).unwrap();
            let format = if omits {
                format.omitting_empty()
            } else {
                format
            };
            all.push((format!("json-{name}-{omits}"), given, format));
        }
    }
    all
}

fn json_member(operator: &'static str) -> (String, Value) {
    (operator.replace('%', ""), json!(operator))
}

#[test]
fn lines_are_those_of_envoy() {
    let lab = Lab::new(1).unwrap();
    let pod = lab.pod(1, "envoy").unwrap();
    let dir = lab.dir().join("envoy");
    fs::create_dir_all(&dir).unwrap();
    let _server = Scripted::start(&pod, SERVER, answer).unwrap();
    let formats = formats();
    let facts: serde_json::Map<_, _> = FACTS
        .iter()
        .map(|name| ((*name).to_owned(), json!(format!("%{name}%"))))
        .collect();
    let mut logs = vec![log(&dir, "facts", json!({"json_format": facts}))];
    logs.extend(
        formats
            .iter()
            .map(|(name, given, _)| log(&dir, name, given.clone())),
    );
    let mut envoy = programs::envoy(&pod, &dir, &config(&logs), LISTENER).unwrap();
    let (same, foreign) = (cases(), foreign());
    let all: Vec<Case> = same.iter().chain(&foreign).cloned().collect();
    // The last one is answered when the lines of all others have been written.
    for case in all.iter().chain(&same[..1]) {
        send(&pod, case);
    }
    envoy.terminate(Duration::from_secs(10)).unwrap();
    let lines = |name: &str| -> Vec<Vec<u8>> {
        let bytes = fs::read(dir.join(name)).unwrap();
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    };
    let told = lines("facts");
    assert!(told.len() >= all.len(), "{} lines", told.len());
    let facts: Vec<Facts> = all
        .into_iter()
        .zip(told)
        .map(|(case, told)| Facts::new(case, serde_json::from_slice(&told).unwrap()))
        .collect();
    let mut differences = Vec::new();
    for (name, _, format) in formats {
        let format = format.redacting(Redaction::off());
        for (position, (facts, theirs)) in facts.iter().zip(lines(&name)).enumerate() {
            let mut ours = Vec::new();
            format.write(facts, &mut ours);
            let what = format!("{name} of request {position}, {}", facts.case.path);
            let others = match position < same.len() {
                true => other_fields(fields(&ours), fields(&theirs)),
                // Other escapes mean the same; text has no way to say it.
                false if name.starts_with("text") => continue,
                false => other_fields(members(&ours), members(&theirs)),
            };
            differences.extend(others.map(|pair| format!("{what}: {pair:?}")));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A line in parts that a person can compare.
fn fields(line: &[u8]) -> Vec<String> {
    let line = String::from_utf8_lossy(line);
    line.split_inclusive(['|', ',']).map(String::from).collect()
}

/// The same of a line of JSON, by what its texts mean.
fn members(line: &[u8]) -> Vec<String> {
    let members: serde_json::Map<String, Value> = serde_json::from_slice(line).unwrap();
    let member = |(name, value)| format!("{name}: {value}");
    members.into_iter().map(member).collect()
}

/// Parts of two lines that are not the same.
fn other_fields(ours: Vec<String>, theirs: Vec<String>) -> impl Iterator<Item = (String, String)> {
    assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
    let pairs = ours.into_iter().zip(theirs);
    pairs.filter(|(ours, theirs)| ours != theirs)
}
