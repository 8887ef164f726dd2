//! One connection's HTTP/2: requests in, answers out.
//!
//! hyper asks for a task for each request. Most are answered the moment that they are read, so a task would cost more than
//! the answer: they are gathered and polled once, here, after all that has arrived was read; what then still waits becomes
//! a task. So the answers to requests that arrive together are also sent together.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::calls::Calls;
use super::connection::Connection;
use super::grpc::Authorization;
use super::life::{Grace, Use, end_of_calls, end_of_grace};
use super::patience::{Patience, Patient};
use super::queue;
use super::rarely::Rarely;
use crate::config::ConnectionLimits;

/// Errors of a peer's streams that are answered by a reset, over the life of a connection: past them it is closed. What a
/// client had sent already of a stream that was refused is such an error, though it plays by the rules: a long life may have
/// many. What is reset is dropped here at once, so that they cost us little.
const MAX_ERROR_RESETS: usize = 100_000;

/// A message that comes in one frame is taken as it lies in it; one that comes in several is put together first, which makes
/// cached batches a fifth slower. A hundred requests of 290 bytes are 29 KB. A peer that sends heads without end is kept six
/// frames of, so more is not to be had for nothing.
const MOST_FRAME_BYTES: u32 = 32 * 1024;

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
        // Moved but once, to where it stays.
        let call = Box::pin(call);
        ARRIVED.with_borrow_mut(|arrived| arrived.push(call));
    }
}

/// Keeps time for a connection's keepalive, which asks for it at each frame, and means seconds.
#[derive(Clone, Copy, Debug)]
struct Clock;

impl Timer for Clock {
    fn now(&self) -> Instant {
        queue::about_now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep_until(deadline)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        TokioTimer::new().reset(sleep, deadline);
    }
}

/// While a connection is polled. If that ends in a fault, what was gathered for it ends with it: the next connection of the
/// thread would take it for its own.
struct Gathering;

impl Drop for Gathering {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(ARRIVED.take());
        }
    }
}

/// Answers what was gathered; whether there was anything.
fn answer_arrived(usage: &Use, patience: &Patience) -> bool {
    let mut calls = ARRIVED.take();
    let any = !calls.is_empty();
    for call in calls.drain(..) {
        // A fault of ours (already printed by the panic hook) ends this call alone: what is dropped is reset.
        let polled = catch_unwind(AssertUnwindSafe(|| answer(call)));
        if let Ok(Some(waiting)) = polled {
            tokio::spawn(Patient::new(waiting, patience.clone(), usage.open()));
        }
    }
    // Its memory is used again. INVARIANT: nothing was gathered meanwhile: only a connection's poll does that, and a tunnel
    // (CONNECT), which no call becomes.
    ARRIVED.set(calls);
    any
}

/// Polls a call once; what is left of it. In a fault it is dropped while that unwinds, which tells it what happened.
fn answer(mut call: Call) -> Option<Call> {
    // A task of its own polls it anew, so whom it would wake now does not matter.
    let answered = call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    (!answered).then_some(call)
}

/// Serves a connection until its end, or until `stopped` and the end of the calls in it.
pub fn serve<S>(
    connection: Connection,
    calls: Calls,
    max_streams: u32,
    limits: &ConnectionLimits,
    stopped: S,
) -> Serving
where
    S: Future<Output = ()> + Send + 'static,
{
    let mut builder = http2::Builder::new(Gather);
    builder
        .timer(Clock)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .max_concurrent_streams(max_streams)
        .max_header_list_size(limits.header_bytes)
        .initial_connection_window_size(limits.window_bytes)
        .max_frame_size(MOST_FRAME_BYTES)
        .initial_stream_window_size(limits.window_bytes)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .auto_date_header(false);
    let usage = Arc::clone(connection.usage());
    let life = Life::Open(Rarely::new(end_of_calls(*limits, Arc::clone(&usage), stopped)));
    let authorization = Arc::clone(calls.authorization());
    let patience = Patience { limit: limits.write_timeout, state: Arc::clone(calls.state()) };
    let http = Box::pin(builder.serve_connection(TokioIo::new(connection), calls));
    Serving { http, authorization, life, usage, patience, drained: None }
}

type Http = http2::Connection<TokioIo<Connection>, Calls, Gather>;

/// A connection that is served.
pub struct Serving {
    http: Pin<Box<Http>>,
    authorization: Arc<Authorization>,
    life: Life,
    usage: Arc<Use>,
    patience: Patience,
    /// When it was last read until nothing was left.
    drained: Option<Instant>,
}

enum Life {
    /// It takes calls, until then.
    Open(Rarely<Grace>),
    /// It answers those that it has, until then.
    Closing(Rarely<()>),
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("usage", &self.usage).finish_non_exhaustive()
    }
}

impl Serving {
    /// Ready when the connection is to be closed, whatever is going on in it.
    fn poll_life(&mut self, context: &Context<'_>) -> Poll<()> {
        loop {
            match &mut self.life {
                Life::Open(life) => {
                    let grace = ready!(life.poll(context));
                    if grace != Grace::None {
                        self.http.as_mut().graceful_shutdown();
                    }
                    self.life = Life::Closing(Rarely::new(end_of_grace(grace)));
                }
                Life::Closing(life) => return life.poll(context),
            }
        }
    }

    /// Answers what was read; whether there was anything.
    fn answer_arrived(&mut self) -> bool {
        queue::begin(self.drained);
        self.authorization.fetch();
        let any = answer_arrived(&self.usage, &self.patience);
        if any {
            self.usage.note_calls();
            self.drained = queue::last_seen();
        }
        any
    }
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.poll_life(context).is_ready() {
            return Poll::Ready(());
        }
        let _gathering = Gathering;
        let mut ended = self.http.as_mut().poll(context).is_ready();
        if self.answer_arrived() && !ended {
            // Sends the answers, and may read more: that has its turn after other connections had theirs.
            ended = self.http.as_mut().poll(context).is_ready();
            if self.answer_arrived() {
                context.waker().wake_by_ref();
            }
        }
        // How it ended is nobody's business: peers come and go.
        if ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fault_leaves_is_nobodys() {
        let gathered = || ARRIVED.with_borrow(Vec::len);
        let poll = |fault: bool| {
            let _gathering = Gathering;
            Gather.execute(std::future::pending());
            assert!(!fault, "a fault, on purpose");
        };
        poll(false);
        assert_eq!(gathered(), 1);
        catch_unwind(AssertUnwindSafe(|| poll(true))).unwrap_err();
        assert_eq!(gathered(), 0);
    }
}
