//! Under which circumstances: condition keys and tags, folded once.

use std::borrow::Cow;
use std::ops::Range;

use memchr::arch::all::is_equal;

use super::{InvalidField, shown};
use crate::few::{FEW, Few};

/// Tags with their values. Few requests have any.
pub type Tags<'a> = Keyed<'a, &'a str, 2>;

/// Values by folded key; no key occurs twice. Condition keys and tag keys are case-insensitive (evaluation.md, rule 34).
#[derive(Debug)]
pub struct Keyed<'a, V, const N: usize = FEW> {
    /// Borrowed, where they are written in lower case already. More than a few are sorted by key.
    entries: Few<(Cow<'a, str>, V), N>,
}

impl<V, const N: usize> Default for Keyed<'_, V, N> {
    fn default() -> Self {
        Self { entries: Few::default() }
    }
}

impl<'a, V: Copy, const N: usize> Keyed<'a, V, N> {
    /// Folds and sorts the pairs of a field. Two keys that differ in case only are one key given twice: refused.
    pub fn new(field: &'static str, pairs: impl IntoIterator<Item = (&'a str, V)>) -> Result<Self, InvalidField> {
        let mut entries: Few<_, N> = pairs.into_iter().map(|(key, value)| (folded(key), value)).collect();
        entries.sort_unstable_by(|(a, _): &(Cow<'_, str>, V), (b, _)| a.cmp(b));
        let keyed = Self { entries };
        match keyed.fault() {
            None => Ok(keyed),
            Some(fault) => Err(InvalidField::new(field, fault)),
        }
    }

    /// Adds a key that is folded already. When all are there, [`Keyed::settle`] says whether that was right.
    pub fn push_folded(&mut self, key: &'a str, value: V) {
        self.entries.push((Cow::Borrowed(key), value));
    }

    /// After the last [`Keyed::push_folded`]: whether no key is empty and none came twice.
    pub fn settle(&mut self) -> bool {
        self.entries.has_each_key_once() && !self.entries.iter().any(|(key, _)| key.is_empty())
    }

    fn fault(&self) -> Option<String> {
        if self.iter().next().is_some_and(|(key, _)| key.is_empty()) {
            return Some("a key is empty".to_owned());
        }
        let twice = self.iter().zip(self.iter().skip(1)).find(|((a, _), (b, _))| a == b);
        twice.map(|((key, _), _)| format!("`{}` is given twice: keys are case-insensitive", shown(key)))
    }

    /// The value of a key that is already folded.
    fn find(&self, folded: &str) -> Option<V> {
        // Few are quicker compared one by one, by their lengths first, than halved.
        if self.entries.len() <= FEW {
            return self
                .entries
                .iter()
                .find(|(key, _)| is_equal(key.as_bytes(), folded.as_bytes()))
                .map(|(_, value)| *value);
        }
        let index = self.entries.binary_search_by(|(key, _)| (**key).cmp(folded)).ok()?;
        self.entries.get(index).map(|(_, value)| *value)
    }

    /// Folded keys and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, V)> {
        self.entries.iter().map(|(key, value)| (&**key, *value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> Tags<'a> {
    /// The value of a key that is already folded.
    pub fn get(&self, folded: &str) -> Option<&'a str> {
        self.find(folded)
    }
}

/// Condition keys with their values.
#[derive(Debug, Default)]
pub struct Context<'a> {
    /// The values of all keys.
    values: Few<&'a str>,
    /// Where those of each key stand.
    keys: Keyed<'a, (usize, usize)>,
}

impl<'a> Context<'a> {
    /// Folds and sorts the pairs of a field, as [`Keyed::new`].
    pub fn new<V: IntoIterator<Item = &'a str>>(
        field: &'static str,
        pairs: impl IntoIterator<Item = (&'a str, V)>,
    ) -> Result<Self, InvalidField> {
        let mut values: Few<&'a str> = Few::default();
        let ranged = pairs.into_iter().map(|(key, own)| {
            let start = values.len();
            values.extend(own);
            (key, (start, values.len()))
        });
        let keys = Keyed::new(field, ranged)?;
        Ok(Self { values, keys })
    }

    /// Adds a key that is folded already, with its values; None if one of these is. Then as [`Keyed::settle`].
    pub fn push_folded(&mut self, key: &'a str, values: impl Iterator<Item = Option<&'a str>>) -> Option<()> {
        let start = self.values.len();
        for value in values {
            self.values.push(value?);
        }
        self.keys.push_folded(key, (start, self.values.len()));
        Some(())
    }

    /// As [`Keyed::settle`].
    pub fn settle(&mut self) -> bool {
        self.keys.settle()
    }

    /// The values of a key that is already folded; None when absent or given without values.
    pub fn get(&self, folded: &str) -> Option<&[&'a str]> {
        self.keys.find(folded).map(|range| self.slice(range)).filter(|values| !values.is_empty())
    }

    /// Folded keys and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[&'a str])> {
        self.keys.iter().map(|(key, range)| (key, self.slice(range)))
    }

    fn slice(&self, (start, end): (usize, usize)) -> &[&'a str] {
        self.values.get(Range { start, end }).unwrap_or_default()
    }
}

/// A key in lower case; borrowed where it is.
fn folded(key: &str) -> Cow<'_, str> {
    let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if key.bytes().all(is_folded) { Cow::Borrowed(key) } else { Cow::Owned(fold_case(key)) }
}

/// A condition key or tag key in lower case.
pub fn fold_key(key: &str) -> String {
    fold_case(key)
}

/// A text in lower case, letter by letter: what a letter becomes does not depend on those around it, as the Greek sigma
/// does in `str::to_lowercase`.
pub fn fold_case(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    push_folded(&mut folded, text);
    folded
}

fn push_folded(folded: &mut String, key: &str) {
    if !key.is_ascii() {
        folded.extend(key.chars().flat_map(char::to_lowercase));
        return;
    }
    let start = folded.len();
    folded.push_str(key);
    if let Some(added) = folded.get_mut(start..) {
        added.make_ascii_lowercase();
    }
}
