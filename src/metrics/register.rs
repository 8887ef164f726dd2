//! Names, labels and help texts: the one place where metrics are declared, but for histograms (`times.rs`).

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::PrometheusRecorder;
use tonic::Code;

use super::rpc::{CODE_NAMES, REQUEST_ERRORS};
use super::times::{HANDLING, RELOAD, Times};
use super::tls::{Handshake, TlsMetrics};
use super::{CODES, Gauges, ReloadMetrics, Rpc, RpcMetrics, Shed, logged, traced};
use crate::access::{Decision, PolicyType};
use crate::config::TlsListener;
use crate::engine::CacheStatus;
use crate::reload::ReloadResult;

/// Makes handles; making one makes its series, with the value 0.
pub(super) struct Registrar<'a> {
    recorder: &'a PrometheusRecorder,
}

type Labels = Vec<(&'static str, &'static str)>;

impl<'a> Registrar<'a> {
    pub(super) fn new(recorder: &'a PrometheusRecorder) -> Self {
        let register = Self { recorder };
        register.describe();
        register
    }

    fn describe(&self) {
        for (name, help) in COUNTERS.into_iter().chain(logged::COUNTERS).chain(traced::COUNTERS) {
            self.recorder.describe_counter(KeyName::from_const_str(name), None, SharedString::const_str(help));
        }
        for (name, help) in GAUGES.into_iter().chain(logged::GAUGES).chain(traced::GAUGES) {
            self.recorder.describe_gauge(KeyName::from_const_str(name), None, SharedString::const_str(help));
        }
    }

    pub(super) fn build_info(&self) {
        // Set by whoever builds a release; a plain `cargo build` does not know its commit.
        let commit = option_env!("IAMD_COMMIT").unwrap_or("unknown");
        self.gauge("iamd_build_info", vec![("version", env!("CARGO_PKG_VERSION")), ("commit", commit)]).set(1.0);
    }

    pub(super) fn rpcs(&self) -> [RpcMetrics; Rpc::ALL.len()] {
        Rpc::ALL.map(|rpc| {
            let labels = || vec![("grpc_service", rpc.service()), ("grpc_method", rpc.method())];
            let handled: [Counter; CODES] = CODE_NAMES.map(|code| {
                let labels = labels().into_iter().chain([("grpc_code", code)]).collect();
                self.counter("grpc_server_handled_total", labels)
            });
            RpcMetrics { handled, seconds: Times::new(&HANDLING, &labels()) }
        })
    }

    pub(super) fn decisions(&self) -> [[Counter; PolicyType::ALL.len()]; Decision::ALL.len()] {
        Decision::ALL.map(|decision| {
            PolicyType::ALL.map(|by| {
                let labels = vec![("decision", decision.as_str()), ("decided_by", by.as_str())];
                self.counter("iamd_decisions_total", labels)
            })
        })
    }

    pub(super) fn cache_requests(&self) -> [Counter; CacheStatus::ALL.len()] {
        CacheStatus::ALL.map(|status| self.counter("iamd_cache_requests_total", vec![("result", status.as_str())]))
    }

    pub(super) fn request_errors(&self) -> [(Code, Counter); REQUEST_ERRORS.len()] {
        REQUEST_ERRORS.map(|code| {
            let name = CODE_NAMES.get(code as usize).copied().unwrap_or_default();
            (code, self.counter("iamd_request_errors_total", vec![("grpc_code", name)]))
        })
    }

    pub(super) fn cache_evictions(&self) -> Counter {
        self.counter("iamd_cache_evictions_total", vec![])
    }

    pub(super) fn panics(&self) -> Counter {
        self.counter("iamd_panics_total", vec![])
    }

    pub(super) fn sheds(&self) -> [Counter; Shed::ALL.len()] {
        Shed::ALL.map(|reason| self.counter("iamd_requests_shed_total", vec![("reason", reason.as_str())]))
    }

    pub(super) fn reloads(&self) -> ReloadMetrics {
        ReloadMetrics {
            total: ReloadResult::ALL
                .map(|result| self.counter("iamd_reloads_total", vec![("result", result.as_str())])),
            seconds: Times::new(&RELOAD, &[]),
            last_successful: self.gauge("iamd_last_reload_successful", vec![]),
            last_success_timestamp_seconds: self.gauge("iamd_last_reload_success_timestamp_seconds", vec![]),
            last_look_timestamp_seconds: self.gauge("iamd_last_look_timestamp_seconds", vec![]),
            poll_interval_seconds: self.gauge("iamd_poll_interval_seconds", vec![]),
        }
    }

