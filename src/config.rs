//! What `iamd serve` is told: flags as written ([`ServeArgs`]) become a checked [`Config`], all problems at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::arn::AccountId;
use crate::directory::StoreOptions;

mod args;
mod connections;
mod decision_log;
mod levels;
pub mod otel;
mod overload;
mod parse;
pub mod san;
pub mod sockets;
pub mod tls;

pub use args::ServeArgs;
use args::{DEFAULT_CACHE_SIZE, DEFAULT_SESSION_POLICY_BYTES};
pub use connections::ConnectionLimits;
pub use decision_log::{DecisionLogArgs, DecisionLogOptions, LogFilter, LogTarget, MaskOptions, Rotation, WhenFull};
pub use otel::TraceOptions;
pub use overload::{MemoryLimit, Overload};
use parse::Checker;
pub(crate) use parse::{duration, switch};
pub use sockets::SocketOptions;
pub use tls::{TlsListener, TlsOptions, TlsVersion};

/// Everything that the service is told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The policy store's root.
    pub policies: PathBuf,
    /// How the store is read.
    pub store: StoreOptions,
    /// Where gRPC is served; at least one.
    pub listen: Vec<ListenAddress>,
    /// Where metrics, probes and status are served.
    pub admin_listen: SocketAddr,
    /// Who may connect to Unix sockets.
    pub unix_socket: SocketOptions,
    /// How gRPC speaks TLS over TCP; None: plaintext.
    pub tls: Option<TlsOptions>,
    /// How the admin listener speaks TLS; None: plaintext.
    pub admin_tls: Option<TlsOptions>,
    /// Bytes for remembered decisions; 0 turns the cache off.
    pub cache_bytes: usize,
    /// Whether nobody has said how many.
    pub cache_is_default: bool,
    /// How the store is watched.
    pub watch: WatchOptions,
    /// How the service stops.
    pub drain: DrainOptions,
    /// What it takes in at most.
    pub limits: Limits,
    /// Threads that serve; None: one per core.
    pub worker_threads: Option<usize>,
    /// Whether memory may be made of huge pages.
    pub huge_pages: bool,
    /// How it logs.
    pub log: LogOptions,
    /// How decisions are logged; None: not at all.
    pub decision_log: Option<DecisionLogOptions>,
    /// What whoever is to mend a value has to know of it.
    pub names: Names,
}

/// Flags by name, each with the variable that its value is from, if it is from one.
#[derive(Clone, Debug)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// As `--max-batch`, or as `--max-batch (IAMD_MAX_BATCH)`.
    pub fn of(&self, flag: &str) -> String {
        match self.0.get(flag) {
            Some(variable) => format!("{flag} ({variable})"),
            None => flag.to_owned(),
        }
    }
}

/// Where gRPC is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix domain socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether both cannot be listened on: one is the other, or all addresses with its port.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let covers = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
                // Link-local ones are of an interface.
                let is_shared = one == other || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip());
                one.port() == other.port() && one.port() != 0 && is_shared
            }
            // Without `.` and `//` in them.
            (Self::Unix(one), Self::Unix(other)) => one.components().eq(other.components()),
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How changes of the store are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// How often the content is compared, whatever the file system reports.
    pub poll_interval: Duration,
    /// How long the files must be quiet before they are read.
    pub debounce: Duration,
}

/// How the service stops. Both are counted from the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOptions {
    /// How long it still takes new connections, so that load balancers notice.
    pub delay: Duration,
    /// When the process ends, whatever peers do.
    pub timeout: Duration,
}

/// What the service takes in at most. Exceeding one is an error that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, over all listeners.
    pub connections: usize,
    /// Calls at a time on one connection.
    pub streams_per_connection: u32,
    /// Calls at a time, a held stream counts as one.
    pub in_flight: usize,
    /// How long a unary call may take.
    pub request_timeout: Duration,
    /// Size of one message.
    pub request_bytes: usize,
    /// What one request may hold.
    pub request: RequestLimits,
    /// What one connection may take.
    pub connection: ConnectionLimits,
    /// When there is too much to do.
    pub overload: Overload,
}

