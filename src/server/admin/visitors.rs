//! The admin port's connections: few at a time, and none for long.
//!
//! Probes and scrapes take milliseconds. Whoever holds connections open, or sends a request byte by byte, must not use up
//! the process's file descriptors: gRPC needs them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

use crate::metrics::Handshake;
use crate::server::{State, handshake};

/// Connections at a time; more wait until one of them ends.
const AT_A_TIME: usize = 64;

/// How long a connection lasts. Scrapers that keep theirs open connect again.
const LIFETIME: Duration = Duration::from_secs(30);

/// Lets visitors in, one by one.
#[derive(Debug)]
pub(super) struct Visitors {
    listener: TcpListener,
    state: Arc<State>,
    room: Arc<Semaphore>,
    lifetime: Duration,
}

impl Visitors {
    pub(super) fn new(listener: TcpListener, state: Arc<State>) -> Self {
        Self::limited(listener, state, AT_A_TIME, LIFETIME)
    }

    fn limited(listener: TcpListener, state: Arc<State>, at_a_time: usize, lifetime: Duration) -> Self {
        Self { listener, state, room: Arc::new(Semaphore::new(at_a_time)), lifetime }
    }

    /// The handshake, if there is one, is made when the visitor is served: meanwhile others come in.
    fn greet(&self, stream: TcpStream) -> (Stream, Duration) {
        match &self.state.tls.admin {
            None => (Stream::Plain(stream), self.lifetime),
            Some(endpoint) => {
                let accept = Box::new(endpoint.acceptor().accept(stream));
                (Stream::Greeting(accept, Arc::clone(&self.state)), handshake::TIMEOUT.min(self.lifetime))
            }
        }
    }
}

impl axum::serve::Listener for Visitors {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        // INVARIANT: nobody closes the semaphore; without room for one more there is no place to note.
        let place = Arc::clone(&self.room).acquire_owned().await.ok();
        // The listener's own way retries what fails.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let (stream, time) = self.greet(stream);
        let end = Box::pin(tokio::time::sleep(time));
        (Visitor { stream, end, lifetime: self.lifetime, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection until its time is up.
#[derive(Debug)]
pub(super) struct Visitor {
    stream: Stream,
    end: Pin<Box<Sleep>>,
    lifetime: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

/// What a connection speaks.
enum Stream {
    Plain(TcpStream),
    Greeting(Box<Accept<TcpStream>>, Arc<State>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Greeting(..) => "Greeting",
            Self::Tls(_) => "Tls",
        })
    }
}

impl Visitor {
    /// Ready when there is something to read from and to write to.
    fn poll_greeting(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stream::Greeting(accept, state) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let count = |result| state.tls.admin.iter().for_each(|at| state.metrics.handshake(at.listener, result));
        match Pin::new(accept.as_mut()).poll(context) {
            Poll::Pending => {
                std::task::ready!(self.end.as_mut().poll(context));
                count(Handshake::Timeout);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(result) => {
                count(handshake::outcome(&result));
                self.stream = Stream::Tls(Box::new(result?));
                self.end.as_mut().reset(tokio::time::Instant::now() + self.lifetime);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// What was polled, or the end if that is nothing.
    fn or_end<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Pending => self.end.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(result) => Poll::Ready(result),
        }
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_greeting(context))?;
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            Stream::Greeting(..) => Poll::Pending,
        };
        self.or_end(polled, context)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_greeting(context))?;
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            Stream::Greeting(..) => Poll::Pending,
        };
        self.or_end(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            // Nothing was written yet.
            Stream::Greeting(..) => Poll::Ready(Ok(())),
        };
        self.or_end(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            // Dropped, it is closed.
            Stream::Greeting(..) => Poll::Ready(Ok(())),
        };
        self.or_end(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[expect(clippy::disallowed_methods, reason = "a test of connections makes its own")]
    #[tokio::test]
    async fn one_more_waits_and_the_silent_one_is_sent_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(crate::metrics::Metrics::new());
        let limits = crate::config::Limits {
            connections: 1,
            streams_per_connection: 1,
            in_flight: 1,
            request_timeout: Duration::ZERO,
            request_bytes: 0,
            request: crate::config::RequestLimits::default(),
            connection: Default::default(),
            overload: Default::default(),
        };
        let state = Arc::new(State::new(&limits, metrics));
        let mut visitors = Visitors::limited(listener, state, 1, Duration::from_millis(50));
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(b"x").await.unwrap();

        let (mut silent, _) = visitors.accept().await;
        let next = tokio::spawn(async move { visitors.accept().await.0 });
        assert_eq!(silent.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!next.is_finished());
        drop(silent);
        assert_eq!(next.await.unwrap().read_u8().await.unwrap(), b'x');
        assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
    }
}
