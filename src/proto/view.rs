//! Messages as they lie in their bytes: nothing is copied, and nothing that a message claims to hold is made room for.
//!
//! This reads what clients send. Whatever is unusual, though it may be right (a field or a key of a map that is given twice, a
//! field of a later version), reads as None: then `prost` has to say what it is.

use crate::few::Few;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A number or an enum.
    Varint(u64),
    /// A string or a message.
    Bytes(&'a [u8]),
    /// A number of fixed size, or a group: no message of ours has one.
    Foreign,
}

/// Wire types of the two ends of a group.
const GROUP: u32 = 3;
const END_OF_GROUP: u32 = 4;

/// How deep groups may stand in each other; `prost` has the same limit.
const DEEPEST_GROUP: u32 = 100;

/// The fields of a message, in the order of its bytes. Ends at the first that is not sound, see [`Fields::is_sound`].
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    sound: bool,
}

impl<'a> Fields<'a> {
    /// Of this message.
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message, sound: true }
    }

    /// Whether all that was read so far is a field.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field, if it is a text or message of this number, which is below 16. Else it is left where it is.
    #[inline]
    pub fn text(&mut self, number: u8) -> Option<&'a [u8]> {
        // Most fields that are asked for are not there, which their first byte says.
        let (key, behind) = self.rest.split_first()?;
        if *key != number << 3 | 2 {
            return None;
        }
        let (text, rest) = match behind {
            [length @ ..0x80, rest @ ..] => rest.split_at_checked(usize::from(*length))?,
            _ => self.long_text()?,
        };
        self.rest = rest;
        Some(text)
    }

    /// The next field, and what stands behind it.
    fn long_text(&self) -> Option<(&'a [u8], &'a [u8])> {
        let mut ahead = *self;
        match ahead.next() {
            Some((_, Field::Bytes(text))) => Some((text, ahead.rest)),
            _ => None,
        }
    }

    /// Nearly all fields are texts or messages of less than 16,384 bytes, with a number below 16.
    #[inline]
    fn short_field(&self) -> Option<(u32, &'a [u8], &'a [u8])> {
        let (key, length, rest) = match self.rest {
            [key @ 8..0x80, length @ ..0x80, rest @ ..] => (*key, usize::from(*length), rest),
            [key @ 8..0x80, low, high @ ..0x80, rest @ ..] => {
                (*key, usize::from(low & 0x7f) | usize::from(*high) << 7, rest)
            }
            _ => return None,
        };
        let (bytes, rest) = rest.split_at_checked(length).filter(|_| key & 7 == 2)?;
        Some((u32::from(key >> 3), bytes, rest))
    }

    fn field(&mut self) -> Option<(u32, Field<'a>)> {
        let (number, kind) = self.key()?;
        let field = match kind {
            GROUP => self.skip_group(number, DEEPEST_GROUP).map(|()| Field::Foreign)?,
            _ => self.value(kind)?,
        };
        Some((number, field))
    }

    /// Number and wire type of a field.
    fn key(&mut self) -> Option<(u32, u32)> {
        let key = u32::try_from(self.varint()?).ok()?;
        (key >= 8).then_some((key >> 3, key & 7))
    }

    fn value(&mut self, kind: u32) -> Option<Field<'a>> {
        match kind {
            0 => self.varint().map(Field::Varint),
            1 => self.bytes(8).map(|_| Field::Foreign),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.bytes(length).map(Field::Bytes)
            }
            5 => self.bytes(4).map(|_| Field::Foreign),
            _ => None,
        }
    }

    /// Nobody sends groups any more, but what stands behind one has to be seen, or it would not be counted.
    fn skip_group(&mut self, number: u32, deepest: u32) -> Option<()> {
        let deeper = deepest.checked_sub(1)?;
        loop {
            match self.key()? {
                (inner, GROUP) => self.skip_group(inner, deeper)?,
                (inner, END_OF_GROUP) => return (inner == number).then_some(()),
                (_, kind) => drop(self.value(kind)?),
            }
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        if *first < 0x80 {
            self.rest = rest;
            return Some((*first).into());
        }
        self.long_varint()
    }

    /// At most ten bytes; what does not fit into 64 bits is not sound.
    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if shift == 63 && *byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Field<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some((number, bytes, rest)) = self.short_field() {
            self.rest = rest;
            return Some((number, Field::Bytes(bytes)));
        }
        if self.rest.is_empty() || !self.sound {
            return None;
        }
        let field = self.field();
        self.sound = field.is_some();
        field
    }
}