#[cfg(test)]
impl Limits {
    /// Which few tests reach.
    pub fn of_a_test() -> Self {
        Self {
            connections: 10,
            streams_per_connection: 1,
            in_flight: 1,
            request_timeout: Duration::ZERO,
            request_bytes: 1 << 20,
            request: RequestLimits::default(),
            connection: ConnectionLimits::default(),
            overload: Overload::default(),
        }
    }
}

/// What one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests in a batch.
    pub batch: usize,
    /// Condition keys in `context`.
    pub context_keys: usize,
    /// Values in `context`, over all keys.
    pub context_values: usize,
    /// Session policies.
    pub session_policies: usize,
    /// Bytes of all session policies together. AWS takes 2,048 characters and the ARNs of 10 managed policies, here given as
    /// text, of 6,144 each; its own longest policies have more than 100,000. What hurts most, ARNs full of wildcards,
    /// compiles at 5 MB/s into 125 times its size.
    pub session_policy_bytes: usize,
}

impl Default for RequestLimits {
    /// The limits of a service whose flags say nothing.
    fn default() -> Self {
        Self {
            batch: 1_000,
            context_keys: 256,
            context_values: 1_024,
            session_policies: 10,
            session_policy_bytes: 256 << 10,
        }
    }
}

/// How the service logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The form of a line.
    pub format: LogFormat,
    /// A level, or directives such as `info,iamd=debug`.
    pub filter: String,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// A flag that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the flag, with its dashes, and of the variable that its value is from; or of a variable that no flag has.
    pub flag: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flag, self.message)
    }
}

impl Config {
    /// Checks every flag and reports all that is wrong, in the order of the flags.
    pub fn check(args: &ServeArgs) -> Result<Self, Vec<Problem>> {
        let mut check = Checker::default();
        let store = store_options(args, &mut check);
        let listen = check.listen("--listen", &args.listen);
        let unix_socket = args.sockets.check(&listen, &mut check);
        let insecure = check.switch("--insecure-listen", &args.sockets.insecure_listen);
        let config = Self {
            policies: args.policies.clone(),
            store,
            listen,
            admin_listen: check.socket_address("--admin-listen", &args.admin_listen),
            unix_socket,
            tls: args.tls.grpc(&mut check),
            admin_tls: args.tls.admin(&mut check),
            cache_bytes: check.size("--cache-size", &args.cache_size, 0..=most_cache_bytes()),
            cache_is_default: args.cache_size == DEFAULT_CACHE_SIZE,
            watch: watch_options(args, &mut check),
            drain: drain_options(args, &mut check),
            limits: limits(args, &mut check),
            worker_threads: args.worker_threads.as_deref().map(|text| check.number("--worker-threads", text, 1..=1024)),
            huge_pages: check.switch("--huge-pages", &args.huge_pages),
            log: LogOptions {
                format: check.log_format("--log-format", &args.log_format),
                filter: check.log_filter("--log-level", &args.log_level),
            },
            decision_log: decision_log::check(&args.decision_log, &mut check),
            names: Names(args.variables.clone()),
        };
        let admin = ListenAddress::Tcp(config.admin_listen);
        if let Some(taken) = config.listen.iter().find(|address| address.overlaps(&admin)) {
            let same = if *taken == admin { String::new() } else { format!(", as `{taken}`") };
            let message = format!("`{admin}` is also in --listen{same}; metrics and status need a port of their own");
            check.problem("--admin-listen", message);
        }
        config.check_sizes(args, &mut check);
        config.check_exposed(insecure, &mut check);
        config.check_tls_is_used(&mut check);
        let names = config.names.clone();
        let named = |problem: Problem| Problem { flag: names.of(&problem.flag), ..problem };
        check.finish(config).map_err(|problems| problems.into_iter().map(named).collect())
    }

