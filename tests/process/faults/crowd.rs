//! Ten thousand connections at once, all of them held.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{MIB, Witness, becomes, start};
use crate::operator::{alice_reads, client, cpu_seconds, metric, skip};
use crate::program::Program;

/// For what else these tests have open.
const OTHERS: usize = 1_000;

/// `--max-connections`.
const PLACES: usize = 500;

const THREADS: usize = 250;

/// How many this process may hold: as many as its limit of files leaves, which a shell's `ulimit -n` often makes 1,024.
fn connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files = files.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX);
    files.saturating_sub(OTHERS).min(10_000)
}

/// Asks for as many files as there may be, without which this is a small crowd.
fn raise_limit() {
    let own = std::process::id().to_string();
    let hard = std::process::Command::new("sh").args(["-c", "ulimit -Hn"]).output().unwrap().stdout;
    let hard = String::from_utf8(hard).unwrap();
    drop(std::process::Command::new("prlimit").args(["--pid", &own, &format!("--nofile={}:", hard.trim())]).status());
}

fn refused(program: &Program) -> f64 {
    metric(program, "iamd_requests_shed_total{reason=\"connections\"}")
}

/// All of them held. Where more come than are accepted, the kernel makes some wait for a second: others go on meanwhile.
async fn connect(address: &str, many: usize) -> Vec<TcpStream> {
    let connecting: Vec<_> = (0..THREADS)
        .map(|_| {
            let address = address.to_owned();
            let connect = move || TcpStream::connect(&address).unwrap();
            tokio::task::spawn_blocking(move || {
                std::iter::repeat_with(connect).take(many / THREADS).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut held = Vec::new();
    for some in connecting {
        held.extend(some.await.unwrap());
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_at_once() {
    raise_limit();
    let many = connections();
    if many < 10_000 {
        skip(&format!("10,000 connections at once: `ulimit -n` leaves {many}"));
    }
    if many < 1_000 {
        return;
    }
    let program = start(&["--max-connections", &PLACES.to_string()]);
    drop(client(&program).await.is_authorized(alice_reads()).await.unwrap());
    let (before, cpu) = (program.peak_memory_bytes(), cpu_seconds(&program));
    let witness = Witness::of(&program).await;
    let held = connect(&program.grpc[0], many).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    // The kernel forgets some of so many at once, which then think that they are connected.
    while refused(&program) < 0.8 * (many - PLACES) as f64 {
        assert!(Instant::now() < deadline, "{} of {many}", refused(&program));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    witness.testifies().await;
    let took = program.peak_memory_bytes().saturating_sub(before);
    assert!(took < 32 * MIB, "{} MiB for {PLACES} of {many} connections", took / MIB);
    let cpu = (cpu_seconds(&program) - cpu) / many as f64;
    assert!(cpu < 0.001, "{} us for each that was refused", cpu * 1e6);
    drop(held);
    becomes(&program, "iamd_connections", 0.0).await;
}
