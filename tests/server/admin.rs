//! The HTTP endpoints.

use std::sync::Arc;
use std::time::Duration;

use iamd::engine::Engine;
use iamd::finding::{Finding, Position, Severity};
use iamd::reload::status::{LastReload, ReloadResult, SharedStatus, Status};
use iamd::server::{State, admin};
use tokio::net::TcpListener;

use crate::program::get;
use crate::service::{config, empty_snapshot, state};

async fn start() -> (String, Arc<State>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let state = state(&config(&[]));
    admin::serve(listener, Arc::clone(&state));
    (address, state)
}

async fn fetch(address: &str, path: &'static str) -> (u16, String) {
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || get(&address, path)).await.unwrap()
}

#[tokio::test]
async fn readiness_is_a_latch_with_reasons() {
    let (address, state) = start().await;
    assert_eq!(fetch(&address, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(fetch(&address, "/readyz").await, (503, "starting: no snapshot is active yet\n".to_owned()));
    state.activate(Arc::new(Engine::new(empty_snapshot(), 0)), Arc::default());
    assert_eq!(fetch(&address, "/readyz").await, (200, "ready\n".to_owned()));
    state.readiness.drain();
    assert_eq!(fetch(&address, "/readyz").await, (503, "draining: the service is stopping\n".to_owned()));
    assert_eq!(fetch(&address, "/livez").await.0, 200);
    assert_eq!(fetch(&address, "/elsewhere").await.0, 404);
}

#[tokio::test]
async fn status_has_the_promised_shape() {
    let (address, state) = start().await;
    let status = async || serde_json::from_str::<serde_json::Value>(&fetch(&address, "/status").await.1).unwrap();
    let before = status().await;
    assert_eq!(before["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(before["started_at"], state.started_at.to_string());
    assert!(before["snapshot"].is_null() && before["last_reload"].is_null() && before["stale_since"].is_null());

    let finding = Finding {
        file: "users/a.json".into(),
        position: Position { line: 3, column: 9 },
        severity: Severity::Error,
        code: "unknown-operator",
        message: "unknown operator `StringEqual`".to_owned(),
        hint: Some("did you mean `StringEquals`?".to_owned()),
    };
    let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
    let last_reload = LastReload {
        at,
        result: ReloadResult::Rejected,
        duration: Duration::from_millis(1_500),
        errors: vec![finding.clone()],
    };
    let mut snapshot = empty_snapshot();
    snapshot.warnings = vec![Finding { hint: None, severity: Severity::Warning, ..finding }];
    let reload = SharedStatus::default();
    let looked_at = Some(jiff::Timestamp::from_second(1_700_000_005).unwrap());
    reload.store(Arc::new(Status { last_reload: Some(Arc::new(last_reload)), stale_since: Some(at), looked_at }));
    let engine = Arc::new(Engine::new(snapshot, 0));
    let loaded_at = engine.load().snapshot.loaded_at.to_string();
    state.activate(engine, reload);

    let after = status().await;
    let error = serde_json::json!({
        "file": "users/a.json", "line": 3, "column": 9, "message": "unknown operator `StringEqual`",
        "hint": "did you mean `StringEquals`?",
    });
    let mut warning = error.clone();
    warning["hint"] = serde_json::Value::Null;
    let snapshot = serde_json::json!({
        "version": 1, "revision": "07".repeat(32), "loaded_at": loaded_at, "accounts": 0, "principals": 0,
        "policies": 0, "statements": 0, "bytes": 0, "warnings": [warning],
    });
    let last_reload = serde_json::json!({
        "at": "2023-11-14T22:13:20Z", "result": "rejected", "duration_seconds": 1.5, "errors": [error],
    });
    assert_eq!(after["snapshot"], snapshot);
    assert_eq!(after["last_reload"], last_reload);
    assert_eq!(after["stale_since"], "2023-11-14T22:13:20Z");
    assert_eq!(after["looked_at"], "2023-11-14T22:13:25Z");
}

#[tokio::test]
async fn metrics_are_served() {
    let (address, state) = start().await;
    state.activate(Arc::new(Engine::new(empty_snapshot(), 0)), Arc::default());
    let (code, text) = fetch(&address, "/metrics").await;
    assert_eq!(code, 200);
    for series in ["iamd_snapshot_version 1", "iamd_build_info{", "process_resident_memory_bytes "] {
        assert!(text.contains(series), "{series}");
    }
    assert!(text.contains(&format!("iamd_snapshot_info{{revision=\"{}\"}} 1", "07".repeat(32))));
}
