//! The threads that serve: each with a runtime of its own, so that a request stays on the core where it was read.
//!
//! One task accepts connections and gives each to the thread that has the fewest. (The kernel could spread them, by
//! SO_REUSEPORT; but by chance, and a sidecar often has few.)

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::State;
use super::calls::Calls;
use super::connection::Connection;
use super::http;
use super::incoming::Accepted;
use super::queue;
use crate::config::ConnectionLimits;

/// One thread per core, as far as this process may use them.
pub fn default_count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The threads.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    connections: mpsc::UnboundedSender<(Accepted, Held)>,
    /// Open connections, those on the way included.
    held: Arc<AtomicUsize>,
}

/// What every connection is served with.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Who answers.
    pub calls: Calls,
    /// What the listeners share.
    pub state: Arc<State>,
    /// Calls at a time in one connection.
    pub max_streams: u32,
    /// What one connection may take.
    pub limits: ConnectionLimits,
}

impl Workers {
    /// Starts so many threads. Each ends when the workers are dropped and its last connection is closed; its receiver hears
    /// of that.
    pub fn start(count: usize, serve: &Serve) -> io::Result<(Self, Vec<oneshot::Receiver<()>>)> {
        let (mut workers, mut ends) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let (worker, end) = Worker::start(number, serve.clone())?;
            workers.push(worker);
            ends.push(end);
        }
        Ok((Self(workers), ends))
    }

    /// Gives a connection to whoever has the fewest.
    pub fn serve(&self, accepted: Accepted) {
        // One that has ended by a fault holds none, and would get them all.
        let alive = self.0.iter().filter(|worker| !worker.connections.is_closed());
        let Some(worker) = alive.min_by_key(|worker| worker.held.load(Ordering::Relaxed)) else { return };
        // If it ends meanwhile the connection is dropped, which closes it.
        drop(worker.connections.send((accepted, Held::one(&worker.held))));
    }
}

impl Worker {
    fn start(number: usize, serve: Serve) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let runtime = Builder::new_current_thread().enable_all().on_thread_park(queue::thread_sleeps).build()?;
        let (connections, arriving) = mpsc::unbounded_channel();
        let (ended, end) = oneshot::channel();
        let held = Arc::new(AtomicUsize::new(0));
        let serving = work(arriving, serve);
        thread::Builder::new().name(format!("iamd-{number}")).spawn(move || {
            runtime.block_on(serving);
            // An error would mean that nobody is left to hear it.
            ended.send(()).ok();
        })?;
        Ok((Self { connections, held }, end))
    }
}

async fn work(mut arriving: mpsc::UnboundedReceiver<(Accepted, Held)>, serve: Serve) {
    tokio::spawn(queue::probe());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = arriving.recv() => match accepted {
                Some((accepted, held)) => drop(connections.spawn(one(accepted, serve.clone(), held))),
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn one(accepted: Accepted, Serve { calls, state, max_streams, limits }: Serve, _held: Held) {
    if let Some(connection) = Connection::open(accepted, &state, &limits).await {
        let calls = calls.with_peer(connection.peer().cloned());
        http::serve(connection, calls, max_streams, &limits, state.stopped()).await;
    }
}

/// One of the connections that a thread holds, or will, until it is dropped.
#[derive(Debug)]
struct Held(Arc<AtomicUsize>);

impl Held {
    fn one(held: &Arc<AtomicUsize>) -> Self {
        held.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(held))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, ListenAddress, SocketOptions};
    use crate::metrics::Metrics;
    use crate::server::incoming::{Incoming, Listener};

    fn state() -> Arc<State> {
        Arc::new(State::new(&Limits::of_a_test(), Arc::new(Metrics::new())))
    }

    fn worker() -> (Worker, mpsc::UnboundedReceiver<(Accepted, Held)>) {
        let (connections, arriving) = mpsc::unbounded_channel();
        (Worker { connections, held: Arc::default() }, arriving)
    }

    #[expect(clippy::disallowed_methods, reason = "a test of connections makes its own")]
    #[tokio::test]
    async fn a_thread_that_has_ended_gets_nothing_and_holds_nothing() {
        let anywhere = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let listener = Listener::bind(&anywhere, &SocketOptions::default()).await.unwrap();
        let peers = [(); 3].map(|()| std::net::TcpStream::connect(listener.address()));
        let mut incoming = Incoming::new(vec![listener], state());
        let (workers, mut arrivings): (Vec<_>, Vec<_>) = (0..2).map(|_| worker()).unzip();
        let workers = Workers(workers);
        let held = || workers.0.iter().map(|worker| worker.held.load(Ordering::Relaxed)).collect::<Vec<_>>();
        workers.serve(incoming.next().await);
        assert_eq!(held(), [1, 0]);
        // What was on its way goes with it.
        arrivings.remove(0);
        assert_eq!(held(), [0, 0]);
        workers.serve(incoming.next().await);
        workers.serve(incoming.next().await);
        assert_eq!(held(), [0, 2]);
        drop(peers);
    }
}
