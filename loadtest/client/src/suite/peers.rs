//! `iamd-load peers`: the same decisions by iamd, Cerbos, OPA and Cedar, in turn, on the same core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Deserialize;

use super::Bench;
use super::rows::{ROWS, base};
use super::server::Launch;
use crate::generate::GenerateArgs;
use crate::host;
use crate::http2::socket::Address;
use crate::load::answer::Service;
use crate::load::bodies::{Bodies, Method};
use crate::load::drive::Plan;
use crate::load::record::{Latency, Measured};
use crate::sample::{Sample, Server};
use crate::speed::Watch;

/// Arguments of `peers`.
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Who is asked; by default all that are installed: iamd, iamd-new, cerbos, opa, cedar
    #[arg(value_name = "PEER")]
    peers: Vec<String>,
    /// Where loadtest/peers/install has put them
    #[arg(long, default_value = "loadtest/peers/.installed", value_name = "DIR")]
    installed: PathBuf,
    /// Policies, of 10 statements each
    #[arg(long, default_value_t = 100, value_name = "N")]
    policies: u64,
    #[arg(long, default_value_t = 1000, value_name = "N")]
    users: u64,
    #[command(flatten)]
    bench: Bench,
}

/// `iamd-new` is iamd with every request new: the others remember no decisions either.
const PEERS: [&str; 5] = ["iamd", "iamd-new", "cerbos", "opa", "cedar"];

/// Throughput, with few calls under way and with as many as of the first row of the suite, and the latency of a single caller.
const SHAPES: [(&str, usize, usize); 3] = [("peers", 8, 8), ("peers-wide", 8, 32), ("peers-single", 1, 1)];

pub fn run(args: &PeersArgs) -> Result<(), String> {
    if let Some(unknown) = args.peers.iter().find(|name| !PEERS.contains(&name.as_str())) {
        return Err(format!("no such peer: `{unknown}`; there are {}", PEERS.join(", ")));
    }
    let chosen =
        |name: &&str| if args.peers.is_empty() { args.there(name) } else { args.peers.iter().any(|one| one == name) };
    let peers: Vec<&str> = PEERS.into_iter().filter(chosen).collect();
    let output = args.bench.begin()?;
    let directory = format!("peers-{}-{}", args.policies, args.users).into();
    let world = GenerateArgs { directory, policies: args.policies, users: args.users, peers: true, ..base() };
    let world = args.bench.world(&world)?;
    let mut wrong = 0;
    for (row, connections, streams) in SHAPES {
        println!(
            "\n{row}: {connections} x {streams}, {} policies, {} users: {}",
            args.policies,
            args.users,
            peers.join(", ")
        );
        wrong += args.bench.in_turn(&peers, &output, |peer, round| {
            let sample = args.measure(peer, row, (connections, streams), &world, round)?;
            Ok(Sample { discarded: args.bench.judge(&sample, connections > 1), ..sample })
        })?;
    }
    println!("raw results: {}", output.display());
    if wrong > 0 { Err(format!("{wrong} runs had errors or wrong decisions")) } else { Ok(()) }
}

impl PeersArgs {
    fn program(&self, peer: &str) -> PathBuf {
        match peer {
            "cerbos" => self.installed.join("cerbos-bin"),
            "opa" | "cedar" => self.installed.join(peer),
            _ => self.bench.iamd.clone(),
        }
    }

    fn there(&self, peer: &str) -> bool {
        let there = self.program(peer).exists();
        if !there {
            println!("{peer} is not installed, and left out");
        }
        there
    }

