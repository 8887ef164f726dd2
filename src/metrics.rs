//! Every metric of the service: handles made once, labels from closed sets.
//!
//! Counting is a few atomic operations on a handle that is already there. What has a value at any time (sizes, versions,
//! calls in flight) is not counted but read when somebody scrapes: see [`Readings`].

use std::time::Duration;

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tonic::Code;

use crate::access::{Decision, Outcome, PolicyType};
use crate::decision_log;
use crate::engine::{Answer, CacheStatus};
use crate::reload::{LastReload, ReloadResult};

mod logged;
mod register;
mod rpc;
mod times;
mod tls;
mod traced;

use logged::LogMetrics;
use register::Registrar;
use rpc::REQUEST_ERRORS;
pub use rpc::Rpc;
use times::{EVALUATION, HANDLING, Observed, RELOAD, Times};
pub use tls::{Handshake, TlsReading};
use traced::TraceMetrics;

/// gRPC defines the codes 0 to 16.
const CODES: usize = 17;

/// Why a call or a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Too many calls at a time.
    InFlight,
    /// Too many connections at a time.
    Connections,
    /// Too little memory.
    Memory,
    /// Too long a wait.
    Queue,
}

impl Shed {
    const ALL: [Self; 4] = [Self::InFlight, Self::Connections, Self::Memory, Self::Queue];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Queue => "queue",
        }
    }
}

/// What is read when somebody scrapes.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// The active snapshot; None before the first.
    pub snapshot: Option<SnapshotReading>,
    /// When looking at the policy store last came to an end; None before the first load.
    pub last_look: Option<jiff::Timestamp>,
    /// Snapshots that are still in memory, the active one included.
    pub snapshots_live: usize,
    /// Outcomes that the active snapshot's cache holds.
    pub cache_entries: usize,
    /// Outcomes that caches have evicted since the start.
    pub cache_evictions: u64,
    /// Calls that are being answered.
    pub requests_in_flight: usize,
    /// Open connections of the gRPC listeners.
    pub connections: usize,
    /// One for each certificate.
    pub tls: Vec<TlsReading>,
    /// Threads that serve.
    pub worker_threads: usize,
    /// Bytes of memory that count against the limit.
    pub memory_used: u64,
    /// Bytes of memory that may be used; 0: any.
    pub memory_limit: u64,
    /// Faults in the program since the start.
    pub panics: u64,
    /// What the decision log has written and lost.
    pub decision_log: decision_log::Reading,
    /// What became of spans.
    pub traces: crate::telemetry::traces::Reading,
}

/// What is read of the active snapshot.
#[derive(Clone, Debug, Default)]
pub struct SnapshotReading {
    /// Digest of its content, in hex.
    pub revision: String,
    /// Its version.
    pub version: u64,
    /// Accounts that it knows.
    pub accounts: usize,
    /// Users and roles that it knows.
    pub principals: usize,
    /// Policies that it holds.
    pub policies: usize,
    /// Statements that those have.
    pub statements: usize,
}

/// The handles.
#[derive(Debug)]
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    process: metrics_process::Collector,
    rpcs: [RpcMetrics; Rpc::ALL.len()],
    decisions: [[Counter; PolicyType::ALL.len()]; Decision::ALL.len()],
    cache_requests: [Counter; CacheStatus::ALL.len()],
    request_errors: [(Code, Counter); REQUEST_ERRORS.len()],
    evaluation_seconds: Times,
    sheds: [Counter; Shed::ALL.len()],
    reloads: ReloadMetrics,
    tls: tls::TlsMetrics,
    gauges: Gauges,
    cache_evictions: Counter,
    panics: Counter,
    decision_log: LogMetrics,
    traces: TraceMetrics,
}

#[derive(Debug)]
struct RpcMetrics {
    handled: [Counter; CODES],
    seconds: Times,
}

#[derive(Debug)]
struct ReloadMetrics {
    total: [Counter; ReloadResult::ALL.len()],
    seconds: Times,
    last_successful: Gauge,
    last_success_timestamp_seconds: Gauge,
    last_look_timestamp_seconds: Gauge,
    poll_interval_seconds: Gauge,
}

/// What is decided in one go, counted when this is dropped: threads that count each decision take the counters from each other.
#[derive(Debug)]
pub struct Tally<'m> {
    metrics: &'m Metrics,
    decisions: [[u64; PolicyType::ALL.len()]; Decision::ALL.len()],
    cache_requests: [u64; CacheStatus::ALL.len()],
    evaluations: Observed,
}

impl Tally<'_> {
    /// As [`Metrics::decided`].
    pub fn decided(&mut self, answer: &Answer) {
        let Outcome { decision, decided_by, .. } = answer.outcome;
        let decisions = self.decisions.get_mut(decision as usize).and_then(|row| row.get_mut(decided_by as usize));
        decisions.into_iter().chain(self.cache_requests.get_mut(answer.cache as usize)).for_each(|count| *count += 1);
        if let Some(took) = answer.evaluation {
            self.evaluations.add(&EVALUATION, took);
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let counters = self.metrics.decisions.iter().flatten().chain(&self.metrics.cache_requests);
        let counts = self.decisions.iter().flatten().chain(&self.cache_requests);
        for (counter, count) in counters.zip(counts).filter(|(_, count)| **count > 0) {
            counter.increment(*count);
        }
        self.metrics.evaluation_seconds.record_all(&self.evaluations);
    }
}

