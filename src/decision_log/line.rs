//! A decision as a line: docs/decision-log.md says what stands in it, docs/decision-log.schema.json what it looks like.

use std::hash::{BuildHasher, RandomState};

use prost::Message as _;

use super::counts::{Lost, LostCounts};
use super::entry::Queued;
use super::mask::{Mask, Masks, SESSION_POLICIES};
use super::origin::trace_ids;
use super::text::{Clock, put_hex, put_number, put_text};
use super::{Decided, Place};
use crate::access::{Explanation, StatementRef};
use crate::few::Few;
use crate::proto::v1::IsAuthorizedRequest;
use crate::proto::view::{RequestView, ValuesView};
use crate::snapshot::Revision;

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines {
    masks: Masks,
    clock: Clock,
    /// Tells this process's requests from others', where callers give no ids.
    process: String,
    /// The end of a line, which decisions of one snapshot share, and that snapshot.
    end: Vec<u8>,
    ends: Option<(u64, Revision)>,
}

/// A request's texts.
#[derive(Default)]
struct Said<'a> {
    principal: &'a [u8],
    action: &'a [u8],
    resource: &'a [u8],
    resource_account: &'a [u8],
    federated_by: &'a [u8],
    context: Few<(&'a [u8], Values<'a>)>,
    session_tags: Few<(&'a [u8], &'a [u8]), 2>,
    session_policies: Few<&'a [u8], 2>,
}

enum Values<'a> {
    Viewed(ValuesView<'a>),
    Owned(&'a [String]),
    Listed(&'a [&'a [u8]]),
}

impl<'a> Said<'a> {
    fn viewed(view: RequestView<'a>) -> Self {
        let context = view.context.iter().map(|(key, values)| (*key, Values::Viewed(*values)));
        Self {
            principal: view.principal,
            action: view.action,
            resource: view.resource,
            resource_account: view.resource_account,
            federated_by: view.federated_by,
            context: context.collect(),
            session_tags: view.session_tags,
            session_policies: view.session_policies,
        }
    }

    fn owned(message: &'a IsAuthorizedRequest) -> Self {
        let context = message.context.iter().map(|(key, values)| (key.as_bytes(), Values::Owned(&values.values)));
        Self {
            principal: message.principal.as_bytes(),
            action: message.action.as_bytes(),
            resource: message.resource.as_bytes(),
            resource_account: message.resource_account.as_bytes(),
            federated_by: message.federated_by.as_bytes(),
            context: context.collect(),
            session_tags: message.session_tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect(),
            session_policies: message.session_policies.iter().map(String::as_bytes).collect(),
        }
    }
}

impl Values<'_> {
    fn each(&self, mut put: impl FnMut(&[u8])) {
        match self {
            Self::Viewed(values) => values.iter().for_each(put),
            Self::Owned(values) => values.iter().for_each(|value| put(value.as_bytes())),
            Self::Listed(values) => values.iter().for_each(|value| put(value)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Viewed(values) => values.len(),
            Self::Owned(values) => values.len(),
            Self::Listed(values) => values.len(),
        }
    }
}

impl Lines {
    pub(super) fn new(masks: Masks) -> Self {
        let process = format!("{:016x}-", RandomState::new().hash_one(0_u8));
        Self { masks, clock: Clock::default(), process, end: Vec::new(), ends: None }
    }

    /// The beginning of a line of this kind.
    fn begin(&mut self, out: &mut Vec<u8>, kind: &str, time_us: i64) {
        out.extend_from_slice(b"{\"v\":1,\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"time\":\"");
        self.clock.put(out, time_us);
        out.push(b'"');
    }

    /// The log begins or ends.
    pub(super) fn put_mark(&mut self, out: &mut Vec<u8>, kind: &str, time_us: i64) {
        self.begin(out, kind, time_us);
        put_word(out, "program", concat!("iamd ", env!("CARGO_PKG_VERSION")));
        out.extend_from_slice(b"}\n");
    }

