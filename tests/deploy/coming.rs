//! What `deploy/` uses already and the program does not have yet. A test asks for each to leave this list when it is there.

pub(crate) const FLAGS: &[&str] = &["decision-log"];

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
    "iamd_worker_threads",
];
