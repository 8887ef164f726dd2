//! Under which circumstances: condition keys and tags, folded and sorted once.

use std::ops::Range;

use super::{InvalidField, shown};

/// Condition keys with their values.
pub type Context<'a> = Keyed<&'a [String]>;

/// Tags with their values.
pub type Tags<'a> = Keyed<&'a str>;

/// Values by folded key, sorted; no key occurs twice. Condition keys and tag keys are case-insensitive (evaluation.md,
/// rule 34).
#[derive(Debug)]
pub struct Keyed<V> {
    /// All folded keys, one behind the other: one allocation, whatever their number.
    keys: String,
    /// Where each key stands in `keys`, and its value; sorted by key.
    entries: Vec<(Range<usize>, V)>,
}

impl<V> Default for Keyed<V> {
    fn default() -> Self {
        Self { keys: String::new(), entries: Vec::new() }
    }
}

impl<V: Copy> Keyed<V> {
    /// Folds and sorts the pairs of a field. Two keys that differ in case only are one key given twice: refused.
    pub fn new(field: &'static str, pairs: &[(&str, V)]) -> Result<Self, InvalidField> {
        let mut keys = String::with_capacity(pairs.iter().map(|(key, _)| key.len()).sum());
        let mut entries = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let start = keys.len();
            push_folded(&mut keys, key);
            entries.push((start..keys.len(), *value));
        }
        let mut keyed = Self { keys, entries };
        let Self { keys, entries } = &mut keyed;
        entries.sort_unstable_by(|(a, _), (b, _)| keys.get(a.clone()).cmp(&keys.get(b.clone())));
        match keyed.fault() {
            None => Ok(keyed),
            Some(fault) => Err(InvalidField::new(field, fault)),
        }
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
        let index = self.entries.binary_search_by(|(key, _)| self.key(key).cmp(folded)).ok()?;
        self.entries.get(index).map(|(_, value)| *value)
    }

    /// Folded keys and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, V)> {
        self.entries.iter().map(|(key, value)| (self.key(key), *value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn key(&self, range: &Range<usize>) -> &str {
        self.keys.get(range.clone()).unwrap_or_default()
    }
}

impl<'a> Context<'a> {
    /// The values of a key that is already folded; None when absent or given without values.
    pub fn get(&self, folded: &str) -> Option<&'a [String]> {
        self.find(folded).filter(|values| !values.is_empty())
    }
}

impl<'a> Tags<'a> {
    /// The value of a key that is already folded.
    pub fn get(&self, folded: &str) -> Option<&'a str> {
        self.find(folded)
    }
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
