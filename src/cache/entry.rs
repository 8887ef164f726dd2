//! One remembered outcome, and what it costs.

use std::sync::atomic::{AtomicBool, Ordering};

use triomphe::{HeaderWithLength, ThinArc};

use super::key::{Key, has_same_fields};
use super::table::Place;
use crate::access::{Explanation, Outcome, StatementRef};

/// What one key was answered with. One allocation, the key behind the rest: reaching an entry and comparing its key is
/// one step in memory, not two.
pub(super) type Entry = ThinArc<Header, u8>;

/// What stands before the key.
pub(super) struct Header {
    outcome: Outcome,
    /// [`Place::hash`] and [`Place::tag`]: apart from each other, they fit into one word with what follows.
    hash: u32,
    tag: u8,
    /// [`Key::in_any_order`].
    any_order: bool,
    /// Set by readers, cleared by eviction as it passes. A plain hint: nobody orders anything by it.
    used: AtomicBool,
}

/// A new entry has not been used: one that is asked for once only is the first to go.
pub(super) fn new(key: &Key<'_>, outcome: &Outcome) -> Entry {
    let Key { message, place: Place { hash, tag }, any_order } = *key;
    let header = Header { outcome: outcome.clone(), hash, tag, any_order, used: AtomicBool::new(false) };
    ThinArc::from_header_and_slice(header, message)
}

/// Where it belongs.
pub(super) fn place(entry: &Entry) -> Place {
    let Header { hash, tag, .. } = entry.header.header;
    Place { hash, tag }
}

/// The outcome of an entry, if it belongs to this key: all of the key is compared.
pub(super) fn answer(entry: &Entry, key: &Key<'_>) -> Option<Outcome> {
    if !has_key(entry, key) {
        return None;
    }
    let Header { outcome, used, .. } = &entry.header.header;
    // Written only where it changes something, so that an entry that all threads read stays in all their caches.
    if !used.load(Ordering::Relaxed) {
        used.store(true, Ordering::Relaxed);
    }
    Some(outcome.clone())
}

/// Whether this is the entry of that key.
pub(super) fn has_key(entry: &Entry, key: &Key<'_>) -> bool {
    entry.slice == *key.message || is_reordered(entry, key)
}

#[cold]
fn is_reordered(entry: &Entry, key: &Key<'_>) -> bool {
    let Header { any_order, hash, .. } = entry.header.header;
    any_order && hash == key.place.hash && has_same_fields(&entry.slice, key.message)
}

/// Whether it was used since this was asked last.
pub(super) fn take_used(entry: &Entry) -> bool {
    let used = &entry.header.header.used;
    used.load(Ordering::Relaxed) && used.swap(false, Ordering::Relaxed)
}

/// The memory that an entry holds. The same at any time, since an entry never changes.
pub(super) fn held_bytes(entry: &Entry) -> usize {
    cost_bytes(entry.slice.len(), &entry.header.header.outcome)
}

/// The memory that an outcome takes with a key of this length:
///
/// ```text
/// the entry:         owners 8 + outcome 16 + hash 4 + tag 1 + order 1 + used 1, padded to 8 + length of the key 8 = 40
/// the explanation:   if there is one, see below
/// ```
///
/// For a message of 285 bytes without an explanation: 325 bytes, allocated 336. The slot that points here is counted with the
/// table.
pub(super) fn cost_bytes(key_bytes: usize, outcome: &Outcome) -> usize {
    let entry = size_of::<usize>() + size_of::<HeaderWithLength<Header>>() + key_bytes;
    allocated(entry) + outcome.explanation.as_deref().map_or(0, explanation_bytes)
}

const ARC_COUNTERS_BYTES: usize = 2 * size_of::<usize>();

/// An explanation with all that it points to. The texts of its statements are mostly shared with the snapshot, but
/// nothing here can tell; each is counted as if this were its only owner. Too much is the safe side.
pub fn explanation_bytes(explanation: &Explanation) -> usize {
    let Explanation { statements, missing_context_keys } = explanation;
    let texts = |statement: &StatementRef| {
        let texts = [&statement.policy, &statement.sid, &statement.file];
        texts.iter().map(|text| allocated(ARC_COUNTERS_BYTES + text.len())).sum::<usize>()
    };
    allocated(ARC_COUNTERS_BYTES + size_of::<Explanation>())
        + allocated(statements.capacity() * size_of::<StatementRef>())
        + statements.iter().map(texts).sum::<usize>()
        + allocated(missing_context_keys.capacity() * size_of::<String>())
        + missing_context_keys.iter().map(|key| allocated(key.capacity())).sum::<usize>()
}

/// What an allocator takes for so many bytes: 8 of its own, in steps of 16, at least 32 (glibc; others take less).
const fn allocated(bytes: usize) -> usize {
    let chunk = (bytes + 8).next_multiple_of(16);
    if bytes == 0 {
        0
    } else if chunk < 32 {
        32
    } else {
        chunk
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::{Decision, PolicyType};

    #[test]
    fn the_arithmetic_of_the_comments() {
        let plain = Outcome { decision: Decision::Allow, decided_by: PolicyType::Identity, explanation: None };
        assert_eq!(size_of::<HeaderWithLength<Header>>(), 32);
        assert_eq!(cost_bytes(285, &plain), 336);
        assert_eq!([0, 1, 24, 25, 40, 41].map(allocated), [0, 32, 32, 48, 48, 64]);
    }

    #[test]
    fn an_explanation_costs_what_it_holds() {
        let statement = StatementRef {
            policy_type: PolicyType::Identity,
            policy: "p".repeat(1000).into(),
            index: 0,
            sid: "s".repeat(2000).into(),
            file: "f".repeat(4000).into(),
            line: 1,
            column: 1,
        };
        let explanation = Explanation { statements: vec![statement], missing_context_keys: vec!["k".repeat(8000)] };
        let outcome = Outcome {
            decision: Decision::Allow,
            decided_by: PolicyType::Identity,
            explanation: Some(Arc::new(explanation)),
        };
        let cost = cost_bytes(100, &outcome);
        assert!((15_100..15_600).contains(&cost), "{cost}");
    }
}
