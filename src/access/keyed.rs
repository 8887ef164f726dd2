//! Under which circumstances: condition keys and tags.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{InvalidField, shown};
use crate::few::{FEW, Few};

/// Tags with their values. Few requests have any.
pub type Tags<'a> = Keyed<'a, &'a str, 2>;

/// Values by key; no key occurs twice. Condition keys and tag keys are case-insensitive (evaluation.md, rule 34).
#[derive(Debug)]
pub struct Keyed<'a, V, const N: usize = FEW> {
    /// More than a few are sorted by key.
    entries: Few<(AnyCase<'a>, V), N>,
}

/// A key, whose case says nothing.
#[derive(Debug)]
struct AnyCase<'a>(
    /// As it is spelled, if it is ASCII, else folded: it is quicker to compare a few keys in any case than to fold them all.
    Cow<'a, str>,
);

impl<'a> AnyCase<'a> {
    #[inline]
    fn new(key: &'a str) -> Self {
        Self(if key.is_ascii() { Cow::Borrowed(key) } else { Cow::Owned(fold_case(key)) })
    }

    /// Whether it is a folded key. A store may ask that ten thousand times for a request.
    fn is(&self, folded: &str) -> bool {
        match &self.0 {
            Cow::Borrowed(ascii) => is_spelling(ascii.as_bytes(), folded.as_bytes()),
            Cow::Owned(own) => own == folded,
        }
    }

    /// Compares it with a folded key.
    fn order(&self, folded: &str) -> Ordering {
        lowered(&self.0).cmp(folded.bytes())
    }
}

impl PartialEq for AnyCase<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for AnyCase<'_> {}

impl PartialOrd for AnyCase<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AnyCase<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        lowered(&self.0).cmp(lowered(&other.0))
    }
}

/// Whether these are the same letters, the first of them ASCII in any case. By their ends first, since many begin alike.
#[inline]
fn is_spelling(ascii: &[u8], folded: &[u8]) -> bool {
    if ascii.len() != folded.len() {
        return false;
    }
    let (Some(last), Some(folded_last)) = (ascii.last_chunk(), folded.last_chunk()) else {
        return ascii.eq_ignore_ascii_case(folded);
    };
    let ((eights, _), (folded_eights, _)) = (ascii.as_chunks(), folded.as_chunks());
    are_spellings(*last, *folded_last)
        && eights.iter().zip(folded_eights).all(|(one, other)| are_spellings(*one, *other))
}

/// The same of eight bytes at once.
#[inline]
fn are_spellings(ascii: [u8; 8], folded: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let (ascii, folded) = (u64::from_ne_bytes(ascii), u64::from_ne_bytes(folded));
    // The bit that tells cases apart, where the folded byte is from `a` to `z`: 0x1f more reach 0x80, and 5 more do not. What a
    // byte that is not ASCII carries into the next one does not matter, since it differs from any that is.
    let from_a = folded.wrapping_add(0x1f * EACH);
    let past_z = folded.wrapping_add(0x05 * EACH);
    let cases = (from_a & !past_z & (0x80 * EACH)) >> 2;
    (ascii ^ folded) & !cases == 0
}

fn lowered(key: &str) -> impl Iterator<Item = u8> {
    key.bytes().map(|byte| byte.to_ascii_lowercase())
}

impl<V, const N: usize> Default for Keyed<'_, V, N> {
    fn default() -> Self {
        Self { entries: Few::default() }
    }
}

impl<'a, V, const N: usize> Keyed<'a, V, N> {
    /// Of the pairs of a field. Two keys that differ in case only are one key given twice: refused.
    pub fn new(field: &'static str, pairs: impl IntoIterator<Item = (&'a str, V)>) -> Result<Self, InvalidField> {
        let mut entries: Few<_, N> = pairs.into_iter().map(|(key, value)| (AnyCase::new(key), value)).collect();
        entries.sort_unstable_by(|(a, _): &(AnyCase<'_>, V), (b, _)| a.cmp(b));
        let keyed = Self { entries };
        match keyed.fault() {
            None => Ok(keyed),
            Some(fault) => Err(InvalidField::new(field, fault)),
        }
    }

    /// Adds a key. When all are there, [`Keyed::settle`] says whether that was right.
    #[inline]
    pub fn push(&mut self, key: &'a str, value: V) {
        self.entries.push((AnyCase::new(key), value));
    }

    /// After the last [`Keyed::push`]: whether no key is empty and none came twice.
    pub fn settle(&mut self) -> bool {
        self.entries.has_each_key_once() && !self.iter().any(|(key, _)| key.is_empty())
    }

    fn fault(&self) -> Option<String> {
        if self.iter().next().is_some_and(|(key, _)| key.is_empty()) {
            return Some("a key is empty".to_owned());
        }
        let twice = self.entries.iter().zip(self.entries.iter().skip(1)).find(|((a, _), (b, _))| a == b);
        twice.map(|((key, _), _)| {
            format!("`{}` is given twice: keys are case-insensitive", shown(&key.0.to_ascii_lowercase()))
        })
    }

    /// The value of a key that is folded.
    fn find(&self, folded: &str) -> Option<&V> {
        // Few are quicker compared one by one, by their lengths first, than halved.
        if self.entries.len() <= FEW {
            let found = self.entries.iter().find(|(key, _)| key.0.len() == folded.len() && key.is(folded));
            return found.map(|(_, value)| value);
        }
        let index = self.entries.binary_search_by(|(key, _)| key.order(folded)).ok()?;
        self.entries.get(index).map(|(_, value)| value)
    }

    /// Every key with its value; the keys as they are spelled, but for those that are not ASCII.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.entries.iter().map(|(key, value)| (&*key.0, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> Tags<'a> {
    /// The value of a key that is already folded.
    pub fn get(&self, folded: &str) -> Option<&'a str> {
        self.find(folded).copied()
    }
}

