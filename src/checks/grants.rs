//! What a statement grants that is more than most mean to: everything, or roles for any service to run with.

use crate::access::fold_key;
use crate::finding::Position;
use crate::policy::{Effect, Family, Operator, PolicyKind, Statement, Text};
use crate::wildcard::Wildcard;

use super::Subject;
use super::reference::ArnGlob;

/// An action, in two words and in lower case, that gives more than it says.
struct Dangerous {
    service: &'static str,
    name: &'static str,
    /// The condition key that holds it, in lower case.
    key: &'static str,
}

const PASS_ROLE: Dangerous = Dangerous { service: "iam", name: "passrole", key: "iam:passedtoservice" };
const LINKED_ROLE: Dangerous = Dangerous { service: "iam", name: "createservicelinkedrole", key: "iam:awsservicename" };

/// Checks statements that grant something to whoever the policy is attached to.
pub(super) fn check(statement: &Statement, subject: &mut Subject<'_>) {
    let grants = matches!(subject.policy.kind, PolicyKind::Identity | PolicyKind::Session);
    if !grants || statement.effect == Effect::Deny {
        return;
    }
    let any_action = !statement.action.negated && statement.action.value.iter().any(|text| text.text == "*");
    let any_resource = has_any_resource(statement);
    if any_action && any_resource && statement.conditions.is_empty() {
        subject
            .report(statement.position, "allow-everything", "the statement allows every action on every resource")
            .hint("list what is needed, or add a condition");
        return; // Which includes all that follows.
    }
    if any_role(statement)
        && let Some((at, named)) = granted(statement, &PASS_ROLE)
    {
        subject
            .report(at, "pass-any-role", format!("{named} lets every role be passed to every service"))
            .hint("name the roles, and add a condition on `iam:PassedToService`");
    } else {
        pass_role(statement, subject);
        linked_role(statement, subject);
    }
}

fn pass_role(statement: &Statement, subject: &mut Subject<'_>) {
    let named = granted(statement, &PASS_ROLE).filter(|(_, named)| named == "`iam:PassRole`");
    if let Some((at, _)) = named.filter(|_| !passes_nothing(statement)) {
        subject
            .report(at, "pass-role-to-any-service", "the roles can be passed to every service that trusts them")
            .hint("add a condition on `iam:PassedToService`");
    }
}

fn linked_role(statement: &Statement, subject: &mut Subject<'_>) {
    if let Some((at, named)) = granted(statement, &LINKED_ROLE).filter(|_| any_role(statement)) {
        let message = format!("{named} lets service-linked roles be made for every service");
        subject
            .report(at, "service-linked-role-for-any-service", message)
            .hint("add a condition on `iam:AWSServiceName`");
    }
}

/// Where the statement grants an action without a condition on its key, and by which words.
fn granted(statement: &Statement, action: &Dangerous) -> Option<(Position, String)> {
    let element = &statement.action;
    let named = element.value.iter().find(|text| matches(text, action));
    let held = statement.conditions.iter().any(|condition| {
        let narrows = Operator::parse(&condition.operator.text).is_ok_and(|o| !o.negated && o.family != Family::Null);
        narrows
            && fold_key(&condition.key.text) == action.key
            && !condition.values.iter().any(|value| value.text == "*")
    });
    match named {
        _ if held => None,
        Some(text) if !element.negated => Some((text.position, format!("`{}`", text.text))),
        None if element.negated => Some((element.position, "`NotAction`".to_owned())),
        _ => None,
    }
}

fn matches(text: &Text, action: &Dangerous) -> bool {
    match text.text.split_once(':') {
        None => text.text == "*",
        Some((service, name)) => {
            service.eq_ignore_ascii_case(action.service)
                && Wildcard::new(&name.to_ascii_lowercase()).matches(action.name)
        }
    }
}

fn has_any_resource(statement: &Statement) -> bool {
    let resource = statement.resource.as_ref();
    resource.is_some_and(|element| !element.negated && element.value.iter().any(|text| text.text == "*"))
}

/// Whether the statement is about every role: by `*`, by a pattern that no role escapes, or by `NotResource`.
fn any_role(statement: &Statement) -> bool {
    let Some(element) = &statement.resource else { return false };
    let all_roles = |text: &Text| {
        let arn = ArnGlob::new(&text.text);
        let covers = |index: usize, word: &str| arn.parts.get(index).is_none_or(|part| covers_word(part, word));
        covers(2, "iam") && covers(5, "role/") && !text.text.contains("${")
    };
    element.negated || element.value.iter().any(all_roles)
}

/// Whether a pattern takes everything that begins with a word.
fn covers_word(pattern: &[char], word: &str) -> bool {
    let text: Vec<char> = word.chars().chain(['*']).collect();
    match word.ends_with('/') {
        true => super::glob::covers(pattern, &text),
        false => Wildcard::new(&pattern.iter().collect::<String>()).matches(word),
    }
}

/// Whether it names no role at all.
fn passes_nothing(statement: &Statement) -> bool {
    let role = ["arn", "*", "iam", "*", "*", "role/*"].map(super::glob::glob);
    let Some(element) = &statement.resource else { return true };
    !element.negated && !element.value.iter().any(|text| ArnGlob::new(&text.text).meets_but_for(&role, &[]))
}
