//! Who asks: what the head of a call says, for the log.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Ids of requests are longer nowhere; what is longer is not taken for one.
const MOST_ID_BYTES: usize = 128;

/// Made once: a name as text would be read at each call.
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is logged of each request of a call.
#[derive(Clone, Debug)]
pub struct Origin {
    /// In place of an id, where the call brought none.
    pub(super) number: u64,
    /// Most calls bring nothing, and need no memory for it.
    given: Option<Box<Given>>,
}

/// What a call brought.
#[derive(Clone, Debug)]
struct Given {
    request_id: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    peer: Option<Arc<str>>,
}

impl Origin {
    /// Of a call with these headers, from a peer of this name, in the trace that begins with the call if one does.
    pub(super) fn new(
        headers: &HeaderMap,
        peer: Option<&Arc<str>>,
        root: Option<HeaderValue>,
        number: impl FnOnce() -> u64,
    ) -> Self {
        let [id, trace] = sent(headers);
        let request_id = id.filter(|id| is_id(id.as_bytes())).cloned();
        let traceparent = root.or_else(|| trace.filter(|trace| trace_ids(trace.as_bytes()).is_some()).cloned());
        let number = if request_id.is_some() { 0 } else { number() };
        let any = request_id.is_some() || traceparent.is_some() || peer.is_some();
        let given = any.then(|| Box::new(Given { request_id, traceparent, peer: peer.cloned() }));
        Self { number, given }
    }

    /// The id that the call brought, its trace and its peer's name; empty where there is none.
    pub(super) fn texts(&self) -> [&[u8]; 3] {
        let Some(given) = &self.given else { return [&[]; 3] };
        [
            given.request_id.as_ref().map_or(&[], |id| id.as_bytes()),
            given.traceparent.as_ref().map_or(&[], |trace| trace.as_bytes()),
            given.peer.as_ref().map_or(&[], |peer| peer.as_bytes()),
        ]
    }
}

/// The first id and the first trace among the headers. A call has few headers: to go through them takes less than to look up
/// two that are mostly not there.
fn sent(headers: &HeaderMap) -> [Option<&HeaderValue>; 2] {
    let [mut id, mut trace] = [None; 2];
    for (name, value) in headers {
        if *name == X_REQUEST_ID {
            id.get_or_insert(value);
        } else if *name == TRACEPARENT {
            trace.get_or_insert(value);
        }
    }
    [id, trace]
}

/// Something that can be found again, and nothing that could be taken for anything else.
fn is_id(id: &[u8]) -> bool {
    (1..=MOST_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Trace id and span id of a `traceparent` (<https://www.w3.org/TR/trace-context/>); None if it is not one.
pub fn trace_ids(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (known, rest) = text.split_at_checked(55)?;
    let (version, known) = known.split_at_checked(2)?;
    let (trace, known) = known.strip_prefix(b"-")?.split_at_checked(32)?;
    let (span, known) = known.strip_prefix(b"-")?.split_at_checked(16)?;
    let flags = known.strip_prefix(b"-")?;
    // Later versions may say more.
    let fits = match version {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.is_empty() || rest.starts_with(b"-"),
    };
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_something = |part: &[u8]| part.iter().any(|b| *b != b'0');
    let sound = fits && [version, trace, span, flags].into_iter().all(is_hex);
    (sound && is_something(trace) && is_something(span)).then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn traces_are_those_of_the_standard() {
        let ids = Some(("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"));
        for (text, expected) in [
            (TRACE.to_owned(), ids),
            (TRACE.replace("00-4", "cc-4"), ids),
            (TRACE.replace("00-4", "cc-4") + "-more", ids),
            (TRACE.replace("00-4", "cc-4") + "more", None),
            (TRACE.replace("00-4", "ff-4"), None),
            (TRACE.to_owned() + "-more", None),
            (TRACE.to_uppercase(), None),
            (TRACE.replace("00f067aa0ba902b7", "0000000000000000"), None),
            (TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"), None),
            (TRACE.replace("-01", "-0g"), None),
            (TRACE.replace("-01", "_01"), None),
            (TRACE.replacen('0', "", 1), None),
            (String::new(), None),
        ] {
            let expected = expected.map(|(trace, span)| (trace.as_bytes(), span.as_bytes()));
            assert_eq!(trace_ids(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_callers_send_is_taken_if_it_is_sane() {
        let origin = |id: &str, trace: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", id.parse().unwrap());
            headers.insert("traceparent", trace.parse().unwrap());
            let origin = Origin::new(&headers, Some(&"spiffe://a/b".into()), None, || 7);
            let [id, trace, peer] = origin.texts().map(|text| String::from_utf8(text.to_vec()).unwrap());
            (origin.number, id, trace, peer)
        };
        let peer = "spiffe://a/b".to_owned();
        assert_eq!(origin("abc-1", TRACE), (0, "abc-1".to_owned(), TRACE.to_owned(), peer.clone()));
        assert_eq!(origin("with blank", "00-1"), (7, String::new(), String::new(), peer.clone()));
        assert_eq!(origin(&"x".repeat(129), ""), (7, String::new(), String::new(), peer));
        let nothing = Origin::new(&HeaderMap::new(), None, None, || 9);
        assert_eq!((nothing.number, nothing.texts()), (9, [&b""[..]; 3]));
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", TRACE.replace("-00f", "-11f").parse().unwrap());
        let rooted = Origin::new(&headers, None, Some(HeaderValue::from_static(TRACE)), || 9);
        assert_eq!(rooted.texts(), [b"", TRACE.as_bytes(), b""]);
    }
}