    fn measure(
        &self,
        peer: &str,
        row: &str,
        shape: (usize, usize),
        world: &Path,
        round: u32,
    ) -> Result<Sample, String> {
        let began = host::timestamp();
        let bench = &self.bench;
        let (connections, streams) = shape;
        let address = Address::Tcp(([127, 0, 0, 1], 50171).into());
        let mut plan =
            Plan { connections, streams, each_new: peer == "iamd-new", ..ROWS[0].plan(&address, bench.duration) };
        let (measured, server) = if peer == "cedar" {
            plan = Plan { connections: 0, streams: 0, warm_up: 0, ..plan };
            self.in_process(world)?
        } else {
            let launch = self.launch(peer, &address, world);
            plan.address = launch.address.to_string();
            let (service, requests) = match peer {
                "cerbos" => (Service::Cerbos, "cerbos/requests.bin"),
                "opa" => (Service::Opa, "opa/requests.bin"),
                _ => (Service::Iamd, "requests.bin"),
            };
            plan.service = service;
            let bodies = Bodies::read(&world.join(requests), service, Method::Unary, 1)?;
            plan.warm_up = if plan.each_new { 2000 } else { bodies.count() as u64 };
            let running = launch.start(bench.server_core, &bench.work.join(format!("{peer}.log")))?;
            bench.wait_until_fast()?;
            let (measured, mut server, _) =
                bench.under_load(&plan, &bodies, &format!("{row} {peer} {round}"), &running)?;
            server.command = format!("taskset -c {} {}", bench.server_core, running.command);
            (measured, server)
        };
        Ok(Sample {
            row: row.to_owned(),
            target: peer.to_owned(),
            round,
            began,
            size: [].into(),
            plan,
            measured,
            server: Some(server),
            discarded: None,
            reloads: Vec::new(),
        })
    }

    fn launch(&self, peer: &str, address: &Address, world: &Path) -> Launch {
        let program = self.program(peer);
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        // Audit, telemetry and decision logs off: iamd writes none.
        match peer {
            "cerbos" => {
                let http: SocketAddr = ([127, 0, 0, 1], 50172).into();
                let policies = world.join("cerbos/policies");
                let arguments = format!(
                    "server --log-level=error --set=server.httpListenAddr={http} --set=server.grpcListenAddr={address} \
                     --set=storage.driver=disk --set=storage.disk.directory={} --set=storage.disk.watchForChanges=false \
                     --set=telemetry.disabled=true --set=audit.enabled=false",
                    std::path::absolute(&policies).unwrap_or(policies).display()
                );
                Launch { program, arguments: words(arguments), address: address.clone(), admin: None }
            }
            "opa" => {
                let opa = world.join("opa");
                let arguments = format!(
                    "run --server --h2c --addr={address} --log-level=error --disable-telemetry {} {}",
                    opa.join("policy.rego").display(),
                    opa.join("data.json").display()
                );
                Launch { program, arguments: words(arguments), address: address.clone(), admin: None }
            }
            _ => self.bench.launch("iamd", world, false),
        }
    }

    /// Cedar, which has no wire: asked in its own process.
    fn in_process(&self, world: &Path) -> Result<(Measured, Server), String> {
        let (program, directory) = (self.program("cedar"), world.join("cedar"));
        let core = self.bench.server_core.to_string();
        let seconds = self.bench.duration.to_string();
        self.bench.wait_until_fast()?;
        // With what it does before it counts: when that ends is not known here.
        let watch = Watch::start(self.bench.server_core);
        let output = Command::new("taskset")
            .args(["-c", &core])
            .arg(&program)
            .args([directory.as_os_str(), seconds.as_ref()])
            .output()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let speed = watch.speed()?;
        self.bench.saw(speed);
        let said: Cedar = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("cedar failed: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
        let command = format!("taskset -c {core} {} {} {seconds}", program.display(), directory.display());
        Ok((said.measured(), Server { command, busy: said.busy, speed: Some(speed), ..Server::default() }))
    }
}

/// What `iamd-cedar` prints.
#[derive(Debug, Deserialize)]
struct Cedar {
    decisions: u64,
    seconds: f64,
    allow: u64,
    explicit_deny: u64,
    implicit_deny: u64,
    wrong: u64,
    busy: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

impl Cedar {
    fn measured(&self) -> Measured {
        let kinds =
            [("ALLOW", self.allow), ("EXPLICIT_DENY", self.explicit_deny), ("IMPLICIT_DENY", self.implicit_deny)];
        Measured {
            seconds: self.seconds,
            calls: self.decisions,
            decisions: kinds.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            unexpected: self.wrong,
            all_calls: self.decisions,
            all_decisions: self.decisions,
            latency: Latency {
                p50_us: self.p50_us,
                p90_us: self.p90_us,
                p99_us: self.p99_us,
                p999_us: self.p999_us,
                max_us: self.max_us,
                ..Latency::default()
            },
            ..Measured::default()
        }
    }
}
