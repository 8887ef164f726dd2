//! What reloading has come to, for whoever asks.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::finding::Finding;

/// Written by the reload thread alone, after each reload and each look; read by the admin endpoints.
pub type SharedStatus = Arc<ArcSwap<Status>>;

/// How reloading stands.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The last reload, the first load included.
    pub last_reload: Option<Arc<LastReload>>,
    /// Since when the files differ from the active snapshot and could not replace it; None while they are equal.
    pub stale_since: Option<jiff::Timestamp>,
    /// When looking at the files last came to an end, whatever was found; the first load is such a look. Of a thread that hangs
    /// it is all that tells.
    pub looked_at: Option<jiff::Timestamp>,
}

/// One reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When it ended.
    pub at: jiff::Timestamp,
    /// What came of it.
    pub result: ReloadResult,
    /// How long reading, building and swapping took, without waiting for writers.
    pub duration: Duration,
    /// Why the files were rejected; empty otherwise.
    pub errors: Vec<Finding>,
}

/// What comes of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReloadResult {
    /// There is a new snapshot.
    Activated,
    /// The files say what the active snapshot says.
    Unchanged,
    /// The files are wrong; the active snapshot stays.
    Rejected,
}

impl ReloadResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Activated, Self::Unchanged, Self::Rejected];

    /// The label in metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activated => "activated",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
        }
    }
}
