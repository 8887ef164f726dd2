//! What a trace says, in words.

use std::borrow::Borrow;

use crate::access::{Decision, Outcome, PolicyType};
use crate::cli::report::printable;
use crate::evaluate::{
    ConditionNote, ConditionTrace, ElementTrace, EntryTrace, LayerTrace, LevelTrace, NodeKind, OrganizationNode,
    Reason, Standing, Trace, VariableTrace,
};
use crate::policy::{ElementName, Found, GrantClass};

/// Of a longer list the beginning is shown: what a policy says stands in its file.
const LIST_CHARACTERS: usize = 70;

/// The same for values.
const SHOWN_VALUES: usize = 4;

// --- layers ---------------------------------------------------------------------------------------------------------

/// How a layer stands, and why.
pub(super) fn standing(layer: &LayerTrace) -> String {
    let reason = |reason| reason_words(layer.policy_type, reason);
    match layer.standing {
        Standing::Denies => "denies".to_owned(),
        Standing::Allows => "allows".to_owned(),
        Standing::DoesNotAllow(None) => "does not allow: no Allow applies".to_owned(),
        Standing::DoesNotAllow(Some(why)) => format!("does not allow: {}", reason(why)),
        Standing::NotNeeded(why) => format!("need not allow: {}", reason(why)),
        Standing::NoSay(why) => format!("no say: {}", reason(why)),
    }
}

fn reason_words(policy_type: PolicyType, reason: Reason) -> String {
    let whose = if policy_type == PolicyType::ResourceControl { "resource's" } else { "caller's" };
    let is_resource = matches!(policy_type, PolicyType::Resource | PolicyType::Trust);
    let words = match reason {
        Reason::NoOrganization => "the store has no organization",
        Reason::OutsideOrganization => return format!("the {whose} account is outside the organization"),
        Reason::ManagementAccount => return format!("the {whose} account is the management account"),
        Reason::ServiceLinkedRole => "the caller is a service-linked role",
        Reason::ServiceNotCovered => "RCPs do not cover this service",
        Reason::OnlyDenies => "RCPs only deny, and none does",
        Reason::NoAccount if is_resource => "no Allow applies, and the caller belongs to no account",
        Reason::NoAccount => "the caller belongs to no account",
        Reason::NoEndpoint => "the request names no VPC endpoint",
        Reason::UnknownEndpoint => "the store does not know the VPC endpoint",
        Reason::NoResourcePolicy => "the store has no policy for the resource",
        Reason::BucketOwner => "the root user of the bucket's account gets past, to mend it",
        Reason::SameAccount => "same account",
        Reason::OtherAccount => "no Allow applies, and the caller is of another account",
        Reason::OwnPolicyDecides => "no Allow applies, and only this policy lets anybody in",
        Reason::OtherPartition => "caller and resource are of different partitions",
        Reason::NotAnIdentityProvider => "only an identity provider can ask for this",
        Reason::NotSigned => "nobody asks for a role without a name",
        Reason::RootUser => "the root user is allowed by default",
        Reason::UnknownAccount => "the store holds nothing of the caller's account",
        Reason::UnknownCaller => "the store has no such user or role",
        Reason::Granted(GrantClass::Account) => "the resource's policy grants to the caller's account",
        Reason::Granted(GrantClass::Entity) => "the resource's policy grants to the caller's role or user: gets past",
        Reason::Granted(GrantClass::Caller) => "the resource's policy grants to the caller directly: gets past",
        Reason::NoBoundary => "the caller has no permissions boundary",
        Reason::NotASession => "the caller is no session",
        Reason::NoSessionPolicy => "the session has no policies",
    };
    words.to_owned()
}

/// `OU ou-1: allows`, of a level of an organization.
pub(super) fn level(node: &OrganizationNode, level: &LevelTrace, policy_type: PolicyType) -> String {
    let kind = match node.kind {
        NodeKind::Root => "root",
        NodeKind::Unit => "OU",
        NodeKind::Account => "account",
    };
    let says = match level.granted {
        _ if level.denied => "denies",
        _ if policy_type == PolicyType::ResourceControl => "does not deny",
        Some(_) => "allows",
        None if level.statements.is_empty() => "does not allow: no SCP is attached",
        None => "does not allow: no Allow applies",
    };
    format!("{kind} {}: {says}", node.id)
}

/// What made the decision.
pub(super) fn conclusion(outcome: &Outcome, trace: &Trace) -> String {
    let layers = |wanted: fn(Standing) -> bool| {
        let layers = trace.layers.iter().filter(|layer| wanted(layer.standing));
        layers.map(|layer| layer.policy_type.as_str()).collect::<Vec<_>>()
    };
    match outcome.decision {
        Decision::ExplicitDeny => {
            let denying = layers(|standing| standing == Standing::Denies);
            let verb = if denying.len() == 1 { "denies" } else { "deny" };
            format!("{} {verb}, and an explicit deny is final", enumerated(denying, "and"))
        }
        Decision::ImplicitDeny => {
            let silent = layers(|standing| matches!(standing, Standing::DoesNotAllow(_)));
            let verbs = if silent.len() == 1 { "has to allow and does not" } else { "have to allow and do not" };
            format!("nothing denies, but {} {verbs}", enumerated(silent, "and"))
        }
        Decision::Allow if trace.layers.is_empty() => "sts:GetCallerIdentity needs no permission".to_owned(),
        Decision::Allow => {
            format!("nothing denies, and what has to allow does; granted by {}", outcome.decided_by.as_str())
        }
    }
}

// --- statements -----------------------------------------------------------------------------------------------------

