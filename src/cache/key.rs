//! What a decision is remembered by: the message of its request, as it lies in its bytes.
//!
//! The same bytes are the same request. So are the same fields in another order, since clients write the entries of a map in
//! any: what says so of itself ([`Key::in_any_order`]) is found by all of its orders. What means the same but is spelled
//! differently, by the case of a condition key for instance, is remembered apart.

use std::hash::{BuildHasher, Hasher};

use arrayvec::ArrayVec;
use foldhash::fast::RandomState;

use super::table::Place;
use crate::proto::view::{CONTEXT, Fields};

/// A message, and where a cache would keep its decision.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub(super) message: &'a [u8],
    pub(super) place: Place,
    pub(super) any_order: bool,
}

impl<'a> Key<'a> {
    /// The message itself.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// Of a message whose place is known, see [`Key::place`]. In the place of another one it is not found.
    pub fn at(place: Place, message: &'a [u8]) -> Self {
        Self { message, place, any_order: false }
    }

    /// Where its decision belongs: in a cache, and in those that succeed it.
    pub fn place(&self) -> Place {
        self.place
    }

    pub(super) fn of(message: &'a [u8], hasher: &RandomState) -> Self {
        Self::at(place(message, hasher), message)
    }

    /// Of an `IsAuthorizedRequest` whose fields mean the same in any order, but for its only list, the session policies: no
    /// other two set the same field, or the same entry of a map.
    #[must_use]
    pub fn in_any_order(self) -> Self {
        Self { any_order: true, ..self }
    }
}

/// The same for all orders of the fields. Of what is not made of fields, the rest counts as one.
fn place(message: &[u8], hasher: &RandomState) -> Place {
    sum_while(&mut Pieces(message), hasher, |_| true).into()
}

/// The sum of pieces, up to the first that begins with another byte than is wanted.
#[inline]
fn sum_while(pieces: &mut Pieces<'_>, hasher: &RandomState, is_wanted: impl Fn(u8) -> bool) -> u64 {
    let mut sum = 0_u64;
    while let Some(tag) = pieces.0.first()
        && is_wanted(*tag)
        && let Some((_, piece)) = pieces.next()
    {
        sum = sum.wrapping_add(hash(piece, hasher));
    }
    sum
}

#[inline]
fn hash(piece: &[u8], hasher: &RandomState) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(piece);
    hasher.finish()
}

/// How the field `context` begins, but for odd clients.
const CONTEXT_TAG: u8 = 4 << 3 | 2;

/// Makes the keys of requests that come together. Most of these have the same context, which is hashed once then.
#[derive(Debug)]
pub struct Keys<'c, 'm> {
    hasher: &'c RandomState,
    /// The last context, so far as it lay side by side, and what its fields add to the sum.
    context: &'m [u8],
    sum: u64,
}

impl<'c, 'm> Keys<'c, 'm> {
    pub(super) fn new(hasher: &'c RandomState) -> Self {
        Self { hasher, context: &[], sum: 0 }
    }

    /// The key of a request by its message: the same as if it came alone.
    pub fn of(&mut self, message: &'m [u8]) -> Key<'m> {
        let mut pieces = Pieces(message);
        let before = sum_while(&mut pieces, self.hasher, |tag| tag != CONTEXT_TAG);
        match pieces.0.strip_prefix(self.context) {
            Some(rest) if !self.context.is_empty() => pieces.0 = rest,
            _ => self.learn_context(&mut pieces),
        }
        let behind = sum_while(&mut pieces, self.hasher, |_| true);
        let sum = before.wrapping_add(self.sum).wrapping_add(behind);
        Key::at(sum.into(), message)
    }

    fn learn_context(&mut self, pieces: &mut Pieces<'m>) {
        let all = pieces.0;
        self.sum = 0;
        while let [CONTEXT_TAG, ..] = pieces.0 {
            let from_here = pieces.0;
            let Some((CONTEXT, piece)) = pieces.next() else {
                // What is no field counts with all that follows it, which another message may not have.
                pieces.0 = from_here;
                break;
            };
            self.sum = self.sum.wrapping_add(hash(piece, self.hasher));
        }
        self.context = all.get(..all.len() - pieces.0.len()).unwrap_or_default();
    }
}

/// The fields of a message: their numbers, and their bytes with number and length.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = (u32, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        if self.0.is_empty() {
            return None;
        }
        let mut fields = Fields::of(self.0);
        let (number, rest) = fields.next().map_or((0, &[][..]), |(number, _)| (number, fields.rest()));
        let (piece, rest) = self.0.split_at_checked(self.0.len() - rest.len())?;
        self.0 = rest;
        Some((number, piece))
    }
}

/// Messages of more fields are compared as they are: each is looked for among all of the other.
const MOST_PIECES: usize = 32;

/// The number of the field `session_policies`.
const SESSION_POLICIES: u32 = 6;

/// Whether these are the fields of `known` in another order: the session policies in the same, and of the rest, in which no
/// two are the same, as many, and each of `known` among them.
pub(super) fn has_same_fields(known: &[u8], message: &[u8]) -> bool {
    known.len() == message.len()
        && split(known).zip(split(message)).is_some_and(|((known_list, known), (list, given))| {
            known_list == list && known.len() == given.len() && known.iter().all(|piece| given.contains(piece))
        })
}

