//! Decisions on their way to the writer: many in one piece of memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Decided, Origin, now_us};
use crate::access::Explanation;
use crate::cache::explanation_bytes;

/// A chunk is handed over when it has so many bytes: some hundred decisions.
const CHUNK_BYTES: usize = 64 << 10;

/// Times are counted from the chunk's beginning. After so long a new one is begun, so that a clock that was set is heeded.
const LONGEST_CHUNK: Duration = Duration::from_secs(1);

/// What a chunk that grew beyond this takes is given back.
const KEPT_BYTES: usize = 4 * CHUNK_BYTES;

/// A decision that is to be queued.
#[derive(Clone, Copy, Debug)]
pub(super) struct New<'a> {
    pub(super) message: &'a [u8],
    pub(super) origin: &'a Origin,
    pub(super) decided: Decided,
    pub(super) explanation: Option<&'a Arc<Explanation>>,
    pub(super) at: Instant,
    pub(super) took: Duration,
}

impl New<'_> {
    /// What it takes in the queue.
    pub(super) fn weight(&self) -> usize {
        let texts: usize = self.origin.texts().iter().map(|text| text.len()).sum();
        // It is shared with the cache, which may forget it.
        let explanation = self.explanation.map_or(0, |explanation| explanation_bytes(explanation));
        self.message.len() + texts + size_of::<Entry>() + explanation
    }
}

/// A decision in a chunk; its texts are in the chunk's bytes.
#[derive(Debug)]
struct Entry {
    decided: Decided,
    explanation: Option<Arc<Explanation>>,
    at: Instant,
    took: Duration,
    number: u64,
    /// Where message, id, trace and peer end.
    ends: [usize; 4],
}

/// A decision as the writer sees it.
#[derive(Debug)]
pub(super) struct Queued<'a> {
    pub(super) message: &'a [u8],
    pub(super) request_id: &'a [u8],
    pub(super) traceparent: &'a [u8],
    pub(super) peer: &'a [u8],
    pub(super) number: u64,
    pub(super) decided: &'a Decided,
    pub(super) explanation: Option<&'a Explanation>,
    /// Microseconds since 1970.
    pub(super) time_us: i64,
    pub(super) took: Duration,
}

/// Some decisions.
#[derive(Debug)]
pub(super) struct Chunk {
    began: Instant,
    /// Nothing later is taken.
    until: Instant,
    began_us: i64,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    weight: usize,
}

impl Chunk {
    pub(super) fn new() -> Self {
        let (began, until) = (Instant::now(), Instant::now() + LONGEST_CHUNK);
        Self { began, until, began_us: now_us(), bytes: Vec::new(), entries: Vec::new(), weight: 0 }
    }

    /// What it takes in the queue.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// When the first of them was made.
    pub(super) fn since(&self) -> Instant {
        self.began
    }

    /// The memory that it keeps when it is emptied.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is room for this one.
    pub(super) fn takes(&self, new: &New<'_>, weight: usize) -> bool {
        self.is_empty() || self.weight + weight <= CHUNK_BYTES && new.at <= self.until
    }

    pub(super) fn append(&mut self, new: &New<'_>, weight: usize) {
        if self.is_empty() {
            (self.began, self.until, self.began_us) = (new.at, new.at + LONGEST_CHUNK, now_us());
        }
        self.bytes.extend_from_slice(new.message);
        let mut ends = [self.bytes.len(); 4];
        let [_, of_texts @ ..] = &mut ends;
        for (end, text) in of_texts.iter_mut().zip(new.origin.texts()) {
            // Most calls bring none of them.
            if !text.is_empty() {
                self.bytes.extend_from_slice(text);
            }
            *end = self.bytes.len();
        }
        let New { decided, explanation, at, took, .. } = *new;
        let explanation = explanation.map(Arc::clone);
        self.entries.push(Entry { decided, explanation, at, took, number: new.origin.number, ends });
        self.weight += weight;
    }

    /// All of them, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = Queued<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let mut text = |end: usize| {
                let text = self.bytes.get(start..end).unwrap_or_default();
                start = end;
                text
            };
            let [message, request_id, traceparent, peer] = entry.ends.map(&mut text);
            let since = entry.at.saturating_duration_since(self.began).as_micros();
            Queued {
                message,
                request_id,
                traceparent,
                peer,
                number: entry.number,
                decided: &entry.decided,
                explanation: entry.explanation.as_deref(),
                time_us: self.began_us.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)),
                took: entry.took,
            }
        })
    }

    /// Its memory, to be used again.
    pub(super) fn emptied(mut self) -> Self {
        if self.capacity() > KEPT_BYTES {
            return Self::new();
        }
        self.bytes.clear();
        self.entries.clear();
        self.weight = 0;
        self
    }
}