/// What an element has to do with the request: `s3:Get* matches`.
pub(super) fn element(element: &ElementTrace) -> String {
    let found: Vec<&EntryTrace> = element.entries.iter().filter(|it| names_it(it.found)).collect();
    // Those with variables first: what became of them is told below.
    let (with, without): (Vec<_>, Vec<_>) = element.entries.iter().partition(|it| !it.variables.is_empty());
    let all = || list([&with[..], &without].concat().into_iter().map(|it| &*it.text));
    let those = || list(found.iter().map(|it| &*it.text));
    match (element.element, element.matches) {
        (ElementName::Principal, true) => principals(&found),
        (ElementName::Action | ElementName::Resource, true) => format!("{} matches", those()),
        (ElementName::Action | ElementName::Resource | ElementName::Principal, false) => format!("no match: {}", all()),
        (ElementName::NotAction | ElementName::NotResource, true) => format!("matches: it is none of {}", all()),
        (ElementName::NotPrincipal, true) if element.entries.is_empty() => {
            "matches: a caller with a permissions boundary is never let off".to_owned()
        }
        (ElementName::NotPrincipal, true) => format!("matches: the caller is not all listed in {}", all()),
        (ElementName::NotPrincipal, false) => format!("no match: the caller is listed in {}", all()),
        (ElementName::NotAction | ElementName::NotResource, false) if found.is_empty() => {
            format!("no match: what it excludes cannot be told, {}", all())
        }
        (ElementName::NotAction | ElementName::NotResource, false) => format!("no match: {} excludes it", those()),
    }
}

/// What a statement is about that does not concern the action.
pub(super) fn other_actions(element: &ElementTrace) -> String {
    let all = list(element.entries.iter().map(|it| &*it.text));
    if element.element == ElementName::NotAction { format!("all but {all}") } else { all }
}

fn names_it(found: Found) -> bool {
    match found {
        Found::Match | Found::Names(_) => true,
        Found::NoMatch | Found::Unresolved => false,
    }
}

/// The strongest way in which a Principal element names the caller.
fn principals(found: &[&EntryTrace]) -> String {
    let class = |entry: &EntryTrace| match entry.found {
        Found::Names(class) => Some(class),
        Found::Match | Found::NoMatch | Found::Unresolved => None,
    };
    let Some(strongest) = found.iter().max_by_key(|entry| class(entry)) else { return String::new() };
    let how = match class(strongest) {
        _ if &*strongest.text == "*" => "is everyone",
        Some(GrantClass::Account) => "is the caller's account",
        Some(GrantClass::Entity) => "is the caller's role or user",
        Some(GrantClass::Caller) | None => "is the caller",
    };
    format!("{} {how}", printable(&strongest.text))
}

/// `${aws:username} became "alice"`
pub(super) fn variable(variable: &VariableTrace) -> String {
    let key = printable(&variable.key);
    match &variable.value {
        Some(value) => format!("${{{key}}} became {}", quoted(value)),
        None => format!("${{{key}}} has no value"),
    }
}

/// Operator and key, what the request has, what the policy wants, and what came of it.
pub(super) fn condition(condition: &ConditionTrace) -> [String; 4] {
    let ConditionTrace { operator, key, request, policy, holds, note, .. } = condition;
    let has = match request.as_deref() {
        None => "key missing".to_owned(),
        Some(values) => format!("request has {}", quoted_list(values, "and")),
    };
    let other_than = if operator.contains("Not") { "other than " } else { "" };
    let wants = format!("policy wants {other_than}{}", quoted_list(policy, "or"));
    let result = if *holds { "match" } else { "no match" };
    let result = match note {
        Some(ConditionNote::NeverMatchesSeveral) => {
            format!("{result} (several values need ForAnyValue: or ForAllValues:)")
        }
        Some(ConditionNote::Unreadable) => format!("cannot be compared, counts as {result}"),
        Some(ConditionNote::KeyMissing) | None => result.to_owned(),
    };
    [format!("{operator} {}", printable(key)), has, wants, result]
}

// --- lists ----------------------------------------------------------------------------------------------------------

/// `a, b, c and 3 more`: at least three, and as many as the line has room for.
fn list<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> String {
    let (count, mut room) = (texts.len(), LIST_CHARACTERS);
    let fits = |(index, text): &(usize, String)| {
        let length = text.chars().count() + 2;
        let fits = *index < 3 || length <= room;
        room = if fits { room.saturating_sub(length) } else { 0 };
        fits
    };
    let shown: Vec<String> = texts.map(printable).enumerate().take_while(fits).map(|(_, text)| text).collect();
    let hidden = count - shown.len();
    let more = if hidden == 0 { String::new() } else { format!(" and {hidden} more") };
    shown.join(", ") + &more
}

/// `"a", "b" or "c"`
fn quoted_list(texts: &[impl AsRef<str>], last: &str) -> String {
    let hidden = texts.len().saturating_sub(SHOWN_VALUES);
    let mut shown: Vec<String> = texts.iter().take(SHOWN_VALUES).map(|text| quoted(text.as_ref())).collect();
    if hidden > 0 {
        shown.push(format!("{hidden} more"));
    }
    enumerated(shown, last)
}

/// `a, b and c`
fn enumerated(mut texts: Vec<impl Borrow<str>>, last: &str) -> String {
    match (texts.pop(), texts.as_slice()) {
        (None, _) => "no value".to_owned(),
        (Some(only), []) => only.borrow().to_owned(),
        (Some(end), before) => format!("{} {last} {}", before.join(", "), end.borrow()),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text))
}
