//! What operators do where a key is missing, or has more values or fewer than they are made for.

use std::collections::HashSet;

use crate::access::fold_key;
use crate::policy::{Cardinality, Effect, Family, Quantifier, Statement, Text};

use super::Parsed;
use crate::checks::Subject;

/// Keys that every request has, in lower case.
const ALWAYS_PRESENT: [&str; 12] = [
    "aws:currenttime",
    "aws:epochtime",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:securetransport",
    "aws:useragent",
    "aws:userid",
    "aws:viaawsservice",
];

/// Checks all conditions of a statement: what one leaves open, another may close.
pub(super) fn check(statement: &Statement, conditions: &[Parsed<'_>], subject: &mut Subject<'_>) {
    let guards = Guards::of(statement, conditions, subject.policy.document.variables);
    for condition in conditions {
        match statement.effect {
            Effect::Allow => allow(condition, &guards, subject),
            Effect::Deny => deny(condition, subject),
        }
    }
}

fn allow(condition: &Parsed<'_>, guards: &Guards<'_>, subject: &mut Subject<'_>) {
    let (operator, key) = (&condition.written.operator, &condition.key.spelled);
    // Of keys that AWS does not know, loading says that they are missing.
    let always = ALWAYS_PRESENT.contains(&&*condition.key.folded) || condition.facts.is_none();
    let open = !always && matters(condition) && !guards.hold(&condition.key.folded, subject);
    match condition.operator.quantifier {
        Some(Quantifier::ForAllValues) if open => {
            let message =
                format!("`{}` also holds where `{key}` is missing, and the statement allows it", operator.text);
            let hint = match condition.key.cardinality {
                Cardinality::Single => "the key has one value: leave `ForAllValues:` out".to_owned(),
                Cardinality::Multi | Cardinality::Unknown => format!("add `\"Null\": {{\"{key}\": \"false\"}}`"),
            };
            subject.report(operator.position, "for-all-values-without-null-guard", message).hint(hint);
        }
        Some(_) => single_valued(condition, subject),
        None if condition.operator.family == Family::Null => {}
        None if condition.operator.negated && open => {
            let message =
                format!("`{}` also holds where `{key}` is missing, and the statement allows it", operator.text);
            subject
                .report(operator.position, "negated-operator-without-null-guard", message)
                .hint(format!("add `\"Null\": {{\"{key}\": \"false\"}}`, or deny in a statement of its own"));
        }
        None if condition.operator.if_exists && open => {
            let message = format!("`{}` allows where `{key}` is missing", operator.text);
            subject
                .report(operator.position, "if-exists-with-allow", message)
                .hint("leave `IfExists` out, unless that is meant");
        }
        None => {}
    }
}

fn deny(condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    let operator = &condition.written.operator;
    let mfa = &*condition.key.folded == "aws:multifactorauthpresent" && condition.operator.family == Family::Bool;
    let no = condition.values().iter().any(|value| value.text.eq_ignore_ascii_case("false"));
    if mfa && no && !condition.operator.if_exists && condition.operator.quantifier.is_none() {
        subject
            .report(
                operator.position,
                "mfa-deny-without-if-exists",
                "requests with long-term access keys have no `aws:MultiFactorAuthPresent`: they are not denied",
            )
            .hint("use `BoolIfExists`");
    }
    if condition.operator.quantifier.is_some() {
        single_valued(condition, subject);
    }
}

/// A set operator on a key that has one value.
fn single_valued(condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    // Of `ForAnyValue:...IfExists`, loading says that it is not what it seems.
    let told = condition.operator.quantifier == Some(Quantifier::ForAnyValue) && condition.operator.if_exists;
    // How many values a claim has, its provider knows: AWS's own examples have `ForAnyValue:` on some that it lists with
    // one.
    if condition.key.cardinality != Cardinality::Single || told || condition.key.is_claim() {
        return;
    }
    let (operator, key) = (&condition.written.operator, &condition.key.spelled);
    let message = format!("`{}` is for keys with several values, and `{key}` has one", operator.text);
    let name = operator.text.split_once(':').map_or("", |(_, name)| name);
    let bare = name.strip_suffix("IfExists").unwrap_or(name);
    // What says the same where the key is missing: there, `ForAllValues:` is true and `ForAnyValue:` false.
    let hint = match condition.operator.quantifier {
        Some(Quantifier::ForAllValues) if condition.operator.negated => format!("use `{bare}`"),
        Some(Quantifier::ForAllValues) => format!("use `{bare}IfExists`"),
        _ if condition.operator.negated => format!("use `{bare}`, and add `\"Null\": {{\"{key}\": \"false\"}}`"),
        _ => format!("use `{bare}`"),
    };
    subject.report(operator.position, "set-operator-on-single-valued-key", message).hint(hint);
}

/// Whether it holds where the key is missing.
fn matters(condition: &Parsed<'_>) -> bool {
    condition.operator.family != Family::Null && !condition.needs_key()
}

/// What makes a statement not apply where a key is missing.
struct Guards<'a> {
    /// Keys of conditions that need them, in lower case.
    needed: HashSet<&'a str>,
    /// Texts, in lower case, of lists of which each has a variable: where its value is missing, the text matches
    /// nothing (evaluation.md, rule 49).
    variables: Vec<Vec<String>>,
}

impl<'a> Guards<'a> {
    fn of(statement: &'a Statement, conditions: &'a [Parsed<'_>], variables: bool) -> Self {
        let needing = || conditions.iter().filter(|condition| condition.needs_key());
        let resources =
            statement.resource.iter().filter(|element| !element.negated).map(|element| element.value.as_slice());
        let lists = resources.chain(needing().map(Parsed::values));
        let all_vary = |texts: &&[Text]| variables && texts.iter().all(|text| text.text.contains("${"));
        let folded = |texts: &[Text]| texts.iter().map(|text| fold_key(&text.text)).collect();
        Self {
            needed: needing().map(|condition| &*condition.key.folded).collect(),
            variables: lists.filter(all_vary).map(folded).collect(),
        }
    }

    /// Whether the statement does not apply where the key is missing; also where looking for it cannot be afforded.
    fn hold(&self, folded: &str, subject: &mut Subject<'_>) -> bool {
        // Where there is a tag in the request, there are keys of tags.
        let tag = || folded == "aws:tagkeys" && self.needed.iter().any(|key| key.starts_with("aws:requesttag/"));
        if self.needed.contains(folded) || tag() {
            return true;
        }
        let variable = format!("${{{folded}}}");
        self.variables.iter().any(|texts| {
            !subject.budget.spend(texts.iter().map(String::len).sum())
                || texts.iter().all(|text| text.contains(&variable))
        })
    }
}
