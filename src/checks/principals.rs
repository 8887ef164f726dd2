//! `Principal`: who is let in, and by which conditions they are held.

use crate::access::{SERVICE_DOMAINS, fold_key};
use crate::catalogue;
use crate::finding::{Position, near_miss};
use crate::policy::{Effect, Operator, PolicyKind, PrincipalElement, Statement, Text};

use super::reference::is_region;
use super::{Subject, trust};

/// Keys that say who asks, or from where, in a way that outsiders cannot choose; in lower case.
const RESTRICTING: [&str; 23] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpcarn",
    "aws:sourcevpce",
    "aws:userid",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
    "aws:vpcsourceip",
    "elasticfilesystem:accessedviamounttarget",
    "kms:calleraccount",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
];

/// Keys that tell on whose behalf a service asks, in lower case.
const SOURCES: [&str; 7] = [
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "kms:calleraccount",
    "s3:dataaccesspointaccount",
];

/// Checks the element, and what the statement lets whom it names do.
pub(super) fn check(statement: &Statement, subject: &mut Subject<'_>) {
    let Some(element) = &statement.principal else { return };
    let entries: &[(Text, Text)] = match &element.value {
        PrincipalElement::Everyone => &[],
        PrincipalElement::Map(entries) => entries,
    };
    redundant(entries, subject);
    for (_, name) in entries.iter().filter(|(kind, _)| kind.text == "Service") {
        service_name(&name.text, name.position, subject);
    }
    if element.negated && statement.effect == Effect::Deny {
        subject
            .report(element.position, "not-principal-with-deny", "`NotPrincipal` denies more than it seems to")
            .hint("write `\"Principal\": \"*\"` and a condition `ArnNotEquals` on `aws:PrincipalArn`");
    }
    let kind = subject.policy.kind;
    if statement.effect == Effect::Deny || !matches!(kind, PolicyKind::Resource | PolicyKind::Trust) {
        return;
    }
    let everyone =
        matches!(element.value, PrincipalElement::Everyone) || entries.iter().any(|(_, name)| name.text == "*");
    // Tagging a session and the like is for whom another statement lets in.
    let lets_in = kind == PolicyKind::Resource || trust::assumes(statement);
    if everyone && lets_in && !is_restricted(statement, |key| RESTRICTING.contains(&key)) {
        let what = if kind == PolicyKind::Trust { "assume the role" } else { "use the resource" };
        subject
            .report(element.position, "public-access", format!("everyone may {what}, whatever their account"))
            .hint("name principals, or hold them by a condition such as `aws:PrincipalOrgID`");
    }
    if kind == PolicyKind::Resource {
        services_without_source(statement, entries, subject);
    }
}

/// Whether a condition on a key that restricts must hold, and not for any value.
fn is_restricted(statement: &Statement, restricts: impl Fn(&str) -> bool) -> bool {
    statement.conditions.iter().any(|condition| {
        let Ok(operator) = Operator::parse(&condition.operator.text) else {
            return true; // Refused already.
        };
        let any_value =
            |value: &Text| matches!(value.text.as_str(), "*" | "0.0.0.0/0" | "::/0" | "arn:*" | "arn:aws:*");
        operator.demands_match() && restricts(&fold_key(&condition.key.text)) && !condition.values.iter().any(any_value)
    })
}

/// A service that asks on behalf of anyone: it can be made to by someone else's resource.
fn services_without_source(statement: &Statement, entries: &[(Text, Text)], subject: &mut Subject<'_>) {
    // For whom a service encrypts, it says in the encryption context; others could say what they like there.
    if is_restricted(statement, |key| SOURCES.contains(&key) || key.starts_with("kms:encryptioncontext:")) {
        return;
    }
    for (_, name) in entries.iter().filter(|(kind, _)| kind.text == "Service") {
        let message = format!("`{}` may use the resource on behalf of any account", name.text);
        subject
            .report(name.position, "service-principal-without-source", message)
            .hint("add a condition on `aws:SourceArn`, `aws:SourceAccount` or `aws:SourceOrgID`");
    }
}

/// The name of a service: well formed, and not a slip in one that is known. No list has them all.
pub(super) fn service_name(name: &str, at: Position, subject: &mut Subject<'_>) {
    let known = catalogue::service_principals();
    if name.contains(['*', '?', '$']) || known.binary_search(&name).is_ok() {
        return;
    }
    let Some(label) = SERVICE_DOMAINS.iter().find_map(|domain| name.strip_suffix(domain)) else {
        subject
            .report(at, "unknown-service-principal", format!("`{name}` is not the name of a service of AWS"))
            .hint("such names end in `.amazonaws.com`");
        return;
    };
    // `s3.eu-west-1.amazonaws.com` is the service in one region.
    let words: Vec<&str> = label.split('.').collect();
    let bare = words.iter().filter(|word| !is_region(word)).copied().collect::<Vec<_>>().join(".") + ".amazonaws.com";
    if known.binary_search(&bare.as_str()).is_ok() || !subject.budget.spend(known.len() * 100) {
        return;
    }
    let own = bare.strip_suffix(".amazonaws.com").unwrap_or_default();
    let labels = known.iter().filter_map(|known| known.strip_suffix(".amazonaws.com"));
    if let Some(meant) = near_miss(own, labels.filter(|known| is_slip(own, known))) {
        subject
            .report(at, "unknown-service-principal", format!("`{name}` is not known as the name of a service of AWS"))
            .hint(format!("did you mean `{meant}.amazonaws.com`?"));
    }
}

/// Whether each word is the other's but for a fifth of its letters: short names of services are alike by themselves.
fn is_slip(written: &str, known: &str) -> bool {
    let words = |label: &str| label.split('.').count();
    let alike = |(own, other)| strsim::osa_distance(own, other) * 5 <= own.chars().count();
    words(written) == words(known) && written.split('.').zip(known.split('.')).all(alike)
}

fn redundant(entries: &[(Text, Text)], subject: &mut Subject<'_>) {
    let mut seen = std::collections::HashSet::new();
    let everyone = entries.iter().any(|(kind, name)| kind.text == "AWS" && name.text == "*");
    for (kind, name) in entries {
        let message = if !seen.insert((&kind.text, &name.text)) {
            format!("the principal `{}` is given twice", name.text)
        } else if everyone && kind.text == "AWS" && name.text != "*" {
            format!("`*` covers the principal `{}`", name.text)
        } else {
            continue;
        };
        subject.report(name.position, "redundant-principal", message);
    }
}
