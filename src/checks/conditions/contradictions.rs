//! Conditions on one key that cannot hold together: the statement never applies.

use std::cmp::Ordering;

use ipnet::IpNet;

use crate::policy::{Decimal, Family, Operator, Relation, StringMode, Text, parse_date, parse_network};
use crate::wildcard::Wildcard;

use super::Parsed;
use crate::checks::Subject;

/// How many conditions on one key are compared with each other: a statement has one operator of each kind.
const COMPARED: usize = 16;

/// Compares each two conditions on a key.
pub(super) fn check(same_key: &[&Parsed<'_>], subject: &mut Subject<'_>) {
    let compared = same_key.get(..COMPARED).unwrap_or(same_key);
    for (index, left) in compared.iter().enumerate() {
        for right in compared.iter().skip(index + 1) {
            let steps = left.values().len() * right.values().len();
            if subject.budget.spend(16 * steps) && exclude(left, right, subject.policy.document.variables) {
                let (key, one, other) = (&left.key.spelled, &left.written.operator.text, &right.written.operator.text);
                let message =
                    format!("no value of `{key}` fulfils both `{one}` and `{other}`: the statement never applies");
                subject.report(right.written.key.position, "contradicting-conditions", message);
            }
        }
    }
}

/// Whether no value, and no absence of one, fulfils both.
fn exclude(left: &Parsed<'_>, right: &Parsed<'_>, variables: bool) -> bool {
    if left.operator.quantifier.is_some() || right.operator.quantifier.is_some() {
        return false; // Of several values, each condition may mean another.
    }
    let has_variables = |condition: &Parsed<'_>| condition.values().iter().any(|value| value.text.contains("${"));
    if variables && (has_variables(left) || has_variables(right)) {
        return false;
    }
    if absence_excluded(left, right) || absence_excluded(right, left) {
        return true;
    }
    // A missing key may fulfil both.
    if !left.needs_key() && !right.needs_key() {
        return false;
    }
    match (left.operator.family, right.operator.family) {
        (Family::String(_) | Family::Arn | Family::Bool, Family::String(_) | Family::Arn | Family::Bool) => {
            texts_exclude(left, right)
        }
        (Family::Ip, Family::Ip) => networks_exclude(left, right) || networks_exclude(right, left),
        (Family::Date(a), Family::Date(b)) => bounds_exclude((a, left), (b, right), parse_date),
        (Family::Numeric(a), Family::Numeric(b)) => {
            bounds_exclude((a, left), (b, right), |text| Decimal::parse(text).map(Decimal::into_owned))
        }
        _ => false,
    }
}

/// One asks for the key to be absent, the other for a value of it.
fn absence_excluded(null: &Parsed<'_>, other: &Parsed<'_>) -> bool {
    let absent = null.values().iter().all(|value| value.text.eq_ignore_ascii_case("true"));
    null.operator.family == Family::Null && absent && other.needs_key()
}

/// One takes a few exact values only, and the other takes none of them.
fn texts_exclude(left: &Parsed<'_>, right: &Parsed<'_>) -> bool {
    let excluded_by = |exact: &Parsed<'_>, other: &Parsed<'_>| {
        let takes =
            |value: &Text| other.values().iter().any(|own| text_matches(other.operator, &own.text, &value.text));
        is_exact(exact) && exact.values().iter().all(|value| takes(value) == other.operator.negated)
    };
    excluded_by(left, right) || excluded_by(right, left)
}

/// Whether it lists all values that it takes.
fn is_exact(condition: &Parsed<'_>) -> bool {
    let plain = || !condition.values().iter().any(|value| value.text.contains(['*', '?']));
    let listing = match condition.operator.family {
        Family::String(StringMode::Exact) => true,
        Family::String(StringMode::Like) | Family::Arn => plain(),
        Family::String(StringMode::IgnoreCase)
        | Family::Numeric(_)
        | Family::Date(_)
        | Family::Bool
        | Family::Binary
        | Family::Ip
        | Family::Null => false,
    };
    listing && !condition.operator.negated
}

fn text_matches(operator: Operator, pattern: &str, text: &str) -> bool {
    match operator.family {
        Family::String(StringMode::Exact) => pattern == text,
        Family::String(StringMode::IgnoreCase) | Family::Bool => pattern.to_lowercase() == text.to_lowercase(),
        Family::String(StringMode::Like)
        | Family::Arn
        | Family::Numeric(_)
        | Family::Date(_)
        | Family::Binary
        | Family::Ip
        | Family::Null => Wildcard::new(pattern).matches(text),
    }
}

/// All networks of one lie within those that the other leaves out.
fn networks_exclude(within: &Parsed<'_>, without: &Parsed<'_>) -> bool {
    if within.operator.negated || !without.operator.negated {
        return false;
    }
    let networks = |condition: &Parsed<'_>| -> Vec<IpNet> {
        condition.values().iter().filter_map(|value| parse_network(&value.text)).collect()
    };
    let left_out = networks(without);
    networks(within).iter().all(|network| left_out.iter().any(|out| out.contains(network)))
}

/// What one takes ends before what the other takes begins. Of several values any will do: the widest counts.
fn bounds_exclude<T: Ord + Clone>(
    (left, left_condition): (Relation, &Parsed<'_>),
    (right, right_condition): (Relation, &Parsed<'_>),
    parse: impl Fn(&str) -> Option<T>,
) -> bool {
    if left_condition.operator.negated || right_condition.operator.negated {
        return false;
    }
    let range = |relation, condition: &Parsed<'_>| {
        let values: Option<Vec<T>> = condition.values().iter().map(|value| parse(&value.text)).collect();
        Some(Range::of(relation, values?))
    };
    match (range(left, left_condition), range(right, right_condition)) {
        (Some(a), Some(b)) => a.ends_before(&b) || b.ends_before(&a),
        _ => false,
    }
}

/// From where to where values are taken, each with whether that value itself is.
struct Range<T> {
    from: Option<(T, bool)>,
    to: Option<(T, bool)>,
}

impl<T: Ord + Clone> Range<T> {
    fn of(relation: Relation, mut values: Vec<T>) -> Self {
        values.sort();
        let inclusive = matches!(relation, Relation::Equals | Relation::LessThanEquals | Relation::GreaterThanEquals);
        let [lowest, highest] =
            [values.first(), values.last()].map(|value| value.map(|value| (value.clone(), inclusive)));
        match relation {
            Relation::LessThan | Relation::LessThanEquals => Self { from: None, to: highest },
            Relation::GreaterThan | Relation::GreaterThanEquals => Self { from: lowest, to: None },
            Relation::Equals => Self { from: lowest, to: highest },
        }
    }

    fn ends_before(&self, other: &Self) -> bool {
        let (Some((end, end_taken)), Some((start, start_taken))) = (&self.to, &other.from) else { return false };
        match end.cmp(start) {
            Ordering::Less => true,
            Ordering::Equal => !(*end_taken && *start_taken),
            Ordering::Greater => false,
        }
    }
}
