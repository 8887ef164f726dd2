//! The flags of `iamd serve`, as written. Numbers, sizes, durations and switches stay text here, so that
//! [`super::Config::check`] can report everything that is wrong with them at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ArgAction;
use clap::builder::StringValueParser;

use super::connections::ConnectionArgs;
use super::overload::OverloadArgs;
use super::sockets::SocketArgs;
use super::tls::TlsArgs;

/// Who writes nothing has asked for nothing that could contradict another flag.
pub(super) const DEFAULT_CACHE_SIZE: &str = "64MiB";
pub(super) const DEFAULT_SESSION_POLICY_BYTES: &str = "256KiB";

/// Serve decisions over gRPC.
#[derive(clap::Args, Clone, Debug)]
pub struct ServeArgs {
    /// Directory of the policy store: AWS's own JSON, in any depth
    #[arg(long, env = "IAMD_POLICIES", value_name = "DIR")]
    pub policies: PathBuf,

    /// Account of users, roles and policies whose ARN and folder name none
    #[arg(long, env = "IAMD_ACCOUNT_ID", value_name = "ID")]
    pub account_id: Option<String>,

    /// Partition of the ARNs that are built
    #[arg(long, env = "IAMD_PARTITION", value_name = "NAME", default_value = "aws")]
    pub partition: String,

    /// Refuse a policy store that has warnings
    #[arg(long, env = "IAMD_STRICT", action = ArgAction::SetTrue, value_parser = StringValueParser::new())]
    pub strict: String,

    /// Where gRPC is served: IP:PORT or unix:/PATH; repeat for several
    #[arg(
        long,
        env = "IAMD_LISTEN",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1:50051",
        help_heading = "Listeners"
    )]
    pub listen: Vec<String>,

    /// Where /metrics, /livez, /readyz and /status are served, over HTTP
    #[arg(
        long,
        env = "IAMD_ADMIN_LISTEN",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:9090",
        help_heading = "Listeners"
    )]
    pub admin_listen: String,

    /// Who may connect without TLS.
    #[command(flatten)]
    pub sockets: SocketArgs,

    /// Transport security.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Memory for remembered decisions; 0 turns the cache off. By default a quarter of the memory limit, if that is less
    #[arg(long, env = "IAMD_CACHE_SIZE", value_name = "SIZE", default_value = DEFAULT_CACHE_SIZE)]
    pub cache_size: String,

    /// Threads that serve [default: one per core that its CPU quota and affinity leave]
    #[arg(long, env = "IAMD_WORKER_THREADS", value_name = "N")]
    pub worker_threads: Option<String>,

    /// Let memory be made of huge pages (Linux): stores of hundreds of megabytes are a little quicker, small ones take twice as much
    #[arg(long, env = "IAMD_HUGE_PAGES", action = ArgAction::SetTrue, value_parser = StringValueParser::new())]
    pub huge_pages: String,

    /// How often the store is looked at, whatever the file system reports
    #[arg(long, env = "IAMD_POLL_INTERVAL", value_name = "DURATION", default_value = "5s", help_heading = "Reload")]
    pub poll_interval: String,

    /// How long files must be quiet before they are read
    #[arg(long, env = "IAMD_DEBOUNCE", value_name = "DURATION", default_value = "100ms", help_heading = "Reload")]
    pub debounce: String,

    /// After SIGTERM: how long new connections are still taken, so that load balancers notice
    #[arg(long, env = "IAMD_DRAIN_DELAY", value_name = "DURATION", default_value = "5s", help_heading = "Stopping")]
    pub drain_delay: String,

    /// After SIGTERM: when the process ends, whatever peers do
    #[arg(long, env = "IAMD_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s", help_heading = "Stopping")]
    pub drain_timeout: String,

    /// How long a unary call may take; a shorter deadline of the client counts
    #[arg(long, env = "IAMD_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "1s", help_heading = "Limits")]
    pub request_timeout: String,

    /// Size of one message
    #[arg(long, env = "IAMD_MAX_REQUEST_BYTES", value_name = "SIZE", default_value = "1MiB", help_heading = "Limits")]
    pub max_request_bytes: String,

    /// Requests in one batch
    #[arg(long, env = "IAMD_MAX_BATCH", value_name = "N", default_value = "1000", help_heading = "Limits")]
    pub max_batch: String,

    /// Connections at a time, over all listeners; more are closed at once
    #[arg(long, env = "IAMD_MAX_CONNECTIONS", value_name = "N", default_value = "1024", help_heading = "Limits")]
    pub max_connections: String,

    /// Calls at a time on one connection; the client waits with more
    #[arg(
        long,
        env = "IAMD_MAX_STREAMS_PER_CONNECTION",
        value_name = "N",
        default_value = "128",
        help_heading = "Limits"
    )]
    pub max_streams_per_connection: String,

    /// Calls at a time, a held stream counts as one; more are refused at once
    #[arg(long, env = "IAMD_MAX_IN_FLIGHT", value_name = "N", default_value = "4096", help_heading = "Limits")]
    pub max_in_flight: String,

    /// Condition keys in one request
    #[arg(long, env = "IAMD_MAX_CONTEXT_KEYS", value_name = "N", default_value = "256", help_heading = "Limits")]
    pub max_context_keys: String,

    /// Values of condition keys in one request
    #[arg(long, env = "IAMD_MAX_CONTEXT_VALUES", value_name = "N", default_value = "1024", help_heading = "Limits")]
    pub max_context_values: String,

    /// Session policies in one request
    #[arg(long, env = "IAMD_MAX_SESSION_POLICIES", value_name = "N", default_value = "10", help_heading = "Limits")]
    pub max_session_policies: String,

    /// Size of the session policies of one request, together
    #[arg(
        long,
        env = "IAMD_MAX_SESSION_POLICY_BYTES",
        value_name = "SIZE",
        default_value = DEFAULT_SESSION_POLICY_BYTES,
        help_heading = "Limits"
    )]
    pub max_session_policy_bytes: String,

    /// What a connection may take.
    #[command(flatten)]
    pub connections: ConnectionArgs,

    /// When there is too much to do.
    #[command(flatten)]
    pub overload: OverloadArgs,

    /// Form of the log on stderr: text, json, or auto (text on a terminal, else json)
    #[arg(long, env = "IAMD_LOG_FORMAT", value_name = "FORMAT", default_value = "auto", help_heading = "Logging")]
    pub log_format: String,

    /// Level of the log: error, warn, info, debug, trace, or directives such as `info,iamd=debug`
    #[arg(long, env = "IAMD_LOG_LEVEL", value_name = "LEVEL", default_value = "info", help_heading = "Logging")]
    pub log_level: String,

    /// The decision log.
    #[command(flatten)]
    pub decision_log: super::DecisionLogArgs,

    /// The variables that values are from, by the flags whose values they are
    #[arg(skip)]
    pub variables: BTreeMap<String, String>,
}
