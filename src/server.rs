//! The edge: gRPC for callers, HTTP for operators.
//!
//! A call arrives in [`calls`] (limits, metrics), is answered by [`grpc`] and translated by [`convert`]. Everything that
//! the two listeners share is a [`State`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::Limits;
use crate::decision_log::DecisionLog;
use crate::engine::Engine;
use crate::metrics::{Metrics, Readings, Shed, SnapshotReading, TlsReading};
use crate::reload::status::{SharedStatus, Status};
use crate::telemetry;
use crate::telemetry::traces::Traces;
use crate::tls::{Endpoint, Endpoints};

pub mod admin;
mod answers;
mod authority;
pub mod calls;
pub mod connection;
pub mod convert;
pub mod decide;
pub mod descriptors;
pub mod grpc;
pub mod handshake;
pub mod health;
pub mod http;
pub mod incoming;
pub mod life;
pub mod limits;
pub mod logging;
pub mod memory;
pub mod messages;
pub mod patience;
pub mod plain;
pub mod queue;
pub mod rarely;
pub mod readiness;
pub mod shutdown;
mod traced;
pub mod unread;
pub mod workers;

use calls::Calls;
use grpc::Authorization;
use health::Health;
use incoming::Incoming;
use limits::Gate;
use memory::Memory;
use readiness::Readiness;
use workers::{Serve, Workers};

/// What the listeners share.
#[derive(Debug)]
pub struct State {
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Whether the service wants calls.
    pub readiness: Readiness,
    /// Calls at a time.
    pub in_flight: Gate,
    /// Connections at a time.
    pub connections: Gate,
    /// How much memory is left.
    pub memory: Arc<Memory>,
    /// Size of one message.
    pub request_bytes: usize,
    /// What a call may have sent before it is read.
    pub window_bytes: usize,
    /// Which listeners speak TLS, and how. Set before the state is shared.
    pub tls: Endpoints,
    /// How long a unary call may take, and a request of a stream to arrive.
    pub request_timeout: Duration,
    /// How long a call may wait for its turn; None: any time.
    pub queue_time: Option<Duration>,
    /// Threads that serve; 0 before they do.
    worker_threads: AtomicUsize,
    /// Where decisions are logged; None: nowhere.
    pub decision_log: Option<Arc<DecisionLog>>,
    /// Where calls are traced; None: nowhere. Set before the state is shared.
    pub traces: Option<Arc<Traces>>,
    /// When the process started.
    pub started_at: jiff::Timestamp,
    active: OnceLock<(Arc<Engine>, SharedStatus)>,
    /// Turns true once: no more connections and calls.
    stopping: watch::Sender<bool>,
}

