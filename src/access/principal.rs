//! Who asks.

use super::action::Action;
use super::letters::Letters;
use super::{InvalidField, shown};
use crate::arn::{AccountId, Arn};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal<'a> {
    /// The root user of an account.
    Root(Caller<'a>),
    /// An IAM user; `name` is without the path.
    User(Caller<'a>),
    /// A session of a role whose session name is not known; `name` is the role's, without the path.
    Role(Caller<'a>),
    /// A session of a role; `name` is the role's.
    AssumedRole(Caller<'a>, &'a str),
    /// A session from `sts:GetFederationToken`; `name` is the session's.
    FederatedUser(Caller<'a>),
    /// An AWS service, e.g. `ec2.amazonaws.com`.
    Service(&'a str),
    /// An OIDC or SAML provider's ARN, or a built-in provider's host; only for `sts:AssumeRoleWith...` and what
    /// goes with it.
    IdentityProvider(&'a str),
    /// Nobody in particular: an unsigned request.
    Anonymous,
}

/// A principal that belongs to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// As it was written.
    pub arn: &'a str,
    /// Partition of the ARN.
    pub partition: &'a str,
    /// Account of the ARN.
    pub account: AccountId,
    /// Name of the user, role or federated user, without its path; empty for root.
    pub name: &'a str,
}

/// Identity providers that a trust policy names by host (evaluation.md, rule 17).
pub const BUILT_IN_IDENTITY_PROVIDERS: [&str; 4] =
    ["accounts.google.com", "cognito-identity.amazonaws.com", "www.amazon.com", "graph.facebook.com"];

impl<'a> Principal<'a> {
    /// Reads a principal. The action matters, since identity providers ask only for `sts:AssumeRoleWith...` and for what
    /// goes with it.
    pub fn parse(text: &'a str, action: &Action<'_>) -> Result<Self, InvalidField> {
        match Arn::parse(text) {
            Some(arn) if is_provider_arn(&arn) => Self::parse_provider(text, action),
            Some(arn) => Self::parse_arn(&arn).ok_or_else(|| not_a_principal_arn(text)),
            None if text == "anonymous" => Ok(Self::Anonymous),
            None if BUILT_IN_IDENTITY_PROVIDERS.contains(&text) => Self::parse_provider(text, action),
            None if text.starts_with("arn:") => Err(not_a_principal_arn(text)),
            None if is_service_principal(text) => Ok(Self::Service(text)),
            None => Err(invalid_principal(
                text,
                "must be the ARN of an IAM user, role, assumed-role session, federated user or account root, a \
                 service principal such as `ec2.amazonaws.com`, or `anonymous`",
            )),
        }
    }

    /// One of them, `cognito-identity.amazonaws.com`, is also a service.
    fn parse_provider(text: &'a str, action: &Action<'_>) -> Result<Self, InvalidField> {
        match action.federation() {
            Some(kind) if kind.accepts(text) => Ok(Self::IdentityProvider(text)),
            None if action.goes_with_a_role() => Ok(Self::IdentityProvider(text)),
            _ if is_service_principal(text) => Ok(Self::Service(text)),
            _ => Err(invalid_principal(
                text,
                "is an identity provider, which may ask only for sts:AssumeRoleWithWebIdentity (OIDC) or \
                 sts:AssumeRoleWithSAML (SAML), and with them for sts:TagSession and sts:SetSourceIdentity",
            )),
        }
    }

    fn parse_arn(arn: &Arn<'a>) -> Option<Self> {
        let account = arn.account_id()?;
        // Paths have any characters but these, names have fewer. Whoever is called otherwise is nobody; were it let in, a
        // Deny that names somebody by nearly this name would not hold it.
        const LETTERS: Letters = Letters::graphic_but(b"*?:");
        let caller = |name: &'a str| Caller { arn: arn.text, partition: arn.partition, account, name };
        let is_slash = |b: u8| b == b'/';
        let (kind, rest) = match arn.resource.bytes().position(is_slash) {
            Some(slash) => (arn.resource.get(..slash)?, arn.resource.get(slash + 1..)?),
            None => (arn.resource, ""),
        };
        let (path, last) = match rest.bytes().rposition(is_slash) {
            Some(slash) => (rest.get(..slash)?, rest.get(slash + 1..)?),
            None => ("", rest),
        };
        if !arn.region.is_empty() || !LETTERS.make_up(path) {
            return None;
        }
        let last = Some(last).filter(|name| is_iam_name(name));
        match (arn.service, kind, last) {
            ("iam", "root", None) if arn.resource == "root" => Some(Self::Root(caller(""))),
            ("iam", "user", Some(name)) => Some(Self::User(caller(name))),
            ("iam", "role", Some(name)) => Some(Self::Role(caller(name))),
            ("sts", "federated-user", Some(name)) if name == rest => Some(Self::FederatedUser(caller(name))),
            ("sts", "assumed-role", Some(_)) => {
                let (role, session) = rest.split_once('/')?;
                let valid = is_iam_name(role) && is_iam_name(session);
                valid.then(|| Self::AssumedRole(caller(role), session))
            }
            _ => None,
        }
    }

    /// The caller's account and names; None for services, providers and anonymous.
    pub fn caller(&self) -> Option<&Caller<'a>> {
        match self {
            Self::Root(caller)
            | Self::User(caller)
            | Self::Role(caller)
            | Self::AssumedRole(caller, _)
            | Self::FederatedUser(caller) => Some(caller),
            Self::Service(_) | Self::IdentityProvider(_) | Self::Anonymous => None,
        }
    }

    /// Whether session policies and session tags make sense for it.
    pub fn is_session(&self) -> bool {
        matches!(self, Self::Role(_) | Self::AssumedRole(..) | Self::FederatedUser(_))
    }

    /// As it was written.
    pub fn text(&self) -> &'a str {
        match self {
            Self::Service(name) | Self::IdentityProvider(name) => name,
            Self::Anonymous => "anonymous",
            Self::Root(caller)
            | Self::User(caller)
            | Self::Role(caller)
            | Self::AssumedRole(caller, _)
            | Self::FederatedUser(caller) => caller.arn,
        }
    }
}

/// Whether a user, role, session and so on may have this name.
pub fn is_iam_name(text: &str) -> bool {
    const LETTERS: Letters = Letters::alphanumeric_and(b"_+=,.@-");
    !text.is_empty() && LETTERS.make_up(text)
}

fn is_provider_arn(arn: &Arn<'_>) -> bool {
    arn.service == "iam" && (arn.resource.starts_with("oidc-provider/") || arn.resource.starts_with("saml-provider/"))
}

fn not_a_principal_arn(text: &str) -> InvalidField {
    invalid_principal(
        text,
        "is not the ARN of a principal, such as `arn:aws:iam::123456789012:user/NAME`, \
         `arn:aws:iam::123456789012:root` or `arn:aws:sts::123456789012:assumed-role/ROLE/SESSION`",
    )
}

fn invalid_principal(text: &str, what: &str) -> InvalidField {
    InvalidField::new("principal", format!("`{}` {what}", shown(text)))
}

/// The domains of services: most have the first, Alexa's the second, then partition by partition.
pub const SERVICE_DOMAINS: [&str; 10] = [
    ".amazonaws.com",
    ".amazon.com",
    ".aws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".aws.internal",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// Whether this is the name of an AWS service, such as `ec2.amazonaws.com`.
pub fn is_service_principal(text: &str) -> bool {
    let name = SERVICE_DOMAINS.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or_default();
    // People log in with Amazon there: an identity provider.
    if text == "www.amazon.com" {
        return false;
    }
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    !name.is_empty() && name.bytes().all(word)
}
