//! What `deploy/` uses already and the program does not have yet. A test asks for each to leave this list when it is there.

pub(crate) const FLAGS: &[&str] = &[
    "admin-tls-cert",
    "admin-tls-key",
    "decision-log",
    "insecure-listen",
    "tls-allowed-san",
    "tls-cert",
    "tls-client-ca",
    "tls-key",
    "tls-min-version",
];

pub(crate) const METRICS: &[&str] = &[
    "iamd_decision_log_bytes_total",
    "iamd_decision_log_dropped_total",
    "iamd_decision_log_failing",
    "iamd_decision_log_queue_bytes",
    "iamd_decision_log_queue_entries",
    "iamd_decision_log_refused_total",
    "iamd_decision_log_written_total",
    "iamd_memory_bytes",
    "iamd_memory_limit_bytes",
    "iamd_panics_total",
    "iamd_tls_certificate_expiry_timestamp_seconds",
    "iamd_tls_handshakes_total",
    "iamd_tls_last_reload_successful",
    "iamd_tls_reloads_total",
    "iamd_worker_threads",
];
