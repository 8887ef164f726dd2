//! Spans of calls: one for each call that asks for decisions, with what was decided in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status as SpanStatus, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::Span;
use tonic::Code;

use crate::access::{Decision, Outcome, PolicyType};
use crate::decision_log::trace_ids;
use crate::engine::{Active, Answer, CacheStatus};
use crate::metrics::Rpc;
use crate::snapshot::Revision;
use crate::telemetry::traces::Traces;

/// The span of a call that is traced.
#[derive(Debug)]
pub(super) struct CallSpan {
    span: Span,
    started: SystemTime,
    rpc: Rpc,
    /// Whether a trace begins here.
    is_root: bool,
    notes: Notes,
}

/// What is noted of a call while it is answered.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Tally>>);

#[derive(Debug, Default)]
struct Tally {
    allowed: u64,
    denied: u64,
    /// Requests that were not decided.
    refused: u64,
    cache_hits: u64,
    last: Option<(Decision, PolicyType, CacheStatus)>,
    /// What decided last.
    snapshot: Option<(Revision, u64)>,
}

impl Notes {
    /// A request was decided.
    pub(super) fn decided(&self, active: &Active, answer: &Answer) {
        let Answer { outcome: Outcome { decision, decided_by, .. }, cache, .. } = answer;
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match decision {
            Decision::Allow => tally.allowed += 1,
            Decision::ExplicitDeny | Decision::ImplicitDeny => tally.denied += 1,
        }
        tally.cache_hits += u64::from(*cache == CacheStatus::Hit);
        tally.last = Some((*decision, *decided_by, *cache));
        if tally.snapshot.is_none_or(|(_, version)| version != active.snapshot.version) {
            tally.snapshot = Some((active.snapshot.revision, active.snapshot.version));
        }
    }

    /// A request was not decided.
    pub(super) fn refused(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refused += 1;
    }
}

impl CallSpan {
    /// None if the call is not to be traced: health and reflection never are.
    #[cold]
    pub(super) fn begin(traces: &Traces, rpc: Rpc, headers: &HeaderMap, peer: Option<&Arc<str>>) -> Option<Box<Self>> {
        let name = name(rpc)?;
        let mut attributes = Vec::with_capacity(MOST_ATTRIBUTES);
        attributes.push(KeyValue::new("rpc.system", "grpc"));
        attributes.push(KeyValue::new("rpc.service", rpc.service()));
        attributes.push(KeyValue::new("rpc.method", rpc.method()));
        if let Some(peer) = peer {
            attributes.push(KeyValue::new("iamd.peer", Value::from(Arc::clone(peer))));
        }
        let caller = traces.takes_context.then(|| caller(headers)).flatten();
        let is_root = caller.is_none();
        let started = SystemTime::now();
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_start_time(started);
        let span = traces.begin(builder.with_attributes(attributes), caller)?;
        Some(Box::new(Self { span, started, rpc, is_root, notes: Notes::default() }))
    }

    /// For whoever answers the call.
    pub(super) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Tells the caller where its call is found: a caller that is not traced itself would not know.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(context) = self.context() {
            headers.insert("traceresponse", context);
        }
    }

    /// The call's place in the trace that begins with it, if one does.
    pub(super) fn root(&self) -> Option<HeaderValue> {
        self.is_root.then(|| self.context()).flatten()
    }

    /// As headers have it.
    fn context(&self) -> Option<HeaderValue> {
        let context = self.span.span_context();
        let flags = context.trace_flags().to_u8();
        HeaderValue::try_from(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())).ok()
    }

    /// The call has ended; its span waits for the exporter from here on. Setting the clock meanwhile makes it no longer.
    pub(super) fn end(mut self, code: Code, took: Duration) {
        let tally = std::mem::take(&mut *self.notes.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
        self.span.set_attributes(tally.attributes(self.rpc));
        if is_fault(code) {
            self.span.set_status(SpanStatus::error(code.description()));
        }
        self.span.end_with_timestamp(self.started.checked_add(took).unwrap_or(self.started));
    }
}

