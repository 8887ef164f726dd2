//! A future that seldom has something to say, beside one that is polled for every call.
//!
//! Timers and the wish to stop concern a connection once in minutes, but a task has one waker: whatever wakes it, all that
//! it waits for would be asked. Here the future gets a waker of its own and is asked when that was called, which costs
//! the calls in between one load.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled only when it asked for it.
pub struct Rarely<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    /// None before the first poll.
    bell: Option<Arc<Bell>>,
}

impl<T> std::fmt::Debug for Rarely<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rarely").finish_non_exhaustive()
    }
}

impl<T> Rarely<T> {
    /// Around this future.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), bell: None }
    }

    /// What has come of it; not to be asked again after its end.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<T> {
        let bell = match self.bell.take() {
            Some(bell) if !bell.task.will_wake(context.waker()) => Bell::of(context.waker()),
            Some(bell) if !bell.has_rung() => {
                self.bell = Some(bell);
                return Poll::Pending;
            }
            Some(bell) => bell,
            None => Bell::of(context.waker()),
        };
        let waker = Waker::from(Arc::clone(&bell));
        self.bell = Some(bell);
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Wakes the task, and says that this was why.
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Bell {
    fn of(task: &Waker) -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(false), task: task.clone() })
    }

    /// Whether it has rung since it was asked last.
    fn has_rung(&self) -> bool {
        // The swap costs more than a call can do with; it is made only when there is something to hear.
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::Acquire)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // INVARIANT: before the task is woken, so that it cannot look too early.
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_it_asked_for_it() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let mut receiver = Box::pin(receiver);
        let mut rarely = Rarely::new(std::future::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            receiver.as_mut().poll(context)
        }));
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        for _ in 0..3 {
            assert!(rarely.poll(&context).is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        sender.send(7).unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(rarely.poll(&context), Poll::Ready(Ok(7)));
    }

    #[test]
    fn another_task_is_woken_where_there_is_another() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let mut rarely = Rarely::new(receiver);
        let [first, second] = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        for count in [&first, &second] {
            assert!(rarely.poll(&Context::from_waker(&Waker::from(Arc::clone(count)))).is_pending());
        }
        drop(sender);
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    }
}
