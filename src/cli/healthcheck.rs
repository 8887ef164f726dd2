//! `iamd healthcheck`: asks a running service whether it serves.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{USAGE_ERROR, complain};
use crate::config;

mod dial;
mod target;

use target::{Place, Target};

/// Ask a running service whether it serves.
#[derive(clap::Args, Clone, Debug)]
pub struct HealthcheckArgs {
    /// Where the service listens: HOST:PORT or unix:/PATH for gRPC, https://HOST:PORT or http://HOST:PORT for
    /// the admin listener [default: the address in `IAMD_LISTEN`, else 127.0.0.1:50051]
    #[arg(long, env = "IAMD_ADDRESS", value_name = "ADDRESS")]
    pub address: Option<String>,

    /// How long to wait for the answer
    #[arg(long, env = "IAMD_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = timeout)]
    pub timeout: Duration,

    /// Certificate authorities of the service, in PEM: HOST:PORT is asked over TLS. Without them, any certificate will do,
    /// on loopback only
    #[arg(long, env = "IAMD_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// Certificate in PEM to show if asked; in the service's own environment, the service's: HOST:PORT is asked over TLS
    #[arg(long, env = "IAMD_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert in PEM
    #[arg(long, env = "IAMD_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Name that the service's certificate must have: DNS name, IP address or URI [default: HOST, or any on loopback]
    #[arg(long, env = "IAMD_TLS_SERVER_NAME", value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Which of these the command line has: what only the environment says is for whom it concerns
    #[arg(skip)]
    pub written: Vec<String>,
}

/// Exit code 0 if the service serves, 1 if it does not or does not answer, 2 for wrong flags.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: HealthcheckArgs) -> ExitCode {
    let target = match Target::new(&args, std::env::var("IAMD_LISTEN").ok().as_deref()) {
        Ok(target) => target,
        Err(problem) => {
            complain(problem);
            return ExitCode::from(USAGE_ERROR);
        }
    };
    let outcome = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ask(&target, args.timeout)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format!("{}: {message}", target.address));
            ExitCode::FAILURE
        }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    config::duration(text, Duration::from_millis(1))
}

async fn ask(target: &Target, timeout: Duration) -> Result<(), String> {
    let answer = async {
        match &target.place {
            Place::Unix => grpc(Endpoint::from_shared(target.address.clone()).map_err(text)?.connect().await).await,
            Place::Grpc { host, port, tls: None } => grpc(endpoint(host, *port)?.connect().await).await,
            Place::Grpc { host, port, tls: Some(tls) } => {
                let connection = dial::tls(host, *port, tls, b"h2").await?;
                grpc(dial::over(endpoint(host, *port)?, connection).await).await
            }
            Place::Admin { host, port, tls: None } => dial::readyz(host, dial::tcp(host, *port).await?).await,
            Place::Admin { host, port, tls: Some(tls) } => {
                dial::readyz(host, dial::tls(host, *port, tls, b"http/1.1").await?).await
            }
        }
    };
    let late = |_| format!("no answer within {}", humantime::format_duration(timeout));
    tokio::time::timeout(timeout, answer).await.map_err(late)?
}

fn endpoint(host: &str, port: u16) -> Result<Endpoint, String> {
    Endpoint::from_shared(format!("http://{host}:{port}")).map_err(text)
}

async fn grpc(channel: Result<Channel, tonic::transport::Error>) -> Result<(), String> {
    let channel = channel.map_err(|error| cannot_connect(&error))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        ServingStatus::NotServing => Err("not serving".to_owned()),
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Err("does not know whether it serves".to_owned()),
    }
}

fn text(error: impl Error) -> String {
    error.to_string()
}

fn cannot_connect(error: &dyn Error) -> String {
    format!(
        "cannot connect: {}\n  hint: does `iamd serve` run there? its `--listen` is this `--address`",
        innermost(error)
    )
}

/// The cause that says most: the outer ones only say that something failed.
fn innermost(mut error: &dyn Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
