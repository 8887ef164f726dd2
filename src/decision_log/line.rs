//! A decision as a line: docs/decision-log.md says what stands in it, docs/decision-log.schema.json what it looks like.
//!
//! Written in few large pieces: where one core serves and writes, each instruction here is one that no caller gets.

use std::hash::{BuildHasher, RandomState};

use prost::Message as _;

use super::counts::{Lost, LostCounts};
use super::entry::Queued;
use super::mask::Masks;
use super::origin::trace_ids;
use super::text::{Clock, put, put_field, put_given, put_hex, put_number, put_text};
use super::{Decided, Place};
use crate::access::{Explanation, StatementRef};
use crate::proto::v1::IsAuthorizedRequest;
use crate::snapshot::Revision;

mod request;

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines {
    masks: Masks,
    clock: Clock,
    /// An id of our own, up to its number. It tells this process's requests from others', where callers give no ids.
    own_id: Vec<u8>,
    /// The end of a line, which decisions of one snapshot share, and that snapshot.
    end: Vec<u8>,
    ends: Option<(u64, Revision)>,
}

impl Lines {
    pub(super) fn new(masks: Masks) -> Self {
        let process = RandomState::new().hash_one(0_u8);
        let own_id = format!(r#"","request_id":"{process:016x}-"#).into_bytes();
        Self { masks, clock: Clock::default(), own_id, end: Vec::new(), ends: None }
    }

    /// The beginning of a line that is about no decision.
    fn begin(&mut self, out: &mut Vec<u8>, kind: &str, time_us: i64) {
        put(out, r#"{"v":1,"type":""#);
        put(out, kind);
        put(out, r#"","time":""#);
        self.clock.put(out, time_us);
        out.push(b'"');
    }

    /// The log begins or ends.
    pub(super) fn put_mark(&mut self, out: &mut Vec<u8>, kind: &str, time_us: i64) {
        self.begin(out, kind, time_us);
        put(out, concat!(r#","program":"iamd "#, env!("CARGO_PKG_VERSION"), "\"}\n"));
    }

    /// Decisions are missing here, for these reasons so many.
    pub(super) fn put_lost(&mut self, out: &mut Vec<u8>, lost: &LostCounts, time_us: i64) {
        self.begin(out, "dropped", time_us);
        put(out, r#","dropped":"#);
        let counted = Lost::ALL.iter().zip(lost).filter(|(_, count)| **count > 0);
        put_list(out, [b'{', b'}'], counted, |out, (why, count)| {
            put_text(out, why.as_str().as_bytes());
            out.push(b':');
            put_number(out, *count);
        });
        put(out, "}\n");
    }

    /// A decision.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, queued: &Queued<'_>) {
        put(out, r#"{"v":1,"type":"decision","time":""#);
        self.clock.put(out, queued.time_us);
        self.put_call(out, queued);
        let start = out.len();
        let masked = self.put_plain(out, queued.message).unwrap_or_else(|| {
            out.truncate(start);
            // INVARIANT: it was decided, so that it is a request.
            self.put_any(out, &IsAuthorizedRequest::decode(queued.message).unwrap_or_default())
        });
        if masked {
            put(out, r#","masked":true"#);
        }
        put_answer(out, queued);
        self.put_end(out, queued.decided);
    }

    fn put_end(&mut self, out: &mut Vec<u8>, decided: &Decided) {
        if self.ends != Some((decided.version, decided.revision)) {
            self.ends = Some((decided.version, decided.revision));
            self.end.clear();
            put(&mut self.end, r#","snapshot":{"version":"#);
            put_number(&mut self.end, decided.version);
            put(&mut self.end, r#","revision":""#);
            put_hex(&mut self.end, &decided.revision.0);
            put(&mut self.end, "\"}}\n");
        }
        out.extend_from_slice(&self.end);
    }

    /// The call that it came in, and where in it. Ends the time, whose quotes are open.
    fn put_call(&self, out: &mut Vec<u8>, queued: &Queued<'_>) {
        if queued.request_id.is_empty() {
            out.extend_from_slice(&self.own_id);
            put_number(out, queued.number);
            out.push(b'"');
        } else {
            put_field(out, r#"","request_id":""#, queued.request_id);
        }
        if let Some((trace, span)) = trace_ids(queued.traceparent) {
            put_field(out, r#","trace_id":""#, trace);
            put_field(out, r#","span_id":""#, span);
        }
        match queued.decided.place {
            Place::Alone => put(out, r#","method":"IsAuthorized""#),
            Place::Batch(index) => {
                put(out, r#","method":"BatchIsAuthorized","batch_index":"#);
                put_number(out, u64::from(index));
            }
            Place::Stream(id) => {
                put(out, r#","method":"StreamIsAuthorized","stream_id":"#);
                put_number(out, id);
            }
        }
        put_given(out, r#","peer":""#, queued.peer);
    }
}

fn put_answer(out: &mut Vec<u8>, queued: &Queued<'_>) {
    let decided = queued.decided;
    put(out, r#","decision":""#);
    put(out, decided.decision.as_str());
    put(out, r#"","decided_by":""#);
    put(out, decided.decided_by.as_str());
    match queued.explanation {
        Some(explanation) => {
            out.push(b'"');
            put_explanation(out, explanation);
            put(out, r#","cached":""#);
        }
        None => put(out, r#"","cached":""#),
    }
    put(out, decided.cache.as_str());
    put(out, r#"","duration_ns":"#);
    put_number(out, u64::try_from(queued.took.as_nanos()).unwrap_or(u64::MAX));
}

fn put_explanation(out: &mut Vec<u8>, explanation: &Explanation) {
    put(out, r#","statements":"#);
    put_list(out, [b'[', b']'], explanation.statements.iter(), put_statement);
    put(out, r#","missing_context_keys":"#);
    put_list(out, [b'[', b']'], explanation.missing_context_keys.iter(), |out, key| put_text(out, key.as_bytes()));
}

fn put_statement(out: &mut Vec<u8>, statement: &StatementRef) {
    let StatementRef { policy_type, policy, index, sid, file, line, column } = statement;
    put(out, r#"{"policy_type":""#);
    put(out, policy_type.as_str());
    put_field(out, r#"","policy":""#, policy.as_bytes());
    put_given(out, r#","sid":""#, sid.as_bytes());
    for (name, number) in [(r#","index":"#, index), (r#","line":"#, line), (r#","column":"#, column)] {
        put(out, name);
        put_number(out, u64::from(*number));
    }
    put_field(out, r#","file":""#, file.as_bytes());
    out.push(b'}');
}

fn put_list<T>(
    out: &mut Vec<u8>,
    [open, close]: [u8; 2],
    elements: impl Iterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(open);
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(out, element);
    }
    out.push(close);
}
