//! One connection's HTTP/2: requests in, answers out.
//!
//! hyper asks for a task for each request. Most are answered the moment that they are read, so a task would cost more than
//! the answer: they are gathered and polled once, here, after all that has arrived was read; what then still waits becomes
//! a task. So the answers to requests that arrive together are also sent together.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::calls::Calls;
use super::connection::Connection;

/// How long a connection may be silent before the peer is asked whether it is still there. A peer that vanished would
/// otherwise hold one of `--max-connections` for ever.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// What the connection that is polled on this thread has read. Empty whenever none is.
    static ARRIVED: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Gathers the calls of the connection that is being polled.
#[derive(Clone, Copy, Debug)]
pub struct Gather;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Gather {
    fn execute(&self, call: F) {
        ARRIVED.with_borrow_mut(|arrived| arrived.push(Box::pin(call)));
    }
}

/// Answers what was gathered; whether there was anything.
fn answer_arrived() -> bool {
    let mut calls = ARRIVED.take();
    let any = !calls.is_empty();
    for mut call in calls.drain(..) {
        // A task of its own polls it anew, so whom it would wake now does not matter. A fault of ours (already printed by
        // the panic hook) ends this call alone: what is dropped is reset.
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
        if matches!(polled, Ok(Poll::Pending)) {
            tokio::spawn(call);
        }
    }
    // Its memory is used again. INVARIANT: nothing was gathered meanwhile, only a connection's poll does that.
    ARRIVED.set(calls);
    any
}

/// Serves a connection until its end, or until `stopped` and the end of the calls in it.
pub fn serve<S>(connection: Connection, calls: Calls, max_streams: u32, stopped: S) -> Serving<S>
where
    S: Future<Output = ()> + Send,
{
    let mut builder = http2::Builder::new(Gather);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .max_concurrent_streams(max_streams)
        .auto_date_header(false);
    let http = Box::pin(builder.serve_connection(TokioIo::new(connection), calls));
    Serving { http, stopped: Some(Box::pin(stopped)) }
}

type Http = http2::Connection<TokioIo<Connection>, Calls, Gather>;

/// A connection that is served.
pub struct Serving<S> {
    http: Pin<Box<Http>>,
    /// None once it has come.
    stopped: Option<Pin<Box<S>>>,
}

impl<S> std::fmt::Debug for Serving<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl<S: Future<Output = ()>> Serving<S> {
    fn heed_stop(&mut self, context: &mut Context<'_>) {
        let stop = self.stopped.as_mut().is_some_and(|stopped| stopped.as_mut().poll(context).is_ready());
        if stop {
            self.stopped = None;
            self.http.as_mut().graceful_shutdown();
        }
    }
}

impl<S: Future<Output = ()>> Future for Serving<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.heed_stop(context);
        let mut ended = self.http.as_mut().poll(context).is_ready();
        if answer_arrived() && !ended {
            // Sends the answers, and may read more: that has its turn after other connections had theirs.
            ended = self.http.as_mut().poll(context).is_ready();
            if answer_arrived() {
                context.waker().wake_by_ref();
            }
        }
        // How it ended is nobody's business: peers come and go.
        if ended { Poll::Ready(()) } else { Poll::Pending }
    }
}