impl Tally {
    fn attributes(&self, rpc: Rpc) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(MOST_ATTRIBUTES);
        if let Some((revision, version)) = self.snapshot {
            attributes.push(KeyValue::new("iamd.snapshot.revision", revision.to_string()));
            attributes.push(KeyValue::new("iamd.snapshot.version", signed(version)));
        }
        if rpc != Rpc::IsAuthorized {
            let Self { allowed, denied, refused, cache_hits, .. } = *self;
            let counts = [
                ("iamd.requests", allowed + denied + refused),
                ("iamd.allowed", allowed),
                ("iamd.denied", denied),
                ("iamd.refused", refused),
                ("iamd.cache_hits", cache_hits),
            ];
            attributes.extend(counts.map(|(name, count)| KeyValue::new(name, signed(count))));
        } else if let Some((decision, decided_by, cache)) = self.last {
            attributes.push(KeyValue::new("iamd.decision", decision.as_str()));
            attributes.push(KeyValue::new("iamd.decided_by", decided_by.as_str()));
            attributes.push(KeyValue::new("iamd.cache", cache.as_str()));
        }
        attributes
    }
}

/// So many attributes has a span at most, that of a batch.
const MOST_ATTRIBUTES: usize = 12;

/// The standard wants so much to be kept; callers must not fill the memory with more.
const MOST_STATE_BYTES: usize = 512;

const fn name(rpc: Rpc) -> Option<&'static str> {
    match rpc {
        Rpc::IsAuthorized => Some("iamd.v1.AuthorizationService/IsAuthorized"),
        Rpc::BatchIsAuthorized => Some("iamd.v1.AuthorizationService/BatchIsAuthorized"),
        Rpc::StreamIsAuthorized => Some("iamd.v1.AuthorizationService/StreamIsAuthorized"),
        Rpc::HealthCheck | Rpc::HealthWatch | Rpc::ReflectionV1 | Rpc::ReflectionV1Alpha | Rpc::Unknown => None,
    }
}

/// The numbers of attributes have a sign.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Ends that are a server's fault, as OpenTelemetry's conventions list them; a request that is wrong is its caller's.
const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The span of the caller, by <https://www.w3.org/TR/trace-context/>; None if it says none.
fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let (trace, span) = trace_ids(text.as_bytes())?;
    let hex = |part: &[u8]| std::str::from_utf8(part).unwrap_or_default().to_owned();
    let (trace, span) = (TraceId::from_hex(&hex(trace)).ok()?, SpanId::from_hex(&hex(span)).ok()?);
    // Other flags than this one may be set, and mean nothing yet.
    let flags = TraceFlags::new(u8::from_str_radix(text.get(53..55)?, 16).ok()?) & TraceFlags::SAMPLED;
    Some(SpanContext::new(trace, span, flags, true, state(headers)))
}

/// What other systems want to know of the trace; nothing, if it is not as it should be: that is no fault of the trace's.
fn state(headers: &HeaderMap) -> TraceState {
    let parts: Vec<&str> = headers.get_all("tracestate").iter().filter_map(|part| part.to_str().ok()).collect();
    let text = parts.join(",");
    if text.len() > MOST_STATE_BYTES { TraceState::default() } else { text.parse().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_caller_is_who_it_says() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
        let told = headers(&[("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        let context = caller(&told).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!((context.trace_flags(), context.is_remote()), (TraceFlags::SAMPLED, true));
        assert_eq!(context.trace_state().header(), "a=1,b=2");

        let unsampled = caller(&headers(&[("traceparent", &parent.replace("-03", "-02"))])).unwrap();
        assert!(!unsampled.is_sampled());
        let long = format!("a={0},b={0},c={0}", "x".repeat(168));
        assert_eq!(long.len(), MOST_STATE_BYTES);
        for (state, kept) in [("A B", ""), (&long, &long), (&format!("{long}x"), "")] {
            let odd = caller(&headers(&[("traceparent", parent), ("tracestate", state)])).unwrap();
            assert_eq!(odd.trace_state().header(), kept);
        }
        for wrong in ["", "00-1-2-01", &parent.to_uppercase(), &parent.replace("00f067aa0ba902b7", "0000000000000000")]
        {
            assert_eq!(caller(&headers(&[("traceparent", wrong)])), None, "{wrong}");
        }
        assert_eq!(caller(&HeaderMap::new()), None);
    }

    #[test]
    fn a_denial_is_no_fault() {
        let faults: Vec<i32> = (0..17).filter(|code| is_fault(Code::from_i32(*code))).collect();
        assert_eq!(faults, [2, 4, 12, 13, 14, 15]);
    }
}
