//! Rules 28 to 45: conditions.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::{FACTS, fold};
use super::question::Question;
use super::statement::Effect;
use super::store::strings;
use super::values::{self, Number};
use super::variable::{expand, parts, stands_alone};
use super::wildcard::{Sign, arn_matches, arn_parts, matches, signs};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    None,
    ForAllValues,
    ForAnyValue,
}

thread_local! {
    /// By operator, with its quantifier but without `IfExists`: how often it did not hold, and how often it did.
    static TESTED: RefCell<BTreeMap<String, [usize; 2]>> = RefCell::default();
}

/// Every operator that this thread has evaluated: how often it did not hold, and how often it did.
pub(super) fn tested() -> BTreeMap<String, [usize; 2]> {
    TESTED.with_borrow(Clone::clone)
}

/// What one policy value says of one value of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Match,
    NoMatch,
    /// It is not of the operator's type (rule 41).
    Unreadable,
}

impl From<bool> for Verdict {
    fn from(matches: bool) -> Self {
        if matches { Self::Match } else { Self::NoMatch }
    }
}

/// One key under one operator.
struct Test<'a> {
    quantifier: Quantifier,
    operator: &'a str,
    negated: bool,
    if_exists: bool,
    key: &'a str,
    values: Vec<String>,
    variables: bool,
    effect: Effect,
}

/// Operators AND, keys AND (rule 28).
pub(super) fn hold(question: &Question<'_>, conditions: &Value, variables: bool, effect: Effect) -> bool {
    let operators = conditions.as_object().into_iter().flatten();
    let mut keys =
        operators.flat_map(|(operator, keys)| keys.as_object().into_iter().flatten().map(move |k| (operator, k)));
    keys.all(|(operator, (key, values))| {
        let holds = Test::new(operator, key, values, variables, effect).holds(question);
        TESTED.with_borrow_mut(|tested| {
            tested.entry(operator.replace("IfExists", "")).or_default()[usize::from(holds)] += 1
        });
        holds
    })
}

impl<'a> Test<'a> {
    fn new(operator: &'a str, key: &'a str, values: &Value, variables: bool, effect: Effect) -> Self {
        let (quantifier, operator) = match operator.split_once(':') {
            Some(("ForAllValues", operator)) => (Quantifier::ForAllValues, operator),
            Some(("ForAnyValue", operator)) => (Quantifier::ForAnyValue, operator),
            _ => (Quantifier::None, operator),
        };
        let if_exists = operator.ends_with("IfExists");
        let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
        let negated = operator.contains("Not");
        Self { quantifier, operator, negated, if_exists, key, values: strings(values), variables, effect }
    }

    fn holds(&self, question: &Question<'_>) -> bool {
        let given = question.values(self.key);
        let null = given.as_ref().is_none_or(|given| is_tag(self.key) && *given == [""]);
        if self.operator == "Null" {
            return self.values.iter().any(|value| values::truth(value) == Some(null));
        }
        let Some(given) = given else { return self.holds_without_key() };
        if null && self.quantifier == Quantifier::ForAllValues {
            return true;
        }
        if self.quantifier == Quantifier::None {
            match (FACTS.multivalued(&fold(self.key)), given.len()) {
                // It is documented to have one value: what several mean cannot be told (rule 43). For quantifiers they
                // are a set: AWS documents `cognito-identity.amazonaws.com:amr` so, and asks it with `ForAnyValue:`.
                (Some(false), 2..) => return self.effect == Effect::Deny,
                (Some(true), _) | (None, 2..) => return false,
                _ => {}
            }
        }
        let verdicts: Vec<Verdict> = given.iter().map(|value| self.verdict(value, question)).collect();
        if verdicts.contains(&Verdict::Unreadable) {
            return self.effect == Effect::Deny;
        }
        let satisfied = |verdict: &Verdict| (*verdict == Verdict::Match) != self.negated;
        match self.quantifier {
            Quantifier::ForAllValues => verdicts.iter().all(satisfied),
            Quantifier::ForAnyValue | Quantifier::None => verdicts.iter().any(satisfied),
        }
    }

    /// Rules 30, 31, 44 and 45.
    fn holds_without_key(&self) -> bool {
        match self.quantifier {
            Quantifier::ForAllValues => true,
            Quantifier::ForAnyValue => false,
            Quantifier::None => self.if_exists || self.negated,
        }
    }

