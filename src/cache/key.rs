//! A whole request as one string of bytes: two requests have one key if and only if they are the same request.
//!
//! Every field is written, in a fixed order, and so that no part can be taken for another: a text is its length and its
//! bytes, a list its count and its elements, an option one byte that says whether it is there. Read from the left, such
//! a key can be taken apart in one way only; hence two different requests cannot share one.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::access::{AccessRequest, Context, Detail, RawRequest, Tags};
use crate::few::Few;
use crate::proto::view::{RequestView, ValuesView};

/// Writes the key of a request into `out`, whose former content is dropped; its memory is used again.
///
/// Context, tags and action are written as they are compared, in lower case and sorted by key, so that requests that
/// differ in nothing else share their answer.
pub fn write(request: &AccessRequest<'_>, detail: Detail, out: &mut Vec<u8>) {
    // Taken apart by name, so that a field that is added to the request cannot be forgotten here.
    let AccessRequest {
        principal,
        action,
        resource,
        context,
        resource_account,
        session_policies,
        session_tags,
        federated_by,
    } = request;
    out.clear();
    out.push(detail_byte(detail));
    write_text(principal.text(), out);
    write_text(action.folded(), out);
    write_text(resource.text(), out);
    write_option(resource_account.as_ref().map(|account| account.as_str()), out);
    write_option(*federated_by, out);
    write_texts(session_policies, out);
    write_number(session_tags.iter().len(), out);
    for (key, value) in session_tags.iter() {
        write_text(key, out);
        write_text(value, out);
    }
    write_number(context.iter().len(), out);
    for (key, values) in context.iter() {
        write_text(key, out);
        write_texts(values, out);
    }
}

/// Writes the key of a request that is not checked yet, as [`write()`] would write it if it is right. So what is found by
/// this key is the answer to this request, and a request that is wrong has a key that nothing is found by.
///
/// None where folding needs more than ASCII, or where a key is given twice: then the request has to be read first.
pub fn write_view(view: &mut RequestView<'_>, out: &mut Vec<u8>) -> Option<Detail> {
    sort(&mut view.session_tags)?;
    sort(&mut view.context)?;
    let RequestView {
        principal,
        action,
        resource,
        context,
        resource_account,
        session_policies,
        session_tags,
        detail,
        federated_by,
    } = view;
    let detail = match detail {
        0 => Detail::Decision,
        1 => Detail::Statements,
        _ => return None,
    };
    out.clear();
    out.push(detail_byte(detail));
    write_bytes(principal, out);
    write_folded(action, out)?;
    write_bytes(resource, out);
    write_given(resource_account, out);
    write_given(federated_by, out);
    write_number(session_policies.len(), out);
    session_policies.iter().for_each(|policy| write_bytes(policy, out));
    write_number(session_tags.len(), out);
    for (key, value) in session_tags.iter() {
        write_folded(key, out)?;
        write_bytes(value, out);
    }
    write_number(context.len(), out);
    for (key, values) in context.iter() {
        write_folded(key, out)?;
        write_values(values, out);
    }
    Some(detail)
}

/// Into the order of the folded keys; None if two are equal.
fn sort<V>(pairs: &mut [(&[u8], V)]) -> Option<()> {
    let are_sorted = |pair: &[(&[u8], V)]| matches!(pair, [(a, _), (b, _)] if compare_folded(a, b).is_lt());
    if pairs.windows(2).all(are_sorted) {
        return Some(());
    }
    pairs.sort_unstable_by(|(a, _), (b, _)| compare_folded(a, b));
    pairs.windows(2).all(are_sorted).then_some(())
}

/// Of texts in ASCII; of others in some order, in which they are not used.
fn compare_folded(a: &[u8], b: &[u8]) -> Ordering {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks(), b.as_chunks());
    for (a, b) in a_words.iter().zip(b_words) {
        let (a, b) = (fold_word(u64::from_be_bytes(*a)), fold_word(u64::from_be_bytes(*b)));
        if a != b {
            return a.cmp(&b);
        }
    }
    let words = a_words.len().min(b_words.len());
    let rest = |words_there: &[[u8; WORD]], rest| words_there.get(words).map_or_else(|| padded(rest), |word| *word);
    let (a_rest, b_rest) = (rest(a_words, a_rest), rest(b_words, b_rest));
    let order = fold_word(u64::from_be_bytes(a_rest)).cmp(&fold_word(u64::from_be_bytes(b_rest)));
    order.then(a.len().cmp(&b.len()))
}

