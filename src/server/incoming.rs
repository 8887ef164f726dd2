//! Sockets: bound before anything is served, merged into one stream of connections.
#![expect(clippy::disallowed_methods, reason = "the one place that opens sockets, with the files of Unix sockets")]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, Sleep};

mod unix;

use super::State;
use super::life::{Silent, Use};
use crate::config::{ListenAddress, SocketOptions};
use crate::metrics::Shed;
pub use unix::SocketFile;

/// An address that cannot be listened on: what is wrong, and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    address: String,
    reason: String,
    hint: &'static str,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot listen on {}: {}; hint: {}", self.address, self.reason, self.hint)
    }
}

impl std::error::Error for BindError {}

impl BindError {
    fn new(address: &dyn std::fmt::Display, error: &io::Error) -> Self {
        let known = KNOWN_ERRORS.iter().find(|(kind, ..)| *kind == error.kind());
        let (reason, hint) = known.map_or_else(
            || (error.to_string(), "choose another address"),
            |(_, reason, hint)| ((*reason).to_owned(), *hint),
        );
        Self { address: address.to_string(), reason, hint }
    }
}

/// What goes wrong when binding, in words that help.
const KNOWN_ERRORS: [(io::ErrorKind, &str, &str); 4] = [
    (
        io::ErrorKind::AddrInUse,
        "address already in use",
        "stop the process that listens there, or choose another address",
    ),
    (
        io::ErrorKind::AddrNotAvailable,
        "this machine has no such address",
        "listen on 127.0.0.1, or on 0.0.0.0 for every interface",
    ),
    (
        io::ErrorKind::PermissionDenied,
        "permission denied",
        "ports below 1024 and other people's directories need privileges; choose another address",
    ),
    (io::ErrorKind::NotFound, "no such directory", "create the directory of the socket first"),
];

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix domain socket; its file is removed when the listener is dropped.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Binds an address.
    pub async fn bind(address: &ListenAddress, socket: &SocketOptions) -> Result<Self, BindError> {
        match address {
            ListenAddress::Tcp(tcp) => Ok(Self::Tcp(bind_tcp(*tcp).await?)),
            ListenAddress::Unix(path) => {
                let (listener, file) = unix::bind(path, address, socket).await?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Where it listens: for port 0, the port that was free.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|tcp| tcp.to_string()).unwrap_or_default(),
            Self::Unix(_, file) => ListenAddress::Unix(file.path().to_owned()).to_string(),
        }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<StdSocket>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(context).map(|accepted| {
                let (stream, _) = accepted?;
                // Answers are small: waiting for more to send would only delay them. A socket that cannot do that is
                // about to fail anyway.
                drop(stream.set_nodelay(true));
                stream.into_std().map(StdSocket::Tcp)
            }),
            Self::Unix(listener, _) => {
                listener.poll_accept(context).map(|accepted| accepted?.0.into_std().map(StdSocket::Unix))
            }
        }
    }
}

/// Binds a TCP address.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::new(&address, &error))
}

/// A connection that was accepted and counted, on its way to the thread that will serve it.
#[derive(Debug)]
pub struct Accepted {
    /// Of no runtime yet.
    pub socket: StdSocket,
    /// Its place among `--max-connections`.
    pub place: Place,
}

/// A connected socket of either kind, of no runtime.
#[derive(Debug)]
pub enum StdSocket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix domain socket.
    Unix(std::os::unix::net::UnixStream),
}

/// One of `--max-connections`; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    state: Arc<State>,
    /// How the connection is used that has it.
    pub usage: Arc<Use>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.connections.leave();
    }
}

/// How long accepting pauses after an error such as too many open files: it would come again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections may be open past the limit, because they were told to go and have yet to.
const MOST_LEAVING: usize = 16;

/// Connections from all listeners, up to the limit. Dropped, it closes the listeners.
#[derive(Debug)]
pub struct Incoming {
    listeners: Vec<Listener>,
    /// Which of them is asked first: the one behind that which gave the last connection, so that no listener keeps the
    /// others waiting.
    first: usize,
    state: Arc<State>,
    pause: Option<Pin<Box<Sleep>>>,
    silent: Silent,
}

impl Incoming {
    /// Connections from these listeners.
    pub fn new(listeners: Vec<Listener>, state: Arc<State>) -> Self {
        Self { listeners, first: 0, state, pause: None, silent: Silent::default() }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn poll_sockets(&mut self, context: &mut Context<'_>) -> Poll<io::Result<StdSocket>> {
        let count = self.listeners.len();
        let turns = self.listeners.iter().enumerate().cycle().skip(self.first).take(count);
        for (number, listener) in turns {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                self.first = (number + 1) % count;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    /// The next connection that finds a place.
    pub async fn next(&mut self) -> Accepted {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Whether there is a place. Where none is free, one that never made a call or is quiet gives way, unless too many are
    /// still about to do so.
    fn enter(&mut self) -> bool {
        let connections = &self.state.connections;
        if connections.enter() {
            return true;
        }
        self.state.metrics.shed(Shed::Connections);
        let replaced =
            connections.held() < connections.limit() + MOST_LEAVING && self.silent.send_one_away(Instant::now());
        if replaced {
            connections.enter_always();
        }
        replaced
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Accepted> {
        loop {
            std::task::ready!(self.poll_pause(context));
            match std::task::ready!(self.poll_sockets(context)) {
                Ok(socket) if self.enter() => {
                    let place = Place { state: Arc::clone(&self.state), usage: Arc::default() };
                    self.silent.add(&place.usage, self.state.connections.limit());
                    return Poll::Ready(Accepted { socket, place });
                }
                // Closed at once: a peer that waits in vain would notice later.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // What is missing are file descriptors, most likely.
                    let freed = self.silent.send_one_away(Instant::now());
                    tracing::warn!(%error, freed, "cannot accept connections; trying again soon");
                    self.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}
