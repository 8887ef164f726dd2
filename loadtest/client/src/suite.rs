//! `iamd-load suite`: servers in turn, each on a core of its own, each measured in the same way.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use crate::generate::{self, GenerateArgs};
use crate::host::{self, Machine};
use crate::http2::socket::Address;
use crate::load::answer::Service;
use crate::load::bodies::Bodies;
use crate::load::drive::{Moment, Plan, drive};
use crate::load::progress::short;
use crate::load::record::Measured;
use crate::sample::{self, Counters, Sample, Server, Session};
use crate::speed::Watch;

mod counting;
pub mod peers;
pub mod reload;
mod rows;
mod server;

use rows::{ROWS, Row};
use server::{Launch, Meter, Running};

/// Where and how long; the same for `suite`, `reload` and `peers`.
#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// Core of the server
    #[arg(long, default_value_t = 0, value_name = "N", env = "SERVER_CORE")]
    server_core: usize,
    /// Core of the generator
    #[arg(long, default_value_t = 1, value_name = "N", env = "LOAD_CORE")]
    load_core: usize,
    /// Runs of each that count
    #[arg(long, default_value_t = 5, value_name = "N", env = "ROUNDS")]
    rounds: u32,
    /// Length of a run
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", env = "DURATION")]
    duration: f64,
    /// A run counts if the server used so much of its core (where it is to be saturated), in per cent
    #[arg(long, default_value_t = 95.0, value_name = "PERCENT", env = "MIN_CPU")]
    min_busy: f64,
    /// A run counts if the server's core had at least this share of its full speed, in per cent
    #[arg(long, default_value_t = 90.0, value_name = "PERCENT", env = "MIN_SPEED")]
    min_speed: f64,
    #[arg(long, default_value = "target/release/iamd", value_name = "FILE", env = "IAMD")]
    iamd: PathBuf,
    #[arg(long, default_value = "loadtest/null/target/release/iamd-null", value_name = "FILE", env = "NULL")]
    null: PathBuf,
    /// Where generated stores and logs are kept
    #[arg(long, default_value = "loadtest/work", value_name = "DIR")]
    work: PathBuf,
    /// Where results go [default: loadtest/results/DATE-COMMIT]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// More flags of `iamd serve`, such as `--cache-size=0`
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    iamd_flag: Vec<String>,
    /// The most that the server's core was seen to give since this began; 0 until it is calibrated.
    #[arg(skip)]
    full_speed: Cell<f64>,
}

/// Arguments of `suite`.
#[derive(Debug, Args)]
pub struct SuiteArgs {
    /// Which measurements; all by default
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Show what there is, and do nothing
    #[arg(long)]
    list: bool,
    /// Leave out sizes of series above this
    #[arg(long, default_value_t = u64::MAX, value_name = "N", hide_default_value = true)]
    largest: u64,
    #[command(flatten)]
    bench: Bench,
}

/// Ports of their own: a running iamd is left alone.
const IAMD_PORT: u16 = 50151;
const ADMIN_PORT: u16 = 9191;
const NULL_PORT: u16 = 50161;

pub fn run(args: &SuiteArgs) -> Result<(), String> {
    let known = |name: &String| ROWS.iter().any(|row| row.name == *name);
    if let Some(unknown) = args.rows.iter().find(|name| !known(name)) {
        return Err(format!("no such measurement: `{unknown}`; `--list` shows what there is"));
    }
    let chosen = ROWS.iter().filter(|row| args.rows.is_empty() || args.rows.iter().any(|name| row.name == name));
    if args.list {
        chosen.for_each(|row| println!("{:<22} {}", row.name, row.title));
        return Ok(());
    }
    let output = args.bench.begin()?;
    let mut wrong = 0;
    for row in chosen {
        for size in row.sizes.iter().copied().filter(|size| *size <= args.largest) {
            // One that cannot be measured does not keep the others from it.
            wrong += args.bench.row(row, size, &output).unwrap_or_else(|error| {
                eprintln!("iamd-load: {} ({size}): {error}", row.name);
                1
            });
        }
    }
    println!("raw results: {}", output.display());
    if wrong > 0 { Err(format!("{wrong} runs failed, had errors or wrong decisions")) } else { Ok(()) }
}

