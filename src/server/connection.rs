//! One connection: counted while it is open, and given up when its peer keeps silent or takes nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::authority::Mender;
use super::incoming::{Accepted, Place, StdSocket};
use super::life::Use;
use super::memory::Memory;
use super::{State, handshake};
use crate::config::ConnectionLimits;
use crate::config::san::AllowedSan;
use crate::tls::certificate;

/// A connected socket of any kind.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP, after the handshake; a thousand bytes that the others do not need.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix domain socket.
    Unix(UnixStream),
}

impl Socket {
    /// Who the peer has proved to be: by certificate over TLS (of names that are asked for, by one that is allowed), by the
    /// kernel's word (`uid=1000`) over a Unix socket.
    fn peer(&self, allowed: &[AllowedSan]) -> Option<Arc<str>> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => {
                let certificate = stream.get_ref().1.peer_certificates()?.first()?;
                Some(certificate::identity(certificate, allowed).into())
            }
            Self::Unix(stream) => Some(format!("uid={}", stream.peer_cred().ok()?.uid()).into()),
        }
    }
}

/// What a client says first, by the HTTP/2 protocol.
pub(super) const PREFACE_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// How long a peer may take to say it. Whoever connects and keeps silent would hold one of `--max-connections` for ever.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// All threads share the count of what was read: each connection adds to it this often, and not at every read unless memory is tight.
/// So a thousand connections may have read 16 MiB that nobody else knows of.
const TOLD_BYTES: usize = 16 * 1024;

/// An open connection; counted until it is dropped.
pub struct Connection {
    socket: Socket,
    peer: Option<Arc<str>>,
    place: Place,
    /// Until the peer has introduced itself. The server behind takes over from there, with its own pings and its own way
    /// to say goodbye.
    greeting: Option<Greeting>,
    write_timeout: Duration,
    /// Since when the peer takes nothing of what it is sent.
    stalled: Option<Pin<Box<Sleep>>>,
    memory: Arc<Memory>,
    /// What was read, and not yet told to others.
    read: usize,
    /// Whether the last attempt to read was left out for others.
    yielded: bool,
    /// For a client that names a Unix socket's path as a host, as long as it may.
    mender: Option<Box<Mender>>,
}

struct Greeting {
    missing_bytes: usize,
    patience: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Connection {
    /// On the runtime of this thread, which also makes the handshake where there is TLS. None if that fails, if its place is
    /// wanted meanwhile, or if the socket cannot be served: it is closed, as if its peer had gone.
    pub async fn open(accepted: Accepted, state: &State, limits: &ConnectionLimits) -> Option<Self> {
        let Accepted { socket, place } = accepted;
        let socket = match socket {
            StdSocket::Tcp(stream) => {
                let stream = TcpStream::from_std(stream).ok()?;
                match &state.tls.grpc {
                    // Its future is large, and gone before the first call: not for connections without TLS to carry.
                    Some(endpoint) => {
                        let shaken = Box::pin(handshake::shake(stream, endpoint, state));
                        let stream = tokio::select! {
                            shaken = shaken => shaken?,
                            () = place.usage.is_sent_away() => return None,
                        };
                        Socket::Tls(Box::new(stream))
                    }
                    None => Socket::Tcp(stream),
                }
            }
            StdSocket::Unix(stream) => Socket::Unix(UnixStream::from_std(stream).ok()?),
        };
        Some(Self::new(socket, place, state, limits))
    }

    /// Who the peer has proved to be, in one word; None where nothing is asked of it.
    pub fn peer(&self) -> Option<&Arc<str>> {
        self.peer.as_ref()
    }

    fn new(socket: Socket, place: Place, state: &State, limits: &ConnectionLimits) -> Self {
        let stopped = state.stopped();
        let patience = async {
            tokio::select! {
                () = stopped => {}
                () = tokio::time::sleep(PREFACE_TIMEOUT) => {}
            }
        };
        let greeting = Greeting { missing_bytes: PREFACE_BYTES, patience: Box::pin(patience) };
        let allowed = state.tls.grpc.as_ref().map(|endpoint| endpoint.options.allowed.as_slice());
        let mender = matches!(socket, Socket::Unix(_)).then(|| Box::new(Mender::new()));
        let (peer, write_timeout) = (socket.peer(allowed.unwrap_or_default()), limits.write_timeout);
        Self {
            socket,
            peer,
            place,
            greeting: Some(greeting),
            write_timeout,
            stalled: None,
            memory: Arc::clone(&state.memory),
            read: 0,
            yielded: false,
            mender,
        }
    }

    /// How it is used.
    pub fn usage(&self) -> &Arc<Use> {
        &self.place.usage
    }

    /// Whether others get their turn before more is read. Where memory is tight calls have to refuse what has come before there is
    /// more of it: else all connections of the thread fill their windows first, which are 100 MiB if they are a hundred.
    fn yields(&mut self) -> bool {
        self.yielded = self.memory.is_tight() && !self.yielded;
        self.yielded
    }

    fn poll_socket(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    /// What was read now.
    fn mend(&mut self, read: &mut [u8]) {
        if self.mender.as_mut().is_some_and(|mender| !mender.mend(read)) {
            self.mender = None;
        }
    }

    fn count(&mut self, read: usize) {
        self.read += read;
        if self.read >= TOLD_BYTES || self.memory.is_tight() {
            self.memory.note_read(std::mem::take(&mut self.read) as u64);
        }
    }

    fn count_greeting(&mut self, read: usize) {
        match &mut self.greeting {
            Some(greeting) if greeting.missing_bytes > read => greeting.missing_bytes -= read,
            _ => {
                self.greeting = None;
                self.place.usage.note_greeting();
            }
        }
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.greeting {
            Some(greeting) => greeting.patience.as_mut().poll(context).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl Connection {
    /// What was written, or an error if that has been nothing for too long.
    fn in_time<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.yields() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = self.poll_socket(context, buffer);
        let read = buffer.filled().len() - before;
        self.count(read);
        self.mend(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        if self.greeting.is_none() {
            return polled;
        }
        match polled {
            // Ready with nothing read is the end of the stream: the server behind gives the connection up.
            Poll::Pending => self.poll_patience(context),
            Poll::Ready(result) => {
                self.count_greeting(read);
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.in_time(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        self.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
            Socket::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            // TLS takes some bytes itself, and waits here for the peer to take them.
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        };
        self.in_time(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            // TLS says goodbye, for which there may be no room.
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        };
        self.in_time(shut, context)
    }
}