/// Set at each scrape from [`Readings`].
#[derive(Debug)]
struct Gauges {
    snapshot_version: Gauge,
    snapshot_accounts: Gauge,
    snapshot_principals: Gauge,
    snapshot_policies: Gauge,
    snapshot_statements: Gauge,
    snapshots_live: Gauge,
    cache_entries: Gauge,
    requests_in_flight: Gauge,
    connections: Gauge,
    worker_threads: Gauge,
    memory_used: Gauge,
    memory_limit: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes every handle, so that every series exists from the first scrape on.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let process = metrics_process::Collector::default();
        metrics::with_local_recorder(&recorder, || process.describe());
        let register = Registrar::new(&recorder);
        register.build_info();
        Self {
            rpcs: register.rpcs(),
            decisions: register.decisions(),
            cache_requests: register.cache_requests(),
            request_errors: register.request_errors(),
            evaluation_seconds: Times::new(&EVALUATION, &[]),
            sheds: register.sheds(),
            reloads: register.reloads(),
            tls: register.tls(),
            gauges: register.gauges(),
            cache_evictions: register.cache_evictions(),
            panics: register.panics(),
            decision_log: register.decision_log(),
            traces: register.traces(),
            handle: recorder.handle(),
            process,
            recorder,
        }
    }

    /// A call has ended.
    pub fn rpc_finished(&self, rpc: Rpc, code: Code, took: Duration) {
        let Some(metrics) = self.rpcs.get(rpc as usize) else { return };
        if let Some(counter) = metrics.handled.get(code as usize) {
            counter.increment(1);
        }
        metrics.seconds.record(took);
    }

    /// A request was decided.
    pub fn decided(&self, answer: &Answer) {
        let Outcome { decision, decided_by, .. } = answer.outcome;
        if let Some(counter) = self.decisions.get(decision as usize).and_then(|row| row.get(decided_by as usize)) {
            counter.increment(1);
        }
        if let Some(counter) = self.cache_requests.get(answer.cache as usize) {
            counter.increment(1);
        }
        if let Some(took) = answer.evaluation {
            self.evaluation_seconds.record(took);
        }
    }

    /// A request, alone or one of many, got this error and no decision.
    pub fn refused(&self, code: Code) {
        if let Some((_, counter)) = self.request_errors.iter().find(|(known, _)| *known == code) {
            counter.increment(1);
        }
    }

    /// Counts several decisions at once.
    pub fn tally(&self) -> Tally<'_> {
        let (decisions, cache_requests, evaluations) = Default::default();
        Tally { metrics: self, decisions, cache_requests, evaluations }
    }

    /// A call or a connection was refused.
    pub fn shed(&self, reason: Shed) {
        if let Some(counter) = self.sheds.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// A reload has ended.
    pub fn reload_finished(&self, reload: &LastReload) {
        let LastReload { at, result, duration, errors: _ } = reload;
        if let Some(counter) = self.reloads.total.get(*result as usize) {
            counter.increment(1);
        }
        self.reloads.seconds.record(*duration);
        let successful = *result != ReloadResult::Rejected;
        self.reloads.last_successful.set(if successful { 1.0 } else { 0.0 });
        if successful {
            self.reloads.last_success_timestamp_seconds.set(at.as_duration().as_secs_f64());
        }
    }

    /// So often the policy store is looked at.
    pub fn polls_every(&self, interval: Duration) {
        self.reloads.poll_interval_seconds.set(interval.as_secs_f64());
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self, readings: &Readings) -> String {
        metrics::with_local_recorder(&self.recorder, || self.process.collect());
        self.set_gauges(readings);
        // Never falls: what is less than it was is not taken.
        self.cache_evictions.absolute(readings.cache_evictions);
        self.panics.absolute(readings.panics);
        self.decision_log.set(&readings.decision_log);
        self.traces.set(&readings.traces);
        let mut text = self.handle.render();
        self.render_times(&mut text);
        tls::render(&readings.tls, &mut text);
        if let Some(snapshot) = &readings.snapshot {
            // Written by hand: a recorder never forgets a series, and every revision would leave one behind.
            text.push_str("# HELP iamd_snapshot_info The content that is served, by its digest\n");
            text.push_str("# TYPE iamd_snapshot_info gauge\n");
            text.push_str(&format!("iamd_snapshot_info{{revision=\"{}\"}} 1\n", snapshot.revision));
        }
        text
    }

    fn render_times(&self, text: &mut String) {
        times::render(&HANDLING, self.rpcs.iter().map(|rpc| &rpc.seconds), text);
        times::render(&EVALUATION, [&self.evaluation_seconds], text);
        times::render(&RELOAD, [&self.reloads.seconds], text);
    }

    fn set_gauges(&self, readings: &Readings) {
        let gauges = &self.gauges;
        gauges.snapshots_live.set(readings.snapshots_live as f64);
        gauges.cache_entries.set(readings.cache_entries as f64);
        gauges.requests_in_flight.set(readings.requests_in_flight as f64);
        gauges.connections.set(readings.connections as f64);
        gauges.worker_threads.set(readings.worker_threads as f64);
        gauges.memory_used.set(readings.memory_used as f64);
        gauges.memory_limit.set(readings.memory_limit as f64);
        if let Some(at) = readings.last_look {
            self.reloads.last_look_timestamp_seconds.set(at.as_duration().as_secs_f64());
        }
        if let Some(snapshot) = &readings.snapshot {
            gauges.snapshot_version.set(snapshot.version as f64);
            gauges.snapshot_accounts.set(snapshot.accounts as f64);
            gauges.snapshot_principals.set(snapshot.principals as f64);
            gauges.snapshot_policies.set(snapshot.policies as f64);
            gauges.snapshot_statements.set(snapshot.statements as f64);
        }
    }
}

#[cfg(test)]
mod tests;
