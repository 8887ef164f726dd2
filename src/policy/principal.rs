//! The Principal element: whom a statement of a resource-based policy names, and how directly.

use super::compile::Dialect;
use super::document::{Element, PrincipalElement, Reader, Text};
use super::listener::{ElementName, Found, Listener};
use super::{Effect, PolicyKind};
use crate::access::{BUILT_IN_IDENTITY_PROVIDERS, Caller, Principal, is_service_principal};
use crate::arn::{AccountId, Arn};
use crate::finding::Position;

/// Whom a statement applies to.
#[derive(Debug)]
pub(super) enum PrincipalMatcher {
    /// The statement has no Principal: it is about whoever it is attached to.
    Unsaid,
    /// `Principal`
    Named(Box<[PrincipalEntry]>),
    /// `NotPrincipal`, which always comes with Deny.
    Not(Box<[PrincipalEntry]>),
}

/// One principal of the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PrincipalEntry {
    /// `*`; identity providers are among them but in trust policies, where only `Federated` lets one in (rule 76).
    Everyone { providers: bool },
    /// An account: it delegates to the account's own policies.
    Account { partition: Option<Box<str>>, account: AccountId },
    /// A role: every session of it.
    Role { partition: Box<str>, account: AccountId, name: Box<str> },
    /// An assumed-role session, user or federated user: that caller only.
    Caller { arn: Box<str> },
    /// A user's or role's unique id.
    UniqueId(Box<str>),
    /// An AWS service.
    Service(Box<str>),
    /// An identity provider.
    Provider(Box<str>),
    /// An S3 canonical user id, which nothing ties to an account.
    CanonicalUser,
}

/// How directly a policy names a caller; it decides what the grant gets past (evaluation.md, rule 61).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantClass {
    /// By its account: the account's own policies must allow as well.
    Account,
    /// By the role or user that the session belongs to: boundary and session policy still limit it.
    Entity,
    /// Itself, or everyone.
    Caller,
}

/// Who asks, as far as a Principal element can tell.
#[derive(Clone, Copy, Debug)]
pub struct PrincipalFacts<'a> {
    /// The principal of the request.
    pub principal: &'a Principal<'a>,
    /// Its user's or role's unique id, where the store gives it.
    pub unique_id: Option<&'a str>,
    /// For a federated user, the ARN of the user that it belongs to.
    pub federated_by: Option<&'a str>,
    /// Whether a permissions boundary is attached to it.
    pub has_boundary: bool,
}

impl PrincipalMatcher {
    /// Whether the statement is about this caller, and how directly it names it.
    pub(super) fn matches(
        &self,
        facts: &PrincipalFacts<'_>,
        effect: Effect,
        listener: &impl Listener,
    ) -> Option<GrantClass> {
        match self {
            Self::Unsaid => Some(GrantClass::Caller),
            Self::Named(entries) => {
                let class = named(entries, facts, effect, listener).max();
                listener.element(ElementName::Principal, class.is_some());
                class
            }
            Self::Not(entries) => {
                let applies = !escapes(entries, facts, listener);
                listener.element(ElementName::NotPrincipal, applies);
                applies.then_some(GrantClass::Caller)
            }
        }
    }
}

impl PrincipalEntry {
    fn names(&self, facts: &PrincipalFacts<'_>, effect: Effect) -> Option<GrantClass> {
        match (self, facts.principal) {
            // A Deny for everyone holds for it in any case.
            (Self::Everyone { providers }, Principal::IdentityProvider(_)) => {
                (*providers || effect == Effect::Deny).then_some(GrantClass::Caller)
            }
            (Self::Everyone { .. }, _) => Some(GrantClass::Caller),
            (Self::Provider(name), Principal::IdentityProvider(caller)) => same(name, caller),
            (Self::Service(name), Principal::Service(caller)) => same(name, caller),
            (Self::UniqueId(id), _) => unique_id_names(id, facts, effect),
            // Nothing says whose canonical id it is: it grants nobody anything, and denies whoever it may be.
            (Self::CanonicalUser, principal) => {
                (effect == Effect::Deny && principal.caller().is_some()).then_some(GrantClass::Caller)
            }
            (Self::Account { partition, account }, principal) => {
                let caller = principal.caller()?;
                let same_partition = partition.as_deref().is_none_or(|p| p == caller.partition);
                (same_partition && *account == caller.account).then_some(GrantClass::Account)
            }
            (Self::Role { partition, account, name }, Principal::Role(caller) | Principal::AssumedRole(caller, _)) => {
                let same = **partition == *caller.partition && *account == caller.account && **name == *caller.name;
                same.then_some(GrantClass::Entity)
            }
            (Self::Caller { arn }, Principal::FederatedUser(caller)) => same(arn, caller.arn).or_else(|| {
                let names = match facts.federated_by {
                    Some(user) => **arn == *user,
                    // Which user it belongs to is not known: a Deny for any user of its account holds.
                    None => effect == Effect::Deny && is_user_of(arn, caller),
                };
                names.then_some(GrantClass::Entity)
            }),
            // Which of the role's sessions asks is not known: a Deny for any of them holds.
            (Self::Caller { arn }, Principal::Role(caller)) => {
                (effect == Effect::Deny && is_session_of(arn, caller)).then_some(GrantClass::Caller)
            }
            (Self::Caller { arn }, principal) => same(arn, principal.caller()?.arn),
            (Self::Provider(_) | Self::Service(_) | Self::Role { .. }, _) => None,
        }
    }
}

