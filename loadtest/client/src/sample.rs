//! One run, as it is kept: a line of JSON in `raw.jsonl`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::host::Machine;
use crate::load::drive::Plan;
use crate::load::record::Measured;
use crate::speed::Speed;

/// Where and how runs were made: the first line of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub began: String,
    pub machine: Machine,
    pub command: String,
    /// The share of its full speed that the server's core had to have, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_speed: Option<f64>,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Which measurement it belongs to, and which service was measured.
    pub row: String,
    pub target: String,
    pub round: u32,
    pub began: String,
    /// What it varies: `statements`, `principals`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub size: BTreeMap<String, u64>,
    pub plan: Plan,
    pub measured: Measured,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Why it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<String>,
    /// When files were changed, in seconds since the run began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reloads: Vec<f64>,
}

/// Begins the reason of every run that does not count since the server's core was slow.
const SLOW: &str = "the core had ";

/// The reason itself.
pub fn slow(share: f64) -> String {
    format!("{SLOW}{share:.1} % of its full speed")
}

impl Sample {
    /// Whether it does not count since the server's core was slow.
    pub fn was_slow(&self) -> bool {
        self.discarded.as_ref().is_some_and(|reason| reason.starts_with(SLOW))
    }
}

/// The service, seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    pub command: String,
    /// Its share of its core while it was measured, in per cent.
    pub busy: f64,
    /// What others took of that core, in per cent.
    pub stolen: f64,
    /// That of its core, while it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<Speed>,
    pub resident_before_mib: f64,
    pub resident_after_mib: f64,
    pub start_seconds: f64,
    /// From its own counters, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

/// iamd's own counters after a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    pub handled_ok: u64,
    pub handled_otherwise: u64,
    pub decisions: u64,
    pub hits: u64,
    pub misses: u64,
    pub bypasses: u64,
    pub evictions: u64,
    pub statements: u64,
    pub principals: u64,
    pub reloads_activated: u64,
    pub reloads_rejected: u64,
    pub snapshots_live: u64,
}

impl Counters {
    /// In per cent.
    pub fn hit_share(&self) -> f64 {
        100.0 * self.hits as f64 / (self.hits + self.misses + self.bypasses).max(1) as f64
    }
}

/// Appends a line.
pub fn append<T: Serialize>(file: &Path, line: &T) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", file.display());
    let mut text = serde_json::to_string(line).map_err(|error| fail(&error))?;
    text.push('\n');
    let mut file_ = OpenOptions::new().create(true).append(true).open(file).map_err(|error| fail(&error))?;
    file_.write_all(text.as_bytes()).map_err(|error| fail(&error))
}

/// Reads a file: its sessions, and its samples.
pub fn read(file: &Path) -> Result<(Vec<Session>, Vec<Sample>), String> {
    let name = file.display();
    let opened = File::open(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    let (mut sessions, mut samples) = (Vec::new(), Vec::new());
    for (number, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.map_err(|error| format!("cannot read {name}: {error}"))?;
        if let Ok(session) = serde_json::from_str::<Session>(&line) {
            sessions.push(session);
        } else {
            let sample = serde_json::from_str(&line);
            samples
                .push(sample.map_err(|error| format!("{name}:{}: neither session nor sample: {error}", number + 1))?);
        }
    }
    Ok((sessions, samples))
}
