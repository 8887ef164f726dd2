//! `iamd serve`: the service, from its flags to its end.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::runtime::{Builder, Runtime};

use super::report::Terminal;
use super::{USAGE_ERROR, complain, environment, huge_pages, store};
pub use crate::config::ServeArgs;
use crate::config::{Config, TraceOptions, otel};
use crate::decision_log::DecisionLog;
use crate::engine::Engine;
use crate::finding::{Finding, io_words};
use crate::metrics::Metrics;
use crate::regular;
use crate::reload::{self, LastReload, ReloadHandle, ReloadOptions};
use crate::server::incoming::{Incoming, Listener, bind_tcp};
use crate::server::shutdown::{self, Drained, Hangups, StopSignals};
use crate::server::{self, State, admin, workers};
use crate::telemetry::{self, traces::Traces};
use crate::tls::{self, Endpoints, TlsError};

/// Serves until a signal ends it. Exit code 0 after a clean stop, 1 if it could not start or run, 2 for wrong flags.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: ServeArgs) -> ExitCode {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let of_probes = environment::of_service(is_set, args.tls.tls_client_ca.is_some());
    let (config, tracing) = match (Config::check(&args), otel::check(|name| std::env::var_os(name)), &of_probes) {
        (Ok(config), Ok(tracing), None) => (config, tracing),
        (config, tracing, _) => {
            config.err().into_iter().chain(tracing.err()).flatten().for_each(complain);
            of_probes.iter().for_each(complain);
            return ExitCode::from(USAGE_ERROR);
        }
    };
    telemetry::init(&config.log);
    if let Err(error) = huge_pages::set(config.huge_pages) {
        tracing::warn!(%error, "huge pages cannot be turned on or off: resident memory is as the kernel makes it");
    }
    let outcome = runtime().map_err(|error| format!("cannot start threads: {error}")).and_then(|runtime| {
        let outcome = runtime.block_on(serve(&config, tracing.as_ref()));
        // Drops what peers still hold open, the files of sockets with it; only a thread that hangs is left behind.
        runtime.shutdown_timeout(Duration::from_millis(250));
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(message);
            ExitCode::FAILURE
        }
    }
}

/// When calls have taken all the time there was, the decision log is still given so long.
const LEAST_LOG_END: Duration = Duration::from_millis(100);

/// Threads for what may wait for a disk: the first load, certificates, metrics. As many as that, so that none waits for another
/// whose disk hangs; and no more, however many ask for metrics.
const MOST_WAITING: usize = 4;

/// For everything but calls: those are served by threads of their own.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().thread_name("iamd").max_blocking_threads(MOST_WAITING).enable_all().build()
}

/// Serves, and ends the decision log whatever came of that. The error is for people.
async fn serve(config: &Config, tracing: Option<&TraceOptions>) -> Result<(), String> {
    let threads = config.worker_threads.unwrap_or_else(workers::default_count);
    secret_can_be_read(config)?;
    let state = State::new(&config.limits, Arc::new(Metrics::new()));
    let memory_limit = state.memory.limit();
    let log = config.decision_log.as_ref().map(|options| DecisionLog::open(&options.within(memory_limit), threads));
    let log = log.transpose()?;
    let served = serve_logged(config, tracing, threads, state.with_decision_log(log.clone())).await;
    let soon = Instant::now() + LEAST_LOG_END;
    let (deadline, traces) = served.as_ref().map_or((soon, None), |end| (end.deadline.max(soon), end.traces.as_ref()));
    log.iter().for_each(|log| log.stop(deadline));
    traces.iter().for_each(|traces| traces.stop(deadline));
    served.map(drop)
}

/// How serving ended.
struct End {
    /// Until when what is left is written and sent.
    deadline: Instant,
    traces: Option<Arc<Traces>>,
}

