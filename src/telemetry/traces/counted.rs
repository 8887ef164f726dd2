//! What became of every span: around the SDK's queue, and around its exporter.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::runtime::Handle;

/// A collector that is away is away for long, and batches are many.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Written by the threads that serve and the one that exports; read by scrapes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Spans in the SDK's queue, and those that are about to be.
    waiting: AtomicUsize,
    exported: AtomicU64,
    queue_full: AtomicU64,
    export_failed: AtomicU64,
}

/// What became of spans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The collector has taken them.
    pub exported: u64,
    /// There was no room for them.
    pub queue_full: u64,
    /// The collector did not take them.
    pub export_failed: u64,
    /// In the queue.
    pub waiting: usize,
}

impl Counts {
    pub(super) fn reading(&self) -> Reading {
        Reading {
            exported: self.exported.load(Ordering::Relaxed),
            queue_full: self.queue_full.load(Ordering::Relaxed),
            export_failed: self.export_failed.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// The SDK's queue. It drops what it has no room for, and tells nobody; so it is never asked to.
#[derive(Debug)]
pub(super) struct Bounded<Q> {
    queue: Q,
    counts: Arc<Counts>,
    most: usize,
}

impl<Q> Bounded<Q> {
    pub(super) fn new(queue: Q, counts: Arc<Counts>, most: usize) -> Self {
        Self { queue, counts, most }
    }
}

impl<Q: SpanProcessor> SpanProcessor for Bounded<Q> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // INVARIANT: `waiting` is at least what is in the queue: it grows before a span is put in, and falls after spans
        // were taken out. So there is room.
        if self.counts.waiting.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.counts.waiting.fetch_sub(1, Ordering::AcqRel);
            self.counts.queue_full.fetch_add(1, Ordering::Relaxed);
        } else {
            self.queue.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// The exporter; says what goes wrong, but not each time.
#[derive(Debug)]
pub(super) struct Watched<E> {
    exporter: E,
    counts: Arc<Counts>,
    /// For one batch. The exporter looks at its own only between attempts.
    timeout: Duration,
    runtime: Handle,
    /// Of the thread that exports alone.
    said: Mutex<Said>,
}

/// What the log knows.
#[derive(Debug, Default)]
struct Said {
    /// When it last heard of a fault; None: all is well.
    fault: Option<Instant>,
    /// Spans that were dropped by the end of the last batch.
    dropped: u64,
}

impl<E> Watched<E> {
    pub(super) fn new(exporter: E, counts: Arc<Counts>, timeout: Duration, runtime: Handle) -> Self {
        Self { exporter, counts, timeout, runtime, said: Mutex::default() }
    }

    /// A fault is said at once and then each minute, an error as well as spans for which there was no room; that all is
    /// well again, once.
    fn say(&self, result: &OTelSdkResult) {
        let Reading { queue_full, export_failed, .. } = self.counts.reading();
        let dropped = queue_full + export_failed;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_well = result.is_ok() && dropped == said.dropped;
        said.dropped = dropped;
        if said.fault.is_some_and(|fault| fault.elapsed() < SAY_AGAIN) || is_well && said.fault.is_none() {
            return;
        }
        said.fault = (!is_well).then(Instant::now);
        match result {
            Ok(()) if is_well => tracing::info!(dropped, "the collector takes all spans again"),
            Ok(()) => tracing::warn!(dropped, "spans are lost: they come faster than the collector takes them"),
            Err(error) => tracing::warn!(dropped, %error, "spans are lost: the collector does not take them"),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.waiting.fetch_sub(spans, Ordering::AcqRel);
        let exporting = {
            // It has the clock; the SDK's thread has none.
            let _entered = self.runtime.enter();
            tokio::time::timeout(self.timeout, self.exporter.export(batch))
        };
        let result = exporting.await.unwrap_or(Err(OTelSdkError::Timeout(self.timeout)));
        let counter = if result.is_ok() { &self.counts.exported } else { &self.counts.export_failed };
        counter.fetch_add(spans as u64, Ordering::Relaxed);
        self.say(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::super::runtime;
    use super::*;

    /// As simple as can be.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut future = std::pin::pin!(future);
        loop {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
                return value;
            }
            std::thread::park();
        }
    }

    /// A queue that keeps what it gets.
    #[derive(Debug, Default)]
    struct Kept(Arc<AtomicUsize>);

    impl SpanProcessor for Kept {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, _: SpanData) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// Takes batches of even length, and never says anything of three.
    #[derive(Debug, Default)]
    struct Picky;

    impl SpanExporter for Picky {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let even = batch.len().is_multiple_of(2);
            if batch.len() == 3 {
                std::future::pending::<()>().await;
            }
            even.then_some(()).ok_or_else(|| OTelSdkError::InternalFailure("odd".to_owned()))
        }
    }

    fn spans(count: usize) -> Vec<SpanData> {
        use opentelemetry::trace::{Tracer as _, TracerProvider as _};
        let made = Arc::new(Mutex::new(Vec::new()));
        #[derive(Debug)]
        struct Taken(Arc<Mutex<Vec<SpanData>>>);
        impl SpanProcessor for Taken {
            fn on_start(&self, _: &mut Span, _: &Context) {}
            fn on_end(&self, span: SpanData) {
                self.0.lock().unwrap().push(span);
            }
            fn force_flush(&self) -> OTelSdkResult {
                Ok(())
            }
            fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
                Ok(())
            }
        }
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder();
        let tracer = provider.with_span_processor(Taken(Arc::clone(&made))).build().tracer("test");
        (0..count).for_each(|_| drop(tracer.start("span")));
        std::mem::take(&mut made.lock().unwrap())
    }

    #[test]
    fn a_span_in_the_queue_takes_so_much() {
        // What docs/tracing.md says, and the limit of the queue relies on.
        assert!(size_of::<SpanData>() <= 400, "{}", size_of::<SpanData>());
    }

    #[test]
    fn no_span_is_lost_in_silence() {
        let (counts, kept) = (Arc::new(Counts::default()), Kept::default());
        let in_queue = Arc::clone(&kept.0);
        let queue = Bounded::new(kept, Arc::clone(&counts), 3);
        let (runtime, _alive) = runtime().unwrap();
        let exporter = Watched::new(Picky, Arc::clone(&counts), Duration::from_millis(10), runtime);
        spans(5).into_iter().for_each(|span| queue.on_end(span));
        assert_eq!(in_queue.load(Ordering::Relaxed), 3, "never more than fit");
        assert_eq!(counts.reading(), Reading { waiting: 3, queue_full: 2, ..Reading::default() });

        // As the SDK does: on a thread that is of no runtime.
        let export = |count| block_on(exporter.export(spans(count)));
        assert!(export(2).is_ok());
        assert!(export(1).is_err());
        assert_eq!(counts.reading(), Reading { waiting: 0, queue_full: 2, exported: 2, export_failed: 1 });
        spans(3).into_iter().for_each(|span| queue.on_end(span));
        assert!(matches!(export(3), Err(OTelSdkError::Timeout(_))));
        assert_eq!(counts.reading(), Reading { waiting: 0, queue_full: 2, exported: 2, export_failed: 4 });
    }

    #[test]
    fn faults_are_said_now_and_then() {
        let counts = Arc::new(Counts::default());
        let (runtime, _alive) = runtime().unwrap();
        let exporter = Watched::new(Picky, Arc::clone(&counts), SAY_AGAIN, runtime);
        let fault = || Err(OTelSdkError::InternalFailure("gone".to_owned()));
        let said = || exporter.said.lock().unwrap().fault;
        exporter.say(&Ok(()));
        assert_eq!(said(), None);
        exporter.say(&fault());
        let first = said();
        assert!(first.is_some());
        exporter.say(&fault());
        exporter.say(&Ok(()));
        assert_eq!(said(), first, "a minute has not passed");
        exporter.said.lock().unwrap().fault = Instant::now().checked_sub(SAY_AGAIN);
        exporter.say(&Ok(()));
        assert_eq!(said(), None, "all is well again");
        counts.queue_full.store(1, Ordering::Relaxed);
        exporter.say(&Ok(()));
        assert!(said().is_some(), "what has no room is lost, too");
    }
}
