//! Decisions in answers. Read without decoding the whole message: a generator has to outrun the service.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Who is asked, which says what answers look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Iamd,
    Cerbos,
    Opa,
}

/// A decision, with the number that it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    Allow = 1,
    ExplicitDeny = 2,
    ImplicitDeny = 3,
}

pub const DECISIONS: [Decision; 3] = [Decision::Allow, Decision::ExplicitDeny, Decision::ImplicitDeny];

impl Decision {
    fn of(number: u64) -> Option<Self> {
        DECISIONS.into_iter().find(|decision| *decision as u64 == number)
    }

    /// One of a set of decisions that would be right.
    pub fn bit(self) -> u8 {
        1 << self as u8
    }

    /// As files of expected decisions have it.
    pub fn letter(self) -> char {
        match self {
            Self::Allow => 'A',
            Self::ExplicitDeny => 'D',
            Self::ImplicitDeny => 'I',
        }
    }

    pub fn from_letter(letter: char) -> Option<Self> {
        DECISIONS.into_iter().find(|decision| decision.letter() == letter)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "ALLOW",
            Self::ExplicitDeny => "EXPLICIT_DENY",
            Self::ImplicitDeny => "IMPLICIT_DENY",
        })
    }
}

/// Of an IsAuthorizedResponse.
pub fn unary(message: &[u8]) -> Option<Decision> {
    Fields(message).find(|field| field.number == 1).and_then(|field| Decision::of(field.value))
}

/// Of a BatchIsAuthorizedResponse, in order; `None` for a request that was answered with an error.
pub fn batch(message: &[u8]) -> impl Iterator<Item = Option<Decision>> {
    let results = Fields(message).filter(|field| field.number == 1);
    results.map(|result| Fields(result.bytes).find(|field| field.number == 1).and_then(|field| unary(field.bytes)))
}

/// Of a StreamIsAuthorizedResponse, with the id of its request.
pub fn streamed(message: &[u8]) -> (u64, Option<Decision>) {
    let (mut id, mut decision) = (0, None);
    for field in Fields(message) {
        match field.number {
            1 => id = field.value,
            2 => decision = unary(field.bytes),
            _ => {}
        }
    }
    (id, decision)
}

/// Of Cerbos' CheckResourcesResponse about one action: results, actions (a map), effect. It knows no two kinds of denial.
pub fn cerbos(message: &[u8]) -> Option<Decision> {
    let result = Fields(message).find(|field| field.number == 2)?;
    let action = Fields(result.bytes).find(|field| field.number == 2)?;
    match Fields(action.bytes).find(|field| field.number == 2)?.value {
        1 => Some(Decision::Allow),
        2 => Some(Decision::ImplicitDeny),
        _ => None,
    }
}

/// Of OPA's `{"result":"..."}`.
pub fn opa(body: &[u8]) -> Option<Decision> {
    let text = std::str::from_utf8(body).ok()?;
    let result = text.split_once("\"result\":\"")?.1.split('"').next()?;
    match result {
        "allow" => Some(Decision::Allow),
        "explicit_deny" => Some(Decision::ExplicitDeny),
        "implicit_deny" => Some(Decision::ImplicitDeny),
        _ => None,
    }
}

/// The fields of a protobuf message; ends at what it cannot read.
struct Fields<'a>(&'a [u8]);

struct Field<'a> {
    number: u64,
    /// Of a number.
    value: u64,
    /// Of a message or text.
    bytes: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let tag = varint(&mut self.0)?;
        let (number, mut value, mut bytes) = (tag >> 3, 0, &[][..]);
        match tag & 7 {
            0 => value = varint(&mut self.0)?,
            1 => self.0 = self.0.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                (bytes, self.0) = self.0.split_at_checked(length)?;
            }
            5 => self.0 = self.0.get(4..)?,
            _ => return None,
        }
        Some(Field { number, value, bytes })
    }
}

/// Takes a number off the front.
pub fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (place, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *rest = &rest[place + 1..];
            return Some(value);
        }
    }
    None
}

/// Appends a number.
pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::iamd;

    fn response(decision: iamd::Decision) -> iamd::IsAuthorizedResponse {
        iamd::IsAuthorizedResponse { decision: decision.into(), snapshot_version: 300, ..Default::default() }
    }

    #[test]
    fn reads_decisions_as_they_are_sent() {
        let denied = response(iamd::Decision::ExplicitDeny);
        assert_eq!(unary(&denied.encode_to_vec()), Some(Decision::ExplicitDeny));
        assert_eq!(unary(&[]), None);

        let error = iamd::RequestError { code: 3, message: "wrong".to_owned() };
        let results = vec![
            iamd::BatchResult { result: Some(iamd::batch_result::Result::Response(denied.clone())) },
            iamd::BatchResult { result: Some(iamd::batch_result::Result::Error(error)) },
        ];
        let answer = iamd::BatchIsAuthorizedResponse { results, snapshot_version: 1 };
        assert_eq!(batch(&answer.encode_to_vec()).collect::<Vec<_>>(), [Some(Decision::ExplicitDeny), None]);

        let result = Some(iamd::stream_is_authorized_response::Result::Response(denied));
        let answer = iamd::StreamIsAuthorizedResponse { id: 70_000, result };
        assert_eq!(streamed(&answer.encode_to_vec()), (70_000, Some(Decision::ExplicitDeny)));
    }

    #[test]
    fn reads_what_peers_answer() {
        // results { actions { "read": EFFECT_ALLOW } }
        let allowed = [0x12, 10, 0x12, 8, 0x0a, 4, b'r', b'e', b'a', b'd', 0x10, 1];
        assert_eq!(cerbos(&allowed), Some(Decision::Allow));
        assert_eq!(opa(b"{\"result\":\"explicit_deny\"}\n"), Some(Decision::ExplicitDeny));
        assert_eq!(opa(b"{}"), None);
    }

    #[test]
    fn numbers_come_back() {
        for value in [0, 127, 128, 300, u64::MAX] {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(varint(&mut out.as_slice()), Some(value));
        }
        assert_eq!(varint(&mut &[0x80][..]), None);
    }
}