    /// Decisions are missing here, for these reasons so many.
    pub(super) fn put_lost(&mut self, out: &mut Vec<u8>, lost: &LostCounts, time_us: i64) {
        self.begin(out, "dropped", time_us);
        put_name(out, "dropped");
        let counted = Lost::ALL.iter().zip(lost).filter(|(_, count)| **count > 0);
        put_list(out, [b'{', b'}'], counted, |out, (why, count)| {
            put_text(out, why.as_str().as_bytes());
            out.push(b':');
            put_number(out, *count);
        });
        out.extend_from_slice(b"}\n");
    }

    /// A decision.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, queued: &Queued<'_>) {
        self.begin(out, "decision", queued.time_us);
        self.put_call(out, queued);
        let masked = match RequestView::of(queued.message) {
            Some(view) => self.put_request(out, &Said::viewed(view)),
            None => {
                // INVARIANT: it was decided, so that it is a request.
                let message = IsAuthorizedRequest::decode(queued.message).unwrap_or_default();
                self.put_request(out, &Said::owned(&message))
            }
        };
        if masked {
            out.extend_from_slice(b",\"masked\":true");
        }
        put_answer(out, queued);
        self.put_end(out, queued.decided);
    }

    fn put_end(&mut self, out: &mut Vec<u8>, decided: &Decided) {
        if self.ends != Some((decided.version, decided.revision)) {
            self.ends = Some((decided.version, decided.revision));
            self.end.clear();
            self.end.extend_from_slice(b",\"snapshot\":{\"version\":");
            put_number(&mut self.end, decided.version);
            self.end.extend_from_slice(b",\"revision\":\"");
            put_hex(&mut self.end, &decided.revision.0);
            self.end.extend_from_slice(b"\"}}\n");
        }
        out.extend_from_slice(&self.end);
    }

    /// The call that it came in, and where in it.
    fn put_call(&self, out: &mut Vec<u8>, queued: &Queued<'_>) {
        if queued.request_id.is_empty() {
            put_name(out, "request_id");
            out.push(b'"');
            out.extend_from_slice(self.process.as_bytes());
            put_number(out, queued.number);
            out.push(b'"');
        } else {
            put_field(out, "request_id", queued.request_id);
        }
        if let Some((trace, span)) = trace_ids(queued.traceparent) {
            put_field(out, "trace_id", trace);
            put_field(out, "span_id", span);
        }
        let (method, position) = match queued.decided.place {
            Place::Alone => ("IsAuthorized", None),
            Place::Batch(index) => ("BatchIsAuthorized", Some(("batch_index", u64::from(index)))),
            Place::Stream(id) => ("StreamIsAuthorized", Some(("stream_id", id))),
        };
        put_word(out, "method", method);
        if let Some((name, number)) = position {
            put_name(out, name);
            put_number(out, number);
        }
        put_given(out, "peer", queued.peer);
    }

    /// What was asked; whether some of it is masked.
    fn put_request(&mut self, out: &mut Vec<u8>, said: &Said<'_>) -> bool {
        put_field(out, "principal", said.principal);
        put_field(out, "action", said.action);
        put_field(out, "resource", said.resource);
        put_given(out, "resource_account", said.resource_account);
        put_given(out, "federated_by", said.federated_by);
        let mut masked = false;
        if !said.context.is_empty() {
            put_name(out, "context");
            put_list(out, [b'{', b'}'], said.context.iter(), |out, (key, values)| {
                put_text(out, key);
                out.push(b':');
                masked |= self.put_values(out, key, values);
            });
        }
        if !said.session_tags.is_empty() {
            put_name(out, "session_tags");
            put_list(out, [b'{', b'}'], said.session_tags.iter(), |out, (key, value)| {
                put_text(out, key);
                out.push(b':');
                masked |= self.put_tag(out, key, value);
            });
        }
        if !said.session_policies.is_empty() {
            put_name(out, "session_policies");
            masked |= self.put_values(out, SESSION_POLICIES.as_bytes(), &Values::Listed(&said.session_policies));
        }
        masked
    }

    /// The values of a key, as its mask allows; whether it is masked.
    fn put_values(&mut self, out: &mut Vec<u8>, key: &[u8], values: &Values<'_>) -> bool {
        let mask = self.masks.of(key);
        match mask {
            Mask::Shown => put_texts(out, values, put_text),
            Mask::Hashed => {
                out.extend_from_slice(b"{\"hashed\":");
                put_texts(out, values, |out, value| self.put_hash(out, key, value));
                out.push(b'}');
            }
            Mask::Dropped => put_dropped(out, values.len()),
        }
        mask != Mask::Shown
    }

    /// A session tag has one value, and is masked as the condition key that it becomes.
    fn put_tag(&mut self, out: &mut Vec<u8>, tag: &[u8], value: &[u8]) -> bool {
        let key = [b"aws:PrincipalTag/", tag].concat();
        let mask = self.masks.of(&key);
        match mask {
            Mask::Shown => put_text(out, value),
            Mask::Hashed => {
                out.extend_from_slice(b"{\"hashed\":[");
                self.put_hash(out, &key, value);
                out.extend_from_slice(b"]}");
            }
            Mask::Dropped => put_dropped(out, 1),
        }
        mask != Mask::Shown
    }

    fn put_hash(&self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        out.push(b'"');
        self.masks.put_hash(out, key, value);
        out.push(b'"');
    }
}