/// A request with more pieces than this is read as prost does, which counts them first.
const MOST_FIELDS: usize = 2_048;

/// The number of the field `context`.
pub const CONTEXT: u32 = 4;

/// The `context` of a request: its fields, which lie side by side, and how many they are. The same bytes are the same context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextFields<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> ContextFields<'a> {
    /// Those from here on, of which one is known to be there, and at most so many in all; `fields` is left behind the last. They may
    /// begin as others do: these are not read again.
    #[inline]
    fn take(from_here: &'a [u8], fields: &mut Fields<'a>, most: usize, others: ContextFields<'_>) -> Option<Self> {
        let mut count = 1;
        if !others.is_empty()
            && let Some(rest) = from_here.strip_prefix(others.bytes)
        {
            (*fields, count) = (Fields::of(rest), others.count);
        }
        loop {
            let behind = *fields;
            let Some((CONTEXT, Field::Bytes(_))) = fields.next() else {
                *fields = behind;
                let bytes = from_here.get(..from_here.len().checked_sub(behind.rest.len())?)?;
                return Some(Self { bytes, count });
            };
            if count >= most {
                return None;
            }
            count += 1;
        }
    }

    /// How many keys are given; one may be given twice.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Key and values of each; None for one that only `prost` can read.
    #[inline]
    pub fn entries(&self) -> impl Iterator<Item = Option<(&'a [u8], ValuesView<'a>)>> {
        Fields::of(self.bytes).map(|(_, field)| {
            let Field::Bytes(entry) = field else { return None };
            let (key, values) = map_entry(entry)?;
            Some((key, ValuesView::of(values)?))
        })
    }

    /// What stands before them in the message that they lie in.
    pub fn before_in<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        // Of what they do not lie in, nothing is before them.
        let start = self.bytes.as_ptr().addr().wrapping_sub(message.as_ptr().addr());
        message.get(..start).unwrap_or_default()
    }
}

/// An `IsAuthorizedRequest`.
#[derive(Debug, Default)]
pub struct RequestView<'a> {
    /// `principal`
    pub principal: &'a [u8],
    /// `action`
    pub action: &'a [u8],
    /// `resource`
    pub resource: &'a [u8],
    /// `context`; what is in it is not read yet.
    pub context: ContextFields<'a>,
    /// `resource_account`; empty when absent.
    pub resource_account: &'a [u8],
    /// `session_policies`
    pub session_policies: Few<&'a [u8], 2>,
    /// `session_tags`, in any order; a key may be given twice.
    pub session_tags: Few<(&'a [u8], &'a [u8]), 2>,
    /// `detail`
    pub detail: u64,
    /// `federated_by`; empty when absent.
    pub federated_by: &'a [u8],
}

impl<'a> RequestView<'a> {
    /// Reads a message, into a view that is empty: it is too large to be moved without need. Its context may begin as another one.
    /// None where only `prost` can say what the message is.
    pub fn read(&mut self, message: &'a [u8], context: ContextFields<'_>) -> Option<()> {
        let mut fields = Fields::of(message);
        let mut left = MOST_FIELDS;
        let mut seen = 0_u32;
        loop {
            let from_here = fields.rest();
            let Some((number, field)) = fields.next() else { break };
            match (number, field) {
                // Nobody writes a map in several places.
                (CONTEXT, Field::Bytes(_)) if self.context.is_empty() => {
                    self.context = ContextFields::take(from_here, &mut fields, left, context)?;
                    left = left.checked_sub(self.context.count)?;
                    continue;
                }
                (6, Field::Bytes(text)) => self.session_policies.push(text),
                (7, Field::Bytes(entry)) => self.session_tags.push(map_entry(entry)?),
                _ => self.put_once(number, field, &mut seen)?,
            }
            left = left.checked_sub(1)?;
        }
        (fields.is_sound() && fields.rest().is_empty()).then_some(())
    }

