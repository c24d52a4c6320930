//! What all connections share.

use std::sync::Arc;
use std::time::Duration;

use ambit_kit::tasks::Tasks;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::callers::Callers;
use crate::http::scan::Limits;
use crate::identity::Identity;
use crate::request::record::Record;
use crate::upstream::link::Linker;
use crate::upstream::pool::HttpPool;
use crate::view::View;

/// Bounds on what one client may send and take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Heads of HTTP/1.
    pub(crate) head: Limits,
    /// How long the head of a request may take to come.
    pub(crate) head_time: Duration,
    /// Streams of one HTTP/2 connection of a client.
    pub(crate) streams: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head: Limits {
                line: 16 << 10,
                head: 64 << 10,
                fields: 100,
            },
            head_time: Duration::from_secs(30),
            streams: 1024,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// What is known now.
    pub(crate) view: ArcSwap<View>,
    /// Who we are.
    pub(crate) identity: Identity,
    /// Connections to endpoints, for TCP.
    pub(crate) linker: Linker,
    /// Connections to endpoints, for requests.
    pub(crate) http: HttpPool,
    /// Who callers are.
    pub(crate) callers: Callers,
    /// Bounds on clients.
    pub(crate) bounds: Bounds,
    /// Everything that runs for connections.
    pub(crate) tasks: Tasks,
    /// Cancelled when the program is to stop: what is open may end.
    pub(crate) drain: CancellationToken,
}

impl Proxy {
    /// A request is over: it is written down.
    pub(crate) fn ended(&self, record: &Record) {
        let client = &record.call.client;
        let fault = record.fault.as_ref();
        tracing::info!(
            request_id = record.request_id(),
            method = %record.method,
            path = &*record.path,
            host = &*record.host,
            protocol = record.protocol,
            status = record.status.as_u16(),
            grpc_status = record.grpc_status,
            flags = record.flag(),
            reason = fault.map(|fault| fault.reason),
            detail = fault.map(|fault| &*fault.detail),
            route = record.rule.as_ref().map(|rule| &*rule.model.name),
            client = %client.address,
            client_workload = client.workload.as_ref().map(|workload| &*workload.name),
            upstream = record.destination.as_ref().map(|to| to.address.to_string()),
            bytes_sent = record.answered_bytes,
            retries = record.retries,
            ms = record.duration().as_millis(),
            "access"
        );
    }

    /// What is known now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }
}
