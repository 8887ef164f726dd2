//! iamd's gRPC interface with a constant answer: the floor that HTTP/2, protobuf and tonic set, whatever is decided.
//!
//! It answers ALLOW to everything and decides nothing. `iamd-null [ADDRESS]`, by default 127.0.0.1:50061; `unix:/PATH` is
//! a Unix domain socket.
//!
//! Whoever is held against it is held against the best that is known for such a service: one single-threaded runtime for
//! each core that the process may use, so that nothing ever moves from one core to another; for each a listening socket
//! of its own at the same port, so that the kernel spreads the connections; mimalloc; answers sent at once.
use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use socket2::{Domain, Protocol, Socket, Type};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use iamd::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use iamd::{batch_result, stream_is_authorized_response};

mod iamd {
    tonic::include_proto!("iamd.v1");
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEFAULT_ADDRESS: &str = "127.0.0.1:50061";

/// Connections that wait to be accepted; the kernel allows no more than net.core.somaxconn anyway.
const BACKLOG: i32 = 1024;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let text = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
    let address = Address::parse(&text)?;
    // Respects taskset and cgroups.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let listeners = address.bind(cores)?;
    println!("iamd-null: answers ALLOW to everything on {text}, one runtime for each of {cores} cores");
    let threads: Vec<_> = listeners.into_iter().map(|listener| std::thread::spawn(|| serve(listener))).collect();
    let ended = threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?);
    address.remove();
    ended
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

enum Listener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Address {
    fn parse(text: &str) -> Result<Self, Failure> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => Ok(Self::Tcp(text.parse()?)),
        }
    }

    /// One listener for each core.
    fn bind(&self, cores: usize) -> Result<Vec<Listener>, Failure> {
        match self {
            Self::Tcp(address) => (0..cores).map(|_| bind_tcp(*address).map(Listener::Tcp)).collect(),
            Self::Unix(path) => bind_unix(path, cores),
        }
    }

    /// The file of a Unix socket outlives it.
    fn remove(&self) {
        if let Self::Unix(path) = self {
            drop(std::fs::remove_file(path));
        }
    }
}

fn bind_tcp(address: SocketAddr) -> Result<std::net::TcpListener, Failure> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// There is no SO_REUSEPORT for Unix sockets: all runtimes accept from one queue.
fn bind_unix(path: &Path, cores: usize) -> Result<Vec<Listener>, Failure> {
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    (0..cores).map(|_| Ok(Listener::Unix(listener.try_clone()?))).collect()
}

/// One core's share, until a signal ends it.
fn serve(listener: Listener) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        match listener {
            Listener::Tcp(listener) => {
                let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
                router().serve_with_incoming_shutdown(incoming, stopped()).await?;
            }
            Listener::Unix(listener) => {
                let incoming = UnixListenerStream::new(tokio::net::UnixListener::from_std(listener)?);
                router().serve_with_incoming_shutdown(incoming, stopped()).await?;
            }
        }
        Ok(())
    })
}

fn router() -> Router {
    Server::builder().add_service(AuthorizationServiceServer::new(Null))
}

/// SIGTERM or SIGINT, the two signals that iamd stops for. Each runtime hears them.
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
