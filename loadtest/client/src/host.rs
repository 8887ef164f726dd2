//! What the kernel says about this machine and its processes (Linux).

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Where something was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub rustc: String,
    /// Of the repository, with a `+` if something was not committed.
    pub commit: String,
}

impl Machine {
    pub fn here() -> Self {
        let processor = line_after("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
        let kib = line_after("/proc/meminfo", "MemTotal").and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let commit = output("git", &["rev-parse", "--short", "HEAD"]);
        let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]);
        Self {
            processor,
            cores: cores(),
            memory_gib: (kib.unwrap_or(0.0) / 1024.0 / 102.4).round() / 10.0,
            kernel: kernel.trim().to_owned(),
            rustc: output("rustc", &["--version"]),
            commit: if changed.is_empty() { commit } else { format!("{commit}+") },
        }
    }
}

fn cores() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

/// `NAME : VALUE` in a file of /proc.
fn line_after(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Time that this thread has had a core, to now; its `schedstat` may be a tick behind.
pub fn own_cpu_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    (now.tv_sec * 1_000_000_000 + now.tv_nsec).cast_unsigned()
}

/// Time that the threads of a process have had a core. To the nanosecond, unlike the ticks of `stat`.
pub fn cpu_nanoseconds(process: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let of_thread = |thread: fs::DirEntry| first_number(&format!("{}/schedstat", thread.path().display()));
    threads.flatten().filter_map(of_thread).sum()
}

fn first_number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.split(' ').next()?.parse().ok()
}

/// Resident memory, in MiB.
pub fn resident_mib(process: u32) -> f64 {
    let line = line_after(&format!("/proc/{process}/status"), "VmRSS");
    line.and_then(|line| line.split(' ').next()?.parse::<f64>().ok()).map_or(0.0, |kib| (kib / 102.4).round() / 10.0)
}

/// Time that something else had a core that this machine wanted, in ticks of 10 ms (`steal`).
pub fn stolen_ticks(core: usize) -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|line| line.split(' ').nth(7)?.parse().ok()).unwrap_or(0)
}

/// Keeps this thread on one core.
pub fn stay_on(core: usize) -> Result<(), String> {
    let mut only = CpuSet::new();
    only.set(core);
    rustix::thread::sched_setaffinity(None, &only).map_err(|error| format!("cannot stay on core {core}: {error}"))
}

/// Now, as `2026-11-22T12:34:56Z`.
pub fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format_timestamp(seconds)
}

fn format_timestamp(seconds: u64) -> String {
    // Years that begin in March: a leap day is then a year's last day (Howard Hinnant, `civil_from_days`).
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(format_timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_timestamp(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(format_timestamp(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(format_timestamp(1_795_350_896), "2026-11-22T12:34:56Z");
    }
}