impl Bench {
    /// The file for raw results, with a line about this session.
    fn begin(&self) -> Result<PathBuf, String> {
        host::stay_on(self.load_core)?;
        let machine = Machine::here();
        let began = host::timestamp();
        let date = began.split('T').next().unwrap_or_default();
        let name = format!("{date}-{}", machine.commit.trim_end_matches('+'));
        let directory = self.output.clone().unwrap_or_else(|| Path::new("loadtest/results").join(name));
        for made in [&directory, &self.work] {
            std::fs::create_dir_all(made).map_err(|error| format!("cannot make {}: {error}", made.display()))?;
        }
        let file = directory.join("raw.jsonl");
        let mut command: Vec<String> = std::env::args().collect();
        if let Some(program) = command.first_mut() {
            *program = "iamd-load".to_owned();
        }
        let min_speed = Some(self.min_speed);
        sample::append(&file, &Session { began, machine, command: command.join(" "), min_speed })?;
        self.calibrate()?;
        Ok(file)
    }

    /// One measurement at one size: services in turn, until each has as many runs that count. Gives how many went wrong.
    fn row(&self, row: &Row, size: u64, output: &Path) -> Result<u32, String> {
        let world = self.world(&row.world(size))?;
        let title = if row.sizes.len() > 1 { format!("{} ({size})", row.title) } else { row.title.to_owned() };
        println!("\n{}: {title}", row.name);
        self.in_turn(&row.targets(), output, |target, round| {
            let sample = self.measure(row, target, &world, round)?;
            Ok(Sample { size: row.size_of(size), ..sample })
        })
    }

    /// Generates what a measurement needs, once.
    fn world(&self, args: &GenerateArgs) -> Result<PathBuf, String> {
        let directory = self.work.join(&args.directory);
        let args = GenerateArgs { directory: directory.clone(), ..args.clone() };
        let wanted = serde_json::to_string_pretty(&args).unwrap_or_default();
        let there = std::fs::read_to_string(directory.join("parameters.json")).unwrap_or_default();
        if there.trim() != wanted {
            println!("{}", generate::generate(&args)?);
        }
        Ok(directory)
    }

    /// How a service is started on a store.
    fn launch(&self, target: &str, world: &Path, unix: bool) -> Launch {
        let tcp = |port: u16| Address::Tcp(([127, 0, 0, 1], port).into());
        // Paths of sockets are short (108 bytes), directories of builds are not.
        let socket =
            |name: &str| Address::Unix(std::env::temp_dir().join(format!("iamd-load-{}-{name}", std::process::id())));
        if target == "null" {
            let address = if unix { socket("null") } else { tcp(NULL_PORT) };
            return Launch { program: self.null.clone(), arguments: vec![address.to_string()], address, admin: None };
        }
        let address = if unix { socket("iamd") } else { tcp(IAMD_PORT) };
        let admin = ([127, 0, 0, 1], ADMIN_PORT).into();
        let mut arguments =
            vec!["serve".to_owned(), "--policies".to_owned(), world.join("store").display().to_string()];
        arguments.extend([format!("--listen={address}"), format!("--admin-listen={admin}")]);
        arguments.extend(["--drain-delay=0s".to_owned(), "--log-level=warn".to_owned()]);
        arguments.extend(self.iamd_flag.iter().cloned());
        Launch { program: self.iamd.clone(), arguments, address, admin: Some(admin) }
    }

    /// One run of one service, started for it.
    fn measure(&self, row: &Row, target: &str, world: &Path, round: u32) -> Result<Sample, String> {
        let launch = self.launch(target, world, row.unix);
        let running = launch.start(self.server_core, &self.work.join(format!("{target}.log")))?;
        let mut plan = row.plan(&launch.address, self.duration);
        let mut bodies = Bodies::read(&world.join("requests.bin"), Service::Iamd, row.method, plan.batch)?;
        // Everything is asked twice before it counts: the second time from the cache.
        if !plan.each_new {
            plan.warm_up = 2 * bodies.count() as u64;
        }
        if target == "null" {
            bodies.expected.clear();
        }
        let name = format!("{} {target} {round}", row.name);
        self.wait_until_fast()?;
        let began = host::timestamp();
        let (measured, mut server, _) = self.under_load(&plan, &bodies, &name, &running)?;
        server.command = format!("taskset -c {} {}", self.server_core, running.command);
        let mut sample = Sample {
            row: row.name.to_owned(),
            target: target.to_owned(),
            round,
            began,
            size: [].into(),
            plan,
            measured,
            server: Some(server),
            discarded: None,
            reloads: Vec::new(),
        };
        sample.discarded = self.judge(&sample, row.saturates);
        Ok(sample)
    }

