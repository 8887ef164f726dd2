//! Decisions that are logged before they are given, and noted for whoever traces.

use std::time::Instant;

use super::convert::Refusal;
use super::decide::{self, Decider};
use super::traced::Notes;
use crate::access::Outcome;
use crate::cache::Key;
use crate::decision_log::{DecisionLog, Made, Origin, Place};
use crate::engine::Answer;
use crate::proto::v1::Detail;
use crate::proto::view::{Field, Fields};

/// Who hears what was decided for a call, besides its caller.
#[derive(Debug, Default)]
pub struct Hearers {
    /// The decision log: whom it names. None where nothing is logged.
    pub origin: Option<Origin>,
    /// The call's span. None where it is not traced.
    pub notes: Option<Notes>,
}

/// The call that a request came in, and where in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) hearers: &'a Hearers,
    pub(super) place: Place,
}

/// Decides and logs. What cannot be logged is not given, if so it is set.
pub(super) fn decide<'m>(
    log: &DecisionLog,
    decider: &mut Decider<'_, 'm>,
    key: &Key<'m>,
    origin: &Origin,
    place: Place,
) -> Result<Answer, Refusal> {
    let started = Instant::now();
    let message = key.message();
    let explained = log.wants_statements().then(|| with_statements(message)).flatten();
    let active = decider.active();
    let answer = match explained.as_deref() {
        Some(other) => decide::decide(active, decider.limits(), &active.cache.key(other))?,
        None => decider.answer(key)?,
    };
    let Answer { outcome, cache, .. } = &answer;
    let made = Made { outcome, cache: *cache, snapshot: &active.snapshot, message, origin, place };
    log.record(&made, started)?;
    if explained.is_none() {
        return Ok(answer);
    }
    // The caller has not asked for it.
    let outcome = Outcome { explanation: None, ..answer.outcome };
    Ok(Answer { outcome, ..answer })
}

/// The same request with its statements asked for; None if it says itself how much it wants to know.
fn with_statements(message: &[u8]) -> Option<Vec<u8>> {
    let says_how_much = |field| matches!(field, (8, Field::Varint(1..) | Field::Bytes(_) | Field::Foreign));
    let mut fields = Fields::of(message);
    if fields.by_ref().any(says_how_much) || !fields.is_sound() {
        return None;
    }
    // Of a field that is given twice, the last one counts.
    let mut explained = message.to_vec();
    prost::encoding::int32::encode(8, &Detail::Statements.into(), &mut explained);
    Some(explained)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::v1::IsAuthorizedRequest;

    #[test]
    fn statements_are_asked_for_where_the_request_does_not_say() {
        let request = |detail| IsAuthorizedRequest { principal: "p".to_owned(), detail, ..Default::default() };
        let message = request(0).encode_to_vec();
        let explained = with_statements(&message).unwrap();
        assert_eq!(IsAuthorizedRequest::decode(&*explained).unwrap(), request(1));
        for detail in [1, 7, -1] {
            assert_eq!(with_statements(&request(detail).encode_to_vec()), None);
        }
        let reset = [request(1).encode_to_vec(), vec![0x40, 0]].concat();
        assert_eq!(with_statements(&reset), None, "what is odd is left alone");
        assert_eq!(with_statements(b"\x0a\x09"), None);
    }
}
