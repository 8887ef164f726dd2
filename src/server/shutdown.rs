//! How the service stops: it says so, lets load balancers notice, finishes what it has begun, and ends in time.

use std::io;

use humantime::format_duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::{Running, State};
use crate::config::DrainOptions;

/// SIGTERM and SIGINT: the wish that the service ends.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on these signals no longer kill the process.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next of them, by name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP: the wish that the files are read again.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// From here on this signal no longer kills the process.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Passes each one on, those included that have come already.
    pub fn forward(mut self, wake: impl Fn() + Send + 'static) {
        tokio::spawn(async move {
            while self.0.recv().await.is_some() {
                tracing::info!("SIGHUP: reading the policy store again");
                wake();
            }
        });
    }
}

/// How stopping ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// In its own time.
    InTime,
    /// At once, as a second signal has asked.
    AtOnce,
}

/// Stops the service, in the order that operators are promised. Returns at `drain.timeout` at the latest, whatever peers
/// do; a second signal makes it return at once.
pub async fn drain(state: &State, mut running: Running, signals: &mut StopSignals, options: DrainOptions) -> Drained {
    state.readiness.drain();
    running.health.not_serving().await;
    let (delay, timeout) = (format_duration(options.delay), format_duration(options.timeout));
    tracing::info!(%delay, %timeout, "stopping: not ready for new calls");
    let finish = async {
        sleep(options.delay).await;
        running.stop().await;
        tracing::info!(in_flight = state.in_flight.held(), "no longer listening; finishing calls in flight");
        running.ended().await
    };
    tokio::select! {
        result = finish => match result {
            Ok(()) => tracing::info!("stopped: every call has been answered"),
            Err(error) => tracing::error!(error, "stopped with a fault"),
        },
        () = sleep(options.timeout) => {
            tracing::warn!(in_flight = state.in_flight.held(), "stopped at --drain-timeout: calls were cut off");
        }
        name = signals.next() => {
            tracing::warn!(signal = name, in_flight = state.in_flight.held(), "stopped at once by a second signal");
            return Drained::AtOnce;
        }
    }
    Drained::InTime
}
