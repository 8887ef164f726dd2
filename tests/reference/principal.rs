//! Rules 13 to 20: whom a statement names, and how directly.

use iamd::access::PolicyType;
use serde_json::Value;

use super::caller::{Caller, Kind};
use super::statement::Effect;
use super::store::{is_account, strings};
use super::wildcard::arn_parts;

/// In which way a policy names a caller: the rows of rule 61.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Grant {
    Account,
    /// The user, and its federated user calls.
    UserOfFederated,
    /// The role, and its session calls.
    Role,
    User,
    /// The role session, or the federated user.
    Session,
    Everyone,
    /// A service or an identity provider.
    WithoutAccount,
}

/// How a statement's `Principal` or `NotPrincipal` names the caller; empty if the statement is not about it.
pub(super) fn names(kind: PolicyType, statement: &Value, caller: &Caller<'_>, effect: Effect) -> Vec<Grant> {
    if let Some(listed) = statement.get("NotPrincipal") {
        return if escapes(listed, caller) { Vec::new() } else { vec![Grant::Everyone] };
    }
    let entries = entries(&statement["Principal"]);
    // Endpoints know identity providers as a part of everyone; else they are granted by `Federated` only (rule 76).
    let at_endpoint = kind == PolicyType::VpcEndpoint && caller.kind == Kind::IdentityProvider;
    let everyone = |value: &str| (at_endpoint && value == "*").then_some(Grant::Everyone);
    let named = entries.iter().filter_map(|(kind, value)| everyone(value).or(entry(kind, value, caller, effect)));
    // Whoever has a role's name with another path is let past nothing, however it is named (rule 15).
    named.map(|grant| if caller.misnamed { Grant::Account } else { grant }).collect()
}

/// Key and value of each entry; a lone `*` is `{"AWS": "*"}`.
fn entries(principal: &Value) -> Vec<(&str, String)> {
    match principal.as_object() {
        Some(map) => {
            map.iter().flat_map(|(kind, values)| strings(values).into_iter().map(|v| (kind.as_str(), v))).collect()
        }
        None => strings(principal).into_iter().map(|value| ("AWS", value)).collect(),
    }
}

fn entry(kind: &str, value: &str, caller: &Caller<'_>, effect: Effect) -> Option<Grant> {
    let named = |is: bool, grant| is.then_some(grant);
    match kind {
        "Service" => named(caller.kind == Kind::Service && caller.text == value, Grant::WithoutAccount),
        "Federated" => named(caller.kind == Kind::IdentityProvider && caller.text == value, Grant::WithoutAccount),
        // It is somebody's, but whose cannot be told.
        "CanonicalUser" => named(effect == Effect::Deny && caller.account.is_some(), Grant::Account),
        _ if value == "*" => named(caller.kind != Kind::IdentityProvider || effect == Effect::Deny, Grant::Everyone),
        // A number names no partition.
        _ if is_account(value) => named(caller.account == Some(value), Grant::Account),
        _ => match arn_parts(value) {
            Some(parts) => by_arn(value, &parts, caller, effect),
            None => named(has_id(caller, value, effect), own_grant(caller)?),
        },
    }
}

fn by_arn(arn: &str, parts: &[&str], caller: &Caller<'_>, effect: Effect) -> Option<Grant> {
    let (partition, account, resource) = (parts[1], parts[4], parts[5]);
    let here = is_of_account(caller, partition, account);
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    let last = resource.rsplit('/').next().unwrap();
    let unknown_session = caller.kind == Kind::Role && effect == Effect::Deny;
    let (is, grant) = match kind {
        "root" => (here, Grant::Account),
        "role" => (here && caller.is_role() && caller.name == last, Grant::Role),
        "user" if caller.kind == Kind::User => (caller.text == arn, Grant::User),
        "user" => (is_user_behind(caller, arn, here && effect == Effect::Deny), Grant::UserOfFederated),
        // Without its name it may be this one (rule 16).
        "assumed-role" if unknown_session => (here && name.split('/').next() == Some(caller.name), Grant::Session),
        _ => (caller.text == arn, Grant::Session),
    };
    is.then_some(grant)
}

fn is_of_account(caller: &Caller<'_>, partition: &str, account: &str) -> bool {
    caller.account == Some(account) && caller.partition == partition
}

/// Where nobody says whose it is, it may be this user's (rule 16).
fn is_user_behind(caller: &Caller<'_>, arn: &str, in_doubt: bool) -> bool {
    caller.kind == Kind::FederatedUser && (caller.federated_by == arn || caller.federated_by.is_empty() && in_doubt)
}

/// Where the store does not give the caller's id, it may be this one (rule 19).
fn has_id(caller: &Caller<'_>, id: &str, effect: Effect) -> bool {
    let of_its_kind = if caller.is_role() { "AROA" } else { "AIDA" };
    match caller.entity.and_then(|entity| entity.id.as_deref()) {
        Some(own) => own == id,
        None => effect == Effect::Deny && id.starts_with(of_its_kind),
    }
}

/// As what a caller's user or role is named.
fn own_grant(caller: &Caller<'_>) -> Option<Grant> {
    match caller.kind {
        Kind::User => Some(Grant::User),
        Kind::Role | Kind::Session => Some(Grant::Role),
        Kind::FederatedUser => Some(Grant::UserOfFederated),
        _ => None,
    }
}

/// Rule 20: all that a caller has must be listed, and no boundary may hold it.
fn escapes(listed: &Value, caller: &Caller<'_>) -> bool {
    if caller.entity.is_some_and(|entity| entity.boundary.is_some()) {
        return false;
    }
    // `Allow`: what is not certain is no exception.
    let named: Vec<Grant> =
        entries(listed).iter().filter_map(|(kind, value)| entry(kind, value, caller, Effect::Allow)).collect();
    let has = |grant| named.contains(&grant);
    let all_of = |grants: &[Grant]| grants.iter().all(|grant| has(*grant));
    entries(listed).iter().any(|(_, value)| value == "*")
        || match caller.kind {
            Kind::Root => has(Grant::Account),
            Kind::User => all_of(&[Grant::Account, Grant::User]),
            Kind::Role | Kind::Session => all_of(&[Grant::Account, Grant::Role, Grant::Session]),
            Kind::FederatedUser => all_of(&[Grant::Account, Grant::Session]),
            Kind::Service | Kind::IdentityProvider => has(Grant::WithoutAccount),
            Kind::Anonymous => false,
        }
}
