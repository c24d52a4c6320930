//! Requests, and what becomes of them.

use ambit_e2e::scripted::{Deed, Heard, Then};
use ambit_logformat::Flag;

use super::envoy::{NOBODY, SERVER};

/// A request, and what becomes of it.
#[derive(Clone, Default)]
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The path that the server gets, if it is another.
    pub(super) rewritten: Option<&'static str>,
    pub(super) headers: Vec<(&'static str, &'static [u8])>,
    pub(super) body: &'static str,
    pub(super) flags: &'static [Flag],
    pub(super) route: Option<&'static str>,
    /// Name and alternative name.
    pub(super) cluster: Option<(&'static str, &'static str)>,
    pub(super) host: Option<u16>,
    /// Why there was no connection to it.
    pub(super) failure: Option<&'static str>,
    pub(super) response: Vec<(&'static str, &'static [u8])>,
    pub(super) grpc: Option<u32>,
}

fn case(path: &'static str) -> Case {
    Case {
        method: "GET",
        path,
        ..Case::default()
    }
}

/// One that the server answers.
fn served(path: &'static str) -> Case {
    Case {
        cluster: Some(("up", "other")),
        host: Some(SERVER),
        response: vec![
            (":status", b"200"),
            ("x-said", b"a \"quote\" and a \\"),
            ("x-twice", b"1"),
        ],
        ..case(path)
    }
}

/// One that Envoy answers with this status.
fn refused(path: &'static str, status: &'static str, flags: &'static [Flag]) -> Case {
    Case {
        flags,
        response: vec![(":status", status.as_bytes())],
        ..case(path)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let refusal = Some("delayed connect error: Connection refused");
    let down = Some(("down", "down"));
    let mut cases = vec![
        Case {
            route: Some("to-server"),
            headers: vec![("x-a", "größe".as_bytes()), ("x-empty", b"")],
            ..served("/p/q?a=1&token=x")
        },
        Case {
            method: "POST",
            body: "12345",
            route: Some("to-server"),
            headers: vec![("x-b", b"b"), ("cookie", b"a=b"), ("x-a", b"<&'/>")],
            ..served("/p")
        },
        Case {
            rewritten: Some("/new/q?x=1"),
            route: Some("rewritten"),
            ..served("/rewrite/q?x=1")
        },
        Case {
            route: Some("said"),
            ..refused("/direct", "418", &[])
        },
        Case {
            route: Some("gone"),
            ..refused("/gone", "503", &[Flag::NoClusterFound])
        },
        Case {
            cluster: Some(("empty", "empty")),
            ..refused("/empty", "503", &[Flag::NoHealthyUpstream])
        },
        Case {
            cluster: down,
            host: Some(NOBODY),
            failure: refusal,
            ..refused("/down", "503", &[Flag::UpstreamConnectionFailure])
        },
        Case {
            cluster: down,
            host: Some(NOBODY),
            failure: refusal,
            ..refused(
                "/retry",
                "503",
                &[
                    Flag::UpstreamRetryLimitExceeded,
                    Flag::UpstreamConnectionFailure,
                ],
            )
        },
        Case {
            cluster: Some(("up", "other")),
            host: Some(SERVER),
            ..refused("/slow", "504", &[Flag::UpstreamRequestTimeout])
        },
        Case {
            cluster: Some(("up", "other")),
            host: Some(SERVER),
            ..refused("/close", "503", &[Flag::UpstreamConnectionTermination])
        },
        refused("/nowhere", "404", &[Flag::NoRouteFound]),
    ];
    for (path, status) in [
        ("/grpc/0", 0),
        ("/grpc/1", 1),
        ("/grpc/5", 5),
        ("/grpc/17", 17),
    ] {
        cases.push(Case {
            headers: vec![("content-type", b"application/grpc")],
            grpc: Some(status),
            ..served(path)
        });
    }
    cases
}

/// Headers that Envoy writes with other escapes than ours, or that text formats write otherwise.
pub(super) fn foreign() -> Vec<Case> {
    let values: [&[u8]; 6] = [
        b"a\"b\\c",
        b"a\tb",
        b"\xff\"\\",
        b"gr\xf6\xdfe",
        "\u{85}ab \u{2028} 😀".as_bytes(),
        b"\xed\xa0\x80 \xc0\x80",
    ];
    let direct = |value| Case {
        headers: vec![("x-a", value)],
        route: Some("said"),
        ..refused("/direct", "418", &[])
    };
    values.map(direct).into()
}

/// What the server does about them.
pub(super) fn answer(heard: &Heard, _before: usize) -> Deed {
    let said = "X-Said: a \"quote\" and a \\\r\nX-Twice: 1\r\nX-Twice: 2\r\n";
    match heard.path() {
        "/slow" => Deed::new("", Then::Hang),
        "/close" => Deed::new("", Then::Close),
        path => match path.strip_prefix("/grpc/") {
            Some(status) => {
                let grpc =
                    format!("{said}Content-Type: application/grpc\r\nGrpc-Status: {status}\r\n");
                Deed::with(200, &grpc, "")
            }
            None => Deed::with(200, said, "hello"),
        },
    }
}
