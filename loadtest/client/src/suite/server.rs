//! Servers that are started, asked how they fare, and stopped. Only ever those that were started here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::host;
use crate::http2::socket::{Address, Socket};
use crate::sample::Counters;

/// How a server is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) address: Address,
    /// Where its metrics are, if it is iamd.
    pub(super) admin: Option<SocketAddr>,
}

/// A store of a million principals takes its time.
const LONGEST_START: Duration = Duration::from_secs(300);
/// A service on one core answers its operators when calls let it.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);
const LONGEST_STOP: Duration = Duration::from_secs(10);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    admin: Option<SocketAddr>,
    pub(super) command: String,
    pub(super) start_seconds: f64,
}

impl Launch {
    /// Starts it on a core, and waits until it answers. What it says goes to `log`.
    pub(super) fn start(&self, core: usize, log: &Path) -> Result<Running, String> {
        let name = self.program.display();
        if let Address::Unix(path) = &self.address {
            // Of an earlier one that was ended by force.
            let _ = std::fs::remove_file(path);
        } else if Socket::connect(&self.address).is_ok() {
            return Err(format!("something listens on {} already", self.address));
        }
        let output = std::fs::File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let began = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let command = format!("{name} {}", self.arguments.join(" "));
        let mut running = Running { child, admin: self.admin, command, start_seconds: 0.0 };
        while !self.ready() {
            if let Ok(Some(status)) = running.child.try_wait() {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{name} ended ({status}): {}", said.lines().last().unwrap_or_default()));
            }
            if began.elapsed() > LONGEST_START {
                return Err(format!("{name} does not listen on {}", self.address));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        running.start_seconds = began.elapsed().as_secs_f64();
        Ok(running)
    }

    fn ready(&self) -> bool {
        let healthy =
            self.admin.is_none_or(|admin| get(admin, "/readyz").is_ok_and(|text| text.starts_with("HTTP/1.1 200")));
        healthy && Socket::connect(&self.address).is_ok()
    }
}

impl Running {
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// iamd's own counters.
    pub(super) fn counters(&self) -> Result<Option<Counters>, String> {
        self.admin.map(|admin| get(admin, "/metrics").map(|text| counters(&text))).transpose()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(process) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(process, Signal::TERM);
        }
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > LONGEST_STOP {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a server on loopback answers to an HTTP request.
fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(LONGEST_ANSWER))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().map_err(|error| format!("{address}{path} does not answer: {error}"))
}

/// From Prometheus' text.
fn counters(text: &str) -> Counters {
    let sum = |name: &str, wanted: &[&str], unwanted: &str| -> u64 {
        let lines =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let lines = lines.filter(|line| wanted.iter().all(|label| line.contains(label)));
        let lines = lines.filter(|line| unwanted.is_empty() || !line.contains(unwanted));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    };
    const SERVICE: &str = "grpc_service=\"iamd.v1.AuthorizationService\"";
    const OK: &str = "grpc_code=\"OK\"";
    Counters {
        handled_ok: sum("grpc_server_handled_total", &[SERVICE, OK], ""),
        handled_otherwise: sum("grpc_server_handled_total", &[SERVICE], OK),
        decisions: sum("iamd_decisions_total", &[], ""),
        hits: sum("iamd_cache_requests_total", &["result=\"hit\""], ""),
        misses: sum("iamd_cache_requests_total", &["result=\"miss\""], ""),
        bypasses: sum("iamd_cache_requests_total", &["result=\"bypass\""], ""),
        evictions: sum("iamd_cache_evictions_total", &[], ""),
        statements: sum("iamd_snapshot_statements", &[], ""),
        principals: sum("iamd_snapshot_principals", &[], ""),
        reloads_activated: sum("iamd_reloads_total", &["result=\"activated\""], ""),
        reloads_rejected: sum("iamd_reloads_total", &["result=\"rejected\""], ""),
        snapshots_live: sum("iamd_snapshots_live", &[], ""),
    }
}

/// The busy and the stolen share of a server's core, between two moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    core: usize,
    process: u32,
    at: Instant,
    busy: u64,
    stolen: u64,
}

impl Meter {
    pub(super) fn start(core: usize, process: u32) -> Self {
        Self {
            core,
            process,
            at: Instant::now(),
            busy: host::cpu_nanoseconds(process),
            stolen: host::stolen_ticks(core),
        }
    }

    /// In per cent.
    pub(super) fn stop(self) -> (f64, f64) {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-9);
        let busy = host::cpu_nanoseconds(self.process).saturating_sub(self.busy) as f64 / 1e9;
        // A tick is 10 ms.
        let stolen = host::stolen_ticks(self.core).saturating_sub(self.stolen) as f64 / 100.0;
        let percent = |part: f64| (1000.0 * part / seconds).round() / 10.0;
        (percent(busy), percent(stolen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_iamds_counters() {
        let text = "# HELP iamd_cache_requests_total ...\n\
            iamd_cache_requests_total{result=\"hit\"} 90\n\
            iamd_cache_requests_total{result=\"miss\"} 10\n\
            iamd_decisions_total{decision=\"ALLOW\",decided_by=\"IDENTITY\"} 60\n\
            iamd_decisions_total{decision=\"IMPLICIT_DENY\",decided_by=\"IDENTITY\"} 40\n\
            grpc_server_handled_total{grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=\"IsAuthorized\",grpc_code=\"OK\"} 99\n\
            grpc_server_handled_total{grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=\"IsAuthorized\",grpc_code=\"INTERNAL\"} 1\n\
            grpc_server_handled_total{grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Check\",grpc_code=\"OK\"} 7\n\
            iamd_snapshot_statements 1000\n";
        let read = counters(text);
        assert_eq!((read.hits, read.misses, read.decisions, read.statements), (90, 10, 100, 1000));
        assert_eq!((read.handled_ok, read.handled_otherwise), (99, 1));
        assert!((read.hit_share() - 90.0).abs() < 1e-9);
    }
}
