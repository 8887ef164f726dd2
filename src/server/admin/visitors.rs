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

/// Connections at a time; more wait until one of them ends.
const AT_A_TIME: usize = 64;

/// How long a connection lasts. Scrapers that keep theirs open connect again.
const LIFETIME: Duration = Duration::from_secs(30);

/// Lets visitors in, one by one.
#[derive(Debug)]
pub(super) struct Visitors {
    listener: TcpListener,
    room: Arc<Semaphore>,
    lifetime: Duration,
}

impl Visitors {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::limited(listener, AT_A_TIME, LIFETIME)
    }

    fn limited(listener: TcpListener, at_a_time: usize, lifetime: Duration) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(at_a_time)), lifetime }
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
        let end = Box::pin(tokio::time::sleep(self.lifetime));
        (Visitor { stream, end, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection until its time is up.
#[derive(Debug)]
pub(super) struct Visitor {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Visitor {
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
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.or_end(polled, context)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.or_end(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
        let mut visitors = Visitors::limited(listener, 1, Duration::from_millis(50));
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
