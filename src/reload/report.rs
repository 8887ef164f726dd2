//! Reloads in the log: one event each, and one per finding.

use std::time::Duration;

use crate::finding::{Finding, Severity};
use crate::snapshot::Snapshot;

/// A store with a thousand faults usually has one cause; status has them all.
const SHOWN_FINDINGS: usize = 20;

pub(super) fn activated(snapshot: &Snapshot, duration: Duration) {
    tracing::info!(
        version = snapshot.version,
        revision = %snapshot.revision,
        bytes = snapshot.bytes,
        warnings = snapshot.warnings.len(),
        duration_seconds = duration.as_secs_f64(),
        "policy store activated"
    );
    findings(&snapshot.warnings);
}

/// `awaited`: somebody asked, or the files were wrong before. Otherwise it was noise, and is logged as such.
pub(super) fn unchanged(awaited: bool) {
    if awaited {
        tracing::info!("policy store looked at, it is what the active snapshot says");
    } else {
        tracing::debug!("file events without a change");
    }
}

pub(super) fn rejected(errors: &[Finding], duration: Duration) {
    tracing::error!(
        findings = errors.len(),
        duration_seconds = duration.as_secs_f64(),
        "policy store rejected, the last good snapshot keeps answering"
    );
    findings(errors);
}

fn findings(all: &[Finding]) {
    for Finding { file, position, severity, code, message, hint } in all.iter().take(SHOWN_FINDINGS) {
        let (line, column, hint) = (position.line, position.column, hint.as_deref());
        match severity {
            Severity::Error => tracing::error!(%file, line, column, code, hint, "{message}"),
            Severity::SecurityWarning | Severity::Warning | Severity::Suggestion => {
                tracing::warn!(%file, line, column, code, hint, "{message}");
            }
        }
    }
    let more = all.len().saturating_sub(SHOWN_FINDINGS);
    if more > 0 {
        tracing::warn!(more, "more findings, see the status");
    }
}
