//! The edge: gRPC for callers, HTTP for operators.
//!
//! A call arrives in [`calls`] (limits, metrics), is answered by [`grpc`] and translated by [`convert`]. Everything that
//! the two listeners share is a [`State`].

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;

use crate::config::Limits;
use crate::engine::Engine;
use crate::metrics::{Metrics, Readings, SnapshotReading};
use crate::proto::v1::authorization_service_server::AuthorizationServiceServer;
use crate::reload::status::{SharedStatus, Status};

pub mod admin;
pub mod calls;
pub mod connection;
pub mod convert;
pub mod grpc;
pub mod health;
pub mod incoming;
pub mod limits;
pub mod readiness;
pub mod shutdown;

use calls::Calls;
use grpc::Authorization;
use health::Health;
use incoming::Incoming;
use limits::Gate;
use readiness::Readiness;

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
            started_at: jiff::Timestamp::now(),
            active: OnceLock::new(),
            stopping: watch::Sender::new(false),
        }
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
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    /// Stops taking connections and calls; those in flight go on.
    pub async fn stop(&self) {
        self.state.stopping.send_replace(true);
        self.health.forget().await;
    }

    /// Waits until the last connection is closed. Only a fault ends it without [`Running::stop`].
    pub async fn ended(&mut self) -> Result<(), String> {
        match (&mut self.task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How long a connection may be silent before the peer is asked whether it is still there. A peer that vanished would
/// otherwise hold one of `--max-connections` for ever.
const KEEPALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// Serves gRPC on sockets that are bound already.
pub async fn serve(
    state: &Arc<State>,
    engine: &Arc<Engine>,
    limits: &Limits,
    incoming: Incoming,
) -> Result<Running, tonic_reflection::server::Error> {
    let (health, health_service) = Health::serving().await;
    let authorization = Authorization::new(Arc::clone(engine), Arc::clone(state), limits.request);
    let authorization = AuthorizationServiceServer::new(authorization).max_decoding_message_size(limits.request_bytes);
    let others = health::routes(health_service)?;
    let calls = Calls::new(authorization, others, Arc::clone(state), limits.request_timeout);
    let server = Server::builder()
        .max_concurrent_streams(limits.streams_per_connection)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    let task = tokio::spawn(server.serve_with_incoming_shutdown(calls, incoming, state.stopped()));
    Ok(Running { health, state: Arc::clone(state), task })
}
