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
    connections: mpsc::UnboundedSender<Accepted>,
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
        let Some(worker) = self.0.iter().min_by_key(|worker| worker.held.load(Ordering::Relaxed)) else { return };
        worker.held.fetch_add(1, Ordering::Relaxed);
        // A thread that has ended by a fault drops the connection, which closes it.
        drop(worker.connections.send(accepted));
    }
}

impl Worker {
    fn start(number: usize, serve: Serve) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let runtime = Builder::new_current_thread().enable_all().on_thread_park(queue::thread_sleeps).build()?;
        let (connections, arriving) = mpsc::unbounded_channel();
        let (ended, end) = oneshot::channel();
        let held = Arc::new(AtomicUsize::new(0));
        let serving = work(arriving, serve, Arc::clone(&held));
        thread::Builder::new().name(format!("iamd-{number}")).spawn(move || {
            runtime.block_on(serving);
            // An error would mean that nobody is left to hear it.
            ended.send(()).ok();
        })?;
        Ok((Self { connections, held }, end))
    }
}

async fn work(mut arriving: mpsc::UnboundedReceiver<Accepted>, serve: Serve, held: Arc<AtomicUsize>) {
    tokio::spawn(queue::probe());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = arriving.recv() => match accepted {
                Some(accepted) => drop(connections.spawn(one(accepted, serve.clone(), Held(Arc::clone(&held))))),
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

/// One of the connections that a thread holds, until it is dropped.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
