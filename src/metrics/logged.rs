//! The metrics of the decision log. All are read when somebody scrapes.

use metrics::{Counter, Gauge};

use super::register::Registrar;
use crate::decision_log::{Lost, Reading};

/// The handles.
#[derive(Debug)]
pub(super) struct LogMetrics {
    written: Counter,
    bytes: Counter,
    lost: [Counter; Lost::ALL.len()],
    refused: Counter,
    queue_entries: Gauge,
    queue_bytes: Gauge,
    oldest_waits: Gauge,
    failing: Gauge,
}

impl Registrar<'_> {
    pub(super) fn decision_log(&self) -> LogMetrics {
        LogMetrics {
            written: self.counter("iamd_decision_log_written_total", vec![]),
            bytes: self.counter("iamd_decision_log_bytes_total", vec![]),
            lost: Lost::ALL.map(|why| self.counter("iamd_decision_log_dropped_total", vec![("reason", why.as_str())])),
            refused: self.counter("iamd_decision_log_refused_total", vec![]),
            queue_entries: self.gauge("iamd_decision_log_queue_entries", vec![]),
            queue_bytes: self.gauge("iamd_decision_log_queue_bytes", vec![]),
            oldest_waits: self.gauge("iamd_decision_log_oldest_waiting_seconds", vec![]),
            failing: self.gauge("iamd_decision_log_failing", vec![]),
        }
    }
}

impl LogMetrics {
    /// No counter ever falls: what is less than it was is not taken.
    pub(super) fn set(&self, reading: &Reading) {
        self.written.absolute(reading.written);
        self.bytes.absolute(reading.bytes);
        for (counter, lost) in self.lost.iter().zip(&reading.lost) {
            counter.absolute(*lost);
        }
        self.refused.absolute(reading.refused);
        self.queue_entries.set(reading.queue_entries as f64);
        self.queue_bytes.set(reading.queue_bytes as f64);
        self.oldest_waits.set(reading.oldest_waits.as_secs_f64());
        self.failing.set(if reading.failing { 1.0 } else { 0.0 });
    }
}

pub(super) const COUNTERS: [(&str, &str); 4] = [
    ("iamd_decision_log_written_total", "Decisions that the decision log has written"),
    ("iamd_decision_log_bytes_total", "Bytes that the decision log has written"),
    ("iamd_decision_log_dropped_total", "Decisions that were given and are missing in the decision log, by reason"),
    ("iamd_decision_log_refused_total", "Decisions that were not given, since they could not be logged"),
];

pub(super) const GAUGES: [(&str, &str); 4] = [
    ("iamd_decision_log_queue_entries", "Decisions that wait to be written"),
    ("iamd_decision_log_queue_bytes", "Memory that decisions take that wait to be written"),
    (
        "iamd_decision_log_oldest_waiting_seconds",
        "How long the oldest decision has waited to be written; 0 if none waits",
    ),
    ("iamd_decision_log_failing", "1 if the last attempt to write the decision log failed"),
];