/// Binds, loads, serves, drains. The error is for people.
async fn serve_logged(
    config: &Config,
    tracing: Option<&TraceOptions>,
    threads: usize,
    mut state: State,
) -> Result<End, String> {
    let no_signals = |error| format!("cannot listen for signals: {error}");
    let mut signals = StopSignals::listen().map_err(no_signals)?;
    let hangups = Hangups::listen().map_err(no_signals)?;
    state.tls = certificates(config)?;
    state.traces = tracing.map(traces).transpose()?;
    let state = Arc::new(state);
    there_is_a_directory(config)?;
    let listeners = bind(config).await?;
    let admin_listener = bind_tcp(config.admin_listen).await.map_err(|error| error.to_string())?;
    let admin_address = admin_listener.local_addr().map_err(|error| error.to_string())?;
    let _admin = admin::serve(admin_listener, Arc::clone(&state));

    let loading_since = Instant::now();
    let engine = tokio::select! {
        loaded = load(config, state.memory.limit()) => loaded?,
        _ = signals.next() => return Ok(End { deadline: Instant::now(), traces: state.traces.clone() }),
    };
    let reloading = start_reloading(config, &engine, loading_since, Arc::clone(&state.metrics))?;
    let reload = Arc::clone(&reloading.status);
    let keeping = keep_certificates(config, &state);
    let logged = state.decision_log.clone();
    hangups.forward(move || {
        reloading.wake();
        keeping.wake();
        logged.iter().for_each(|log| log.reopen());
    });

    let grpc: Vec<String> = listeners.iter().map(Listener::address).collect();
    let incoming = Incoming::new(listeners, Arc::clone(&state));
    let mut running = server::serve(&state, &engine, &config.limits, threads, incoming).await?;
    state.decision_log.iter().try_for_each(|log| log.begin())?;
    state.activate(engine, reload);
    tracing::info!(grpc = grpc.join(","), admin = %admin_address, threads, version = env!("CARGO_PKG_VERSION"), "serving");
    tell_manager(NotifyState::Ready);

    tokio::select! {
        name = signals.next() => tracing::info!(signal = name, "asked to stop"),
        ended = running.ended() => return Err(format!("gRPC ended by itself: {ended:?}")),
    }
    tell_manager(NotifyState::Stopping);
    let deadline = Instant::now() + config.drain.timeout;
    let deadline = match shutdown::drain(&state, running, &mut signals, config.drain).await {
        Drained::InTime => deadline,
        Drained::AtOnce => Instant::now(),
    };
    Ok(End { deadline, traces: state.traces.clone() })
}

/// For systemd, where it started the process and waits for that (`Type=notify`).
fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(error = io_words(&error), "cannot tell the service manager, which NOTIFY_SOCKET names");
    }
}

