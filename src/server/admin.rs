//! HTTP for operators: `/metrics`, `/livez`, `/readyz`, `/status`.

use std::sync::Arc;

use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

mod tls;
mod visitors;

use super::State;
use super::readiness::Stage;
use crate::engine::Active;
use crate::finding::Finding;
use crate::reload::status::{LastReload, Status};
use tls::TlsView;
use visitors::Visitors;

/// Serves until the task is aborted: probes and scrapes want answers while the service drains, too.
pub fn serve(listener: TcpListener, state: Arc<State>) -> JoinHandle<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(Arc::clone(&state));
    tokio::spawn(async move {
        // INVARIANT: `axum::serve` ends only when it is told to; accept errors are its own to retry.
        drop(axum::serve(Visitors::new(listener, state), routes).await);
    })
}

type Shared = extract::State<Arc<State>>;

async fn metrics(extract::State(state): Shared) -> impl IntoResponse {
    // Off the serving threads: a scrape reads /proc and writes some hundred lines, which takes as long as many calls.
    let text = tokio::task::spawn_blocking(move || state.metrics.render(&state.readings())).await;
    match text {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text),
        Err(error) => failed(&error),
    }
}

async fn readyz(extract::State(state): Shared) -> (StatusCode, &'static str) {
    match state.readiness.stage() {
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting: no snapshot is active yet\n"),
        Stage::Ready => (StatusCode::OK, "ready\n"),
        Stage::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining: the service is stopping\n"),
    }
}

async fn status(extract::State(state): Shared) -> impl IntoResponse {
    let active = state.engine().map(|engine| engine.load());
    let reload = state.reload().unwrap_or_default();
    let view = StatusView::new(&state, active.as_deref().map(Arc::as_ref), &reload);
    match serde_json::to_string(&view) {
        Ok(json) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], json),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{error}\n"))
}

// --- the shape of /status -------------------------------------------------------------------------------------------

#[derive(Serialize)]
struct StatusView<'a> {
    version: &'static str,
    started_at: String,
    snapshot: Option<SnapshotView<'a>>,
    last_reload: Option<ReloadView<'a>>,
    stale_since: Option<String>,
    looked_at: Option<String>,
    tls: Vec<TlsView>,
}

#[derive(Serialize)]
struct SnapshotView<'a> {
    version: u64,
    revision: String,
    loaded_at: String,
    accounts: usize,
    principals: usize,
    policies: usize,
    statements: usize,
    bytes: u64,
    warnings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct ReloadView<'a> {
    at: String,
    result: &'static str,
    duration_seconds: f64,
    errors: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct FindingView<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> StatusView<'a> {
    fn new(state: &State, active: Option<&'a Active>, reload: &'a Status) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started_at: state.started_at.to_string(),
            snapshot: active.map(SnapshotView::new),
            last_reload: reload.last_reload.as_deref().map(ReloadView::new),
            stale_since: reload.stale_since.map(|since| since.to_string()),
            looked_at: reload.looked_at.map(|at| at.to_string()),
            tls: state.tls.iter().map(|endpoint| TlsView::new(endpoint)).collect(),
        }
    }
}

impl<'a> SnapshotView<'a> {
    fn new(active: &'a Active) -> Self {
        let snapshot = &active.snapshot;
        Self {
            version: snapshot.version,
            revision: snapshot.revision.to_string(),
            loaded_at: snapshot.loaded_at.to_string(),
            accounts: snapshot.directory.accounts.len(),
            principals: snapshot.principal_count(),
            policies: snapshot.directory.policy_count,
            statements: snapshot.directory.statement_count,
            bytes: snapshot.bytes,
            warnings: snapshot.warnings.iter().map(FindingView::new).collect(),
        }
    }
}

impl<'a> ReloadView<'a> {
    fn new(reload: &'a LastReload) -> Self {
        Self {
            at: reload.at.to_string(),
            result: reload.result.as_str(),
            duration_seconds: reload.duration.as_secs_f64(),
            errors: reload.errors.iter().map(FindingView::new).collect(),
        }
    }
}

impl<'a> FindingView<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            file: &finding.file,
            line: finding.position.line,
            column: finding.position.column,
            message: &finding.message,
            hint: finding.hint.as_deref(),
        }
    }
}