    pub(super) fn tls(&self) -> TlsMetrics {
        let counter = |name, listener: TlsListener, result| {
            self.counter(name, vec![("listener", listener.as_str()), ("result", result)])
        };
        let handshake =
            |listener| Handshake::ALL.map(|result| counter("iamd_tls_handshakes_total", listener, result.as_str()));
        let reload =
            |listener| ReloadResult::ALL.map(|result| counter("iamd_tls_reloads_total", listener, result.as_str()));
        TlsMetrics { handshakes: TlsListener::ALL.map(handshake), reloads: TlsListener::ALL.map(reload) }
    }

    pub(super) fn gauges(&self) -> Gauges {
        let gauge = |name| self.gauge(name, vec![]);
        Gauges {
            snapshot_version: gauge("iamd_snapshot_version"),
            snapshot_accounts: gauge("iamd_snapshot_accounts"),
            snapshot_principals: gauge("iamd_snapshot_principals"),
            snapshot_policies: gauge("iamd_snapshot_policies"),
            snapshot_statements: gauge("iamd_snapshot_statements"),
            snapshots_live: gauge("iamd_snapshots_live"),
            cache_entries: gauge("iamd_cache_entries"),
            requests_in_flight: gauge("iamd_requests_in_flight"),
            connections: gauge("iamd_connections"),
            worker_threads: gauge("iamd_worker_threads"),
            memory_used: gauge("iamd_memory_bytes"),
            memory_limit: gauge("iamd_memory_limit_bytes"),
        }
    }

    pub(super) fn counter(&self, name: &'static str, labels: Labels) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    pub(super) fn gauge(&self, name: &'static str, labels: Labels) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }
}

const METADATA: Metadata<'static> = Metadata::new("iamd", Level::INFO, None);

fn key(name: &'static str, labels: Labels) -> Key {
    let labels: Vec<Label> = labels.into_iter().map(|(key, value)| Label::from_static_parts(key, value)).collect();
    Key::from_parts(name, labels)
}

const COUNTERS: [(&str, &str); 10] = [
    ("grpc_server_handled_total", "RPCs that have ended, by the code that they ended with"),
    (
        "iamd_request_errors_total",
        "Requests without a decision, by their error; each request of a batch or stream counts",
    ),
    ("iamd_decisions_total", "Decisions, by the kind of policy that decided; each request of a batch or stream counts"),
    ("iamd_cache_requests_total", "Decisions that the cache knew (hit), knows now (miss), or may not keep (bypass)"),
    ("iamd_cache_evictions_total", "Remembered decisions that had to make room"),
    ("iamd_requests_shed_total", "Calls and connections refused because a limit was reached"),
    ("iamd_panics_total", "Faults in the program; each has ended a call, or a reload"),
    ("iamd_reloads_total", "Attempts to make the files on disk the active snapshot, by what came of them"),
    ("iamd_tls_handshakes_total", "TLS handshakes that have ended, by how"),
    ("iamd_tls_reloads_total", "Looks at files of certificates that were new or asked for, by what came of them"),
];

const GAUGES: [(&str, &str); 17] = [
    ("iamd_build_info", "The program that runs"),
    ("iamd_snapshot_version", "Version of the active snapshot; grows with every reload that changed something"),
    ("iamd_snapshot_accounts", "Accounts that the active snapshot knows"),
    ("iamd_snapshot_principals", "Users and roles that the active snapshot knows"),
    ("iamd_snapshot_policies", "Policies that the active snapshot holds"),
    ("iamd_snapshot_statements", "Statements of those policies"),
    ("iamd_snapshots_live", "Snapshots in memory: more than 2 for long means that one is held"),
    ("iamd_cache_entries", "Decisions that are remembered"),
    (
        "iamd_last_reload_successful",
        "1 if the files on disk were what is served when they were last looked at, 0 if they were rejected",
    ),
    ("iamd_last_reload_success_timestamp_seconds", "When the files on disk were last found good"),
    ("iamd_last_look_timestamp_seconds", "When looking at the files on disk last came to an end, changed or not"),
    ("iamd_poll_interval_seconds", "How often the files on disk are looked at, whatever the file system reports"),
    ("iamd_requests_in_flight", "Calls that are being answered; a held stream counts as one"),
    ("iamd_connections", "Open connections of the gRPC listeners"),
    ("iamd_worker_threads", "Threads that serve"),
    ("iamd_memory_bytes", "Memory that counts against the limit; 0 without a limit"),
    ("iamd_memory_limit_bytes", "Memory that may be used before calls are refused; 0 without a limit"),
];
