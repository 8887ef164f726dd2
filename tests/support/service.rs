//! The service in this process, on a free port.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use iamd::cli::{Cli, Command};
use iamd::config::Config;
use iamd::directory::Directory;
use iamd::engine::Engine;
use iamd::metrics::Metrics;
use iamd::proto::v1;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use iamd::server::incoming::{Incoming, Listener};
use iamd::server::{self, State};
use iamd::snapshot::{Loaded, Revision};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub struct Service {
    pub address: String,
    pub state: Arc<State>,
}

pub fn config(flags: &[&str]) -> Config {
    let words = ["iamd", "serve", "--policies", "unused", "--listen", "127.0.0.1:0"].iter().chain(flags);
    let Command::Serve(args) = Cli::try_parse_from(words).unwrap().command else { panic!("not `serve`") };
    Config::check(&args).unwrap()
}

pub fn state(config: &Config) -> Arc<State> {
    Arc::new(State::new(&config.limits, Arc::new(Metrics::new())))
}

pub fn empty_snapshot() -> Loaded {
    Loaded { directory: Directory::default(), revision: Revision([7; 32]), bytes: 0, warnings: Vec::new() }
}

impl Service {
    /// With an empty policy store.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_on(empty_snapshot(), flags).await
    }

    pub async fn start_on(loaded: Loaded, flags: &[&str]) -> Self {
        let config = config(flags);
        let state = state(&config);
        let engine = Arc::new(Engine::new(loaded, config.cache_bytes));
        let listener = Listener::bind(&config.listen[0], &config.unix_socket).await.unwrap();
        let address = listener.address();
        let incoming = Incoming::new(vec![listener], Arc::clone(&state));
        server::serve(&state, &engine, &config.limits, 1, incoming).await.unwrap();
        state.activate(engine, Arc::default());
        Self { address, state }
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub async fn client(&self) -> AuthorizationServiceClient<Channel> {
        AuthorizationServiceClient::new(self.channel().await)
    }

    pub fn metrics(&self) -> String {
        self.state.metrics.render(&self.state.readings())
    }

    /// Waits until the metrics have this line.
    pub async fn metric(&self, line: &str) {
        eventually(&format!("metric `{line}`"), || self.metrics().lines().any(|l| l == line)).await;
    }
}

/// Polls a condition, at most ten seconds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A request that is fine in every field.
pub fn request() -> v1::IsAuthorizedRequest {
    v1::IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::bucket/key".to_owned(),
        ..Default::default()
    }
}

pub fn streamed(id: u64) -> v1::StreamIsAuthorizedRequest {
    v1::StreamIsAuthorizedRequest { id, request: Some(request()) }
}

/// A stream of decisions that stays open as long as this is held.
pub struct HeldStream {
    pub requests: mpsc::Sender<v1::StreamIsAuthorizedRequest>,
    pub answers: tonic::Streaming<v1::StreamIsAuthorizedResponse>,
}

impl HeldStream {
    pub async fn open(client: &mut AuthorizationServiceClient<Channel>) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let answers = client.stream_is_authorized(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { requests, answers })
    }

    pub async fn ask(&mut self, id: u64) {
        self.requests.send(streamed(id)).await.unwrap();
        assert_eq!(self.answers.message().await.unwrap().unwrap().id, id);
    }
}

/// A unary call whose request is sent only when the sender sends it: in flight until then.
pub async fn slow_call(
    channel: Channel,
    messages: mpsc::Receiver<v1::IsAuthorizedRequest>,
) -> Result<Response<v1::IsAuthorizedResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let request = Request::new(ReceiverStream::new(messages));
    let path = http::uri::PathAndQuery::from_static("/iamd.v1.AuthorizationService/IsAuthorized");
    grpc.client_streaming(request, path, tonic_prost::ProstCodec::default()).await
}
