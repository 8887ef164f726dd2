//! Answers as they go over the wire. There are few without explanation, and they are given again and again: each is encoded once.

use std::cell::RefCell;

use prost::Message as _;
use prost::bytes::{Bytes, BytesMut};

use super::{convert, messages};
use crate::access::{Decision, Outcome, PolicyType};
use crate::proto::v1;
use crate::proto::v1::batch_result::Result as Batched;
use crate::proto::v1::stream_is_authorized_response::Result as Streamed;

/// Where an answer stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// An `IsAuthorizedResponse` in the frame of a message.
    Framed,
    /// A result as a field of `BatchIsAuthorizedResponse`.
    Batched,
    /// The result of a `StreamIsAuthorizedResponse`, as its field.
    Streamed,
}

const FORMS: usize = 3;

thread_local! {
    static PLAIN: RefCell<Plain> = const { RefCell::new(Plain { version: 0, answers: NONE }) };
}

/// The answers without explanation of one snapshot, made when they are first given.
struct Plain {
    version: u64,
    answers: Answers,
}

type Answers = [[[Option<Bytes>; PolicyType::ALL.len()]; Decision::ALL.len()]; FORMS];

const NONE: Answers = [const { [const { [const { None }; PolicyType::ALL.len()] }; Decision::ALL.len()] }; FORMS];

/// Gives an answer by the snapshot of this version, encoded.
pub(super) fn with<T>(outcome: &Outcome, version: u64, form: Form, give: impl FnOnce(&Bytes) -> T) -> T {
    if outcome.explanation.is_some() {
        return give(&encoded(outcome, version, form));
    }
    PLAIN.with_borrow_mut(|plain| {
        if plain.version != version {
            *plain = Plain { version, answers: NONE };
        }
        let rows = plain.answers.get_mut(form as usize);
        let row = rows.and_then(|rows| rows.get_mut(outcome.decision as usize));
        match row.and_then(|row| row.get_mut(outcome.decided_by as usize)) {
            Some(known) => give(known.get_or_insert_with(|| encoded(outcome, version, form))),
            None => give(&encoded(outcome, version, form)),
        }
    })
}

fn encoded(outcome: &Outcome, version: u64, form: Form) -> Bytes {
    let response = convert::response(outcome, version);
    match form {
        Form::Framed => framed(&response),
        Form::Batched => {
            let result = v1::BatchResult { result: Some(Batched::Response(response)) };
            v1::BatchIsAuthorizedResponse { results: vec![result], ..Default::default() }.encode_to_vec().into()
        }
        Form::Streamed => {
            let result = Some(Streamed::Response(response));
            v1::StreamIsAuthorizedResponse { result, ..Default::default() }.encode_to_vec().into()
        }
    }
}

fn framed(response: &v1::IsAuthorizedResponse) -> Bytes {
    let mut out = BytesMut::with_capacity(response.encoded_len() + messages::HEAD_BYTES);
    let start = messages::begin(&mut out);
    // INVARIANT: a BytesMut grows, so that there is always room.
    response.encode_raw(&mut out);
    messages::end(&mut out, start);
    out.freeze()
}
