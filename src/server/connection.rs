//! One connection: counted while it is open, and given up when its peer keeps silent or takes nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

use super::State;
use super::incoming::{Accepted, Place, StdSocket};
use super::life::Use;
use crate::config::ConnectionLimits;

/// A connected socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
}

/// What a client says first, by the HTTP/2 protocol.
const PREFACE_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// How long a peer may take to say it. Whoever connects and keeps silent would hold one of `--max-connections` for ever.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection; counted until it is dropped.
pub struct Connection {
    socket: Socket,
    place: Place,
    /// Until the peer has introduced itself. The server behind takes over from there, with its own pings and its own way
    /// to say goodbye.
    greeting: Option<Greeting>,
    write_timeout: Duration,
    /// Since when the peer takes nothing of what it is sent.
    stalled: Option<Pin<Box<Sleep>>>,
}

struct Greeting {
    missing_bytes: usize,
    patience: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Connection {
    /// On the runtime of this thread.
    pub fn open(accepted: Accepted, state: &State, limits: &ConnectionLimits) -> io::Result<Self> {
        let Accepted { socket, place } = accepted;
        let socket = match socket {
            StdSocket::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            StdSocket::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Self::new(socket, place, state, limits))
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
        Self { socket, place, greeting: Some(greeting), write_timeout: limits.write_timeout, stalled: None }
    }

    /// How it is used.
    pub fn usage(&self) -> &Arc<Use> {
        &self.place.usage
    }

    fn poll_socket(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
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
    fn in_time(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
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
        let before = buffer.filled().len();
        let polled = self.poll_socket(context, buffer);
        if self.greeting.is_none() {
            return polled;
        }
        match polled {
            // Ready with nothing read is the end of the stream: the server behind gives the connection up.
            Poll::Pending => self.poll_patience(context),
            Poll::Ready(result) => {
                self.count_greeting(buffer.filled().len() - before);
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
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
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        self.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