/// Texts are folded so many bytes at a time.
const WORD: usize = size_of::<u64>();

/// Fewer bytes than a word has, and zeros.
fn padded(bytes: &[u8]) -> [u8; WORD] {
    let mut word = [0; WORD];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    word
}

/// Eight letters of ASCII in lower case. Adding what a letter lacks to the next power of two carries into its highest bit:
/// those from `A` on, without those past `Z`, are 32 below what they become.
const fn fold_word(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let seven_bits = word & (0x7f * EACH);
    let from_a = seven_bits + (0x80 - b'A' as u64) * EACH;
    let past_z = seven_bits + (0x7f - b'Z' as u64) * EACH;
    let upper = from_a & !past_z & !word & (0x80 * EACH);
    word | upper >> 2
}

fn write_values(values: &ValuesView<'_>, out: &mut Vec<u8>) {
    write_number(values.len(), out);
    values.iter().for_each(|value| write_bytes(value, out));
}

/// An option that is absent where it is empty.
fn write_given(text: &[u8], out: &mut Vec<u8>) {
    out.push(u8::from(!text.is_empty()));
    if !text.is_empty() {
        write_bytes(text, out);
    }
}

/// None if there is more than ASCII in it.
fn write_folded(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    write_number(text.len(), out);
    let (words, rest) = text.as_chunks();
    let mut seen = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        seen |= word;
        out.extend_from_slice(&fold_word(word).to_le_bytes());
    }
    for byte in rest {
        seen |= u64::from(*byte);
        out.push(byte.to_ascii_lowercase());
    }
    (seen & u64::from_ne_bytes([0x80; WORD]) == 0).then_some(())
}

fn write_bytes(text: &[u8], out: &mut Vec<u8>) {
    write_number(text.len(), out);
    out.extend_from_slice(text);
}

/// Reads a request from its key: from what [`write_view`] wrote, without session policies. None if it is no key, has any, or if
/// the request is wrong.
pub fn read(key: &[u8]) -> Option<AccessRequest<'_>> {
    let mut reader = Reader(std::str::from_utf8(key).ok()?);
    reader.text_of(1)?;
    let (principal, action, resource) = (reader.text()?, reader.text()?, reader.text()?);
    let (resource_account, federated_by) = (reader.option()?, reader.option()?);
    if reader.number()? > 0 {
        return None;
    }
    let (tags, context) = (reader.tags()?, reader.context()?);
    let raw = RawRequest { principal, action, resource, resource_account, federated_by, ..RawRequest::default() };
    AccessRequest::with(&raw, tags, context).ok()
}

/// Takes a key apart from the left.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn text_of(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.text_of(1)?.bytes().next()
    }

    fn number(&mut self) -> Option<usize> {
        match self.byte()? {
            LONG => {
                let groups = self.text_of(LONG_BYTES)?.bytes().rev();
                Some(groups.fold(0, |number, group| number << 7 | usize::from(group)))
            }
            byte => Some(byte.into()),
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        self.text_of(length)
    }

    fn option(&mut self) -> Option<&'a str> {
        if self.byte()? == 0 { Some("") } else { self.text() }
    }

    fn tags(&mut self) -> Option<Tags<'a>> {
        let mut tags = Few::default();
        for _ in 0..self.number()? {
            tags.push((Cow::Borrowed(self.text()?), self.text()?));
        }
        Tags::of_sorted(tags)
    }

    fn context(&mut self) -> Option<Context<'a>> {
        let (mut values, mut keys) = (Few::default(), Few::default());
        for _ in 0..self.number()? {
            let key = self.text()?;
            let start = values.len();
            for _ in 0..self.number()? {
                values.push(self.text()?);
            }
            keys.push((Cow::Borrowed(key), (start, values.len())));
        }
        Context::of_sorted(values, keys)
    }
}