/// How directly each entry that names the caller does.
fn named(
    entries: &[PrincipalEntry],
    facts: &PrincipalFacts<'_>,
    effect: Effect,
    listener: &impl Listener,
) -> impl Iterator<Item = GrantClass> {
    entries.iter().enumerate().filter_map(move |(index, entry)| {
        let class = entry.names(facts, effect);
        listener.entry(index, class.map_or(Found::NoMatch, Found::Names));
        class
    })
}

fn same(named: &str, caller: &str) -> Option<GrantClass> {
    (named == caller).then_some(GrantClass::Caller)
}

fn is_session_of(session: &str, role: &Caller<'_>) -> bool {
    let arn = Arn::parse(session).filter(|arn| arn.service == "sts" && arn.partition == role.partition);
    let name = arn.and_then(|arn| arn.resource.strip_prefix("assumed-role/")?.split_once('/'));
    arn.and_then(|arn| arn.account_id()) == Some(role.account) && name.is_some_and(|(name, _)| name == role.name)
}

fn is_user_of(user: &str, caller: &Caller<'_>) -> bool {
    let arn = Arn::parse(user).filter(|arn| arn.service == "iam" && arn.partition == caller.partition);
    arn.is_some_and(|arn| arn.account_id() == Some(caller.account) && arn.resource.starts_with("user/"))
}

/// Where the store does not give the caller's id, it may be this one: a Deny holds, an Allow does not (rule 19).
fn unique_id_names(id: &str, facts: &PrincipalFacts<'_>, effect: Effect) -> Option<GrantClass> {
    let (class, prefix) = match facts.principal {
        Principal::User(_) => (GrantClass::Caller, "AIDA"),
        Principal::FederatedUser(_) => (GrantClass::Entity, "AIDA"),
        Principal::Role(_) | Principal::AssumedRole(..) => (GrantClass::Entity, "AROA"),
        Principal::Root(_) | Principal::Service(_) | Principal::IdentityProvider(_) | Principal::Anonymous => {
            return None;
        }
    };
    let names = match facts.unique_id {
        Some(own) => own == id,
        None => effect == Effect::Deny && id.starts_with(prefix),
    };
    names.then_some(class)
}

/// Whether a `NotPrincipal` lists all that the caller is (rule 20): a session only if its account, its role and the
/// session itself are listed, a user if its account and its ARN are. Never, if it has a permissions boundary.
fn escapes(entries: &[PrincipalEntry], facts: &PrincipalFacts<'_>, listener: &impl Listener) -> bool {
    if facts.has_boundary {
        return false;
    }
    let (mut account, mut entity, mut caller) = (false, false, false);
    for class in named(entries, facts, Effect::Allow, listener) {
        match class {
            GrantClass::Account => account = true,
            GrantClass::Entity => entity = true,
            GrantClass::Caller => caller = true,
        }
    }
    if entries.iter().any(|entry| matches!(entry, PrincipalEntry::Everyone { .. })) {
        return true;
    }
    match facts.principal {
        Principal::Root(_) => account,
        Principal::User(_) | Principal::FederatedUser(_) => account && caller,
        // Which of the role's sessions asks is not known, so that it cannot be seen to be listed.
        Principal::Role(_) => false,
        Principal::AssumedRole(..) => account && entity && caller,
        Principal::Service(_) | Principal::IdentityProvider(_) => caller,
        Principal::Anonymous => false,
    }
}

/// Compiles the element.
pub(super) fn compile(
    element: Option<&Element<PrincipalElement>>,
    dialect: Dialect,
    reader: &mut Reader<'_>,
) -> PrincipalMatcher {
    let Some(element) = element else {
        return PrincipalMatcher::Unsaid;
    };
    let entries: Box<[PrincipalEntry]> = match &element.value {
        PrincipalElement::Everyone => Box::new([everyone(dialect)]),
        PrincipalElement::Map(pairs) => {
            pairs.iter().filter_map(|(key, value)| entry(key, value, dialect, reader)).collect()
        }
    };
    if element.negated { PrincipalMatcher::Not(entries) } else { PrincipalMatcher::Named(entries) }
}

fn everyone(dialect: Dialect) -> PrincipalEntry {
    PrincipalEntry::Everyone { providers: dialect.kind == PolicyKind::VpcEndpoint }
}

fn entry(key: &Text, value: &Text, dialect: Dialect, reader: &mut Reader<'_>) -> Option<PrincipalEntry> {
    let text = value.text.as_str();
    let result = match key.text.as_str() {
        "AWS" if text == "*" => Ok(everyone(dialect)),
        "AWS" => aws_entry(text),
        "Service" => service_entry(text),
        "Federated" => federated_entry(text, dialect.kind),
        "CanonicalUser" => canonical_entry(text, dialect.of_s3),
        other => {
            let known = ["AWS", "Service", "Federated", "CanonicalUser"];
            reader
                .error(key.position, "invalid-principal", format!("`{other}` is not a kind of principal"))
                .hint_near_miss(other, known);
            return None;
        }
    };
    report(result, text, value.position, reader)
}

