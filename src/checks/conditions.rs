//! `Condition`: whether operators fit their keys, whether missing keys are thought of, whether all of it can hold.

mod contradictions;
mod known;
mod missing;
mod values;

use std::collections::BTreeMap;

use crate::catalogue::{self, ConditionKeyFacts};
use crate::policy::{Condition, ConditionKey, Effect, Family, Operator, Quantifier, Statement, Text};

use super::Subject;
use super::reference::{Actions, is_key};

/// A condition whose operator is one.
struct Parsed<'a> {
    operator: Operator,
    key: ConditionKey,
    /// What AWS says of the key, if it has it.
    facts: Option<ConditionKeyFacts>,
    written: &'a Condition,
}

impl<'a> Parsed<'a> {
    fn new(written: &'a Condition) -> Option<Self> {
        let operator = Operator::parse(&written.operator.text).ok()?;
        let key = ConditionKey::new(&written.key.text);
        Some(Self { operator, facts: catalogue::condition_key(&key.folded), key, written })
    }

    fn values(&self) -> &'a [Text] {
        &self.written.values
    }

    /// Whether it is certain not to hold where the key is missing.
    fn needs_key(&self) -> bool {
        let Operator { quantifier, family, negated, if_exists } = self.operator;
        match (family, quantifier) {
            (Family::Null, _) => self.values().iter().all(|value| value.text.eq_ignore_ascii_case("false")),
            (_, Some(Quantifier::ForAnyValue)) => true,
            (_, Some(Quantifier::ForAllValues)) => false,
            (_, None) => !negated && !if_exists,
        }
    }
}

/// Keys that AWS has replaced, with what to write instead.
const REPLACED: [(&str, &str); 1] = [("aws:sourceowner", "aws:SourceAccount")];

/// Checks the block.
pub(super) fn check(statement: &Statement, actions: &Actions, subject: &mut Subject<'_>) {
    let conditions: Vec<Parsed<'_>> = statement.conditions.iter().filter_map(Parsed::new).collect();
    for condition in &conditions {
        operator_fits(condition, subject);
        replaced(condition, subject);
        spoofable(statement.effect, condition, subject);
        irrelevant(condition, actions, subject);
        values::check(condition, subject);
    }
    missing::check(statement, &conditions, subject);
    // Conditions on one key are few: a key can be given once per operator.
    let mut by_key: BTreeMap<&str, Vec<&Parsed<'_>>> = BTreeMap::new();
    conditions.iter().for_each(|condition| by_key.entry(&condition.key.folded).or_default().push(condition));
    for same_key in by_key.values() {
        given_twice(same_key, subject);
        contradictions::check(same_key, subject);
    }
}

/// The operator is of the key's type.
fn operator_fits(condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    let Some(facts) = condition.facts else { return };
    // Tags are what users make of them: `NumericLessThan` on one is well.
    if condition.key.is_tag() || fits(condition.operator.family, facts.value_type, condition) {
        return;
    }
    let expected = match facts.value_type {
        "ARN" => "Arn",
        "Bool" => "Bool",
        "Numeric" => "Numeric",
        "Date" => "Date",
        "IPAddress" => "IpAddress",
        _ => "String",
    };
    let (operator, key) = (&condition.written.operator, &condition.key.spelled);
    let message = format!("`{}` does not fit `{key}`, which is of type {}", operator.text, facts.value_type);
    let hint = format!("use an operator such as `{}`", example(expected));
    subject.report(operator.position, "operator-type-mismatch", message).hint(hint);
}

fn example(family: &str) -> &'static str {
    match family {
        "Arn" => "ArnLike",
        "Bool" => "Bool",
        "Numeric" => "NumericEquals",
        "Date" => "DateLessThan",
        "IpAddress" => "IpAddress",
        _ => "StringEquals",
    }
}

fn fits(family: Family, value_type: &str, condition: &Parsed<'_>) -> bool {
    match (value_type, family) {
        (_, Family::Null)
        | ("ARN", Family::Arn | Family::String(_))
        | ("Bool", Family::Bool)
        | ("Numeric", Family::Numeric(_))
        | ("Date", Family::Date(_) | Family::Numeric(_))
        | ("IPAddress", Family::Ip)
        | ("Binary", Family::Binary)
        | ("String", Family::String(_)) => true,
        // `true` and `false` are compared as well by their letters, as long as those are the ones.
        ("Bool", Family::String(_)) => {
            condition.values().iter().all(|value| matches!(value.text.as_str(), "true" | "false"))
        }
        // The reference calls some keys strings whose values are ARNs.
        ("String", Family::Arn) => {
            condition.values().iter().all(|value| value.text.starts_with("arn:") || value.text.starts_with(['*', '$']))
        }
        ("ARN" | "Bool" | "Numeric" | "Date" | "IPAddress" | "Binary" | "String", _) => false,
        _ => true,
    }
}

fn replaced(condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    let found = REPLACED.iter().find(|(key, _)| *key == &*condition.key.folded);
    if let Some((_, instead)) = found {
        let message = format!("`{}` is kept for old policies only", condition.key.spelled);
        subject
            .report(condition.written.key.position, "deprecated-condition-key", message)
            .hint(format!("use `{instead}`"));
    }
}

/// A key whose value the caller chooses freely.
fn spoofable(effect: Effect, condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    if effect == Effect::Allow && ["aws:referer", "aws:useragent"].contains(&&*condition.key.folded) {
        let message = format!("`{}` is whatever the caller says: it keeps nobody out", condition.key.spelled);
        subject.report(condition.written.key.position, "spoofable-condition-key", message).hint(
            "hold callers by who they are or where they come from, such as `aws:PrincipalArn` or `aws:SourceVpce`",
        );
    }
}

/// A key of a service of which no action of the statement gives it.
fn irrelevant(condition: &Parsed<'_>, actions: &Actions, subject: &mut Subject<'_>) {
    let folded = &condition.key.folded;
    let Some((prefix, _)) = folded.split_once(':') else { return };
    let global = prefix == "aws" || catalogue::is_global_condition_key(folded);
    if global || condition.key.is_claim() || !actions.complete || condition.facts.is_none() {
        return;
    }
    let Some(service) = subject.reference.service(prefix) else { return };
    let affordable = subject.budget.spend(64);
    let mut given = !affordable || !service.gives_key(folded);
    for (service, action) in actions.iter() {
        let of_resources = action.resource_types().filter_map(|name| service.facts.resources.get(name));
        let mut keys = action.keys.iter().chain(of_resources.flat_map(|resource| &resource.keys));
        // Of some actions the reference has nothing but the name, whatever AWS's pages say.
        let nothing_known = *service.prefix == *prefix && action.keys.is_empty() && action.resources.is_empty();
        given = given || nothing_known || !subject.budget.spend(32) || keys.any(|key| is_key(key, folded));
        if given {
            return;
        }
    }
    if !given {
        let message =
            format!("by AWS's reference, no action of the statement gives the key `{}`", condition.key.spelled);
        subject.report(condition.written.key.position, "irrelevant-condition-key", message);
    }
}

/// The same key in two spellings under one operator: both must hold, which looks like a choice.
fn given_twice(same_key: &[&Parsed<'_>], subject: &mut Subject<'_>) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for condition in same_key {
        let (operator, key) = (&condition.written.operator.text, &condition.written.key);
        if let Some(other) = first.insert(operator, &key.text) {
            let message = format!("`{}` is the same condition key as `{other}`: both conditions must hold", key.text);
            subject
                .report(key.position, "condition-key-given-twice", message)
                .hint("give the key once, with all of its values");
        }
    }
}
