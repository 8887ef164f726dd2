//! The whole report, from results that are made up, against the files in `tests/report/`.

use std::path::Path;

use super::*;
use crate::host::Machine;
use crate::http2::socket::Address;
use crate::load::answer::{Decision, Service};
use crate::load::bodies::Method;
use crate::load::drive::Plan;
use crate::load::record::{Measured, Recorder};
use crate::sample::{Counters, Server};
use crate::speed::Speed;

const SECOND: u64 = 1_000_000_000;

/// A second of answers, one each `spacing` ns, each taking so many times as long as the one before, from 100 us on.
fn measured(spacing: u64) -> Measured {
    let mut recorder = Recorder::new(SECOND / 10);
    recorder.begin(0);
    let mut latency = 100_000_f64;
    for now in (spacing..=SECOND).step_by(spacing as usize) {
        recorder.roll(now);
        recorder.call(now, now.saturating_sub(latency as u64));
        recorder.decision(now, Some(Decision::Allow), 0);
        latency = if latency > 5e6 { 1e5 } else { latency * 1.01 };
    }
    recorder.finish(SECOND)
}

fn sample(row: &str, target: &str, round: u32, size: Option<(&str, u64)>, spacing: u64) -> Sample {
    let address: Address = "127.0.0.1:50151".parse().unwrap();
    let counters = Counters { hits: 99, misses: 1, ..Counters::default() };
    Sample {
        row: row.to_owned(),
        target: target.to_owned(),
        round,
        began: "2026-11-22T13:00:00Z".to_owned(),
        size: size.into_iter().map(|(name, size)| (name.to_owned(), size)).collect(),
        plan: Plan {
            address: address.to_string(),
            tls: None,
            service: Service::Iamd,
            method: Method::Unary,
            connections: 8,
            streams: 32,
            batch: 100,
            pack: 32,
            window: 128,
            rate: None,
            seconds: 1.0,
            count: None,
            warm_up: 0,
            each_new: false,
            interval_seconds: 0.1,
        },
        measured: measured(spacing),
        server: Some(Server {
            command: format!("taskset -c 0 {target}"),
            busy: 99.0,
            speed: Some(Speed { mean: 9_900.0, best: Some(10_000.0) }),
            resident_before_mib: 10.0,
            resident_after_mib: 12.0,
            start_seconds: 0.25,
            counters: (target != "null").then_some(counters),
            ..Server::default()
        }),
        discarded: None,
        reloads: Vec::new(),
    }
}

fn results() -> Results {
    let mut samples = Vec::new();
    for round in 1..=3 {
        for (target, spacing) in [("iamd", 11_000), ("null", 10_000)] {
            samples.push(sample("unary-cached", target, round, None, spacing + u64::from(round) * 100));
        }
    }
    samples.push(Sample {
        discarded: Some("the server had 80 % of its core".to_owned()),
        ..sample("unary-cached", "iamd", 4, None, 20_000)
    });
    samples.push(Sample { discarded: Some(sample::slow(55.0)), ..sample("unary-cached", "iamd", 5, None, 20_000) });
    for (size, spacing) in [(100, 12_000), (1000, 12_500), (10_000, 14_000)] {
        samples.push(sample("statements-new", "iamd", 1, Some(("statements", size)), spacing));
        samples.push(sample("principals-cached", "iamd", 1, Some(("principals", size)), spacing));
    }
    samples.push(sample("reload", "steady", 1, None, 11_000));
    samples.push(Sample { reloads: vec![0.25, 0.75], ..sample("reload", "reloading", 1, None, 11_500) });
    samples.push(sample("peers", "iamd", 1, None, 11_000));
    samples.push(sample("peers", "cerbos", 1, None, 90_000));
    let machine = Machine {
        processor: "Imagined CPU".to_owned(),
        cores: 2,
        memory_gib: 8.0,
        kernel: "6.1.0".to_owned(),
        rustc: "rustc 1.88.0".to_owned(),
        commit: "0123456".to_owned(),
    };
    let began = "2026-11-22T13:00:00Z".to_owned();
    let session = Session { began, machine, command: "iamd-load suite".to_owned(), min_speed: Some(90.0) };
    Results { sessions: vec![session], samples }
}

/// `UPDATE_GOLDEN=1 cargo test report` writes them: look at what changed.
#[test]
fn the_page_and_its_plots_are_as_they_were() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report");
    let mut changed = Vec::new();
    for (name, text) in files(&results()) {
        // Not a page of the repository: its links are meant for where results are.
        let file = directory.join(name.replace("README.md", "page.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != text {
            changed.push(name);
        }
    }
    assert!(changed.is_empty(), "other than before, or new: {changed:?}");
}

#[test]
fn results_come_back_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("raw.jsonl");
    let results = results();
    sample::append(&file, &results.sessions[0]).unwrap();
    results.samples.iter().for_each(|one| sample::append(&file, one).unwrap());
    let (sessions, samples) = sample::read(&file).unwrap();
    assert_eq!(sessions, results.sessions);
    assert_eq!(samples.len(), results.samples.len());
    assert_eq!(samples[0].measured, results.samples[0].measured);
    std::fs::write(&file, "{\"row\": 1}\n").unwrap();
    assert!(sample::read(&file).unwrap_err().contains("raw.jsonl:1: neither session nor sample"));
}

/// Lines as they were before cores were watched.
#[test]
fn old_results_are_read_and_have_no_rule_about_speed() {
    let mut results = results();
    results.sessions[0].min_speed = None;
    results.samples.iter_mut().filter_map(|one| one.server.as_mut()).for_each(|server| server.speed = None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("raw.jsonl");
    sample::append(&file, &results.sessions[0]).unwrap();
    results.samples.iter().for_each(|one| sample::append(&file, one).unwrap());
    assert!(!std::fs::read_to_string(&file).unwrap().contains("speed\":"));
    let (sessions, samples) = sample::read(&file).unwrap();
    assert_eq!(samples.len(), results.samples.len());
    let (_, page) = files(&Results { sessions, samples }).swap_remove(0);
    assert!(page.contains("A run counts if") && !page.contains("of its full speed, by"));
}
