//! iamd's gRPC interface with a constant answer: the floor that HTTP/2, protobuf and tonic set, whatever is decided.
//!
//! It answers ALLOW to everything and decides nothing. `iamd-null [ADDRESS]`, by default 127.0.0.1:50061.
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use iamd::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use iamd::{batch_result, stream_is_authorized_response};

mod iamd {
    tonic::include_proto!("iamd.v1");
}

const DEFAULT_ADDRESS: &str = "127.0.0.1:50061";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or(DEFAULT_ADDRESS).parse()?;
    println!("iamd-null: answers ALLOW to everything on {address}");
    Server::builder()
        .tcp_nodelay(true)
        .add_service(AuthorizationServiceServer::new(Null))
        .serve_with_shutdown(address, stopped())
        .await?;
    Ok(())
}

/// SIGTERM or SIGINT, the two signals that iamd stops for.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

struct Null;

/// As long on the wire as a real answer without details: a decision, what decided it, the snapshot's version.
fn answer() -> iamd::IsAuthorizedResponse {
    iamd::IsAuthorizedResponse {
        decision: iamd::Decision::Allow.into(),
        decided_by: iamd::PolicyType::Identity.into(),
        snapshot_version: 1,
        ..Default::default()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<iamd::StreamIsAuthorizedResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AuthorizationService for Null {
    type StreamIsAuthorizedStream = Answers;

    async fn is_authorized(
        &self,
        _: Request<iamd::IsAuthorizedRequest>,
    ) -> Result<Response<iamd::IsAuthorizedResponse>, Status> {
        Ok(Response::new(answer()))
    }

    async fn batch_is_authorized(
        &self,
        request: Request<iamd::BatchIsAuthorizedRequest>,
    ) -> Result<Response<iamd::BatchIsAuthorizedResponse>, Status> {
        let one = || iamd::BatchResult { result: Some(batch_result::Result::Response(answer())) };
        let results = request.into_inner().requests.iter().map(|_| one()).collect();
        Ok(Response::new(iamd::BatchIsAuthorizedResponse { results, snapshot_version: 1 }))
    }

    async fn stream_is_authorized(
        &self,
        request: Request<Streaming<iamd::StreamIsAuthorizedRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let answers = request.into_inner().map(|message| {
            message.map(|message| iamd::StreamIsAuthorizedResponse {
                id: message.id,
                result: Some(stream_is_authorized_response::Result::Response(answer())),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