    /// Whether any of the policy's values matches.
    fn verdict(&self, given: &str, question: &Question<'_>) -> Verdict {
        let verdicts: Vec<Verdict> = self.values.iter().map(|value| self.compare(value, given, question)).collect();
        [Verdict::Unreadable, Verdict::Match]
            .into_iter()
            .find(|verdict| verdicts.contains(verdict))
            .unwrap_or(Verdict::NoMatch)
    }

    fn compare(&self, value: &str, given: &str, question: &Question<'_>) -> Verdict {
        let expanded = || expand(value, self.variables, question);
        let operator = self.operator.replace("Not", "");
        if operator.starts_with("String") {
            return expanded().is_some_and(|value| string(&operator, &value, given)).into();
        }
        let readable = match operator.as_str() {
            "ArnEquals" | "ArnLike" => return self.compare_arn(value, given, question),
            "Bool" => {
                let Some(given) = values::truth(given) else { return Verdict::Unreadable };
                let Some(value) = expanded() else { return Verdict::NoMatch };
                values::truth(&plain(&value)).map(|value| value == given)
            }
            "BinaryEquals" => values::bytes(given).map(|given| values::bytes(value).unwrap() == given),
            "IpAddress" => values::address(given).map(|given| values::within(value, given)),
            _ if operator.starts_with("Numeric") => Number::read(given)
                .map(|given| ordered(&operator["Numeric".len()..], given.compare(&Number::read(value).unwrap()))),
            _ => values::date(given)
                .map(|given| ordered(&operator["Date".len()..], given.cmp(&values::date(value).unwrap()))),
        };
        readable.map_or(Verdict::Unreadable, Verdict::from)
    }

    /// Rule 40. A variable that stands alone is a whole ARN; without a value it matches nothing.
    fn compare_arn(&self, value: &str, given: &str, question: &Question<'_>) -> Verdict {
        if arn_parts(given).is_none() {
            return Verdict::Unreadable;
        }
        if self.variables && stands_alone(value) {
            return match expand(value, true, question).map(|value| plain(&value)) {
                None => Verdict::NoMatch,
                Some(arn) if arn_parts(&arn).is_none() => Verdict::Unreadable,
                Some(arn) => (arn == given).into(),
            };
        }
        let parts: Option<Vec<Vec<Sign>>> =
            parts(value, self.variables).into_iter().map(|part| expand(part, self.variables, question)).collect();
        parts.is_some_and(|parts| value == "*" || arn_matches(&parts, given)).into()
    }
}

fn string(operator: &str, value: &[Sign], given: &str) -> bool {
    match operator {
        "StringLike" => matches(value, given),
        "StringEquals" => plain(value) == given,
        _ => fold(&plain(value)) == fold(given),
    }
}

fn ordered(comparison: &str, given_to_value: Ordering) -> bool {
    match comparison {
        "Equals" => given_to_value.is_eq(),
        "LessThan" => given_to_value.is_lt(),
        "LessThanEquals" => given_to_value.is_le(),
        "GreaterThan" => given_to_value.is_gt(),
        "GreaterThanEquals" => given_to_value.is_ge(),
        other => panic!("unknown operator {other}"),
    }
}

/// Where an operator knows no wildcards, they are characters.
fn plain(signs: &[Sign]) -> String {
    let letter = |sign: &Sign| match sign {
        Sign::Char(c) => *c,
        Sign::One => '?',
        Sign::Any => '*',
    };
    signs.iter().map(letter).collect()
}

/// Whether users set the key: then the empty value is null (rule 33).
fn is_tag(key: &str) -> bool {
    fold(key).split_once('/').is_some_and(|(before, _)| before.ends_with("tag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_by_their_key() {
        assert!(["aws:RequestTag/a", "s3:ExistingObjectTag/x", "ssm:resourceTag/b/c"].iter().all(|key| is_tag(key)));
        assert!(!is_tag("aws:TagKeys") && !is_tag("kms:EncryptionContext:a/b"));
        assert!(string("StringLike", &signs("a*c"), "abc") && !string("StringEquals", &signs("a*c"), "abc"));
    }
}
