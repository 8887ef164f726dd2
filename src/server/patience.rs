//! An answer that its peer does not take.
//!
//! A call that is not answered at once waits for one of two: for us (a message that has yet to come, a stream without
//! requests), which has limits of its own; or for its peer to make room for the answer, which may never happen. Only
//! the answer's own code knows the former, and says so here; otherwise patience is limited.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

thread_local! {
    /// Whether the call that is polled on this thread has nothing to hand over.
    static NOTHING_TO_SAY: Cell<bool> = const { Cell::new(false) };
}

/// Says that the call that is being polled waits for something else than its peer's readiness to read.
pub fn nothing_to_say() {
    NOTHING_TO_SAY.set(true);
}

/// A call that is dropped, which resets it, when its peer takes nothing of its answer for too long.
pub struct Patient {
    call: Pin<Box<dyn Future<Output = ()> + Send>>,
    limit: Duration,
    /// While it waits for its peer.
    timer: Option<Pin<Box<Sleep>>>,
    /// Tells its connection that it is there.
    _open: Arc<()>,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patient").field("timer", &self.timer).finish_non_exhaustive()
    }
}

impl Patient {
    /// Around a call of a connection that counts who holds `open`.
    pub fn new(call: Pin<Box<dyn Future<Output = ()> + Send>>, limit: Duration, open: Arc<()>) -> Self {
        Self { call, limit, timer: None, _open: open }
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
            self.timer = None;
            return Poll::Pending;
        }
        let limit = self.limit;
        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit))).as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn patience_ends_with_a_peer_that_takes_nothing_and_not_otherwise() {
        let open = Arc::new(());
        let limit = Duration::from_millis(20);
        let held = Arc::new(());
        let guard = Arc::clone(&held);
        let waits_for_peer = async move {
            let _guard = guard;
            std::future::pending().await
        };
        Patient::new(Box::pin(waits_for_peer), limit, Arc::clone(&open)).await;
        assert_eq!(Arc::strong_count(&held), 1, "the call was dropped");
        assert_eq!(Arc::strong_count(&open), 1);

        let waits_for_us = std::future::poll_fn(|_| {
            nothing_to_say();
            Poll::Pending
        });
        let waiting = Patient::new(Box::pin(waits_for_us), limit, Arc::clone(&open));
        tokio::time::timeout(limit * 5, waiting).await.unwrap_err();
    }
}