    /// The cache's budget where so many bytes of memory may be used (0: any). The default is made for a sidecar of 256 MiB: in a smaller
    /// one, what is remembered would fill the memory in time, and every call would be refused until the policies change.
    pub fn cache_bytes_within(&self, memory_limit: u64) -> usize {
        let most = usize::try_from(cache_share(memory_limit)).unwrap_or(usize::MAX);
        if self.cache_is_default && memory_limit > 0 { self.cache_bytes.min(most) } else { self.cache_bytes }
    }

    /// The queue of the decision log, likewise: with a reader that is stuck it is full, and calls go on.
    pub fn queue_bytes_within(&self, memory_limit: u64) -> usize {
        self.decision_log.as_ref().map_or(0, |log| log.within(memory_limit).queue_bytes)
    }

    /// What would be written in its place, if a cache's size was written that leaves too little of so much memory (0: any). Tight memory takes
    /// nothing from the cache, only the next snapshot does: until then calls would be refused. What a default takes is never too large.
    pub fn cache_is_too_large(&self, memory_limit: u64) -> Option<u64> {
        let room = self.room(memory_limit).saturating_sub(self.queue_bytes_within(memory_limit) as u64);
        // Session policies take a quarter as much besides: see `engine::sessions`.
        let most = (room / 5 * 4).max(cache_share(memory_limit));
        (self.cache_bytes_within(memory_limit) as u64 > most).then_some(most)
    }

    /// The same of the queue of the decision log.
    pub fn queue_is_too_large(&self, memory_limit: u64) -> Option<u64> {
        let room = self.room(memory_limit).saturating_sub(self.cache_bytes_within(memory_limit) as u64 / 4 * 5);
        let most = room.max(DecisionLogOptions::queue_share(memory_limit));
        (self.queue_bytes_within(memory_limit) as u64 > most).then_some(most)
    }

    /// For what only grows, below the mark from which on calls are refused; 0: there is none.
    fn room(&self, memory_limit: u64) -> u64 {
        if memory_limit == 0 {
            return u64::MAX;
        }
        let mark = memory_limit / 100 * u64::from(self.limits.overload.memory_high);
        mark.saturating_sub(LEAST_BESIDES)
    }

    /// Sizes that leave no room for each other. A default that does not fit beside what is written is no contradiction: where
    /// messages are short, policies in them are; and few callers fill a cache.
    fn check_sizes(&self, args: &ServeArgs, check: &mut Checker) {
        let Limits { request_bytes, request, .. } = &self.limits;
        let policies = &args.max_session_policy_bytes;
        let both = ["--max-session-policy-bytes", "--max-request-bytes"];
        let written = policies != DEFAULT_SESSION_POLICY_BYTES && both.iter().all(|flag| check.is_clean(flag));
        if written && request.session_policy_bytes > *request_bytes {
            let message = format!(
                "`{policies}` is more than --max-request-bytes (`{}`), and session policies are a part of the message; \
                 lower it, or raise the other",
                args.max_request_bytes
            );
            check.problem("--max-session-policy-bytes", message);
        }
        self.check_room(args, check);
    }

    fn check_room(&self, args: &ServeArgs, check: &mut Checker) {
        let Overload { memory: MemoryLimit::Bytes(limit), memory_high, .. } = self.limits.overload else { return };
        let flags = ["--cache-size", "--decision-log-queue", "--memory-limit", "--memory-high"];
        if !flags.iter().all(|flag| check.is_clean(flag)) {
            return;
        }
        let below = format!(
            "less than 16 MiB for all else below {memory_high} % of --memory-limit (`{}`)",
            args.overload.memory_limit
        );
        if let Some(most) = self.cache_is_too_large(limit) {
            let message = format!(
                "`{}`, and a quarter of it for session policies, leave {below}: with a full cache calls would be refused; write \
                 `{}` at most, or raise the other",
                args.cache_size,
                size_text(most)
            );
            check.problem("--cache-size", message);
        } else if let Some(most) = self.queue_is_too_large(limit) {
            let message = format!(
                "`{}` leaves, beside the cache, {below}: with a full queue calls would be refused; write `{}` at most, or \
                 raise the other",
                args.decision_log.decision_log_queue.as_deref().unwrap_or_default(),
                size_text(most)
            );
            check.problem("--decision-log-queue", message);
        }
    }
}