fn report(
    result: Result<PrincipalEntry, &'static str>,
    text: &str,
    at: Position,
    reader: &mut Reader<'_>,
) -> Option<PrincipalEntry> {
    if result == Ok(PrincipalEntry::CanonicalUser) {
        let message = "a canonical user id cannot be tied to an account: under Allow it matches nobody, under Deny \
                       every caller of an account";
        reader.findings.warning(reader.file, at, "canonical-user", message).hint("name the account instead");
    }
    result.map_err(|why| reader.error(at, "invalid-principal", format!("`{text}` {why}"))).ok()
}

fn aws_entry(text: &str) -> Result<PrincipalEntry, &'static str> {
    if text.contains(['*', '?']) {
        return Err("has a wildcard: a principal is `*` alone, or named in full");
    }
    if text.contains("${") {
        return Err("has a variable, which a principal cannot have");
    }
    if let Some(account) = AccountId::parse(text) {
        return Ok(PrincipalEntry::Account { partition: None, account });
    }
    let id = |prefix| text.starts_with(prefix) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if id("AIDA") || id("AROA") {
        return Ok(PrincipalEntry::UniqueId(text.into()));
    }
    let unknown = "is not a principal: expected `*`, an account id, or the ARN of an account root, user, role, \
                   assumed-role session or federated user";
    let arn = Arn::parse(text).ok_or(unknown)?;
    arn_entry(&arn).ok_or(match (arn.service, arn.resource.split('/').next()) {
        ("iam", Some("group")) => "is a group, which cannot be a principal",
        ("iam", Some("oidc-provider" | "saml-provider")) => "is an identity provider, which stands under `Federated`",
        _ => unknown,
    })
}

fn arn_entry(arn: &Arn<'_>) -> Option<PrincipalEntry> {
    let (kind, rest) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    let name = rest.rsplit('/').next().filter(|name| !name.is_empty() && arn.region.is_empty());
    // Names and paths have no spaces: with one at its end the entry would name nobody, and a Deny would never deny.
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) && arn.account != "cloudfront" {
        return None;
    }
    let caller = PrincipalEntry::Caller { arn: arn.text.into() };
    let partition: Box<str> = arn.partition.into();
    match (arn.service, kind, name) {
        ("iam", "root", None) if arn.resource == "root" => {
            Some(PrincipalEntry::Account { partition: Some(partition), account: arn.account_id()? })
        }
        // CloudFront's origin access identities have no account; nobody asks as one.
        ("iam", "user", Some(_)) if arn.account == "cloudfront" => Some(caller),
        ("iam", "user", Some(_)) => arn.account_id().map(|_| caller),
        ("iam", "role", Some(name)) => {
            Some(PrincipalEntry::Role { partition, account: arn.account_id()?, name: name.into() })
        }
        ("sts", "assumed-role", Some(_)) if rest.matches('/').count() == 1 && !rest.starts_with('/') => {
            arn.account_id().map(|_| caller)
        }
        ("sts", "federated-user", Some(name)) if name == rest => arn.account_id().map(|_| caller),
        _ => None,
    }
}

fn canonical_entry(text: &str, of_s3: bool) -> Result<PrincipalEntry, &'static str> {
    let valid = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match (valid, of_s3) {
        (true, true) => Ok(PrincipalEntry::CanonicalUser),
        (true, false) => Err("is a canonical user id, which only S3 knows"),
        (false, _) => Err("is not a canonical user id: 64 hexadecimal digits"),
    }
}

fn service_entry(text: &str) -> Result<PrincipalEntry, &'static str> {
    if text == "*" {
        return Err("has a wildcard: name the service, such as `ec2.amazonaws.com`");
    }
    // What no caller can be would be granted to nobody, and a Deny for it would never deny.
    is_service_principal(text)
        .then(|| PrincipalEntry::Service(text.into()))
        .ok_or("is not the name of a service, such as `ec2.amazonaws.com`")
}

fn federated_entry(text: &str, kind: PolicyKind) -> Result<PrincipalEntry, &'static str> {
    if kind != PolicyKind::Trust {
        return Err("is an identity provider, which only a role's trust policy can name");
    }
    let by_arn = Arn::parse(text).is_some_and(|arn| {
        let kind = arn.resource.split_once('/').map(|(kind, _)| kind);
        arn.service == "iam" && arn.account_id().is_some() && matches!(kind, Some("oidc-provider" | "saml-provider"))
    });
    let known = by_arn && !text.contains(['*', '?']) || BUILT_IN_IDENTITY_PROVIDERS.contains(&text);
    known.then(|| PrincipalEntry::Provider(text.into())).ok_or(
        "is not an identity provider: expected the ARN of an OIDC or SAML provider, or one of accounts.google.com, \
         cognito-identity.amazonaws.com, www.amazon.com, graph.facebook.com",
    )
}
