//! Spans on their way to a collector, by OpenTelemetry's protocol over gRPC.
//!
//! The SDK makes spans, gathers them and sends them in batches, all off the threads that serve: those only put what has
//! ended into a queue, if there is room. What the SDK does not tell is added here: what became of every span.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanContext, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Compression, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanLimits,
};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::config::otel::{self, TraceOptions};

mod counted;

pub use counted::Reading;
use counted::{Bounded, Counts, Watched};

/// How long the last spans may take at the end. A collector that works takes them in milliseconds; one that hangs must not
/// make an operator wait.
const MOST_END: Duration = Duration::from_secs(2);

/// When calls have taken all the time there was, spans are still given so long.
const LEAST_END: Duration = Duration::from_millis(100);

/// A collector that vanished without a word is found out while a batch waits for it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Makes spans, and sends them.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    counts: Arc<Counts>,
    /// Whether the context of callers counts.
    pub takes_context: bool,
    /// Ends the exporter's runtime when it is dropped.
    _runtime: oneshot::Sender<()>,
}

impl Traces {
    /// With a runtime of its own. Connects when there is something to send. The error is for people.
    pub fn start(options: &TraceOptions, tls: Option<ClientTlsConfig>) -> Result<Self, String> {
        let (runtime, alive) = runtime().map_err(|error| format!("cannot start threads: {error}"))?;
        let exporter = {
            let _entered = runtime.enter();
            exporter(options, tls).map_err(|error| format!("cannot send traces to `{}`: {error}", options.endpoint))?
        };
        let counts = Arc::new(Counts::default());
        let exporter = Watched::new(exporter, Arc::clone(&counts), options.timeout, runtime);
        let queue = BatchSpanProcessor::new(exporter, batches(options.batch));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(options))
            .with_sampler(sampler(options.sampler))
            // A span is as it is made here: few attributes, all short.
            .with_span_limits(SpanLimits::default())
            .with_span_processor(Bounded::new(queue, Arc::clone(&counts), options.batch.queue))
            .build();
        let scope = InstrumentationScope::builder("iamd").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        Ok(Self { tracer, provider, counts, takes_context: options.takes_context, _runtime: alive })
    }

    /// The span of a call that begins; None if it is not to be traced.
    pub fn begin(&self, builder: SpanBuilder, caller: Option<SpanContext>) -> Option<Span> {
        let context = Context::new();
        let context = match caller {
            Some(caller) => context.with_remote_span_context(caller),
            None => context,
        };
        Some(self.tracer.build_with_context(builder, &context)).filter(|span| span.is_recording())
    }

    /// What became of spans so far.
    pub fn reading(&self) -> Reading {
        self.counts.reading()
    }

    /// Sends what there still is, until then, or as long as that is sensible.
    pub fn stop(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.provider.shutdown_with_timeout(left.clamp(LEAST_END, MOST_END)).is_err() {
            let Reading { exported, waiting, .. } = self.reading();
            tracing::warn!(exported, waiting, "stopped before the collector had taken all spans");
        }
    }
}

/// A thread for the connection to the collector, until the sender is dropped.
fn runtime() -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (alive, end) = oneshot::channel();
    thread::Builder::new().name("iamd-traces".to_owned()).spawn(move || drop(runtime.block_on(end)))?;
    Ok((handle, alive))
}

fn exporter(options: &TraceOptions, tls: Option<ClientTlsConfig>) -> Result<SpanExporter, String> {
    let channel = channel(options, tls).map_err(|error| error.source().unwrap_or(&error).to_string())?;
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(options.timeout)
        .with_metadata(MetadataMap::from_headers(options.headers.clone()));
    if options.compress {
        exporter = exporter.with_compression(Compression::Gzip);
    }
    exporter.build().map_err(|error| error.to_string())
}

/// Nothing on the way may take longer than a batch may: the exporter's own channel would wait for a handshake without end.
fn channel(options: &TraceOptions, tls: Option<ClientTlsConfig>) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from(options.endpoint.clone())
        .connect_timeout(options.timeout)
        .timeout(options.timeout)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.timeout(options.timeout))?;
    }
    Ok(endpoint.connect_lazy())
}

fn batches(options: otel::BatchOptions) -> opentelemetry_sdk::trace::BatchConfig {
    BatchConfigBuilder::default()
        .with_max_queue_size(options.queue)
        .with_max_export_batch_size(options.size)
        .with_scheduled_delay(options.delay)
        .build()
}

fn resource(options: &TraceOptions) -> Resource {
    let attributes = options.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector)).with_attributes(attributes).build()
}

fn sampler(options: otel::Sampler) -> Sampler {
    let root = match options.ratio {
        1.0 => Sampler::AlwaysOn,
        0.0 => Sampler::AlwaysOff,
        ratio => Sampler::TraceIdRatioBased(ratio),
    };
    if options.parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
}