    /// Load, what the server did meanwhile, and since when it counted.
    fn under_load(
        &self,
        plan: &Plan,
        bodies: &Bodies,
        name: &str,
        running: &Running,
    ) -> Result<(Measured, Server, Instant), String> {
        let mut server = Server { start_seconds: running.start_seconds, ..Server::default() };
        let (mut meter, mut watch, mut before, mut since) = (None, None, Ok(None), Instant::now());
        let measured = drive(plan, bodies, name, &mut |moment| match moment {
            Moment::Began => {
                before = running.counters();
                server.resident_before_mib = host::resident_mib(running.process());
                watch = Some(Watch::start(self.server_core));
                meter = Some(Meter::start(self.server_core, running.process()));
                since = Instant::now();
            }
            Moment::Ended => {
                watch.iter_mut().for_each(Watch::end);
                if let Some(meter) = meter {
                    (server.busy, server.stolen) = meter.stop();
                }
            }
        })?;
        server.speed = watch.map(Watch::speed).transpose()?;
        server.speed.into_iter().for_each(|speed| self.saw(speed));
        server.resident_after_mib = host::resident_mib(running.process());
        server.counters = running.counters()?.zip(before?).map(|(after, before)| Counters {
            // What the warm-up had to learn is not the run's.
            hits: after.hits - before.hits,
            misses: after.misses - before.misses,
            bypasses: after.bypasses - before.bypasses,
            ..after
        });
        Ok((measured, server, since))
    }
}

/// What must not be: errors, decisions that are not expected, counters that say otherwise.
fn faults(sample: &Sample) -> Option<String> {
    let measured = &sample.measured;
    if let Some((kind, count)) = measured.errors.iter().next() {
        return Some(format!("{count} calls ended in {kind}"));
    }
    if measured.unexpected > 0 {
        return Some(format!("{} decisions are not what was expected", measured.unexpected));
    }
    let counters = sample.server.as_ref()?.counters.as_ref()?;
    if counters.decisions != measured.all_decisions || counters.handled_otherwise > 0 {
        let (theirs, ours) = (counters.decisions, measured.all_decisions);
        return Some(format!(
            "the server counts {theirs} decisions and {} errors, and {ours} arrived",
            counters.handled_otherwise
        ));
    }
    None
}

/// A run, for the terminal; `speed` is that of the server's core, in per cent.
fn line(sample: &Sample, speed: Option<f64>) -> String {
    let (measured, latency) = (&sample.measured, &sample.measured.latency);
    let mut text = format!(
        "{:>3}  {:<6} {:>9.0} decisions/s  p50 {:>8}  p99 {:>8}  p99.9 {:>8}",
        sample.round,
        sample.target,
        measured.decisions_per_second(),
        short(latency.p50_us),
        short(latency.p99_us),
        short(latency.p999_us),
    );
    if let Some(server) = &sample.server {
        text.push_str(&format!("  busy {:>3.0} % (generator {:.0} %)", server.busy, measured.generator_busy));
        if let Some(counters) = &server.counters {
            text.push_str(&format!("  hits {:.1} %", counters.hit_share()));
        }
    }
    if let Some(speed) = speed {
        text.push_str(&format!("  speed {speed:.0} %"));
    }
    if let Some(reason) = &sample.discarded {
        text.push_str(&format!("  not counted: {reason}"));
    }
    text
}

/// Medians, least and most, and the ratio.
fn summary(targets: &[&str], samples: &[Sample]) {
    let mut medians = Vec::new();
    for target in targets {
        let counted = samples.iter().filter(|sample| sample.target == *target && sample.discarded.is_none());
        let rates: Vec<f64> = counted.map(|sample| sample.measured.decisions_per_second()).collect();
        let Some((median, least, most)) = spread(&rates) else {
            println!("     {target:<6} no run counts");
            continue;
        };
        println!("     {target:<6} median {median:.0}  least {least:.0}  most {most:.0}  ({} runs)", rates.len());
        medians.push(median);
    }
    if let [one, other] = medians[..] {
        println!("     {} / {}: {:.2}", targets[0], targets[1], one / other);
    }
}

/// What a measurement is, in words.
pub fn title(name: &str) -> Option<&'static str> {
    ROWS.iter().find(|row| row.name == name).map(|row| row.title)
}

/// Median, least and most.
pub fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some(((low + high) / 2.0, least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(spread(&[]), None);
    }
}
