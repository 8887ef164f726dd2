//! `iamd-load reload`: full load, and the same while a file of the store changes every second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::counting::{one_more, outcome};
use super::rows::{ROWS, base};
use super::server::Running;
use super::{Bench, faults};
use crate::generate::GenerateArgs;
use crate::host;
use crate::load::answer::Service;
use crate::load::bodies::{Bodies, Method};
use crate::load::drive::Plan;
use crate::sample::{self, Sample};

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Policies of the store, of 10 statements each
    #[arg(long, default_value_t = 100, value_name = "N")]
    policies: u64,
    /// Users of the store
    #[arg(long, default_value_t = 1000, value_name = "N")]
    users: u64,
    /// Time between changes
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    every: f64,
    /// Open loop: so many calls a second instead of full load
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    #[command(flatten)]
    bench: Bench,
}

/// Length of the intervals in which latency is kept: a reload is shorter than a second.
const INTERVAL: f64 = 0.05;

/// Files change no longer than this after the run, whatever happens.
const LONGEST_WARM_UP: f64 = 120.0;

pub fn run(args: &ReloadArgs) -> Result<(), String> {
    let output = args.bench.begin()?;
    let directory: PathBuf = format!("reload-{}-{}", args.policies, args.users).into();
    // Written anew each time: a run that was ended by force leaves the store changed.
    let _ = std::fs::remove_file(args.bench.work.join(&directory).join("parameters.json"));
    let world = GenerateArgs { directory, policies: args.policies, users: args.users, changed: true, ..base() };
    let world = args.bench.world(&world)?;
    println!("\nreload: every {} s, {} policies, {} users", args.every, args.policies, args.users);
    let mut samples = Vec::new();
    let outcome = until_enough(args, &world, &mut samples);
    samples.iter().try_for_each(|sample| sample::append(&output, sample))?;
    outcome?;
    let wrong = samples.iter().filter(|sample| faults(sample).is_some()).count();
    println!("raw results: {}", output.display());
    if wrong > 0 { Err(format!("{wrong} runs had errors or wrong decisions")) } else { Ok(()) }
}

/// Pairs of runs, until there are enough of which both count.
fn until_enough(args: &ReloadArgs, world: &Path, samples: &mut Vec<Sample>) -> Result<(), String> {
    for round in 1.. {
        let pairs = samples.chunks(2).filter_map(|pair| pair.iter().map(outcome).max());
        if !one_more(args.bench.rounds, pairs) {
            break;
        }
        // One server for both, so that its memory can be compared.
        let launch = args.bench.launch("iamd", world, false);
        let running = launch.start(args.bench.server_core, &args.bench.work.join("iamd.log"))?;
        for target in ["steady", "reloading"] {
            let mut plan = ROWS[0].plan(&launch.address, args.bench.duration);
            plan.interval_seconds = INTERVAL;
            plan.rate = args.rate;
            plan.warm_up = 20_000;
            args.bench.wait_until_fast()?;
            let mut sample = measure(args, &plan, target, round, world, &running)?;
            sample.discarded = args.bench.judge(&sample, args.rate.is_none());
            println!("{}{}", args.bench.line(&sample), said(&sample));
            samples.push(sample);
            args.bench.judge_again(samples);
        }
    }
    Ok(())
}

fn measure(
    args: &ReloadArgs,
    plan: &Plan,
    target: &str,
    round: u32,
    world: &Path,
    running: &Running,
) -> Result<Sample, String> {
    let requests = world.join("requests.bin");
    // While files change, both the old and the new decision are right; one that is neither is not.
    let decisions = if target == "steady" { "requests.decisions" } else { "changed.decisions" };
    let bodies = Bodies::read_expecting(&requests, &world.join(decisions), Service::Iamd, Method::Unary, 1)?;
    let before = running.counters()?.unwrap_or_default();
    let began = host::timestamp();
    let changes = (target == "reloading").then(|| Changes::begin(world, args.every, plan));
    let name = format!("reload {target} {round}");
    let outcome = args.bench.under_load(plan, &bodies, &name, running);
    let reloads = changes.map_or(Ok(Vec::new()), Changes::end);
    let (measured, mut server, since) = outcome?;
    // In seconds since the run began; what was changed while it warmed up is before that.
    let reloads = reloads?.into_iter().filter_map(|at| Some(at.checked_duration_since(since)?.as_secs_f64())).collect();
    server.command = format!("taskset -c {} {}", args.bench.server_core, running.command);
    if let Some(counters) = &mut server.counters {
        counters.decisions -= before.decisions;
        counters.reloads_activated -= before.reloads_activated;
    }
    Ok(Sample {
        row: "reload".to_owned(),
        target: target.to_owned(),
        round,
        began,
        size: [].into(),
        plan: plan.clone(),
        measured,
        server: Some(server),
        discarded: None,
        reloads,
    })
}

/// What a reload did besides.
fn said(sample: &Sample) -> String {
    let Some(server) = &sample.server else { return String::new() };
    let Some(counters) = &server.counters else { return String::new() };
    format!(
        "  {} reloads of {} changes, memory {:.0} to {:.0} MiB, {} snapshots",
        counters.reloads_activated,
        sample.reloads.len(),
        server.resident_before_mib,
        server.resident_after_mib,
        counters.snapshots_live,
    )
}

/// The first file of policies, exchanged for the other one and back, by a thread.
struct Changes {
    thread: std::thread::JoinHandle<Result<Vec<Instant>, String>>,
    stop: Arc<AtomicBool>,
}

impl Changes {
    /// Goes on until [`Changes::end`].
    fn begin(world: &Path, every: f64, plan: &Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let file = world.join("store/111122223333/policies/00000.json");
        let other = world.join("changed/00000.json");
        let longest = plan.seconds + LONGEST_WARM_UP;
        let thread = std::thread::spawn(move || exchange(&file, &other, every, longest, &stopped));
        Self { thread, stop }
    }

    fn end(self) -> Result<Vec<Instant>, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the thread that changes files panicked".to_owned())?
    }
}

/// Gives when it changed the file. At the end the first content is back.
fn exchange(file: &PathBuf, other: &Path, every: f64, longest: f64, stop: &AtomicBool) -> Result<Vec<Instant>, String> {
    let fail = |error: std::io::Error| format!("cannot change {}: {error}", file.display());
    let contents = [std::fs::read(file).map_err(fail)?, std::fs::read(other).map_err(fail)?];
    let began = Instant::now();
    let mut changes = Vec::new();
    let write = |content: &[u8]| {
        // As editors and deployments do: beside it, then in its place.
        let beside = file.with_extension("new");
        std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, file)).map_err(fail)
    };
    while !stop.load(Ordering::Relaxed) && began.elapsed().as_secs_f64() < longest {
        let next = (changes.len() + 1) as f64 * every;
        match next - began.elapsed().as_secs_f64() {
            wait if wait > 0.0 => std::thread::sleep(Duration::from_secs_f64(wait.min(0.05))),
            _ => {
                changes.push(Instant::now());
                write(&contents[changes.len() % 2])?;
            }
        }
    }
    if changes.len() % 2 == 1 {
        write(&contents[0])?;
    }
    Ok(changes)
}
