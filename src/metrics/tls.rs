//! Metrics of transport security.

use std::fmt::Write;

use metrics::Counter;

use crate::config::TlsListener;
use crate::reload::ReloadResult;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The connection is served.
    Ok,
    /// The peer does not speak TLS, or not as it is asked to: no certificate, or one of somebody else's authority.
    Failed,
    /// The peer's certificate is good, and has none of the allowed names.
    Refused,
    /// The peer took too long.
    Timeout,
}

impl Handshake {
    pub(super) const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::Refused, Self::Timeout];

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
        }
    }
}

/// What is read of a listener that speaks TLS, when somebody scrapes.
#[derive(Clone, Debug)]
pub struct TlsReading {
    /// Whose certificate it is.
    pub listener: TlsListener,
    /// When its certificate began to be good, in seconds since 1970.
    pub not_before: i64,
    /// When the first certificate of its chain ends, in seconds since 1970.
    pub not_after: i64,
    /// Whether the files on disk are what is active.
    pub successful: bool,
}

/// The handles, by listener.
#[derive(Debug)]
pub(super) struct TlsMetrics {
    pub(super) handshakes: [[Counter; Handshake::ALL.len()]; TlsListener::ALL.len()],
    pub(super) reloads: [[Counter; ReloadResult::ALL.len()]; TlsListener::ALL.len()],
}

impl super::Metrics {
    /// A handshake has ended.
    pub fn handshake(&self, listener: TlsListener, result: Handshake) {
        if let Some(counter) = self.tls.handshakes.get(listener as usize).and_then(|row| row.get(result as usize)) {
            counter.increment(1);
        }
    }

    /// Files of certificates were looked at.
    pub fn tls_reload_finished(&self, listener: TlsListener, result: ReloadResult) {
        if let Some(counter) = self.tls.reloads.get(listener as usize).and_then(|row| row.get(result as usize)) {
            counter.increment(1);
        }
    }
}

/// Name of a series, what it is, and its value.
type Series = (&'static str, &'static str, fn(&TlsReading) -> i64);

const SERIES: [Series; 3] = [
    (
        "iamd_tls_certificate_start_timestamp_seconds",
        "When the certificate that is active began to be valid",
        |reading| reading.not_before,
    ),
    (
        "iamd_tls_certificate_expiry_timestamp_seconds",
        "When the first certificate of the chain that is active ends",
        |reading| reading.not_after,
    ),
    (
        "iamd_tls_last_reload_successful",
        "1 if the certificate on disk is what is active, 0 if it was rejected",
        |reading| reading.successful.into(),
    ),
];

/// Written by hand: without TLS there must be no series, since a time of 0 would look like a certificate that has expired.
pub(super) fn render(readings: &[TlsReading], text: &mut String) {
    if readings.is_empty() {
        return;
    }
    for (name, help, value) in SERIES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for reading in readings {
            let _ = writeln!(text, "{name}{{listener=\"{}\"}} {}", reading.listener.as_str(), value(reading));
        }
    }
}