/// What is in it the decision log says; a pipe it would wait for without end.
fn secret_can_be_read(config: &Config) -> Result<(), String> {
    let Some(path) = config.decision_log.as_ref().and_then(|log| log.masks.hash_key_file.as_ref()) else {
        return Ok(());
    };
    match regular::open(path) {
        Err(error) if regular::is_other(&error) => {
            let path = path.display();
            let flag = config.names.of("--decision-log-hash-key-file");
            Err(format!("{flag}: {path}: {error}\n  hint: {}", regular::HINT))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What TLS needs, if it is wanted; before any port is open.
fn certificates(config: &Config) -> Result<Endpoints, String> {
    let line = |error: &TlsError| match config.flag_of(Path::new(&error.file)) {
        Some(flag) => format!("{}: {error}", config.names.of(flag)),
        None => error.to_string(),
    };
    let lines = |errors: Vec<TlsError>| errors.iter().map(line).collect::<Vec<_>>().join("\nerror: ");
    let endpoints = Endpoints::load(config).map_err(lines)?;
    for (listener, address) in config.exposed() {
        let listener = listener.as_str();
        tracing::warn!(target: telemetry::ALWAYS, listener, %address, "no TLS beyond loopback, as --insecure-listen allows: others can read along");
    }
    Ok(endpoints)
}

/// What sends spans, with what its TLS needs; before any port is open.
fn traces(options: &TraceOptions) -> Result<Arc<Traces>, String> {
    let has_tls = options.endpoint.scheme() == Some(&http::uri::Scheme::HTTPS);
    let named = |error: TlsError| match otel::variable_of(Path::new(&error.file), |name| std::env::var_os(name)) {
        Some(variable) => format!("{variable}: {error}"),
        None => error.to_string(),
    };
    let tls = has_tls.then(|| tls::collector(&options.tls)).transpose().map_err(named)?;
    let traces = Traces::start(options, tls).map_err(|error| match (has_tls, &options.tls.ca) {
        (true, None) => format!("{error}\n  hint: a system without certificates wants OTEL_EXPORTER_OTLP_CERTIFICATE"),
        _ => error,
    })?;
    tracing::info!(collector = %options.endpoint, "calls are traced");
    Ok(Arc::new(traces))
}

fn keep_certificates(config: &Config, state: &State) -> tls::Keeping {
    let metrics = Arc::clone(&state.metrics);
    let options = tls::Options { poll_interval: config.watch.poll_interval, debounce: config.watch.debounce };
    tls::keep(&state.tls, options, move |at, result| metrics.tls_reload_finished(at.listener, result))
}

/// What is in it is read when probes are answered already, since that can take a while.
fn there_is_a_directory(config: &Config) -> Result<(), String> {
    let (flag, hint) = (config.names.of("--policies"), "is the path right, and the volume mounted?");
    let complaint = |what| format!("{flag}: {}: {what}\n  hint: {hint}", config.policies.display());
    reload::source::is_directory(&config.policies).map_err(complaint)
}

async fn bind(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::with_capacity(config.listen.len());
    for address in &config.listen {
        listeners.push(Listener::bind(address, &config.unix_socket).await.map_err(|error| error.to_string())?);
    }
    Ok(listeners)
}

/// The engine with its first snapshot, loaded off the serving threads; everything that is wrong with the store is said.
async fn load(config: &Config, memory_limit: u64) -> Result<Arc<Engine>, String> {
    let (directory, options) = (config.policies.clone(), config.store.clone());
    let loading = tokio::task::spawn_blocking(move || reload::load_once(&directory, &options));
    let loaded = loading.await.map_err(|error| error.to_string())?.map_err(|findings| refused(config, &findings))?;
    let hint = "calls would be refused; hint: lower it, or raise the limit of the cgroup";
    if let Some(most) = config.cache_is_too_large(memory_limit) {
        let cache_size = config.cache_bytes;
        tracing::warn!(cache_size, memory_limit, most, "a full cache leaves too little memory: {hint}");
    } else if let Some(most) = config.queue_is_too_large(memory_limit) {
        let queue = config.queue_bytes_within(memory_limit);
        tracing::warn!(queue, memory_limit, most, "a full queue of the decision log leaves too little memory: {hint}");
    }
    Ok(Arc::new(Engine::new(loaded, config.cache_bytes_within(memory_limit))))
}

fn refused(config: &Config, findings: &[Finding]) -> String {
    store::refused(&config.policies, findings, &mut Terminal::new())
}

/// Keeps the engine's snapshot up to date, and metrics with it.
fn start_reloading(
    config: &Config,
    engine: &Arc<Engine>,
    loading_since: Instant,
    metrics: Arc<Metrics>,
) -> Result<ReloadHandle, String> {
    let options = ReloadOptions {
        directory: config.policies.clone(),
        store: config.store.clone(),
        poll_interval: config.watch.poll_interval,
        debounce: config.watch.debounce,
    };
    metrics.polls_every(options.poll_interval);
    let reloaded = move |reload: &LastReload| metrics.reload_finished(reload);
    reload::start(Arc::clone(engine), loading_since, options, reloaded)
        .map_err(|error| format!("cannot start reloading: {error}"))
}
