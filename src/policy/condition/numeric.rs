//! `Numeric...`: integers and decimals, compared exactly (evaluation.md, rule 37).

use std::borrow::Cow;
use std::cmp::Ordering;

use super::operator::Relation;
use super::{Compared, parsed};
use crate::policy::document::{Reader, Text};

/// The values of a numeric operator.
#[derive(Debug)]
pub(crate) struct Numbers {
    relation: Relation,
    values: Box<[Decimal<'static>]>,
}

impl Numbers {
    pub(crate) fn new(relation: Relation, texts: &[Text], reader: &mut Reader<'_>) -> Option<Self> {
        let parse = |text: &str| Decimal::parse(text).map(Decimal::into_owned);
        let values = parsed(texts, reader, "a number, such as `10` or `-2.5`", parse)?;
        Some(Self { relation, values: values.into() })
    }

    pub(crate) fn compare(&self, value: &str) -> Compared {
        let Some(value) = Decimal::parse(value) else {
            return Compared::Unreadable;
        };
        Compared::of(self.values.iter().any(|policy| self.relation.holds(value.cmp(policy))))
    }
}

/// A decimal number of any length, without superfluous zeros; zero is not negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    integer: Cow<'a, str>,
    fraction: Cow<'a, str>,
}

impl<'a> Decimal<'a> {
    /// Reads `[+-]digits[.digits]`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (integer, fraction) = match unsigned.split_once('.') {
            Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
            Some(_) => return None,
            None => (unsigned, ""),
        };
        if integer.is_empty() || !integer.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (integer, fraction) = (integer.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = integer.is_empty() && fraction.is_empty();
        let negative = text.starts_with('-') && !zero;
        Some(Self { negative, integer: integer.into(), fraction: fraction.into() })
    }

    /// The same, whatever becomes of the text that it was read from.
    pub(crate) fn into_owned(self) -> Decimal<'static> {
        let owned = |digits: Cow<'a, str>| Cow::Owned(digits.into_owned());
        Decimal { negative: self.negative, integer: owned(self.integer), fraction: owned(self.fraction) }
    }

    fn magnitude(&self) -> (usize, &str, &str) {
        (self.integer.len(), &self.integer, &self.fraction)
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_exactly() {
        let number = |text| Decimal::parse(text).unwrap();
        let ascending =
            ["-10.5", "-10", "-9", "-0.1", "0", "0.09", "0.1", "1", "9007199254740992", "9007199254740993", "10e"];
        for pair in ascending[..10].windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        for (a, b) in [("007", "7"), ("1.50", "1.5"), ("-0", "0"), ("+3", "3"), ("0.0", "0")] {
            assert_eq!(number(a), number(b));
        }
    }

    #[test]
    fn what_is_not_a_number() {
        for text in ["", "-", "1.", ".5", "1e3", "0x10", "1 ", "1,5", "NaN", "--1", "²"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
