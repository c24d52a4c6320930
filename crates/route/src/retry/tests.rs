use super::*;

fn answer(status: u16, grpc_status: Option<u16>) -> TryOutcome {
    TryOutcome::Response {
        status: StatusCode::from_u16(status).unwrap(),
        grpc_status,
    }
}

/// Every way in which a try may end, with a name.
fn outcomes() -> [(&'static str, TryOutcome); 12] {
    [
        ("connect", TryOutcome::ConnectFailure),
        ("refused", TryOutcome::RefusedStream),
        ("reset", TryOutcome::Reset),
        ("timeout", TryOutcome::Timeout),
        ("200", answer(200, None)),
        ("404", answer(404, None)),
        ("409", answer(409, None)),
        ("500", answer(500, None)),
        ("503", answer(503, None)),
        ("599", answer(599, None)),
        ("grpc 14", answer(200, Some(14))),
        ("grpc 0", answer(200, Some(0))),
    ]
}

fn worth(on: &RetryOn, method: &Method, idempotent_only: bool) -> Vec<&'static str> {
    let outcomes = outcomes().into_iter();
    let worth =
        outcomes.filter(|(_, outcome)| worth_another_try(on, *outcome, method, idempotent_only));
    worth.map(|(name, _)| name).collect()
}

#[test]
fn each_condition_holds_for_what_envoy_says() {
    let unanswered = ["connect", "refused", "reset", "timeout"];
    let and = |more: &[&'static str]| [&unanswered[..], more].concat();
    let nothing = RetryOn::default();
    let on = |change: fn(&mut RetryOn)| {
        let mut on = nothing.clone();
        change(&mut on);
        on
    };
    let table = [
        (nothing.clone(), vec![]),
        (on(|on| on.connect_failure = true), vec!["connect"]),
        (on(|on| on.refused_stream = true), vec!["refused"]),
        (on(|on| on.reset = true), and(&[])),
        (on(|on| on.gateway_error = true), and(&["503"])),
        (on(|on| on.server_error = true), and(&["500", "503", "599"])),
        (on(|on| on.retriable_4xx = true), vec!["409"]),
        (on(|on| on.statuses = vec![404, 500]), vec!["404", "500"]),
        (on(|on| on.grpc = vec![14]), vec!["grpc 14"]),
    ];
    for (on, expected) in table {
        assert_eq!(worth(&on, &Method::GET, false), expected, "{on:?}");
        assert_eq!(worth(&on, &Method::POST, false), expected, "{on:?}");
    }
}

#[test]
fn a_gateway_error_is_one_of_three_statuses() {
    let on = RetryOn {
        gateway_error: true,
        ..RetryOn::default()
    };
    let retried = (500..600)
        .filter(|status| worth_another_try(&on, answer(*status, None), &Method::GET, false));
    assert_eq!(retried.collect::<Vec<_>>(), [502, 503, 504]);
}

#[test]
fn what_may_have_been_done_is_not_done_twice_where_that_is_asked_for() {
    let on = RetryOn {
        server_error: true,
        statuses: vec![409],
        grpc: vec![14],
        ..RetryOn::default()
    };
    let all = worth(&on, &Method::GET, false);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(worth(&on, &method, true), all, "{method}");
    }
    for method in [Method::POST, Method::PATCH, Method::CONNECT] {
        assert_eq!(
            worth(&on, &method, true),
            ["connect", "refused"],
            "{method}"
        );
    }
}
