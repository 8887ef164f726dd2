//! Logs: structured, on stderr, JSON when nobody watches. And spans, for a collector, if there is one: [`traces`].

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogOptions};

pub mod traces;

/// Written by the panic hook, read by scrapes.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Faults in the program, since the log was installed: each has ended a call, or a reload.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The target of what is logged whatever the level: that others can read along is nothing to be silent about.
pub const ALWAYS: &str = "iamd::always";

/// No finer than what is logged there: the finest level of all decides whether libraries prepare what nobody will read.
fn always() -> Directive {
    format!("{ALWAYS}=warn").parse().unwrap_or_default()
}

fn filter(options: &LogOptions) -> EnvFilter {
    // The last word about a target counts.
    EnvFilter::new(&options.filter).add_directive(always())
}

/// Installs the log for the whole process, panics included. A second call has no effect: the first log stays.
pub fn init(options: &LogOptions) {
    let filter = filter(options);
    let terminal = io::stderr().is_terminal();
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    let json = match options.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let installed = if json {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
    } else {
        log.with_ansi(wants_colours(terminal)).finish().try_init()
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%panic, "a fault in the program; please report it");
        }));
    }
}

/// Colours only for a terminal, and not against <https://no-color.org>.
pub fn wants_colours(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn what_is_always_logged_costs_nothing_elsewhere() {
        for (level, finest) in
            [("error", LevelFilter::WARN), ("info", LevelFilter::INFO), ("info,h2=debug", LevelFilter::DEBUG)]
        {
            let options = LogOptions { filter: level.to_owned(), format: LogFormat::Auto };
            assert_eq!(filter(&options).max_level_hint(), Some(finest), "{level}");
        }
    }
}
