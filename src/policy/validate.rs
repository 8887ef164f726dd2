//! What a policy may say, given what it is attached to (evaluation.md, rules 7, 10, 11, 20, 65).

use std::collections::HashMap;

use super::PolicyKind;
use super::document::{Effect, PolicyDocument, PrincipalElement, Reader, Statement};

/// Adds every rule that the document breaks to the findings.
pub(super) fn validate(document: &PolicyDocument, kind: PolicyKind, reader: &mut Reader<'_>) {
    sids(document, kind, reader);
    for statement in &document.statements {
        principal(statement, kind, reader);
        resource(statement, kind, reader);
        if kind == PolicyKind::ResourceControl {
            resource_control(statement, reader);
        }
    }
}

/// What AWS does not take in resource control policies, for all its likeness to the policies of resources. An Allow there
/// would be believed in; a Deny of more than AWS lets one write does what it says.
fn resource_control(statement: &Statement, reader: &mut Reader<'_>) {
    if statement.effect == Effect::Allow {
        reader
            .error(statement.position, "allow-in-rcp", "a resource control policy only denies")
            .hint("everything is allowed at each level already");
    }
    let action = &statement.action;
    let mut warn = |at, code, message: &str| {
        reader.findings.warning(reader.file, at, code, message);
    };
    if action.negated {
        warn(action.position, "not-action-in-rcp", "AWS takes no `NotAction` in a resource control policy");
    } else if let Some(any) = action.value.iter().find(|text| text.text == "*") {
        warn(any.position, "any-action-in-rcp", "AWS takes no `*` as an action in a resource control policy");
    }
}

/// Unique; letters and digits in policies of identities.
fn sids(document: &PolicyDocument, kind: PolicyKind, reader: &mut Reader<'_>) {
    let mut lines: HashMap<&str, u32> = HashMap::new();
    for sid in document.statements.iter().filter_map(|statement| statement.sid.as_ref()) {
        if let Some(line) = lines.insert(&sid.text, sid.position.line) {
            let message = format!("the Sid `{}` is given twice, first on line {line}", sid.text);
            reader.error(sid.position, "duplicate-sid", message);
        }
        let restricted = matches!(kind, PolicyKind::Identity | PolicyKind::Session);
        if restricted && !sid.text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let message = format!("the Sid `{}` has more than letters and digits", sid.text);
            reader.error(sid.position, "invalid-sid", message).hint("only resource-based policies take others");
        }
    }
}

fn principal(statement: &Statement, kind: PolicyKind, reader: &mut Reader<'_>) {
    let (allowed, what) = match kind {
        PolicyKind::Identity => (false, "a policy of a user, group or role"),
        PolicyKind::Session => (false, "a session policy"),
        PolicyKind::ServiceControl => (false, "a service control policy"),
        PolicyKind::Resource => (true, "a resource policy"),
        PolicyKind::Trust => (true, "a trust policy"),
        PolicyKind::ResourceControl => (true, "a resource control policy"),
        PolicyKind::VpcEndpoint => (true, "the policy of a VPC endpoint"),
    };
    let Some(element) = &statement.principal else {
        if allowed {
            reader.error(statement.position, "missing-principal", format!("a statement of {what} needs `Principal`"));
        }
        return;
    };
    let at = element.position;
    if !allowed {
        let name = if element.negated { "NotPrincipal" } else { "Principal" };
        reader
            .error(at, "principal-not-allowed", format!("`{name}` has no place in {what}"))
            .hint("it is about whoever it is attached to");
    } else if element.negated && !matches!(kind, PolicyKind::Resource | PolicyKind::VpcEndpoint) {
        reader.error(at, "not-principal-not-allowed", format!("`NotPrincipal` has no place in {what}"));
    } else if element.negated && statement.effect == Effect::Allow {
        reader
            .error(at, "not-principal-with-allow", "`NotPrincipal` goes with `Deny` only")
            .hint("with `Allow` it would grant to everyone else, anonymous callers included");
    } else if kind == PolicyKind::ResourceControl && !is_everyone(&element.value) {
        reader.error(at, "principal-not-allowed", format!("`Principal` is `\"*\"` in {what}"));
    }
}

fn is_everyone(principal: &PrincipalElement) -> bool {
    match principal {
        PrincipalElement::Everyone => true,
        PrincipalElement::Map(entries) => entries.iter().all(|(key, value)| key.text == "AWS" && value.text == "*"),
    }
}

fn resource(statement: &Statement, kind: PolicyKind, reader: &mut Reader<'_>) {
    match (&statement.resource, kind) {
        (Some(element), PolicyKind::Trust) => {
            let name = if element.negated { "NotResource" } else { "Resource" };
            reader
                .error(element.position, "resource-not-allowed", format!("`{name}` has no place in a trust policy"))
                .hint("the role is the resource");
        }
        (None, PolicyKind::Trust | PolicyKind::Resource) | (Some(_), _) => {}
        (None, _) => {
            reader.error(statement.position, "missing-element", "a statement needs `Resource` or `NotResource`");
        }
    }
}
