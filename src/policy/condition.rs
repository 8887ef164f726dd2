//! Conditions: operators, their quantifiers, and when they hold (evaluation.md, section 5).

pub(super) mod arn;
pub(super) mod binary;
pub(super) mod boolean;
pub(super) mod date;
pub(super) mod ip;
pub(super) mod numeric;
pub(super) mod operator;
pub(super) mod string;

pub use date::parse as parse_date;

use super::Effect;
use super::document::{Condition, Reader, Text};
use super::key::{Cardinality, ConditionKey};
use super::listener::Listener;
use super::variable::{Resolve, Syntax, Template};
use crate::finding::Position;
use operator::{Family, Operator, Quantifier};

/// One operator on one key.
#[derive(Debug)]
pub(super) struct CompiledCondition {
    /// The key that it looks at.
    pub key: ConditionKey,
    quantifier: Option<Quantifier>,
    if_exists: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// `Null`: whether `true`, and whether `false`, is among the values.
    Null { absent: bool, present: bool },
    /// Any other operator.
    Values { negated: bool, comparison: Comparison },
}

/// Compares one value of the request with the values of the policy.
#[derive(Debug)]
pub(super) enum Comparison {
    String(string::Strings),
    Numeric(numeric::Numbers),
    Date(date::Dates),
    Bool(boolean::Booleans),
    Binary(binary::Binaries),
    Ip(ip::Networks),
    Arn(arn::Arns),
}

/// What came of comparing one value of the request with all of the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// One of them matches.
    Match,
    /// None does.
    NoMatch,
    /// The value is not of the operator's type.
    Unreadable,
}

impl Compared {
    /// Match or NoMatch.
    pub(super) fn of(matched: bool) -> Self {
        if matched { Self::Match } else { Self::NoMatch }
    }
}

/// The values that a key has in a request.
#[derive(Debug)]
pub enum Values<'a> {
    /// It is absent.
    Absent,
    /// One, by a source that gives one.
    One(std::borrow::Cow<'a, str>),
    /// As many as the request gives, at least one.
    Given(&'a [&'a str]),
}

/// What conditions look at.
pub trait Facts: Resolve {
    /// The values of a key.
    fn values(&self, key: &ConditionKey) -> Values<'_>;
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::One(_) => 1,
            Self::Given(values) => values.len(),
        }
    }

    /// The only one, if it is.
    fn only(&self) -> Option<&str> {
        match self {
            Self::One(value) => Some(value),
            Self::Given([value]) => Some(value),
            Self::Absent | Self::Given(_) => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, given): (Option<&str>, &[&str]) = match self {
            Self::Absent => (None, &[]),
            Self::One(value) => (Some(value), &[]),
            Self::Given(values) => (None, values),
        };
        one.into_iter().chain(given.iter().copied())
    }

    /// Whether the key counts as null: absent, or a tag with the empty string as its only value (rule 33).
    fn is_null(&self, key: &ConditionKey) -> bool {
        self.len() == 0 || self.len() == 1 && key.is_tag() && self.iter().all(str::is_empty)
    }
}

impl CompiledCondition {
    /// Whether it holds. What cannot be evaluated makes an Allow not apply and a Deny apply (rule 41).
    pub(super) fn holds(&self, effect: Effect, facts: &impl Facts) -> bool {
        let values = facts.values(&self.key);
        let result = self.evaluate(&values, facts);
        let holds = result.unwrap_or(effect == Effect::Deny);
        facts.listener().condition(&self.key, &values, result, holds);
        holds
    }

    /// Whether it holds; None if that cannot be told.
    fn evaluate(&self, values: &Values<'_>, facts: &impl Facts) -> Option<bool> {
        let (negated, comparison) = match &self.test {
            Test::Null { absent, present } => {
                return Some(if values.is_null(&self.key) { *absent } else { *present });
            }
            Test::Values { negated, comparison } => (*negated, comparison),
        };
        let satisfies = |value: &str| match comparison.compare(value, facts) {
            Compared::Match => Some(!negated),
            Compared::NoMatch => Some(negated),
            Compared::Unreadable => None,
        };
        match self.quantifier {
            Some(Quantifier::ForAllValues) if values.is_null(&self.key) => Some(true),
            Some(Quantifier::ForAllValues) => every(values.iter().map(satisfies)),
            Some(Quantifier::ForAnyValue) => {
                every(values.iter().map(|v| satisfies(v).map(|holds| !holds))).map(|none| !none)
            }
            None => self.plain(values, negated, satisfies),
        }
    }

    /// An operator without quantifier (rules 30, 31, 42 and 43).
    fn plain(&self, values: &Values<'_>, negated: bool, satisfies: impl Fn(&str) -> Option<bool>) -> Option<bool> {
        if let Values::Absent | Values::Given([]) = values {
            return Some(negated || self.if_exists);
        }
        match (self.key.cardinality, values.only()) {
            (Cardinality::Multi, _) | (Cardinality::Unknown, None) => Some(false),
            (Cardinality::Single | Cardinality::Unknown, Some(value)) => satisfies(value),
            // AWS never gives this key several values: there is no right answer.
            (Cardinality::Single, None) => None,
        }
    }
}

/// Whether all are true; None if one cannot be told, wherever it stands.
///
/// Looks at all of them, so that which variables were asked for does not depend on their order.
fn every(results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let (mut all, mut known) = (true, true);
    for result in results {
        match result {
            Some(holds) => all &= holds,
            None => known = false,
        }
    }
    known.then_some(all)
}

