//! The metrics of tracing. All are read when somebody scrapes.

use metrics::{Counter, Gauge};

use super::register::Registrar;
use crate::telemetry::traces::Reading;

/// The handles.
#[derive(Debug)]
pub(super) struct TraceMetrics {
    exported: Counter,
    queue_full: Counter,
    export_failed: Counter,
    queue_spans: Gauge,
}

impl Registrar<'_> {
    pub(super) fn traces(&self) -> TraceMetrics {
        let dropped = |reason| self.counter("iamd_trace_spans_dropped_total", vec![("reason", reason)]);
        TraceMetrics {
            exported: self.counter("iamd_trace_spans_exported_total", vec![]),
            queue_full: dropped("queue_full"),
            export_failed: dropped("export_failed"),
            queue_spans: self.gauge("iamd_trace_queue_spans", vec![]),
        }
    }
}

impl TraceMetrics {
    pub(super) fn set(&self, reading: &Reading) {
        self.exported.absolute(reading.exported);
        self.queue_full.absolute(reading.queue_full);
        self.export_failed.absolute(reading.export_failed);
        self.queue_spans.set(reading.waiting as f64);
    }
}

pub(super) const COUNTERS: [(&str, &str); 2] = [
    ("iamd_trace_spans_exported_total", "Spans that the collector has taken"),
    ("iamd_trace_spans_dropped_total", "Spans of calls that were traced and are lost, by reason"),
];

pub(super) const GAUGES: [(&str, &str); 1] = [("iamd_trace_queue_spans", "Spans that wait to be exported")];
