//! Trust policies: who assumes the role by which action, and whom of an identity provider's.

use crate::access::fold_key;
use crate::arn::Arn;
use crate::policy::{Condition, Effect, Family, Operator, PolicyKind, PrincipalElement, Statement, StringMode, Text};
use crate::wildcard::Wildcard;

use super::Subject;

/// The actions that assume a role, in lower case, with who calls them.
const ASSUMING: [(&str, Kind); 3] = [
    ("sts:assumerole", Kind::Aws),
    ("sts:assumerolewithsaml", Kind::Saml),
    ("sts:assumerolewithwebidentity", Kind::OpenId),
];

/// Which repository of GitHub asks is said by these keys only, in lower case.
const GITHUB: &str = "token.actions.githubusercontent.com";
const GITHUB_KEYS: [&str; 6] =
    ["sub", "repository", "repository_id", "repository_owner_id", "job_workflow_ref", "enterprise_id"];

/// Kinds of principals that assume roles by different actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Accounts, users, roles, services.
    Aws,
    /// Who comes with an assertion of a SAML provider.
    Saml,
    /// Who comes with a token of an OpenID Connect provider.
    OpenId,
}

impl Kind {
    fn of(kind: &str, name: &str) -> Self {
        match (kind, Arn::parse(name)) {
            ("Federated", Some(arn)) if arn.resource.starts_with("saml-provider/") => Self::Saml,
            ("Federated", _) => Self::OpenId,
            _ => Self::Aws,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Aws => "sts:AssumeRole",
            Self::Saml => "sts:AssumeRoleWithSAML",
            Self::OpenId => "sts:AssumeRoleWithWebIdentity",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Aws => "an account, user, role or service",
            Self::Saml => "a SAML provider",
            Self::OpenId => "an OpenID Connect provider",
        }
    }
}

/// Checks a statement that lets somebody in.
pub(super) fn check(statement: &Statement, subject: &mut Subject<'_>) {
    if subject.policy.kind != PolicyKind::Trust || statement.effect == Effect::Deny {
        return;
    }
    let Some(element) = &statement.principal else { return };
    let entries: &[(Text, Text)] = match &element.value {
        PrincipalElement::Everyone => &[],
        PrincipalElement::Map(entries) => entries,
    };
    let mut kinds: Vec<Kind> = entries.iter().map(|(kind, name)| Kind::of(&kind.text, &name.text)).collect();
    if entries.is_empty() {
        kinds.push(Kind::Aws);
    }
    kinds.dedup();
    unfit_actions(statement, &kinds, subject);
    providers_without_condition(statement, entries, subject);
}

/// Whether the statement is about assuming the role, in any way.
pub(super) fn assumes(statement: &Statement) -> bool {
    ASSUMING.iter().any(|(action, _)| names(statement, action))
}

fn names(statement: &Statement, action: &str) -> bool {
    let mut patterns = statement.action.value.iter().map(|text| Wildcard::new(&text.text.to_ascii_lowercase()));
    patterns.any(|pattern| pattern.matches(action)) != statement.action.negated
}

/// An action by which none of the statement's principals can assume the role.
fn unfit_actions(statement: &Statement, kinds: &[Kind], subject: &mut Subject<'_>) {
    for text in &statement.action.value {
        let folded = text.text.to_ascii_lowercase();
        let Some((_, kind)) = ASSUMING.iter().find(|(action, _)| *action == folded) else { continue };
        let Some(own) = kinds.first().filter(|_| !kinds.contains(kind)) else { continue };
        let message = format!("`{}` is not how the statement's principals assume a role", text.text);
        subject.report(text.position, "unfit-assume-action", message).hint(format!(
            "{} comes by `{}`",
            own.noun(),
            own.action()
        ));
    }
}

/// An identity provider of whose users or applications no condition picks any.
fn providers_without_condition(statement: &Statement, entries: &[(Text, Text)], subject: &mut Subject<'_>) {
    if !names(statement, "sts:assumerolewithwebidentity") {
        return;
    }
    for (_, name) in entries.iter().filter(|(kind, _)| kind.text == "Federated") {
        let Some(host) = host(&name.text) else { continue };
        let prefix = format!("{}:", fold_key(host));
        let needing = statement.conditions.iter().filter(|condition| picks(condition));
        let mut own = needing.filter_map(|c| fold_key(&c.key.text).strip_prefix(&prefix).map(str::to_owned));
        let github = host.eq_ignore_ascii_case(GITHUB);
        if own.any(|key| !github || GITHUB_KEYS.contains(&key.as_str())) {
            continue;
        }
        let who = if github { "any repository of GitHub" } else { "everyone whom the provider knows" };
        let key = if github { "sub" } else { "aud" };
        let message = format!("{who} may assume the role through `{}`", name.text);
        subject
            .report(name.position, "provider-without-condition", message)
            .hint(format!("add a condition on `{host}:{key}`"));
    }
}

/// Whether a condition picks somebody: it needs its key, and no value of it lets everybody pass.
fn picks(condition: &Condition) -> bool {
    Operator::parse(&condition.operator.text).is_ok_and(|operator| {
        let is_open =
            operator.family == Family::String(StringMode::Like) && condition.values.iter().any(lets_everybody_pass);
        operator.demands_match() && !is_open
    })
}

/// `*`, `?*` and so on; and `repo:*`, since each subject of GitHub begins like that, whoever owns the repository.
fn lets_everybody_pass(value: &Text) -> bool {
    let pattern = value.text.strip_prefix("repo:").unwrap_or(&value.text);
    let owner = pattern.split('/').next().unwrap_or_default();
    !owner.is_empty() && owner.bytes().all(|b| matches!(b, b'*' | b'?'))
}

/// The host of an OpenID Connect provider, as its condition keys begin; SAML says whom it means itself.
fn host(provider: &str) -> Option<&str> {
    match Arn::parse(provider) {
        Some(arn) => arn.resource.strip_prefix("oidc-provider/"),
        None => Some(provider),
    }
}
