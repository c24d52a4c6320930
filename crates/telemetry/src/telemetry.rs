//! All that a waypoint tells of its traffic: the place where its pipeline hands in what ended.

use std::io;
use std::sync::atomic::Ordering;

use ambit_decide::Reason;
use ambit_kit::metrics::Registry;
use ambit_model::{Mesh, Metric, PolicyName};

use crate::connection::Connection;
use crate::ends::{Ends, Reporter, tcp_pairs};
use crate::exchange::Exchange;
use crate::families::Families;
use crate::labels::Labels;
use crate::ledger::Ledger;
use crate::line::Line;
use crate::lines::LineWriter;
use crate::passage::Passage;
use crate::requests::Requests;
use crate::series::SeriesTable;
use crate::shape::{Shaped, made};

/// Writes a path with its query, without the secrets in it.
pub type Masking = fn(&[u8]) -> Vec<u8>;

/// What the user decides about telemetry.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What series say of who reports. Dashboards ask for `destination`; Istio's waypoints say
    /// `waypoint`.
    pub reporter: Reporter,
    /// What makes a path with its query fit for the log, where queries are logged: they may hold secrets.
    pub log_queries: Option<Masking>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reporter: Reporter::Destination,
            log_queries: None,
        }
    }
}

/// Counters and access log of a waypoint.
#[derive(Debug)]
pub struct Telemetry {
    settings: Settings,
    ledger: Ledger<Families>,
    series: SeriesTable,
    requests: Requests,
    lines: LineWriter,
}

impl Telemetry {
    /// Starts the thread that writes the log; it ends with this.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let ledger = Ledger::default();
        Ok(Self {
            settings,
            ledger: ledger.clone(),
            series: SeriesTable::default(),
            requests: Requests::new(settings.reporter, ledger),
            lines: LineWriter::start()?,
        })
    }

    /// Puts the counters on the page of this registry.
    pub fn register(&self, registry: &Registry) {
        registry.register_collector(self.requests.page());
        registry.register_collector(Box::new(self.ledger.clone()));
    }

    /// Counts a request that ended, and writes it down.
    pub fn record(&self, exchange: &Exchange<'_>, line: Line) {
        self.requests.record(exchange);
        if let Some(reason) = exchange.reason {
            self.count_refusal(reason);
        }
        self.write(line, || exchange.to_line(self.settings.log_queries));
    }

    /// Counts a connection that is passed on as it is.
    pub fn opened(&self, ends: &Ends, shaped: Option<Shaped<'_>>) -> Passage {
        let reporter = self.settings.reporter;
        Passage::open(self.series.shaped(&self.ledger, reporter, ends, shaped))
    }

    /// Counts the end of such a connection, and writes it down.
    pub fn closed(&self, passage: Passage, connection: &Connection<'_>, line: Line) {
        drop(passage);
        if let Some(refusal) = connection.refusal {
            self.count_refusal(refusal.reason.word());
        }
        self.write(line, || connection.to_line());
    }

    /// Counts a connection that was refused or could not be made, and writes it down.
    pub fn refused(&self, connection: &Connection<'_>, shaped: Option<Shaped<'_>>, line: Line) {
        let reason = connection.refusal.map(|refusal| refusal.reason);
        self.failed(connection.ends, reason, shaped);
        self.write(line, || connection.to_line());
    }

    /// Counts a connection that was refused, of which one line more would say nothing new.
    pub fn refused_unwritten(&self, ends: &Ends, reason: Reason, shaped: Option<Shaped<'_>>) {
        self.failed(ends, Some(reason), shaped);
    }

    fn failed(&self, ends: &Ends, reason: Option<Reason>, shaped: Option<Shaped<'_>>) {
        let flags = reason.map_or("-", Reason::response_flag);
        let pairs = tcp_pairs(self.settings.reporter, ends, flags);
        // Istio has no name of its own for them.
        if let Some(made) = made(shaped, Metric::TcpOpenedConnections, &pairs) {
            let failed = self.ledger.shaped(Families::Failed, &made);
            failed.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(reason) = reason {
            self.count_refusal(reason.word());
        }
    }

    /// Counts what a policy would have done that is only tried.
    pub fn tried(&self, policy: &PolicyName, would_refuse: bool) {
        let verdict = if would_refuse { "refuse" } else { "allow" };
        let labels = [("policy", &*policy.to_string()), ("verdict", verdict)];
        self.ledger.count(Families::DryRun, &labels);
    }

    /// Counts a match of an AUDIT policy.
    pub fn audited(&self, policy: &PolicyName) {
        let labels = [("policy", &*policy.to_string())];
        self.ledger.count(Families::Audited, &labels);
    }

    /// Counts handshakes of tunnels, by side (`server`, `client`) and result.
    pub fn handshakes(&self, side: &'static str, result: &str, count: u64) {
        let labels = Labels::new([("side", side.into()), ("result", result.into())]);
        let cell = self.ledger.cell(Families::Handshakes, &labels);
        cell.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a tunnel that ended by misbehaviour.
    pub fn tunnel_error(&self, kind: &str) {
        self.ledger.count(Families::TunnelErrors, &[("kind", kind)]);
    }

    /// Counts a pause in accepting, for want of descriptors or memory.
    pub fn accept_paused(&self) {
        self.ledger.count(Families::AcceptPauses, &[]);
    }

    /// Counts a resource of the control plane that could not be used.
    pub fn config_rejected(&self) {
        self.ledger.count(Families::ConfigRejects, &[]);
    }

    /// Forgets the series of workloads that are gone from the mesh, or are called otherwise now.
    /// Costs a walk over the mesh: to be done seldom, after workloads went, and once more when what
    /// they had under way has ended.
    pub fn sweep(&self, mesh: &Mesh) {
        self.requests.sweep(mesh);
        self.series.sweep(&self.ledger, mesh);
    }

    /// Waits, not for long, until the log is out.
    pub fn flush(&self) {
        self.lines.flush();
    }

    fn count_refusal(&self, reason: &'static str) {
        let reporter = self.settings.reporter.word();
        let labels = [("reporter", reporter), ("reason", reason)];
        self.ledger.count(Families::Refusals, &labels);
    }

    fn write(&self, line: Line, usual: impl FnOnce() -> Vec<u8>) {
        let line = match line {
            Line::Usual => usual(),
            Line::Own(line) => line,
            Line::None => return,
        };
        if !self.lines.write(line) {
            self.ledger.count(Families::LogDrops, &[]);
        }
    }
}

#[cfg(test)]
mod tests;
