//! The access log in the words of Istio's `meshConfig`: a user's own format, one line of JSON for each
//! request whatever becomes of it, and changed while traffic goes on.

use std::fs;
use std::path::PathBuf;

use ambit_e2e::clients::exchange;
use ambit_e2e::mesh::Options;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::team;
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{NAMESPACE, SPREAD, TCP, World};
use serde_json::Value;
use tempfile::TempDir;

use crate::fronted::{Beside, Fronted, rule_to, virtual_service};
use crate::support::SOON;

/// Rules of the service, one for each thing that may become of a request.
fn routes() -> String {
    let rules = [
        rule_to("empty", "/empty", "empty", ""),
        rule_to("slow", "/slow", "server", "timeout: 300ms"),
        rule_to("moved", "/old", "server", "rewrite: {uri: /new}"),
        rule_to("ok", "/ok", "server", ""),
    ];
    virtual_service("server", "server", &rules.concat())
}

/// A world whose waypoint writes as a file says.
struct Told {
    fronted: Fronted,
    file: PathBuf,
    _folder: TempDir,
}

impl Told {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mesh.yaml");
        fs::write(&file, text).unwrap();
        let mesh_config = file.display().to_string();
        let fronted = Fronted::beside(&Beside {
            services: &[("empty", None)],
            control_plane: &["--mesh-config", &mesh_config],
            ..Beside::default()
        });
        Self {
            fronted,
            file,
            _folder: folder,
        }
    }

    /// All lines of the access log.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.fronted.waypoint.access_log_file());
        text.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// What the control plane says is wrong.
    fn problems(&self) -> String {
        let control_plane = &self.fronted.world.mesh.control_plane;
        control_plane.admin("GET", "/problems").unwrap().body
    }

    /// Has the waypoint write otherwise, and waits until a request has such a line.
    fn change(&self, text: &str, is_such: impl Fn(&str) -> bool) {
        fs::write(&self.file, text).unwrap();
        let mut number = 0;
        let changed = wait_until("lines of another format", SPREAD, || {
            number += 1;
            let path = format!("/ok/{number}");
            assert_eq!(self.fronted.get(&path, "").status, 200);
            let own = |line: &String| line.contains(&path);
            let line = wait_for("its line", SOON, || self.lines().into_iter().rfind(own));
            is_such(&line.unwrap())
        });
        changed.unwrap();
    }
}

/// What becomes of the requests for these paths: status, flags, where it goes, whether an endpoint was
/// chosen.
const CASES: [(&str, &str, &str, &str, bool); 5] = [
    ("/ok", "200", "-", "server", true),
    ("/old", "200", "-", "server", true),
    ("/nowhere", "404", "NR", "", false),
    ("/empty", "503", "UH", "empty", false),
    ("/slow", "504", "UT", "server", true),
];

fn answer(path: &str) -> Deed {
    match path {
        "/slow" | "/ok/left" => Deed::new("", Then::Hang),
        _ => Deed::answer(200, "hello"),
    }
}

#[test]
fn each_request_is_one_line_in_the_user_s_format() {
    let told = Told::start(&team::access_log());
    let fronted = &told.fronted;
    let server = fronted.pod("server");
    let heard = Scripted::start(&server, 8080, |heard, _| answer(heard.path())).unwrap();
    fronted.route(&routes(), "VirtualService/shop/server/ok");
    for (path, status, ..) in CASES {
        let got = fronted.get(path, "x-request-id: of-client\r\n").status;
        assert_eq!(got.to_string(), status, "{path}");
    }
    let mut leaving = fronted.connect(80);
    leaving
        .send("GET /ok/left HTTP/1.1\r\nHost: server\r\n\r\n")
        .unwrap();
    wait_until("the request to arrive", SOON, || {
        !heard.heard_at("/ok/left").is_empty()
    })
    .unwrap();
    drop(leaving);
    let left = ("/ok/left", "0", "DC", "server", true);
    for (path, status, flags, to, has_endpoint) in CASES.into_iter().chain([left]) {
        let line = fronted.logged(path);
        let expected = [
            ("method", "GET".to_owned()),
            ("protocol", "HTTP/1.1".to_owned()),
            ("response_code", status.to_owned()),
            ("response_flags", flags.to_owned()),
            ("upstream_service", cluster(to, 80)),
            (
                "upstream_host",
                match has_endpoint {
                    true => format!("{}:8080", server.v4),
                    false => "-".to_owned(),
                },
            ),
        ];
        for (field, value) in expected {
            assert_eq!(line.field(field), value, "{field} of {path}");
        }
        let duration: u64 = line.field("duration_ms").parse().unwrap();
        assert!(
            path != "/slow" || (300..5000).contains(&duration),
            "{duration}"
        );
        if path != "/ok/left" {
            assert_eq!(line.field("request_id"), "of-client");
        }
        assert!(line.field("timestamp").ends_with('Z'));
    }
    // The endpoint got the new path.
    assert_eq!(heard.heard_at("/new").len(), 1);
    let lines = told.lines();
    assert_eq!(lines.len(), CASES.len() + 1, "{lines:#?}");
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line.as_object().unwrap().len(), 10);
    }
}

