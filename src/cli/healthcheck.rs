//! `iamd healthcheck`: asks a running service whether it serves.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{USAGE_ERROR, complain};

/// Ask a running service whether it serves.
#[derive(clap::Args, Clone, Debug)]
pub struct HealthcheckArgs {
    /// Where the service listens: HOST:PORT or unix:/PATH
    #[arg(long, env = "IAMD_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    pub address: String,

    /// How long to wait for the answer
    #[arg(long, env = "IAMD_TIMEOUT", value_name = "DURATION", default_value = "1s")]
    pub timeout: humantime::Duration,
}

/// Exit code 0 if the service serves, 1 if it does not or does not answer, 2 for wrong flags.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: HealthcheckArgs) -> ExitCode {
    let Some(endpoint) = endpoint(&args.address, *args.timeout) else {
        complain(format!("--address: `{}` is not an address; write HOST:PORT or unix:/PATH", args.address));
        return ExitCode::from(USAGE_ERROR);
    };
    let outcome = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ask(endpoint, *args.timeout)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format!("{}: {message}", args.address));
            ExitCode::FAILURE
        }
    }
}

fn endpoint(address: &str, timeout: Duration) -> Option<Endpoint> {
    let uri = match address.strip_prefix("unix:") {
        Some("") => return None,
        Some(_) => address.to_owned(),
        None => {
            let (host, port) = address.rsplit_once(':')?;
            let port: u16 = port.parse().ok()?;
            (!host.is_empty()).then(|| format!("http://{host}:{port}"))?
        }
    };
    Some(Endpoint::from_shared(uri).ok()?.connect_timeout(timeout))
}

async fn ask(endpoint: Endpoint, timeout: Duration) -> Result<(), String> {
    let question = async {
        let channel = endpoint.connect().await.map_err(|error| cannot_connect(&error))?;
        let request = HealthCheckRequest { service: String::new() };
        let answer = HealthClient::new(channel).check(request).await;
        answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
    };
    let late = |_| format!("no answer within {}", humantime::format_duration(timeout));
    let answer = tokio::time::timeout(timeout, question).await.map_err(late)??;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        ServingStatus::NotServing => Err("not serving".to_owned()),
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Err("does not know whether it serves".to_owned()),
    }
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