const fn detail_byte(detail: Detail) -> u8 {
    match detail {
        Detail::Decision => 0,
        Detail::Statements => 1,
    }
}

fn write_option(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            write_text(text, out);
        }
    }
}

fn write_texts(texts: &[impl AsRef<str>], out: &mut Vec<u8>) {
    write_number(texts.len(), out);
    for text in texts {
        write_text(text.as_ref(), out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), out);
}

/// One byte for what is below 127, as nearly all lengths are, so that there is less to hash and to compare; else the byte 127
/// and nine more of seven bits each. All of them are ASCII: a key is UTF-8 if all of its texts are.
fn write_number(number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(byte) if byte < LONG => out.push(byte),
        _ => write_long_number(number, out),
    }
}

#[cold]
fn write_long_number(number: usize, out: &mut Vec<u8>) {
    let group = |group: usize| {
        let [low, ..] = (number >> (7 * group)).to_le_bytes();
        low & 0x7f
    };
    out.push(LONG);
    out.extend((0..LONG_BYTES).map(group));
}

/// What stands before a number of [`LONG_BYTES`].
const LONG: u8 = 127;

/// Enough for lengths: nine groups of seven bits.
const LONG_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::access::{Action, Principal, ResourceName};
    use crate::arn::{AccountId, Arn};
    use crate::proto::v1;

    /// The fields of a request that make it what it is.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Fields {
        principal: String,
        action: String,
        resource: String,
        resource_account: Option<u8>,
        federated_by: Option<String>,
        session_policies: Vec<String>,
        session_tags: BTreeMap<String, String>,
        context: BTreeMap<String, Vec<String>>,
        detail: Detail,
    }

    impl Fields {
        fn key(&self) -> Vec<u8> {
            let arn = Arn { text: &self.resource, partition: "", service: "", region: "", account: "", resource: "" };
            let account = |digit: u8| AccountId::parse(&format!("12345678901{digit}")).unwrap();
            let request = AccessRequest {
                principal: Principal::Service(&self.principal),
                action: Action::parse(&self.action).unwrap(),
                resource: ResourceName::Arn(arn),
                context: Context::new(
                    "context",
                    self.context.iter().map(|(key, values)| (&**key, values.iter().map(|value| &**value))),
                )
                .unwrap(),
                resource_account: self.resource_account.map(account),
                session_policies: &self.session_policies,
                session_tags: Tags::new(
                    "session_tags",
                    self.session_tags.iter().map(|(key, value)| (&**key, &**value)),
                )
                .unwrap(),
                federated_by: self.federated_by.as_deref(),
            };
            let mut key = b"what was there before".to_vec();
            write(&request, self.detail, &mut key);
            key
        }

        /// Nearly the same request: something moved over a boundary, was split, joined, swapped, dropped or added.
        fn near_miss(&self, change: u8, at: usize) -> Self {
            let mut near = self.clone();
            match change {
                0 => move_letter(&mut near.principal, &mut near.resource),
                1 => std::mem::swap(&mut near.principal, &mut near.resource),
                2 => near.federated_by = near.federated_by.xor(Some(String::new())),
                3 => near.resource_account = near.resource_account.xor(Some(1)),
                4 => split_or_join(&mut near.session_policies, at),
                5 => swap_key_and_value(&mut near.session_tags),
                6 => near.session_tags_become_context(),
                7 => near.change_a_context_entry(at, |_, values| split_or_join(values, at)),
                8 => near.change_a_context_entry(at, |key, values| {
                    if let Some(value) = values.first_mut() {
                        move_letter(value, key);
                    }
                }),
                9 => near.change_a_context_entry(at, |_, values| values.reverse()),
                10 => near.change_a_context_entry(at, |_, values| values.push(String::new())),
                11 => near.session_policies.push(String::new()),
                12 => near.detail = Detail::Statements,
                13 => near.action.push('a'),
                14 => near.action.make_ascii_uppercase(),
                _ => {}
            }
            near
        }

        fn session_tags_become_context(&mut self) {
            let tags = std::mem::take(&mut self.session_tags);
            self.context.extend(tags.into_iter().map(|(key, value)| (key, vec![value])));
        }

        fn change_a_context_entry(&mut self, at: usize, change: impl FnOnce(&mut String, &mut Vec<String>)) {
            let Some(key) = self.context.keys().nth(at % self.context.len().max(1)).cloned() else { return };
            let mut values = self.context.remove(&key).unwrap();
            let mut changed = key.clone();
            change(&mut changed, &mut values);
            self.context.insert(if changed.is_empty() { key } else { changed }, values);
        }

        /// What must be equal for two keys to be: the case of an action is of no account.
        fn folded(&self) -> Self {
            Self { action: self.action.to_ascii_lowercase(), ..self.clone() }
        }
    }

    /// Reads a key from the left. That this gives back the request is why no two requests share a key.
    struct Parts<'a>(&'a [u8]);

    impl Parts<'_> {
        fn fields(mut self) -> Fields {
            let explain = self.flag();
            let fields = Fields {
                detail: if explain { Detail::Statements } else { Detail::Decision },
                principal: self.text(),
                action: self.text(),
                resource: self.text(),
                resource_account: self.flag().then(|| self.text().get(11..).unwrap().parse().unwrap()),
                federated_by: self.flag().then(|| self.text()),
                session_policies: self.texts(),
                session_tags: (0..self.number()).map(|_| (self.text(), self.text())).collect(),
                context: (0..self.number()).map(|_| (self.text(), self.texts())).collect(),
            };
            assert!(self.0.is_empty(), "{:?} is left", self.0);
            fields
        }

        fn take(&mut self, count: usize) -> &[u8] {
            let (taken, rest) = self.0.split_at(count);
            self.0 = rest;
            taken
        }

        fn flag(&mut self) -> bool {
            match self.take(1)[0] {
                byte @ (0 | 1) => byte == 1,
                byte => panic!("{byte} is no flag"),
            }
        }

        fn number(&mut self) -> usize {
            match self.take(1)[0] {
                127 => self.take(9).iter().rev().fold(0, |number, group| number << 7 | usize::from(*group)),
                byte => byte.into(),
            }
        }

        fn text(&mut self) -> String {
            let length = self.number();
            String::from_utf8(self.take(length).to_vec()).unwrap()
        }

        fn texts(&mut self) -> Vec<String> {
            (0..self.number()).map(|_| self.text()).collect()
        }
    }

    fn move_letter(from: &mut String, to: &mut String) {
        if let Some(letter) = from.pop() {
            to.insert(0, letter);
        }
    }

    fn swap_key_and_value(tags: &mut BTreeMap<String, String>) {
        if let Some((key, value)) = tags.pop_first() {
            let (key, value) = if value.is_empty() { (key, value) } else { (value, key) };
            tags.insert(key, value);
        }
    }

    fn split_or_join(texts: &mut Vec<String>, at: usize) {
        match texts.pop() {
            Some(text) if at.is_multiple_of(2) && !texts.is_empty() => texts.last_mut().unwrap().push_str(&text),
            Some(text) => {
                let (a, b) = text.split_at(at.min(text.len()));
                texts.extend([a.to_owned(), b.to_owned()]);
            }
            None => texts.push(String::new()),
        }
    }

    /// Few letters, so that much coincides; bytes that look like lengths and flags; some texts past one byte of length.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![8 => "[ab\0\u{1}\u{2}]{0,3}", 1 => "[a]{125,129}"]
    }

    fn key_text() -> impl Strategy<Value = String> {
        prop_oneof![8 => "[ab\0\u{1}\u{2}]{1,3}", 1 => "[a]{125,129}"]
    }

    fn fields() -> impl Strategy<Value = Fields> {
        let who_and_what = (text(), "[ab]:[ab]{1,2}", text(), proptest::option::of(0..3u8));
        let session = (proptest::option::of(text()), vec(text(), 0..3), btree_map(key_text(), text(), 0..3));
        let rest = (btree_map(key_text(), vec(text(), 0..3), 0..3), any::<bool>());
        (who_and_what, session, rest).prop_map(|(who_and_what, session, (context, explain))| {
            let (principal, action, resource, resource_account) = who_and_what;
            let (federated_by, session_policies, session_tags) = session;
            let detail = if explain { Detail::Statements } else { Detail::Decision };
            Fields {
                principal,
                action,
                resource,
                resource_account,
                federated_by,
                session_policies,
                session_tags,
                context,
                detail,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn keys_are_equal_if_and_only_if_the_requests_are(a in fields(), change in 0..16u8, at in 0..4usize) {
            let b = a.near_miss(change, at);
            prop_assert_eq!(a.folded() == b.folded(), a.key() == b.key(), "{:?}\n{:?}", a, b);
        }

        #[test]
        fn a_key_says_all_of_its_request(a in fields()) {
            prop_assert_eq!(Parts(&a.key()).fields(), a.folded());
        }

        #[test]
        fn unrelated_requests_have_unrelated_keys(a in fields(), b in fields()) {
            prop_assert_eq!(a.folded() == b.folded(), a.key() == b.key());
        }

        #[test]
        fn no_key_is_the_beginning_of_another(a in fields(), change in 0..16u8, at in 0..4usize) {
            let (a, b) = (a.key(), a.near_miss(change, at).key());
            prop_assert!(a == b || !a.starts_with(&b) && !b.starts_with(&a));
        }
    }

    /// A message that is right more often than not.
    fn message() -> impl Strategy<Value = v1::IsAuthorizedRequest> {
        let principal = prop_oneof![
            3 => Just("arn:aws:sts::123456789012:assumed-role/R/S"),
            1 => Just("arn:aws:sts::123456789012:federated-user/F"),
            1 => Just("anonymous"),
            1 => Just("nobody"),
        ];
        let resource = prop_oneof![Just("*".to_owned()), "arn:aws:s3:::[a-zA-Zé/*]{1,300}"];
        let value = || "[a-zA-Zé]{0,3}";
        let values = vec(value(), 0..3).prop_map(|values| v1::ContextValues { values });
        let context = proptest::collection::hash_map("[aA][bBéÉ]{0,2}", values, 0..4);
        let tags = proptest::collection::hash_map("[aA][bBéÉ]{0,2}", value(), 0..3);
        let account = prop_oneof![3 => Just(""), 1 => Just("123456789012"), 1 => Just("12")];
        let user = prop_oneof![3 => Just(""), 1 => Just("arn:aws:iam::123456789012:user/u")];
        let rest = (vec("[{}]{0,2}", 0..2), 0..3, account, user);
        (principal, "[sS]3:[gGé]et", resource, context, tags, rest).prop_map(
            |(principal, action, resource, context, session_tags, rest)| {
                let (session_policies, detail, account, user) = rest;
                v1::IsAuthorizedRequest {
                    principal: principal.to_owned(),
                    action,
                    resource,
                    context,
                    resource_account: account.to_owned(),
                    session_policies,
                    session_tags,
                    detail,
                    federated_by: user.to_owned(),
                }
            },
        )
    }

    /// The key of a message's request, read field by field; None if it is wrong.
    fn key_of(message: &v1::IsAuthorizedRequest) -> Option<Vec<u8>> {
        let detail = match message.detail {
            0 => Detail::Decision,
            1 => Detail::Statements,
            _ => return None,
        };
        let raw = RawRequest {
            principal: &message.principal,
            action: &message.action,
            resource: &message.resource,
            context: message.context.iter().map(|(key, values)| (&**key, &*values.values)).collect(),
            resource_account: &message.resource_account,
            session_policies: &message.session_policies,
            session_tags: message.session_tags.iter().map(|(key, value)| (&**key, &**value)).collect(),
            federated_by: &message.federated_by,
        };
        let request = AccessRequest::new(&raw).ok()?;
        let mut key = Vec::new();
        write(&request, detail, &mut key);
        Some(key)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// Whatever is looked up by the key of a view is the answer to the request: no wrong request has a key of a right
        /// one, and a right one has no other than its own.
        #[test]
        fn a_view_has_the_key_of_its_request(message in message()) {
            let bytes = prost::Message::encode_to_vec(&message);
            let mut view = RequestView::of(&bytes).unwrap();
            let mut key = b"what was there before".to_vec();
            let Some(view_detail) = write_view(&mut view, &mut key) else { return Ok(()) };
            let read_back = read(&key);
            match key_of(&message) {
                Some(expected) => {
                    prop_assert_eq!(&key, &expected);
                    let key_again = read_back.map(|request| {
                        let mut again = Vec::new();
                        write(&request, view_detail, &mut again);
                        again
                    });
                    prop_assert_eq!(key_again, message.session_policies.is_empty().then_some(expected));
                }
                None => prop_assert!(read_back.is_none(), "{:?}", read_back),
            }
        }

        #[test]
        fn what_is_no_key_is_not_read(mut key in vec(0..4_u8, 0..30), at in any::<prop::sample::Index>()) {
            drop(read(&key));
            let action = "a:b".to_owned();
            key.clone_from(&Fields { principal: "anonymous".to_owned(), action, ..Fields::default() }.key());
            key.truncate(at.index(key.len()));
            prop_assert!(read(&key).is_none());
        }
    }

    proptest! {
        #[test]
        fn folded_texts_are_compared_as_they_are_written(a in "[a-cA-C@\\[`{\0]{0,20}", b in "[a-cA-C@\\[`{\0]{0,20}") {
            let folded = |text: &str| {
                let mut out = Vec::new();
                write_folded(text.as_bytes(), &mut out).unwrap();
                out.split_off(1)
            };
            prop_assert_eq!(folded(&a), a.to_ascii_lowercase().into_bytes());
            prop_assert_eq!(compare_folded(a.as_bytes(), b.as_bytes()), folded(&a).cmp(&folded(&b)));
        }
    }

    #[test]
    fn every_letter_is_folded_and_nothing_else() {
        for byte in 0..0x80_u8 {
            let folded = fold_word(u64::from_le_bytes([byte; WORD]));
            assert_eq!(folded, u64::from_le_bytes([byte.to_ascii_lowercase(); WORD]), "{byte:#x}");
        }
    }

    #[test]
    fn ordinary_messages_have_a_key_at_once() {
        let values = |value: &str| v1::ContextValues { values: vec![value.to_owned()] };
        let message = v1::IsAuthorizedRequest {
            principal: "anonymous".to_owned(),
            action: "s3:GetObject".to_owned(),
            resource: "arn:aws:s3:::bucket/é".to_owned(),
            context: [("aws:SourceIp".to_owned(), values("10.0.0.1")), ("aws:UserAgent".to_owned(), values("é"))]
                .into(),
            ..Default::default()
        };
        let bytes = prost::Message::encode_to_vec(&message);
        let mut key = Vec::new();
        assert_eq!(write_view(&mut RequestView::of(&bytes).unwrap(), &mut key), Some(Detail::Decision));
        assert!(read(&key).is_some());
    }

    #[test]
    fn case_and_order_of_keys_do_not_matter() {
        let values = ["x".to_owned()];
        let key = |context: [&str; 2], action: &str| {
            let context = context.map(|key| (key, values.as_slice())).to_vec();
            let raw = crate::access::RawRequest {
                principal: "anonymous",
                action,
                resource: "*",
                context,
                ..Default::default()
            };
            let mut key = Vec::new();
            write(&AccessRequest::new(&raw).unwrap(), Detail::Decision, &mut key);
            key
        };
        assert_eq!(key(["aws:b", "aws:a"], "s3:GetObject"), key(["AWS:A", "aws:B"], "S3:getobject"));
        assert_ne!(key(["aws:b", "aws:a"], "s3:GetObject"), key(["aws:b", "aws:c"], "s3:GetObject"));
    }
}