type Split<'a> = ArrayVec<&'a [u8], MOST_PIECES>;

/// The session policies, and all others; None if there are too many.
fn split(message: &[u8]) -> Option<(Split<'_>, Split<'_>)> {
    let (mut list, mut others) = (Split::new(), Split::new());
    for (number, piece) in Pieces(message) {
        let part = if number == SESSION_POLICIES { &mut list } else { &mut others };
        part.try_push(piece).ok()?;
    }
    Some((list, others))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::v1;

    fn context(entries: &[(&str, &[&str])]) -> Vec<Vec<u8>> {
        let entry = |(key, values): &(&str, &[&str])| {
            let values = v1::ContextValues { values: values.iter().map(|&value| value.to_owned()).collect() };
            let request =
                v1::IsAuthorizedRequest { context: [((*key).to_owned(), values)].into(), ..Default::default() };
            prost::Message::encode_to_vec(&request)
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn fields_are_the_same_in_any_order_and_only_then() {
        let [a, b, c] = &context(&[("a", &["1"]), ("b", &["1"]), ("c", &["1"])])[..] else { panic!("three") };
        let same = |known: &[&Vec<u8>], given: &[&Vec<u8>]| {
            let join = |pieces: &[&Vec<u8>]| pieces.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<u8>>();
            has_same_fields(&join(known), &join(given))
        };
        assert!(same(&[a, b, c], &[a, b, c]) && same(&[a, b, c], &[c, a, b]) && same(&[], &[]));
        assert!(!same(&[a, b, c], &[a, a, b]) && !same(&[a, b], &[a, a]) && !same(&[a, b], &[a, b, c]));
        // The session policies have their order, and may be the same.
        let [x, y] = &["x", "y"].map(|text| {
            let session_policies = vec![text.to_owned()];
            prost::Message::encode_to_vec(&v1::IsAuthorizedRequest { session_policies, ..Default::default() })
        });
        assert!(same(&[x, a, y, b], &[b, x, y, a]) && same(&[x, x, a], &[a, x, x]));
        assert!(!same(&[x, y], &[y, x]) && !same(&[x, x, a], &[x, a, y]) && !same(&[x, x, a], &[x, a, a]));
        // However their number is written.
        let [x, y] = [x, y].map(|policy| [&[policy[0] | 0x80, 0], &policy[1..]].concat());
        assert!(!same(&[&x, &y], &[&y, &x]) && !same(&[&x, &x, a], &[&x, a, &y]));
        // What is inside of a field has its order.
        let [values, turned] = &context(&[("a", &["1", "2"]), ("a", &["2", "1"])])[..] else { panic!("two") };
        assert!(!same(&[values], &[turned]));
    }

    fn piece() -> impl Strategy<Value = &'static [u8]> {
        const PIECES: [&[u8]; 6] = [b"\x0a\x01a", b"\x22\x01a", b"\x22\x01b", b"\xa2\x00\x01a", b"\x22\x05a", b"\x22"];
        prop_oneof![1 => Just(PIECES[0]), 4 => Just(PIECES[1]), 2 => Just(PIECES[2]), 1 => Just(PIECES[3]), 1 => Just(PIECES[4]), 1 => Just(PIECES[5])]
    }

    proptest! {
        #[test]
        fn a_message_is_the_sum_of_its_pieces(message in proptest::collection::vec(0..20_u8, 0..60)) {
            let pieces: Vec<_> = Pieces(&message).map(|(_, piece)| piece).collect();
            prop_assert_eq!(pieces.concat(), message);
        }

        /// Messages with much the same contexts, sound and unsound.
        #[test]
        fn keys_that_are_made_together_are_those_that_are_made_alone(
            messages in proptest::collection::vec(proptest::collection::vec(piece(), 0..6), 0..8),
        ) {
            let hasher = foldhash::fast::RandomState::default();
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|pieces| pieces.concat()).collect();
            let mut keys = Keys::new(&hasher);
            for message in &messages {
                let (together, alone) = (keys.of(message), Key::of(message, &hasher));
                prop_assert_eq!(together.message, &**message);
                prop_assert_eq!((together.place.hash, together.place.tag), (alone.place.hash, alone.place.tag));
            }
        }

        #[test]
        fn all_orders_have_one_place(
            mut pieces in proptest::collection::vec("[a-z]{0,200}", 0..40).prop_map(|texts| {
                texts.iter().enumerate().map(|(n, text)| format!("{n}{text}")).collect::<Vec<_>>()
            }),
            turn in any::<prop::sample::Index>(),
        ) {
            let hasher = foldhash::fast::RandomState::default();
            let message = |pieces: &[String]| {
                let mut out = Vec::new();
                pieces.iter().for_each(|piece| prost::encoding::string::encode(4, piece, &mut out));
                out
            };
            let first = message(&pieces);
            if !pieces.is_empty() {
                let by = turn.index(pieces.len());
                pieces.rotate_left(by);
            }
            let second = message(&pieces);
            let places = [&first, &second].map(|message| place(message, &hasher));
            prop_assert_eq!(places[0].hash, places[1].hash);
            prop_assert_eq!(places[0].tag, places[1].tag);
            prop_assert_eq!(has_same_fields(&first, &second), pieces.len() <= MOST_PIECES);
        }
    }
}