/// Istio's name of a port of a service; none for none.
fn cluster(service: &str, port: u16) -> String {
    match service {
        "" => "-".to_owned(),
        _ => format!("outbound|{port}||{service}.{NAMESPACE}.svc.cluster.local"),
    }
}

#[test]
fn the_format_changes_under_way_and_a_wrong_one_leaves_the_last() {
    let told = Told::start("accessLogFormat: \"one %REQ(:PATH)% %RESP(X-SAID)% %REQ(COOKIE)%\"\n");
    let fronted = &told.fronted;
    let server = fronted.pod("server");
    let said = |_: &_, _| Deed::with(200, "X-Said: this\r\n", "hello");
    let _server = Scripted::start(&server, 8080, said).unwrap();
    let _echo = Server::start(&server, TCP.1, servers::echo).unwrap();
    let secret = "Cookie: session=secret\r\n";
    assert_eq!(fronted.get("/ok", secret).status, 200);
    let is_there = || told.lines().contains(&"one /ok this REDACTED".to_owned());
    wait_until("the line", SOON, is_there).unwrap();

    fs::write(&told.file, "accessLogFormat: \"%NOTHING%\"\n").unwrap();
    let named = || told.problems().contains("%NOTHING%");
    wait_until("the control plane to say what is wrong", SPREAD, named).unwrap();
    assert_eq!(fronted.get("/still", "").status, 200);
    let is_there = || told.lines().contains(&"one /still this -".to_owned());
    wait_until("a line as before", SOON, is_there).unwrap();

    told.change("accessLogFormat: \"two %REQ(:PATH)%\"\n", |line| {
        line.starts_with("two ")
    });
    let solved = || !told.problems().contains("%NOTHING%");
    wait_until("the problem to be solved", SPREAD, solved).unwrap();

    // Connections that are no HTTP have the same format.
    let tcp = "tcp %ACCESS_LOG_TYPE% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% \
               %DOWNSTREAM_PEER_URI_SAN%";
    let text = format!("accessLogFormat: \"{tcp} %REQ(:PATH)%\"\n");
    told.change(&text, |line| line.starts_with("tcp DownstreamEnd "));
    let back = exchange(
        fronted.pod("client").namespace(),
        fronted.at(TCP.0),
        b"hello\n",
    );
    assert_eq!(back.unwrap(), b"hello\n");
    let expected = format!(
        "tcp TcpConnectionEnd 6 6 {} {}:9000 spiffe://cluster.local/ns/shop/sa/client -",
        cluster("server", TCP.0),
        server.v4
    );
    wait_until("the line of a connection", SOON, || {
        told.lines().contains(&expected)
    })
    .unwrap_or_else(|error| panic!("{error:#}: {:#?}", told.lines()));

    // Istio's own, and ours.
    told.change("accessLogEncoding: JSON\n", |line| {
        let line: Result<Value, _> = serde_json::from_str(line);
        line.is_ok_and(|line| line["response_code_details"] == "via_upstream")
    });
    told.change("accessLogEncoding: \"\"\n", |line| {
        line.contains("\"scope\":\"access\"")
    });

    // None.
    fs::write(&told.file, "accessLogFile: \"\"\n").unwrap();
    let mut number = 0;
    let is_over = || {
        let before = format!("/none/{number}\"");
        number += 1;
        assert_eq!(fronted.get(&format!("/none/{number}"), "").status, 200);
        number > 1 && !told.lines().iter().any(|line| line.contains(&before))
    };
    wait_until("no more lines", SPREAD, is_over).unwrap();
}

