//! The edge: gRPC for callers, HTTP for operators.
//!
//! A call arrives in [`calls`] (limits, metrics), is answered by [`grpc`] and translated by [`convert`]. Everything that
//! the two listeners share is a [`State`].

use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::Limits;
use crate::decision_log::DecisionLog;
use crate::engine::Engine;
use crate::metrics::{Metrics, Readings, SnapshotReading};
use crate::reload::status::{SharedStatus, Status};

pub mod admin;
pub mod calls;
pub mod connection;
pub mod convert;
pub mod decide;
pub mod grpc;
pub mod health;
pub mod http;
pub mod incoming;
pub mod limits;
mod logging;
pub mod messages;
pub mod readiness;
pub mod shutdown;
pub mod workers;

use calls::Calls;
use grpc::Authorization;
use health::Health;
use incoming::Incoming;
use limits::Gate;
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
    /// Size of one message.
    pub request_bytes: usize,
    /// Where decisions are logged; None: nowhere.
    pub decision_log: Option<Arc<DecisionLog>>,
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
            connections: Gate::new(limits.connections),
            request_bytes: limits.request_bytes,
            decision_log: None,
            started_at: jiff::Timestamp::now(),
            active: OnceLock::new(),
            stopping: watch::Sender::new(false),
        }
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
            decision_log: self.decision_log.as_ref().map(|log| log.reading()).unwrap_or_default(),
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
    let calls = Calls::new(authorization, others, Arc::clone(state), limits.request_timeout);
    let serve = Serve { calls, state: Arc::clone(state), max_streams: limits.streams_per_connection };
    let (workers, ends) = Workers::start(threads, &serve).map_err(|error| format!("cannot start threads: {error}"))?;
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
