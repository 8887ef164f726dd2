//! How a decision came about, as JSON; docs/explain.md gives its form.

use serde_json::{Value as Json, json};

use super::{element_name, words};
use crate::access::Outcome;
use crate::cli::check::statement_json;
use crate::evaluate::{
    ConditionNote, ConditionTrace, ElementTrace, EntryTrace, LayerTrace, LevelTrace, NodeKind, OrganizationNode,
    Reason, Standing, StatementTrace, Trace, VariableTrace,
};
use crate::policy::{Effect, Found, GrantClass};

/// The whole explanation.
pub(in crate::cli) fn document(outcome: &Outcome, trace: &Trace) -> Json {
    json!({"layers": all(&trace.layers, layer), "conclusion": words::conclusion(outcome, trace)})
}

fn all<T>(things: &[T], to_json: fn(&T) -> Json) -> Json {
    things.iter().map(to_json).collect()
}

fn layer(layer: &LayerTrace) -> Json {
    let (standing, reason) = match layer.standing {
        Standing::Denies => ("DENIES", None),
        Standing::Allows => ("ALLOWS", None),
        Standing::DoesNotAllow(reason) => ("DOES_NOT_ALLOW", reason),
        Standing::NotNeeded(reason) => ("NOT_NEEDED", Some(reason)),
        Standing::NoSay(reason) => ("NO_SAY", Some(reason)),
    };
    json!({
        "policyType": format!("POLICY_TYPE_{}", layer.policy_type.as_str()),
        "standing": standing,
        "reason": reason.map(reason_code),
        "levels": all(&layer.levels, level),
    })
}

fn level(level: &LevelTrace) -> Json {
    json!({
        "node": level.node.as_ref().map(node),
        "denies": level.denied,
        "grants": level.granted.map(grant),
        "statements": all(&level.statements, statement),
    })
}

fn node(node: &OrganizationNode) -> Json {
    let kind = match node.kind {
        NodeKind::Root => "ROOT",
        NodeKind::Unit => "ORGANIZATIONAL_UNIT",
        NodeKind::Account => "ACCOUNT",
    };
    json!({"kind": kind, "id": node.id})
}

fn statement(statement: &StatementTrace) -> Json {
    let effect = match statement.effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    };
    json!({
        "statement": statement_json(&statement.statement),
        "effect": effect,
        "applies": statement.applies.is_some(),
        "grants": statement.applies.filter(|_| statement.effect == Effect::Allow).map(grant),
        "elements": all(&statement.elements, element),
        "conditions": all(&statement.conditions, condition),
    })
}

fn element(element: &ElementTrace) -> Json {
    json!({
        "name": element_name(element.element),
        "matches": element.matches,
        "entries": all(&element.entries, entry),
    })
}

fn entry(entry: &EntryTrace) -> Json {
    let found = match entry.found {
        Found::Match => "MATCH",
        Found::NoMatch => "NO_MATCH",
        Found::Unresolved => "UNRESOLVED",
        Found::Names(class) => grant(class),
    };
    json!({"text": *entry.text, "found": found, "variables": all(&entry.variables, variable)})
}

fn variable(variable: &VariableTrace) -> Json {
    json!({"key": *variable.key, "value": variable.value})
}

fn condition(condition: &ConditionTrace) -> Json {
    let note = condition.note.map(|note| match note {
        ConditionNote::KeyMissing => "KEY_MISSING",
        ConditionNote::NeverMatchesSeveral => "NEVER_MATCHES_SEVERAL",
        ConditionNote::Unreadable => "UNREADABLE",
    });
    json!({
        "operator": *condition.operator,
        "key": *condition.key,
        "request": condition.request,
        "policy": condition.policy,
        "variables": all(&condition.variables, variable),
        "holds": condition.holds,
        "note": note,
    })
}

fn grant(class: GrantClass) -> &'static str {
    match class {
        GrantClass::Account => "ACCOUNT",
        GrantClass::Entity => "ENTITY",
        GrantClass::Caller => "CALLER",
    }
}

fn reason_code(reason: Reason) -> &'static str {
    match reason {
        Reason::NoOrganization => "NO_ORGANIZATION",
        Reason::OutsideOrganization => "OUTSIDE_ORGANIZATION",
        Reason::ManagementAccount => "MANAGEMENT_ACCOUNT",
        Reason::ServiceLinkedRole => "SERVICE_LINKED_ROLE",
        Reason::ServiceNotCovered => "SERVICE_NOT_COVERED",
        Reason::OnlyDenies => "ONLY_DENIES",
        Reason::NoAccount => "NO_ACCOUNT",
        Reason::NoEndpoint => "NO_ENDPOINT",
        Reason::UnknownEndpoint => "UNKNOWN_ENDPOINT",
        Reason::NoResourcePolicy => "NO_RESOURCE_POLICY",
        Reason::BucketOwner => "BUCKET_OWNER",
        Reason::SameAccount => "SAME_ACCOUNT",
        Reason::OtherAccount => "OTHER_ACCOUNT",
        Reason::OwnPolicyDecides => "OWN_POLICY_DECIDES",
        Reason::OtherPartition => "OTHER_PARTITION",
        Reason::NotAnIdentityProvider => "NOT_AN_IDENTITY_PROVIDER",
        Reason::NotSigned => "NOT_SIGNED",
        Reason::RootUser => "ROOT_USER",
        Reason::UnknownAccount => "UNKNOWN_ACCOUNT",
        Reason::UnknownCaller => "UNKNOWN_CALLER",
        Reason::Granted(GrantClass::Account) => "GRANTED_TO_ACCOUNT",
        Reason::Granted(GrantClass::Entity) => "GRANTED_TO_ENTITY",
        Reason::Granted(GrantClass::Caller) => "GRANTED_TO_CALLER",
        Reason::NoBoundary => "NO_BOUNDARY",
        Reason::NotASession => "NOT_A_SESSION",
        Reason::NoSessionPolicy => "NO_SESSION_POLICY",
    }
}