/// A `Telemetry` of the namespace, with a spec given as YAML.
fn telemetry(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\n\
         metadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec: {spec}\n"
    )
}

#[test]
fn telemetries_choose_which_requests_have_a_line() {
    let told = Told::start("accessLogFormat: \"%RESPONSE_CODE% %REQ(:PATH)%\"\n");
    let fronted = &told.fronted;
    let answer = |path: &str| match path.starts_with("/bad") {
        true => Deed::answer(500, "bad"),
        false => Deed::answer(200, "ok"),
    };
    let server = fronted.pod("server");
    let _server = Scripted::start(&server, 8080, move |heard, _| answer(heard.path())).unwrap();
    let mut number = 0;
    // Asks for something good and something bad, and says which of them have a line; the bad one is
    // waited for, and comes after the good one.
    let mut asked = |is_such: &dyn Fn(bool, bool) -> bool| {
        wait_until("lines of others", SPREAD, || {
            number += 1;
            let (good, bad) = (format!("200 /good/{number}"), format!("500 /bad/{number}"));
            assert_eq!(fronted.get(&format!("/good/{number}"), "").status, 200);
            assert_eq!(fronted.get(&format!("/bad/{number}"), "").status, 500);
            let has = |line: &String| told.lines().contains(line);
            let both = wait_for("a line", SOON / 20, || has(&bad).then(|| has(&good)));
            is_such(both.as_ref().is_ok_and(|good| *good), both.is_ok())
        })
        .unwrap();
    };
    asked(&|good, bad| good && bad);
    let apply = |text: &str| {
        let applied = fronted.world.mesh.configuration.apply("telemetry", text);
        applied.unwrap();
    };
    let errors = "{accessLogging: [{providers: [{name: envoy}], \
                  filter: {expression: response.code >= 400}}]}";
    let all = telemetry("all", errors);
    apply(&all);
    asked(&|good, bad| !good && bad);
    let of_server = "{targetRefs: [{group: \"\", kind: Service, name: server, namespace: shop}], accessLogging: [{disabled: true}]}";
    apply(&format!("{all}{}", telemetry("server", of_server)));
    asked(&|good, bad| !good && !bad);
    // What is for clients holds for nothing; what is for the server does.
    for (mode, has_lines) in [("CLIENT", true), ("SERVER", false)] {
        let of_server = format!(
            "{{targetRef: {{group: \"\", kind: Service, name: server, namespace: {NAMESPACE}}}, \
             accessLogging: [{{match: {{mode: {mode}}}, disabled: true}}]}}"
        );
        apply(&format!("{all}{}", telemetry("server", &of_server)));
        asked(&|good, bad| !good && bad == has_lines);
    }
    apply(&format!("{all}{}", telemetry("server", of_server)));
    asked(&|good, bad| !good && !bad);
    // Wrong: the last good version of it holds.
    let wrong = of_server.replace("disabled: true", "disabeld: true");
    apply(&format!("{all}{}", telemetry("server", &wrong)));
    wait_until("it to be told", SPREAD, || {
        told.problems().contains("disabeld")
    })
    .unwrap();
    asked(&|good, bad| !good && !bad);
    apply(&all);
    asked(&|good, bad| !good && bad);
    fronted
        .world
        .mesh
        .configuration
        .remove("telemetry")
        .unwrap();
    asked(&|good, bad| good && bad);
}

#[test]
fn a_control_plane_does_not_start_with_a_format_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, "accessLogFormat: \"%NOTHING%\"\n").unwrap();
    let options = Options {
        control_plane: vec!["--mesh-config".to_owned(), file.display().to_string()],
        ..Options::default()
    };
    let error = World::prepare(&[("client", 1)], &options).unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("accessLogFormat") && said.contains("%NOTHING%"),
        "{said}"
    );
}