/// Condition keys with their values.
#[derive(Debug, Default)]
pub struct Context<'a> {
    keys: Keyed<'a, Given<'a>>,
    /// Of the keys that have not just one, one key after the other.
    values: Few<&'a str>,
}

/// What is given for a key.
#[derive(Debug)]
enum Given<'a> {
    /// One value, as nearly everywhere.
    One(&'a str),
    /// From here to there among the values.
    Some(usize, usize),
}

impl<'a> Context<'a> {
    /// Of the pairs of a field, as [`Keyed::new`].
    pub fn new<V: IntoIterator<Item = &'a str>>(
        field: &'static str,
        pairs: impl IntoIterator<Item = (&'a str, V)>,
    ) -> Result<Self, InvalidField> {
        let mut values = Few::default();
        let given = pairs.into_iter().map(|(key, own)| {
            let start = values.len();
            values.extend(own);
            (key, Given::Some(start, values.len()))
        });
        let keys = Keyed::new(field, given)?;
        Ok(Self { keys, values })
    }

    /// Adds a key with its only value. When all are there, [`Context::settle`] says whether that was right.
    #[inline]
    pub fn push(&mut self, key: &'a str, value: &'a str) {
        self.keys.push(key, Given::One(value));
    }

    /// Adds a key with any number of values, as [`Context::push`]; None if one of these is.
    pub fn push_all(&mut self, key: &'a str, values: impl Iterator<Item = Option<&'a str>>) -> Option<()> {
        let start = self.values.len();
        for value in values {
            self.values.push(value?);
        }
        self.keys.push(key, Given::Some(start, self.values.len()));
        Some(())
    }

    /// As [`Keyed::settle`].
    pub fn settle(&mut self) -> bool {
        self.keys.settle()
    }

    /// The values of a key that is folded; None when absent or given without values.
    pub fn get(&self, folded: &str) -> Option<&[&'a str]> {
        self.keys.find(folded).map(|given| self.values(given)).filter(|values| !values.is_empty())
    }

    /// Every key with its values, as [`Keyed::iter`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[&'a str])> {
        self.keys.iter().map(|(key, given)| (key, self.values(given)))
    }

    fn values<'s>(&'s self, given: &'s Given<'a>) -> &'s [&'a str] {
        match given {
            Given::One(value) => std::slice::from_ref(value),
            Given::Some(start, end) => self.values.get(*start..*end).unwrap_or_default(),
        }
    }
}

/// A condition key or tag key in lower case.
pub fn fold_key(key: &str) -> String {
    fold_case(key)
}

/// A text in lower case, letter by letter: what a letter becomes does not depend on those around it, as the Greek sigma
/// does in `str::to_lowercase`.
pub fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_found_in_any_case_among_few_and_many() {
        let keys = ["aws:SourceIp", "AWS:USERAGENT", "s3:prefix", "aws:Été", "\u{212a}ey"];
        for more in [0, FEW, 3 * FEW] {
            let others: Vec<String> = (0..more).map(|n| format!("Other{n}")).collect();
            let pairs = keys.into_iter().chain(others.iter().map(String::as_str)).map(|key| (key, key));
            let made = Tags::new("session_tags", pairs.clone()).unwrap();
            let mut pushed = Tags::default();
            pairs.clone().for_each(|(key, value)| pushed.push(key, value));
            assert!(pushed.settle());
            for tags in [made, pushed] {
                for (key, value) in pairs.clone() {
                    assert_eq!(tags.get(&fold_key(key)), Some(value), "{key} of {more}");
                }
                assert_eq!(tags.get("key"), Some("\u{212a}ey"), "a Kelvin sign is a k");
                assert_eq!(tags.get("aws:sourceipv6").or(tags.get("aws:source")).or(tags.get("aws:sourceiq")), None);
            }
        }
    }

    proptest! {
        /// Bytes of all kinds, most of them the same.
        #[test]
        fn eight_bytes_at_once_are_compared_as_one_by_one(
            pairs in vec((0_u8..128, prop_oneof![8 => Just(None), 1 => any::<u8>().prop_map(|other| Some(other.to_ascii_lowercase()))], any::<bool>()), 0..30)
        ) {
            let folded: Vec<u8> = pairs.iter().map(|(byte, other, _)| other.unwrap_or(byte.to_ascii_lowercase())).collect();
            let spell = |(byte, _, upper): &(u8, Option<u8>, bool)| {
                if *upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
            };
            let ascii: Vec<u8> = pairs.iter().map(spell).collect();
            let one_by_one = ascii.iter().zip(&folded).all(|(one, other)| one.to_ascii_lowercase() == *other);
            prop_assert_eq!(is_spelling(&ascii, &folded), one_by_one, "{:?} {:?}", ascii, folded);
        }
    }

    #[test]
    fn keys_that_differ_in_case_only_are_one_key() {
        for (one, other) in [("a:b", "A:b"), ("\u{e9}", "\u{c9}"), ("k", "\u{212a}"), ("", "x")] {
            for more in [0, 2 * FEW] {
                let others: Vec<String> = (0..more).map(|n| format!("Other{n}")).collect();
                let keys = [one, other].into_iter().chain(others.iter().map(String::as_str));
                assert!(Tags::new("session_tags", keys.clone().map(|key| (key, ""))).is_err(), "{one} {other}");
                let mut pushed = Tags::default();
                keys.for_each(|key| pushed.push(key, ""));
                assert!(!pushed.settle(), "{one} {other}");
            }
        }
    }
}
