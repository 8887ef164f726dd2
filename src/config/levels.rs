//! `--log-level`: how much is logged, of what. A log that says nothing is never meant.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::parse::Checker;
use crate::finding::near_miss;

const OURS: &str = "iamd";

/// The crates that have something to log, by the names of their targets. A word that is none of them is misspelt.
const CRATES: [&str; 18] = [
    OURS,
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "log",
    "mio",
    "notify",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "rustls",
    "tokio",
    "tokio_rustls",
    "tokio_util",
    "tonic",
    "tower",
    "want",
];

impl Checker {
    pub(super) fn log_filter(&mut self, flag: &'static str, text: &str) -> String {
        if let Err(message) = check(text) {
            self.problem(flag, message);
        }
        text.to_owned()
    }
}

fn check(text: &str) -> Result<(), String> {
    let unknown = || {
        format!(
            "`{text}` is not a log level; write `error`, `warn`, `info`, `debug` or `trace`, or directives such as \
             `info,iamd=debug`"
        )
    };
    let words: Vec<&str> = text.split(',').filter(|word| !word.is_empty()).collect();
    // Alone, a word that is no level is a misspelt one.
    let is_misspelt = matches!(words[..], [word] if !word.contains(['=', '[']) && level(word).is_none());
    if words.is_empty() || is_misspelt || EnvFilter::try_new(text).is_err() {
        return Err(unknown());
    }
    let mut says_something = false;
    for word in words {
        let (target, level) = read(word);
        check_target(text, target)?;
        let is_ours = target.is_empty() && !word.starts_with('[') || target == OURS;
        if level == LevelFilter::OFF && (is_ours || target.starts_with("iamd::")) {
            return Err(format!("`{text}` hides what goes wrong; write `error` at least"));
        }
        says_something |= is_ours && !word.contains('[');
    }
    if says_something {
        Ok(())
    } else {
        Err(format!("`{text}` hides what goes wrong elsewhere; begin with a level, as in `error,{text}`"))
    }
}

fn check_target(text: &str, target: &str) -> Result<(), String> {
    let name = target.split("::").next().unwrap_or_default().replace('-', "_");
    if name.is_empty() || CRATES.contains(&name.as_str()) {
        return Ok(());
    }
    let hint = match near_miss(&name, CRATES) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", CRATES.map(|name| format!("`{name}`")).join(", ")),
    };
    Err(format!("`{text}` is about `{target}`, of which nothing is logged; {hint}"))
}

fn level(word: &str) -> Option<LevelFilter> {
    LevelFilter::from_str(word).ok()
}

/// What a directive is about, which is nothing for a level alone, and the level.
fn read(word: &str) -> (&str, LevelFilter) {
    if let Some(level) = level(word) {
        return ("", level);
    }
    let target = word.split(['=', '[']).next().unwrap_or_default();
    let level = word.rsplit_once('=').and_then(|(_, word)| level(word));
    (target, level.unwrap_or(LevelFilter::TRACE))
}
