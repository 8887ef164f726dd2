//! An answer that its peer does not take.
//!
//! A call that is not answered at once waits for one of two: for us (a message that has yet to come, a stream without
//! requests), which has limits of its own; or for its peer to make room for the answer, which may never happen. Only
//! the answer's own code knows the former, and says so here; otherwise patience is limited.
//!
//! What a peer goes on sending meanwhile nobody reads, and HTTP/2's windows bound only what it counts: a byte of a message keeps the
//! 8 KiB that it was read with. So patience ends, too, when memory does.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::State;
use crate::metrics::Shed;

thread_local! {
    /// Whether the call that is polled on this thread has nothing to hand over.
    static NOTHING_TO_SAY: Cell<bool> = const { Cell::new(false) };
}

/// Says that the call that is being polled waits for something else than its peer's readiness to read.
pub fn nothing_to_say() {
    NOTHING_TO_SAY.set(true);
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long the calls of a connection wait for their peer.
#[derive(Clone, Debug)]
pub struct Patience {
    /// While there is memory.
    pub limit: Duration,
    /// What knows of that.
    pub state: Arc<State>,
}

impl Patience {
    async fn ends(self) {
        tokio::select! {
            () = tokio::time::sleep(self.limit) => {}
            () = self.state.memory.runs_out() => self.state.metrics.shed(Shed::Memory),
        }
    }
}

/// A call that is dropped, which resets it, when its peer takes nothing of its answer for too long.
pub struct Patient {
    call: Task,
    patience: Patience,
    /// While it waits for its peer.
    end: Option<Task>,
    /// Tells its connection that it is there.
    _open: Arc<()>,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Patient {
    /// Around a call of a connection that counts who holds `open`.
    pub fn new(call: Task, patience: Patience, open: Arc<()>) -> Self {
        Self { call, patience, end: None, _open: open }
    }
}

impl Future for Patient {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        NOTHING_TO_SAY.set(false);
        if self.call.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if NOTHING_TO_SAY.get() {
            self.end = None;
            return Poll::Pending;
        }
        let Self { patience, end, .. } = &mut *self;
        end.get_or_insert_with(|| Box::pin(patience.clone().ends())).as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, MemoryLimit};
    use crate::metrics::Metrics;

    const HOUR: Duration = Duration::from_secs(3600);

    fn patience(limit: Duration, memory: MemoryLimit) -> Patience {
        let mut limits = Limits::of_a_test();
        limits.overload.memory = memory;
        Patience { limit, state: Arc::new(State::new(&limits, Arc::new(Metrics::new()))) }
    }

    /// A call that waits for its peer as long as it is not dropped.
    async fn waits_for_peer(_held: Arc<()>) {
        std::future::pending().await
    }

    #[tokio::test]
    async fn patience_ends_with_a_peer_that_takes_nothing_and_not_otherwise() {
        let open = Arc::new(());
        let limit = Duration::from_millis(20);
        let short = patience(limit, MemoryLimit::None);
        let held = Arc::new(());
        Patient::new(Box::pin(waits_for_peer(Arc::clone(&held))), short.clone(), Arc::clone(&open)).await;
        assert_eq!(Arc::strong_count(&held), 1, "the call was dropped");
        assert_eq!(Arc::strong_count(&open), 1);

        let waits_for_us = std::future::poll_fn(|_| {
            nothing_to_say();
            Poll::Pending
        });
        let waiting = Patient::new(Box::pin(waits_for_us), short, Arc::clone(&open));
        tokio::time::timeout(limit * 5, waiting).await.unwrap_err();
    }

    #[tokio::test]
    async fn patience_ends_with_the_memory() {
        // More than this process uses, and less.
        for (memory, ends) in [(1 << 46, false), (1 << 20, true)] {
            let patience = patience(HOUR, MemoryLimit::Bytes(memory));
            let state = Arc::clone(&patience.state);
            let mut waiting = Patient::new(Box::pin(waits_for_peer(Arc::default())), patience, Arc::default());
            let mut poll = || Pin::new(&mut waiting).poll(&mut Context::from_waker(std::task::Waker::noop()));
            assert!(poll().is_pending(), "nobody has looked");
            state.memory.note_read(u64::MAX);
            assert_eq!(poll().is_ready(), ends, "{memory}");
            let shed = format!("iamd_requests_shed_total{{reason=\"memory\"}} {}\n", u8::from(ends));
            assert!(state.metrics.render(&state.readings()).contains(&shed), "{shed}");
        }
    }
}