    /// Takes in a field that is no list and no map, if it is of its type and comes for the first time.
    #[inline(always)]
    fn put_once(&mut self, number: u32, field: Field<'a>, seen: &mut u32) -> Option<()> {
        match (number, field) {
            (1, Field::Bytes(text)) => self.principal = text,
            (2, Field::Bytes(text)) => self.action = text,
            (3, Field::Bytes(text)) => self.resource = text,
            (5, Field::Bytes(text)) => self.resource_account = text,
            (8, Field::Varint(detail)) => self.detail = detail,
            (9, Field::Bytes(text)) => self.federated_by = text,
            // Of another type than it should be, or of a later version.
            _ => return None,
        }
        let before = std::mem::replace(seen, *seen | 1 << number);
        (before != *seen).then_some(())
    }
}

/// The `values` of a `ContextValues`.
#[derive(Clone, Copy, Debug)]
pub enum ValuesView<'a> {
    /// As nearly everywhere.
    One(&'a [u8]),
    /// So many, in this message.
    Many(&'a [u8], usize),
}

impl<'a> ValuesView<'a> {
    #[inline]
    fn of(message: &'a [u8]) -> Option<Self> {
        match message {
            [0x0a, length @ ..0x80, value @ ..] if value.len() == usize::from(*length) => Some(Self::One(value)),
            _ => Self::of_many(message),
        }
    }

    fn of_many(message: &'a [u8]) -> Option<Self> {
        let mut count = 0;
        let mut fields = Fields::of(message);
        for field in fields.by_ref() {
            match field {
                (1, Field::Bytes(_)) => count += 1,
                _ => return None,
            }
        }
        fields.is_sound().then_some(Self::Many(message, count))
    }

    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(_, count) => *count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let (one, many) = match *self {
            Self::One(value) => (Some(value), &[][..]),
            Self::Many(message, _) => (None, message),
        };
        let many = Fields::of(many).filter_map(|(_, field)| match field {
            Field::Bytes(value) => Some(value),
            Field::Varint(_) | Field::Foreign => None,
        });
        one.into_iter().chain(many)
    }
}

/// Key and value of an entry of a map. None of one that is not sound, or gives either more than once.
#[inline]
pub fn map_entry(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    short_entry(entry).or_else(|| any_entry(entry))
}

/// As nearly everybody writes it: the key, then the value, neither of them long.
#[inline]
fn short_entry(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, length @ ..0x80, rest @ ..] = entry else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let [0x12, length @ ..0x80, value @ ..] = rest else { return None };
    (value.len() == usize::from(*length)).then_some((key, value))
}