/// Whether this can be the name of a partition of AWS, such as `aws-cn`.
pub fn is_partition(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.starts_with("aws") && text.bytes().all(word)
}

/// The process with a small store.
const LEAST_BESIDES: u64 = 16 << 20;

/// Of so much memory, what a cache takes by default at most.
fn cache_share(memory_limit: u64) -> u64 {
    memory_limit / 4
}

/// A size as flags take it, no larger than it is.
fn size_text(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{}KiB", bytes >> 10),
        mib => format!("{mib}MiB"),
    }
}

/// 64 GiB, for which the cache's directory of its table takes 4 to 6 MiB; beyond, that alone would be felt.
fn most_cache_bytes() -> usize {
    usize::try_from(64_u64 << 30).unwrap_or(usize::MAX)
}

fn store_options(args: &ServeArgs, check: &mut Checker) -> StoreOptions {
    StoreOptions {
        account_id: args.account_id.as_deref().and_then(|text| check.account("--account-id", text)),
        partition: check.partition("--partition", &args.partition),
        strict: check.switch("--strict", &args.strict),
    }
}

fn watch_options(args: &ServeArgs, check: &mut Checker) -> WatchOptions {
    let tick = Duration::from_millis(10);
    WatchOptions {
        poll_interval: check.duration("--poll-interval", &args.poll_interval, tick),
        debounce: check.duration("--debounce", &args.debounce, Duration::ZERO),
    }
}

fn drain_options(args: &ServeArgs, check: &mut Checker) -> DrainOptions {
    let delay = check.duration("--drain-delay", &args.drain_delay, Duration::ZERO);
    let timeout = check.duration("--drain-timeout", &args.drain_timeout, Duration::ZERO);
    if check.is_clean("--drain-delay") && check.is_clean("--drain-timeout") && timeout < delay {
        let message = format!(
            "`{}` is shorter than --drain-delay (`{}`); both are counted from the signal",
            args.drain_timeout, args.drain_delay
        );
        check.problem("--drain-timeout", message);
    }
    DrainOptions { delay, timeout }
}

fn limits(args: &ServeArgs, check: &mut Checker) -> Limits {
    // A gRPC message carries its length in 32 bits; a gibibyte leaves room on every platform.
    let message_bytes = 1024..=1 << 30;
    let instant = Duration::from_millis(1);
    Limits {
        connections: check.number("--max-connections", &args.max_connections, 1..=1_000_000),
        streams_per_connection: check.number(
            "--max-streams-per-connection",
            &args.max_streams_per_connection,
            1..=1_000_000,
        ),
        in_flight: check.number("--max-in-flight", &args.max_in_flight, 1..=1_000_000),
        request_timeout: check.duration("--request-timeout", &args.request_timeout, instant),
        request_bytes: check.size("--max-request-bytes", &args.max_request_bytes, message_bytes),
        request: RequestLimits {
            batch: check.number("--max-batch", &args.max_batch, 1..=1_000_000),
            context_keys: check.number("--max-context-keys", &args.max_context_keys, 0..=100_000),
            context_values: check.number("--max-context-values", &args.max_context_values, 0..=1_000_000),
            session_policies: check.number("--max-session-policies", &args.max_session_policies, 0..=1_000),
            session_policy_bytes: check.size("--max-session-policy-bytes", &args.max_session_policy_bytes, 0..=1 << 30),
        },
        connection: args.connections.check(check),
        overload: args.overload.check(check),
    }
}

#[cfg(test)]
mod tests;