impl Comparison {
    fn compare(&self, value: &str, values: &impl Resolve) -> Compared {
        match self {
            Self::String(strings) => Compared::of(strings.matches(value, values)),
            Self::Numeric(numbers) => numbers.compare(value),
            Self::Date(dates) => dates.compare(value),
            Self::Bool(booleans) => booleans.compare(value, values),
            Self::Binary(binaries) => binaries.compare(value),
            Self::Ip(networks) => networks.compare(value),
            Self::Arn(arns) => arns.compare(value, values),
        }
    }
}

/// Compiles one operator on one key.
pub(super) fn compile(condition: &Condition, variables: bool, reader: &mut Reader<'_>) -> Option<CompiledCondition> {
    let operator = match Operator::parse(&condition.operator.text) {
        Ok(operator) => operator,
        Err(error) => {
            error.report(&condition.operator, reader);
            return None;
        }
    };
    let key = ConditionKey::new(&condition.key.text);
    warn(&operator, &key, condition, reader);
    let test = test(&operator, &condition.values, variables, reader)?;
    Some(CompiledCondition { key, quantifier: operator.quantifier, if_exists: operator.if_exists, test })
}

/// A key that AWS does not know, in a condition or as a variable (rule 35).
pub(super) fn warn_of_unknown(key: &ConditionKey, at: Position, reader: &mut Reader<'_>) {
    if key.cardinality == Cardinality::Unknown && !key.is_claim() {
        let message = format!("AWS knows no condition key `{}`: it is missing unless the caller gives it", key.spelled);
        reader
            .findings
            .warning(reader.file, at, "unknown-condition-key", message)
            .hint_near_miss(&key.spelled, crate::catalogue::condition_keys());
    }
}

/// What is legal and rarely meant (rules 35, 43 and 45).
fn warn(operator: &Operator, key: &ConditionKey, condition: &Condition, reader: &mut Reader<'_>) {
    let at = condition.key.position;
    warn_of_unknown(key, at, reader);
    if key.cardinality == Cardinality::Multi && operator.quantifier.is_none() && operator.family != Family::Null {
        let message =
            format!("`{}` has several values, which `{}` never matches", key.spelled, condition.operator.text);
        reader
            .findings
            .warning(reader.file, at, "plain-operator-on-multivalued-key", message)
            .hint("put `ForAnyValue:` or `ForAllValues:` before the operator");
    }
    if operator.quantifier == Some(Quantifier::ForAnyValue) && operator.if_exists {
        let message = format!("`{}` is false when the key is missing", condition.operator.text);
        reader
            .findings
            .warning(reader.file, condition.operator.position, "for-any-value-if-exists", message)
            .hint("`IfExists` has no effect with `ForAnyValue:`");
    }
}

fn test(operator: &Operator, texts: &[Text], variables: bool, reader: &mut Reader<'_>) -> Option<Test> {
    let comparison = match operator.family {
        Family::Null => return null_test(texts, reader),
        Family::String(mode) => {
            Comparison::String(string::Strings::new(mode, templates(texts, variables, mode.has_wildcards(), reader)?))
        }
        Family::Arn => Comparison::Arn(arn::Arns::new(texts, &templates(texts, variables, true, reader)?, reader)?),
        Family::Bool => {
            Comparison::Bool(boolean::Booleans::new(texts, templates(texts, variables, false, reader)?, reader)?)
        }
        Family::Numeric(relation) => Comparison::Numeric(numeric::Numbers::new(relation, texts, reader)?),
        Family::Date(relation) => Comparison::Date(date::Dates::new(relation, texts, reader)?),
        Family::Binary => Comparison::Binary(binary::Binaries::new(texts, reader)?),
        Family::Ip => Comparison::Ip(ip::Networks::new(texts, reader)?),
    };
    Some(Test::Values { negated: operator.negated, comparison })
}

fn null_test(texts: &[Text], reader: &mut Reader<'_>) -> Option<Test> {
    let values = parsed(texts, reader, "true or false", boolean::parse)?;
    Some(Test::Null { absent: values.contains(&true), present: values.contains(&false) })
}

fn templates(texts: &[Text], variables: bool, wildcards: bool, reader: &mut Reader<'_>) -> Option<Vec<Template>> {
    let mut template = |text: &Text| match Template::parse(&text.text, Syntax { variables, wildcards }) {
        Ok(template) => {
            template.keys().for_each(|key| warn_of_unknown(key, text.position, reader));
            Some(template)
        }
        Err(message) => {
            reader.error(text.position, "malformed-variable", message);
            None
        }
    };
    let templates: Vec<_> = texts.iter().filter_map(&mut template).collect();
    (templates.len() == texts.len()).then_some(templates)
}

/// Every value of the policy, parsed; each that does not parse is an error (rule 41).
pub(super) fn parsed<T>(
    texts: &[Text],
    reader: &mut Reader<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<Vec<T>> {
    let values: Vec<T> = texts
        .iter()
        .filter_map(|text| {
            let value = parse(&text.text);
            if value.is_none() {
                report_value(text, expected, reader);
            }
            value
        })
        .collect();
    (values.len() == texts.len()).then_some(values)
}

/// Adds the error for a value that is not of its operator's type.
pub(super) fn report_value(text: &Text, expected: &str, reader: &mut Reader<'_>) {
    reader.error(text.position, "invalid-condition-value", format!("the value `{}` is not {expected}", text.text));
}
