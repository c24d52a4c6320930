//! What is told of something that a client sent instead of a request: no parser has seen it, and
//! nothing is known of it but what is wrong.

use ambit_decide::{Reason, Refusal};
use ambit_telemetry::{Exchange, Onward, Protocol};

use super::local::Flag;
use super::record::line::RequestLine;
use crate::call::Call;
use crate::http::scan::Fault;
use crate::http::verified::Wrong;
use crate::proxy::Proxy;

/// Counts it and writes it down.
pub(crate) fn tell(proxy: &Proxy, call: &Call, wrong: Wrong) {
    let Wrong { fault, took } = wrong;
    let (client, error) = (&call.client, fault.to_string());
    let reason = Reason::from_word(fault.word()).unwrap_or(Reason::MalformedRequest);
    if matches!(fault, Fault::Chunk | Fault::Trailer) {
        // The request is told of by itself: its head was in order.
        let refusal = Refusal::new(reason, error);
        return proxy.refused(&call.ends(), client.address, call.destination, &refusal);
    }
    let exchange = Exchange {
        ends: &call.ends(),
        protocol: Protocol::Http,
        version: "",
        method: b"",
        path: b"",
        host: b"",
        request_id: b"",
        user_agent: b"",
        status: Some(fault.status()),
        grpc_status: None,
        flags: Flag::Malformed.letters(),
        reason: Some(reason.word()),
        policy: None,
        error: Some(&error),
        route: None,
        source: client.address,
        destination: call.destination,
        upstream: None,
        onward: Onward::Nothing,
        sent: 0,
        received: 0,
        request_messages: 0,
        response_messages: 0,
        duration: took,
        tries: 0,
        trace: None,
        shaped: None,
    };
    let telling = proxy
        .tellings
        .of(call.service().map(|(service, _)| &service.name));
    let values = telling.values(|| RequestLine::malformed(&exchange, &telling));
    let exchange = Exchange {
        shaped: telling.shaped(&values),
        ..exchange
    };
    let line = telling.line(|| RequestLine::malformed(&exchange, &telling));
    proxy.telemetry.record(&exchange, line);
}
