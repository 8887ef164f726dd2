//! `iamd-load run`: load on a service that is running.

use std::path::PathBuf;

use clap::Args;

use crate::host;
use crate::http2::{socket::Address, tls::trust};
use crate::load::answer::Service;
use crate::load::bodies::{Bodies, Method};
use crate::load::drive::{Moment, Plan, drive};
use crate::load::progress::short;
use crate::load::record::Measured;
use crate::sample::{self, Sample, Server};
use crate::speed::{Speed, Watch};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// File of requests, as `generate` writes it
    #[arg(value_name = "FILE")]
    requests: PathBuf,
    /// Where the service listens: IP:PORT or unix:/PATH
    #[arg(long, default_value = "127.0.0.1:50051")]
    address: Address,
    /// Whose interface it has
    #[arg(long, value_enum, default_value = "iamd")]
    service: Service,
    /// TLS, and authorities of the service's certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_ca", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "unary")]
    method: Method,
    #[arg(long, default_value_t = 8, value_name = "N")]
    connections: usize,
    /// Calls at a time on each connection
    #[arg(long, default_value_t = 32, value_name = "N")]
    streams: usize,
    /// Requests in each call of `--method batch`
    #[arg(long, default_value_t = 100, value_name = "N")]
    batch: usize,
    /// Messages sent together on a stream
    #[arg(long, default_value_t = 32, value_name = "N")]
    pack: usize,
    /// Messages on their way on each stream
    #[arg(long, default_value_t = 128, value_name = "N")]
    window: usize,
    /// Open loop: so many calls (messages of streams) a second, each measured from when it was due
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How long, in seconds
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    duration: f64,
    /// Calls (messages of streams) at most
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Calls (messages of streams) before it counts
    #[arg(long, default_value_t = 0, value_name = "N")]
    warm_up: u64,
    /// Make every request a new one, by a number in its resource: nothing is in a cache
    #[arg(long)]
    each_new: bool,
    /// Length of the intervals of the series, in seconds
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    interval: f64,
    /// Stay on this core
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Watch how fast this core is, the service's
    #[arg(long, value_name = "N")]
    watch_core: Option<usize>,
    /// Name of the run in the output
    #[arg(long, default_value = "run")]
    name: String,
    /// Append the result, as a line of JSON, to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(args: &RunArgs) -> Result<(), String> {
    let plan = plan(args)?;
    if let Some(core) = args.core {
        host::stay_on(core)?;
    }
    let bodies = Bodies::read(&args.requests, plan.service, plan.method, plan.batch)?;
    let began = host::timestamp();
    let (measured, speed) = watched(&plan, &bodies, args)?;
    println!("{}", summary(&measured));
    if let Some(file) = &args.output {
        let sample = Sample {
            row: args.name.clone(),
            target: args.address.to_string(),
            round: 1,
            began,
            size: [].into(),
            plan,
            measured,
            server: speed.map(|speed| Server { speed: Some(speed), ..Server::default() }),
            discarded: None,
            reloads: Vec::new(),
        };
        sample::append(file, &sample)?;
    }
    Ok(())
}

/// Load, and the speed of a core meanwhile.
fn watched(plan: &Plan, bodies: &Bodies, args: &RunArgs) -> Result<(Measured, Option<Speed>), String> {
    let mut watch = None;
    let measured = drive(plan, bodies, &args.name, &mut |moment| match moment {
        Moment::Began => watch = args.watch_core.map(Watch::start),
        Moment::Ended => watch.iter_mut().for_each(Watch::end),
    })?;
    Ok((measured, watch.map(Watch::speed).transpose()?))
}

fn plan(args: &RunArgs) -> Result<Plan, String> {
    for (name, value) in
        [("connections", args.connections), ("streams", args.streams), ("batch", args.batch), ("pack", args.pack)]
    {
        if value == 0 {
            return Err(format!("`--{name}` is at least 1"));
        }
    }
    if args.pack > args.window {
        return Err("`--pack` is more than `--window` lets on their way".to_owned());
    }
    if !(args.interval > 0.0 && args.duration > 0.0 && args.rate.unwrap_or(1.0) > 0.0) {
        return Err("`--rate`, `--duration` and `--interval` are above 0".to_owned());
    }
    if args.service != Service::Iamd && args.method != Method::Unary {
        return Err("only iamd has batches and streams".to_owned());
    }
    let own = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    let tls = args.tls_ca.as_deref().map(|authorities| trust(authorities, own)).transpose()?;
    Ok(Plan {
        address: args.address.to_string(),
        tls,
        service: args.service,
        method: args.method,
        connections: args.connections,
        streams: args.streams,
        batch: args.batch,
        pack: args.pack,
        window: args.window,
        rate: args.rate,
        seconds: args.duration,
        count: args.count,
        warm_up: args.warm_up,
        each_new: args.each_new,
        interval_seconds: args.interval,
    })
}

/// A run, for people.
pub fn summary(measured: &Measured) -> String {
    let latency = &measured.latency;
    let mut text = format!(
        "{:.0} calls/s, {:.0} decisions/s over {:.2} s; generator {:.0} % of its core\nlatency",
        measured.calls_per_second(),
        measured.decisions_per_second(),
        measured.seconds,
        measured.generator_busy,
    );
    for (name, us) in [
        ("p50", latency.p50_us),
        ("p90", latency.p90_us),
        ("p99", latency.p99_us),
        ("p99.9", latency.p999_us),
        ("p99.99", latency.p9999_us),
        ("max", latency.max_us),
    ] {
        text.push_str(&format!("  {name} {}", short(us)));
    }
    text.push_str("\ndecisions");
    for (kind, count) in &measured.decisions {
        text.push_str(&format!("  {kind} {count}"));
    }
    text.push_str(&format!("  unexpected {}\nerrors", measured.unexpected));
    if measured.errors.is_empty() {
        text.push_str("  none");
    }
    for (kind, count) in &measured.errors {
        text.push_str(&format!("  {kind} {count}"));
    }
    if let Some(message) = &measured.first_error {
        text.push_str(&format!("  (the first: {message})"));
    }
    text
}
