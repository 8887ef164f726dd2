//! The admin port's connections: few at a time, and none for long.
//!
//! Probes and scrapes take milliseconds. Whoever holds connections open, or sends a request byte by byte, must not use up
//! the process's file descriptors: gRPC needs them. Nor may they keep a probe waiting: who comes gets in, and if there is no room,
//! in the place of who came first.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

use crate::metrics::Handshake;
use crate::server::{State, handshake};

/// Connections at a time. One more ends the oldest.
const AT_A_TIME: usize = 64;

/// How long a connection lasts. Scrapers that keep theirs open connect again.
const LIFETIME: Duration = Duration::from_secs(30);

/// Lets visitors in, one by one.
#[derive(Debug)]
pub(super) struct Visitors {
    listener: TcpListener,
    state: Arc<State>,
    /// Those who may be here still, in the order in which they came. What is dropped of it sends its visitor away.
    present: VecDeque<oneshot::Sender<()>>,
    at_a_time: usize,
    lifetime: Duration,
}

impl Visitors {
    pub(super) fn new(listener: TcpListener, state: Arc<State>) -> Self {
        Self::limited(listener, state, AT_A_TIME, LIFETIME)
    }

    fn limited(listener: TcpListener, state: Arc<State>, at_a_time: usize, lifetime: Duration) -> Self {
        Self { listener, state, present: VecDeque::new(), at_a_time, lifetime }
    }

    /// For one more: ready when that one has to go.
    fn make_room(&mut self) -> oneshot::Receiver<()> {
        self.present.retain(|visitor| !visitor.is_closed());
        if self.present.len() >= self.at_a_time {
            self.present.pop_front();
        }
        let (present, sent_away) = oneshot::channel();
        self.present.push_back(present);
        sent_away
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
        // The listener's own way retries what fails.
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let (stream, time) = self.greet(stream);
        let end = Box::pin(tokio::time::sleep(time));
        let stay = Stay { end, sent_away: Some(self.make_room()) };
        (Visitor { stream, stay, lifetime: self.lifetime }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection until its time is up, or another one needs its place.
#[derive(Debug)]
pub(super) struct Visitor {
    stream: Stream,
    stay: Stay,
    lifetime: Duration,
}

/// How long a connection may stay.
#[derive(Debug)]
struct Stay {
    end: Pin<Box<Sleep>>,
    /// None: it has been.
    sent_away: Option<oneshot::Receiver<()>>,
}

impl Stay {
    /// Ready when it is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // It is not polled again after that.
        self.sent_away.take_if(|sent_away| Pin::new(sent_away).poll(context).is_ready());
        if self.sent_away.is_none() { Poll::Ready(()) } else { self.end.as_mut().poll(context) }
    }
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
                std::task::ready!(self.stay.poll(context));
                count(Handshake::Timeout);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(result) => {
                count(handshake::outcome(&result));
                self.stream = Stream::Tls(Box::new(result?));
                self.stay.end.as_mut().reset(tokio::time::Instant::now() + self.lifetime);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// What was polled, or the end if that is nothing.
    fn or_end<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Pending => self.stay.poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
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
    use crate::config::Limits;
    use crate::metrics::Metrics;
    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[expect(clippy::disallowed_methods, reason = "a test of connections makes its own")]
    async fn visitors(at_a_time: usize, lifetime: Duration) -> (Visitors, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::new(&Limits::of_a_test(), Arc::new(Metrics::new())));
        (Visitors::limited(listener, state, at_a_time, lifetime), address)
    }

    async fn is_sent_away(visitor: &mut Visitor) -> bool {
        visitor.read_u8().await.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    #[expect(clippy::disallowed_methods, reason = "a test of connections makes its own")]
    #[tokio::test]
    async fn the_silent_one_is_sent_away_in_time() {
        let (mut visitors, address) = visitors(2, Duration::from_millis(50)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut silent, _) = visitors.accept().await;
        assert!(is_sent_away(&mut silent).await && is_sent_away(&mut silent).await);
        drop(silent);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[expect(clippy::disallowed_methods, reason = "a test of connections makes its own")]
    #[tokio::test]
    async fn who_came_first_makes_room() {
        let (mut visitors, address) = visitors(2, Duration::from_secs(3600)).await;
        let mut clients = Vec::new();
        let mut present = Vec::new();
        for n in 0..4 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&[n]).await.unwrap();
            clients.push(client);
            present.push(visitors.accept().await.0);
            if n == 1 {
                // Who has left needs not be sent away.
                present.remove(0);
            }
        }
        let [second, third, fourth] = &mut present[..] else { panic!("three") };
        assert_eq!(second.read_u8().await.unwrap(), 1);
        assert!(is_sent_away(second).await && is_sent_away(second).await);
        assert_eq!((third.read_u8().await.unwrap(), fourth.read_u8().await.unwrap()), (2, 3));
    }
}