impl State {
    /// Before the first snapshot.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            readiness: Readiness::default(),
            in_flight: Gate::new(limits.in_flight),
            connections: Gate::new(descriptors::connections_that_fit(limits.connections)),
            memory: Arc::new(Memory::new(&limits.overload)),
            request_bytes: limits.request_bytes,
            window_bytes: usize::try_from(limits.connection.window_bytes).unwrap_or(usize::MAX),
            tls: Endpoints::default(),
            request_timeout: limits.request_timeout,
            queue_time: limits.overload.queue_time,
            worker_threads: AtomicUsize::new(0),
            decision_log: None,
            traces: None,
            started_at: jiff::Timestamp::now(),
            active: OnceLock::new(),
            stopping: watch::Sender::new(false),
        }
    }

    /// An error if memory is tight, for what would take more of it.
    pub fn room(&self) -> Result<(), tonic::Status> {
        if !self.memory.is_tight() {
            return Ok(());
        }
        self.metrics.shed(Shed::Memory);
        Err(convert::memory_is_tight())
    }

    /// With a log of decisions, or none.
    #[must_use]
    pub fn with_decision_log(self, decision_log: Option<Arc<DecisionLog>>) -> Self {
        Self { decision_log, ..self }
    }

    /// The first snapshot is active, and `reload` says how later ones fare: from here on the service is ready. Only the
    /// first call counts.
    pub fn activate(&self, engine: Arc<Engine>, reload: SharedStatus) {
        if self.active.set((engine, reload)).is_ok() {
            self.readiness.ready();
        }
    }

    /// What decides, once there is a snapshot.
    pub fn engine(&self) -> Option<&Arc<Engine>> {
        self.active.get().map(|(engine, _)| engine)
    }

    /// How the last reload went, once there is a snapshot.
    pub fn reload(&self) -> Option<Arc<Status>> {
        self.active.get().map(|(_, reload)| reload.load_full())
    }

    /// Threads that serve; 0 before they do.
    pub fn worker_threads(&self) -> usize {
        self.worker_threads.load(Ordering::Relaxed)
    }

    /// Ends when no more connections and calls are taken.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // An error means that the sender is gone: nobody could stop the service any more, so it stops now.
            drop(stopping.wait_for(|stop| *stop).await);
        }
    }

    /// What metrics read at a scrape.
    pub fn readings(&self) -> Readings {
        let mut readings = Readings {
            requests_in_flight: self.in_flight.held(),
            connections: self.connections.held(),
            tls: self.tls.iter().map(|endpoint| tls_reading(endpoint)).collect(),
            last_look: self.reload().and_then(|reload| reload.looked_at),
            worker_threads: self.worker_threads(),
            memory_used: self.memory.used(),
            memory_limit: self.memory.limit(),
            panics: telemetry::panics(),
            decision_log: self.decision_log.as_ref().map(|log| log.reading()).unwrap_or_default(),
            traces: self.traces.as_ref().map(|traces| traces.reading()).unwrap_or_default(),
            ..Readings::default()
        };
        if let Some(engine) = self.engine() {
            let active = engine.load();
            let snapshot = &active.snapshot;
            readings.snapshot = Some(SnapshotReading {
                revision: snapshot.revision.to_string(),
                version: snapshot.version,
                accounts: snapshot.directory.accounts.len(),
                principals: snapshot.principal_count(),
                policies: snapshot.directory.policy_count,
                statements: snapshot.directory.statement_count,
            });
            readings.snapshots_live = engine.snapshots_live();
            readings.cache_entries = active.cache.entries();
            readings.cache_evictions = engine.cache_evictions();
        }
        readings
    }
}

fn tls_reading(endpoint: &Endpoint) -> TlsReading {
    let active = endpoint.active();
    let (not_before, not_after) = (active.certificate.not_before.as_second(), active.not_after.as_second());
    TlsReading { listener: endpoint.listener, not_before, not_after, successful: endpoint.trouble().is_none() }
}

/// gRPC, being served.
#[derive(Debug)]
pub struct Running {
    /// What callers hear when they ask for health.
    pub health: Health,
    state: Arc<State>,
    accepting: JoinHandle<()>,
    /// One for each thread that serves.
    ends: Vec<oneshot::Receiver<()>>,
}

impl Running {
    /// Stops taking connections and calls; those in flight go on.
    pub async fn stop(&self) {
        self.state.stopping.send_replace(true);
        self.health.forget().await;
    }

    /// Waits until the last connection is closed. Only a fault ends it without [`Running::stop`].
    pub async fn ended(&mut self) -> Result<(), String> {
        (&mut self.accepting).await.map_err(|error| error.to_string())?;
        for end in &mut self.ends {
            end.await.map_err(|_| "a thread that served has ended by a fault".to_owned())?;
        }
        Ok(())
    }
}

/// Serves gRPC on sockets that are bound already, by so many threads. The error is for people.
pub async fn serve(
    state: &Arc<State>,
    engine: &Arc<Engine>,
    limits: &Limits,
    threads: usize,
    mut incoming: Incoming,
) -> Result<Running, String> {
    let (health, health_service) = Health::serving().await;
    let authorization = Authorization::new(Arc::clone(engine), Arc::clone(state), limits.request);
    let others = health::routes(health_service).map_err(|error| error.to_string())?;
    let calls = Calls::new(authorization, others, Arc::clone(state));
    let serve = Serve {
        calls,
        state: Arc::clone(state),
        max_streams: limits.streams_per_connection,
        limits: limits.connection,
    };
    let (workers, ends) = Workers::start(threads, &serve).map_err(|error| format!("cannot start threads: {error}"))?;
    state.worker_threads.store(ends.len(), Ordering::Relaxed);
    state.memory.watch().map_err(|error| format!("cannot start threads: {error}"))?;
    let stopped = state.stopped();
    let accepting = tokio::spawn(async move {
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                accepted = incoming.next() => workers.serve(accepted),
            }
        }
    });
    Ok(Running { health, state: Arc::clone(state), accepting, ends })
}
