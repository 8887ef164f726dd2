//! A decision as a line: docs/decision-log.md says what stands in it, docs/decision-log.schema.json what it looks like.
//!
//! Written in few large pieces: where one core serves and writes, each instruction here is one that no caller gets.

use std::hash::{BuildHasher, RandomState};

use prost::Message as _;

use super::counts::{Lost, LostCounts};
use super::entry::Queued;
use super::mask::Masks;
use super::origin::trace_ids;
use super::text::{Clock, put, put_field, put_given, put_hex, put_inner, put_number, put_text};
use super::{Decided, Place};
use crate::access::{Decision, Explanation, PolicyType, StatementRef};
use crate::engine::CacheStatus;
use crate::proto::v1::IsAuthorizedRequest;
use crate::snapshot::Revision;

mod request;

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines {
    masks: Masks,
    clock: Clock,
    /// Begins the line of a decision, up to the id that its call brought.
    given: Clock,
    /// The same, up to the number of an id of our own. What stands before that tells this process's requests from others', where
    /// callers give no ids.
    numbered: Clock,
    /// What stands behind a request, of which there are few kinds.
    answers: Vec<(AnswerKind, Vec<u8>)>,
    /// The end of a line, which decisions of one snapshot share, and that snapshot.
    end: Vec<u8>,
    ends: Option<(u64, Revision)>,
}

/// Whether the request was masked, and what decided how.
type AnswerKind = (bool, Decision, PolicyType, CacheStatus);

impl Lines {
    pub(super) fn new(masks: Masks) -> Self {
        let process = RandomState::new().hash_one(0_u8);
        let begin =
            |id: String| Clock::between(r#"{"v":1,"type":"decision","time":""#, format!(r#"","request_id":"{id}"#));
        Self {
            masks,
            clock: Clock::default(),
            given: begin(String::new()),
            numbered: begin(format!("{process:016x}-")),
            answers: Vec::new(),
            end: Vec::new(),
            ends: None,
        }
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
        self.masks.begin_line();
        self.put_call(out, queued);
        let start = out.len();
        let masked = self.put_plain(out, queued.message).unwrap_or_else(|| {
            out.truncate(start);
            // INVARIANT: it was decided, so that it is a request.
            self.put_any(out, &IsAuthorizedRequest::decode(queued.message).unwrap_or_default())
        });
        self.put_answer(out, queued, masked);
        put_number(out, u64::try_from(queued.took.as_nanos()).unwrap_or(u64::MAX));
        self.put_end(out, queued.decided);
    }

    /// Everything between the request and the time that it took.
    fn put_answer(&mut self, out: &mut Vec<u8>, queued: &Queued<'_>, masked: bool) {
        let Decided { decision, decided_by, cache, .. } = *queued.decided;
        let kind = (masked, decision, decided_by, cache);
        if let Some(explanation) = queued.explanation {
            put_decision(out, kind);
            put_explanation(out, explanation);
            return put_cached(out, kind);
        }
        if let Some((_, answer)) = self.answers.iter().find(|(known, _)| *known == kind) {
            return out.extend_from_slice(answer);
        }
        let start = out.len();
        put_decision(out, kind);
        put_cached(out, kind);
        self.answers.push((kind, out.get(start..).unwrap_or_default().to_vec()));
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

    /// The time, the call that it came in, and where in it.
    fn put_call(&mut self, out: &mut Vec<u8>, queued: &Queued<'_>) {
        if queued.request_id.is_empty() {
            self.numbered.put(out, queued.time_us);
            put_number(out, queued.number);
        } else {
            self.given.put(out, queued.time_us);
            put_inner(out, queued.request_id);
        }
        if let Some((trace, span)) = trace_ids(queued.traceparent) {
            put(out, r#"","trace_id":""#);
            put_inner(out, trace);
            put(out, r#"","span_id":""#);
            put_inner(out, span);
        }
        match queued.decided.place {
            Place::Alone => put(out, r#"","method":"IsAuthorized""#),
            Place::Batch(index) => {
                put(out, r#"","method":"BatchIsAuthorized","batch_index":"#);
                put_number(out, u64::from(index));
            }
            Place::Stream(id) => {
                put(out, r#"","method":"StreamIsAuthorized","stream_id":"#);
                put_number(out, id);
            }
        }
        put_given(out, r#","peer":""#, queued.peer);
    }
}

fn put_decision(out: &mut Vec<u8>, (masked, decision, decided_by, _): AnswerKind) {
    if masked {
        put(out, r#","masked":true"#);
    }
    put(out, r#","decision":""#);
    put(out, decision.as_str());
    put(out, r#"","decided_by":""#);
    put(out, decided_by.as_str());
    out.push(b'"');
}

fn put_cached(out: &mut Vec<u8>, (_, _, _, cache): AnswerKind) {
    put(out, r#","cached":""#);
    put(out, cache.as_str());
    put(out, r#"","duration_ns":"#);
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
