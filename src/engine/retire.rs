//! Where old snapshots are freed: on one thread of its own, never on one that serves.
//!
//! A snapshot of a large store takes milliseconds to free. If requests held the last reference, the one that finishes
//! last would pay for it. So the retiring thread holds a reference too, and lets go only when it is the last owner.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::Active;

/// Name of the thread.
pub(super) const THREAD: &str = "iamd-retire";

/// How often to look whether the last request is done with an old snapshot. Nobody waits for it, and memory is held
/// only this much longer than needed.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The way to the retiring thread, which starts with the first snapshot that retires.
#[derive(Debug)]
pub(super) struct Retirement {
    sender: Option<Sender<Arc<Active>>>,
}

impl Retirement {
    pub(super) const fn new() -> Self {
        Self { sender: None }
    }

    /// Frees a snapshot as soon as nobody else holds it.
    pub(super) fn retire(&mut self, old: Arc<Active>) {
        let sent = match self.sender.take().or_else(start) {
            None => Err(old),
            Some(sender) => sender.send(old).map(|()| self.sender = Some(sender)).map_err(|unsent| unsent.0),
        };
        // Without a thread (the system has none left to give) the installing one waits: still none that serves.
        if let Err(old) = sent {
            wait_and_free(old);
        }
    }
}

fn start() -> Option<Sender<Arc<Active>>> {
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new().name(THREAD.to_owned()).spawn(move || run(&receiver));
    match spawned {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!(%error, "no thread to free old snapshots on");
            None
        }
    }
}

/// Until the engine is gone: old snapshots then go with their last request.
fn run(receiver: &Receiver<Arc<Active>>) {
    let mut held: Vec<Arc<Active>> = Vec::new();
    loop {
        let next = if held.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(LOOK_EVERY)
        };
        match next {
            Ok(old) => held.push(old),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        held.retain(|old| !is_last_owner(old));
    }
}

fn wait_and_free(old: Arc<Active>) {
    while !is_last_owner(&old) {
        thread::sleep(LOOK_EVERY);
    }
    drop(old);
}

/// Whether nobody else holds it. It cannot be handed out again, for it is no longer the active one; and a guard that
/// was loaded before the swap has been counted by the swap (arc-swap settles such debts before it returns).
fn is_last_owner(old: &Arc<Active>) -> bool {
    Arc::strong_count(old) == 1
}