/// Each given at most once.
fn any_entry(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut key, mut value) = (None, None);
    let mut fields = Fields::of(entry);
    for field in fields.by_ref() {
        let (slot, bytes) = match field {
            (1, Field::Bytes(bytes)) => (&mut key, bytes),
            (2, Field::Bytes(bytes)) => (&mut value, bytes),
            _ => return None,
        };
        if slot.replace(bytes).is_some() {
            return None;
        }
    }
    fields.is_sound().then_some((key.unwrap_or_default(), value.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::{hash_map, vec};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::proto::v1;

    fn message() -> impl Strategy<Value = v1::IsAuthorizedRequest> {
        let text = || "[a-zé:/]{0,200}";
        let values = vec(text(), 0..4).prop_map(|values| v1::ContextValues { values });
        let lists = (hash_map(text(), values, 0..12), vec(text(), 0..12), hash_map(text(), text(), 0..12));
        ((text(), text(), text()), lists, (text(), any::<i32>(), text())).prop_map(
            |((principal, action, resource), (context, session_policies, session_tags), rest)| {
                let (resource_account, detail, federated_by) = rest;
                v1::IsAuthorizedRequest {
                    principal,
                    action,
                    resource,
                    context,
                    resource_account,
                    session_policies,
                    session_tags,
                    detail,
                    federated_by,
                }
            },
        )
    }

    fn text(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn read(message: &[u8]) -> Option<RequestView<'_>> {
        let mut view = RequestView::default();
        view.read(message, ContextFields::default()).map(|()| view)
    }

    /// None if a text is none, or an entry of the context not plain.
    fn owned(view: &RequestView<'_>) -> Option<v1::IsAuthorizedRequest> {
        let values = |values: &ValuesView<'_>| {
            Some(v1::ContextValues { values: values.iter().map(text).collect::<Option<_>>()? })
        };
        let entry = |(key, list): (&[u8], ValuesView<'_>)| Some((text(key)?, values(&list)?));
        let context = view.context.entries().map(|own| entry(own?));
        let session_tags = view.session_tags.iter().map(|(key, value)| Some((text(key)?, text(value)?)));
        Some(v1::IsAuthorizedRequest {
            principal: text(view.principal)?,
            action: text(view.action)?,
            resource: text(view.resource)?,
            context: context.collect::<Option<_>>()?,
            resource_account: text(view.resource_account)?,
            session_policies: view.session_policies.iter().map(|policy| text(policy)).collect::<Option<_>>()?,
            session_tags: session_tags.collect::<Option<_>>()?,
            detail: i32::from_le_bytes(*view.detail.to_le_bytes().first_chunk()?),
            federated_by: text(view.federated_by)?,
        })
    }

    #[test]
    fn a_text_is_taken_if_it_is_the_next_field() {
        for length in [0, 1, 127, 128, 20_000] {
            let text = "x".repeat(length);
            let mut message = Vec::new();
            prost::encoding::string::encode(2, &text, &mut message);
            prost::encoding::int32::encode(8, &1, &mut message);
            let mut fields = Fields::of(&message);
            assert_eq!(fields.text(1), None, "it is another one");
            assert_eq!(fields.text(2), Some(text.as_bytes()));
            let number = fields.rest();
            assert_eq!((fields.text(2), fields.text(8), fields.rest()), (None, None, number), "it is left where it is");
        }
        for cut in [&b"\x12"[..], b"\x12\x02x", b"\x12\x80", b"\x12\x80\x01x"] {
            let mut fields = Fields::of(cut);
            assert_eq!((fields.text(2), fields.rest()), (None, cut));
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_prost_writes(message in message()) {
            let bytes = message.encode_to_vec();
            let view = read(&bytes).unwrap();
            prop_assert_eq!((view.context.len(), view.context.is_empty()), (message.context.len(), message.context.is_empty()));
            prop_assert!(view.context.entries().flatten().all(|(_, values)| values.iter().count() == values.len()));
            prop_assert_eq!(owned(&view), Some(message));
        }

        /// What prost refuses it does not read; what it reads, prost reads alike.
        #[test]
        fn it_reads_nothing_into_bytes(message in message(), at in any::<usize>(), byte in any::<u8>(), cut in 0..3_usize) {
            let mut bytes = message.encode_to_vec();
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = byte;
                bytes.truncate(bytes.len() - if cut == 0 { at / 2 } else { 0 });
            }
            let are_plain = |view: &RequestView<'_>| view.context.entries().all(|entry| entry.is_some());
            if let Some(view) = read(&bytes).filter(are_plain) {
                prop_assert_eq!(owned(&view), v1::IsAuthorizedRequest::decode(&*bytes).ok());
            }
        }
    }

    #[test]
    fn varints() {
        let cases: [(&[u8], Option<u64>); 7] = [
            (&[8, 0], Some(0)),
            (&[8, 0x7f], Some(127)),
            (&[8, 0x80, 1], Some(128)),
            (&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Some(u64::MAX)),
            (&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], None),
            (&[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1], None),
            (&[8, 0x80], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Fields::of(bytes).next(), expected.map(|value| (1, Field::Varint(value))), "{bytes:?}");
        }
    }

    /// The fields of so many entries of a map.
    fn entries(number: u8, count: usize) -> Vec<u8> {
        (0..count).flat_map(|n| [&[number << 3 | 2, 6, 0x0a, 4][..], format!("{n:04}").as_bytes()].concat()).collect()
    }

    #[test]
    fn a_context_is_what_lies_side_by_side() {
        let (context, principal) = (entries(4, 3), [0x0a, 1, b'a']);
        for (before, behind) in [(&[][..], &[][..]), (&principal, &[]), (&[], &principal)] {
            let message = [before, &context, behind].concat();
            let view = read(&message).unwrap();
            assert_eq!(view.context, ContextFields { bytes: &context, count: 3 }, "{message:?}");
            assert_eq!(view.context.before_in(&message), before);
        }
        assert!(read(&[&context[..], &principal, &context].concat()).is_none());
        assert_eq!(read(&principal).unwrap().context, ContextFields::default());
    }

    #[test]
    fn a_context_that_begins_as_another_is_read_to_its_end() {
        let (context, principal) = (entries(4, 3), [0x0a, 1, b'a']);
        let message = [&context[..], &principal].concat();
        for (known, count) in (0..6).map(|count| (entries(4, count), count)) {
            let mut view = RequestView::default();
            view.read(&message, ContextFields { bytes: &known, count }).unwrap();
            assert_eq!(view.context, ContextFields { bytes: &context, count: 3 }, "{count} known");
            assert_eq!((view.principal, view.context.before_in(&message)), (&b"a"[..], &[][..]));
            // Those that are known count as others do.
            let many = [&context[..], &entries(7, MOST_FIELDS - 2)].concat();
            assert!(RequestView::default().read(&many, ContextFields { bytes: &known, count }).is_none());
            let split = [&message[..], &context].concat();
            assert!(RequestView::default().read(&split, ContextFields { bytes: &known, count }).is_none());
        }
        let most = entries(4, MOST_FIELDS);
        let known = ContextFields { bytes: &most, count: MOST_FIELDS };
        let read = |message: &[u8]| RequestView::default().read(message, known);
        assert!(read(&most).is_some() && read(&[&most[..], &principal].concat()).is_none());
    }

    #[test]
    fn what_has_very_many_fields_is_left_to_prost() {
        for (more, is_read) in [(0, true), (1, false)] {
            let (context, tags) = (entries(4, 100), entries(7, MOST_FIELDS - 100 + more));
            assert_eq!(read(&entries(4, MOST_FIELDS + more)).is_some(), is_read);
            assert_eq!(read(&[&context[..], &tags].concat()).is_some(), is_read);
            assert_eq!(read(&[&tags[..], &context].concat()).is_some(), is_read);
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_prost() {
        let unusual: [&[u8]; 7] = [
            // A principal that is a group; field 0; a principal that is a number; an entry with two keys, with a third field.
            &[0x0b, 0x0c],
            &[0x02, 0],
            &[0x08, 1],
            &[0x3a, 6, 0x0a, 1, b'a', 0x0a, 1, b'b'],
            &[0x3a, 3, 0x1a, 1, b'a'],
            // A length past the end; a key that is cut off.
            &[0x0a, 2, b'a'],
            &[0x80],
        ];
        for bytes in unusual {
            assert!(read(bytes).is_none(), "{bytes:?}");
        }
        // An entry of the context with two keys, with a third field, with values that are no list.
        let entries: [&[u8]; 3] =
            [&[0x22, 6, 0x0a, 1, b'a', 0x0a, 1, b'b'], &[0x22, 3, 0x1a, 1, b'a'], &[0x22, 4, 0x12, 2, 0x08, 1]];
        for bytes in entries {
            assert!(read(bytes).unwrap().context.entries().all(|entry| entry.is_none()), "{bytes:?}");
        }
        // Groups that do not end, or not as they began.
        for bytes in [&[0x7b][..], &[0x7b, 0x84, 1], &[0x7c], &[0x7b, 0x7b, 0x7c], &[0x7b, 0x00, 0x7c]] {
            assert!(read(bytes).is_none(), "{bytes:?}");
        }
        // A field of a later version is for prost, be it a group; what stands behind it is seen.
        let group = [0x7b, 0x08, 1, 0x12, 1, b'a', 0x1b, 0x1d, 1, 2, 3, 4, 0x1c, 0x7c];
        let fields: Vec<_> = Fields::of(&[&group[..], &[0x0a, 0]].concat()).map(|(number, _)| number).collect();
        assert_eq!(fields, [15, 1]);
        for later in [&group[..], &[0x52, 1, b'a', 0x59, 1, 2, 3, 4, 5, 6, 7, 8]] {
            assert!(read(later).is_none());
            assert!(v1::IsAuthorizedRequest::decode(later).is_ok());
        }
        // So is one that is given twice, but in a list or a map.
        for (number, is_plain) in [(1, false), (2, false), (3, false), (4, true), (5, false), (6, true), (9, false)] {
            let twice = [number << 3 | 2, 1, b'a', number << 3 | 2, 1, b'b'];
            assert_eq!(read(&twice).is_some(), is_plain, "{number}");
        }
        assert!(read(&[0x40, 1]).is_some() && read(&[0x40, 1, 0x40, 0]).is_none());
    }
}