fn put_answer(out: &mut Vec<u8>, queued: &Queued<'_>) {
    let decided = queued.decided;
    put_word(out, "decision", decided.decision.as_str());
    put_word(out, "decided_by", decided.decided_by.as_str());
    if let Some(explanation) = queued.explanation {
        put_explanation(out, explanation);
    }
    put_word(out, "cached", decided.cache.as_str());
    put_name(out, "duration_ns");
    put_number(out, u64::try_from(queued.took.as_nanos()).unwrap_or(u64::MAX));
}

fn put_explanation(out: &mut Vec<u8>, explanation: &Explanation) {
    put_name(out, "statements");
    put_list(out, [b'[', b']'], explanation.statements.iter(), put_statement);
    put_name(out, "missing_context_keys");
    put_list(out, [b'[', b']'], explanation.missing_context_keys.iter(), |out, key| put_text(out, key.as_bytes()));
}

fn put_statement(out: &mut Vec<u8>, statement: &StatementRef) {
    let StatementRef { policy_type, policy, index, sid, file, line, column } = statement;
    out.extend_from_slice(b"{\"policy_type\":");
    put_text(out, policy_type.as_str().as_bytes());
    put_field(out, "policy", policy.as_bytes());
    put_given(out, "sid", sid.as_bytes());
    for (name, number) in [("index", index), ("line", line), ("column", column)] {
        put_name(out, name);
        put_number(out, u64::from(*number));
    }
    put_field(out, "file", file.as_bytes());
    out.push(b'}');
}

fn put_dropped(out: &mut Vec<u8>, values: usize) {
    out.extend_from_slice(b"{\"dropped\":");
    put_number(out, u64::try_from(values).unwrap_or(u64::MAX));
    out.push(b'}');
}

fn put_texts(out: &mut Vec<u8>, values: &Values<'_>, put: impl Fn(&mut Vec<u8>, &[u8])) {
    out.push(b'[');
    let mut first = true;
    values.each(|value| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        put(out, value);
    });
    out.push(b']');
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

/// The name of a field that is not the first.
fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_field(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    put_name(out, name);
    put_text(out, text);
}

/// A field with a word of ours, in which nothing has to be escaped.
fn put_word(out: &mut Vec<u8>, name: &str, word: &str) {
    put_name(out, name);
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

/// A field that is left out when it is empty.
fn put_given(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    if !text.is_empty() {
        put_field(out, name, text);
    }
}
