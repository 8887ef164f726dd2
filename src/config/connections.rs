//! The flags that bound what one peer can do with a connection.

use std::time::Duration;

use super::parse::Checker;

/// What a connection may take, and for how long.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArgs {
    /// Size of the headers of one call
    #[arg(long, env = "IAMD_MAX_HEADER_BYTES", value_name = "SIZE", default_value = "16KiB")]
    pub max_header_bytes: String,

    /// What a connection may send before it is read, and each of its calls (HTTP/2's windows)
    #[arg(long, env = "IAMD_WINDOW_BYTES", value_name = "SIZE", default_value = "1MiB")]
    pub window_bytes: String,

    /// Calls of one connection that were cancelled before they were looked at; more of them end the connection
    #[arg(long, env = "IAMD_MAX_PENDING_RESETS", value_name = "N", default_value = "20")]
    pub max_pending_resets: String,

    /// How long a peer may take nothing of what it is sent: then its call is cancelled, or its connection closed
    #[arg(long, env = "IAMD_WRITE_TIMEOUT", value_name = "DURATION", default_value = "20s")]
    pub write_timeout: String,

    /// How long a connection may be without calls; 0s: for ever
    #[arg(long, env = "IAMD_IDLE_TIMEOUT", value_name = "DURATION", default_value = "15m")]
    pub idle_timeout: String,

    /// How long a connection may be silent before the peer is asked whether it is still there
    #[arg(long, env = "IAMD_KEEPALIVE_INTERVAL", value_name = "DURATION", default_value = "1m")]
    pub keepalive_interval: String,

    /// How long the peer may take to answer that; then its connection is closed
    #[arg(long, env = "IAMD_KEEPALIVE_TIMEOUT", value_name = "DURATION", default_value = "20s")]
    pub keepalive_timeout: String,

    /// Age, give or take a tenth, at which a connection takes no more calls, so that clients connect again; 0s: none
    #[arg(long, env = "IAMD_MAX_CONNECTION_AGE", value_name = "DURATION", default_value = "0s")]
    pub max_connection_age: String,

    /// How long the calls of a connection that takes no more of them may go on; then they are cut off
    #[arg(long, env = "IAMD_MAX_CONNECTION_AGE_GRACE", value_name = "DURATION", default_value = "10s")]
    pub max_connection_age_grace: String,
}

/// What a connection may take, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Size of the headers of one call.
    pub header_bytes: u32,
    /// What it may send before it is read, and each of its calls.
    pub window_bytes: u32,
    /// Calls that were cancelled before they were looked at.
    pub pending_resets: usize,
    /// How long the peer may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// How long it may be without calls; None: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long it may be silent before the peer is asked.
    pub keepalive_interval: Duration,
    /// How long the peer may take to answer.
    pub keepalive_timeout: Duration,
    /// When it takes no more calls; None: never.
    pub age: Option<Duration>,
    /// How long its calls may go on then.
    pub grace: Duration,
}

impl Default for ConnectionLimits {
    /// The limits of a service whose flags say nothing.
    fn default() -> Self {
        Self {
            header_bytes: 16 << 10,
            window_bytes: 1 << 20,
            pending_resets: 20,
            write_timeout: Duration::from_secs(20),
            idle_timeout: Some(Duration::from_secs(15 * 60)),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            age: None,
            grace: Duration::from_secs(10),
        }
    }
}

impl ConnectionArgs {
    pub(super) fn check(&self, check: &mut Checker) -> ConnectionLimits {
        let instant = Duration::from_millis(1);
        let headers = check.size("--max-header-bytes", &self.max_header_bytes, 1 << 10..=1 << 20);
        // HTTP/2 counts windows in 31 bits, and they begin with 64 KiB.
        let window = check.size("--window-bytes", &self.window_bytes, 64 << 10..=1 << 30);
        ConnectionLimits {
            header_bytes: u32::try_from(headers).unwrap_or(u32::MAX),
            window_bytes: u32::try_from(window).unwrap_or(1 << 30),
            pending_resets: check.number("--max-pending-resets", &self.max_pending_resets, 1..=100_000),
            write_timeout: check.duration("--write-timeout", &self.write_timeout, instant),
            idle_timeout: unless_zero(check.duration("--idle-timeout", &self.idle_timeout, Duration::ZERO)),
            keepalive_interval: check.duration("--keepalive-interval", &self.keepalive_interval, instant),
            keepalive_timeout: check.duration("--keepalive-timeout", &self.keepalive_timeout, instant),
            age: unless_zero(check.duration("--max-connection-age", &self.max_connection_age, Duration::ZERO)),
            grace: check.duration("--max-connection-age-grace", &self.max_connection_age_grace, Duration::ZERO),
        }
    }
}

fn unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}
