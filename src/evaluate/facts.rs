//! The condition keys of a request: what the service knows by itself, and what only the caller can say
//! (evaluation.md, section 7).

use std::borrow::Cow;
use std::cell::OnceCell;

use super::Clock;
use super::audience::Audience;
use super::subject::{Object, Subject, membership};
use crate::access::{AccessRequest, Principal};
use crate::arn::AccountId;
use crate::directory::Directory;
use crate::policy::{Cardinality, ConditionKey, Facts, KeySource, Resolve, Values, parse_date};

/// Everything that conditions and variables of one request can ask for.
pub(super) struct RequestFacts<'a, A> {
    request: &'a AccessRequest<'a>,
    directory: &'a Directory,
    subject: &'a Subject<'a>,
    object: &'a Object<'a>,
    clock: Clock<'a>,
    /// What the clock said.
    now: OnceCell<jiff::Timestamp>,
    audience: &'a A,
}

impl<'a, A: Audience> RequestFacts<'a, A> {
    pub(super) fn new(
        request: &'a AccessRequest<'a>,
        directory: &'a Directory,
        subject: &'a Subject<'a>,
        object: &'a Object<'a>,
        clock: Clock<'a>,
        audience: &'a A,
    ) -> Self {
        Self { request, directory, subject, object, clock, now: OnceCell::new(), audience }
    }

    /// Whether the service's clock was asked.
    pub(super) fn read_clock(&self) -> bool {
        self.now.get().is_some()
    }

    /// Who listens to what is decided by them.
    pub(super) fn audience(&self) -> &'a A {
        self.audience
    }

    fn find(&self, key: &ConditionKey) -> Values<'_> {
        match &key.source {
            KeySource::Request => self.given(key),
            KeySource::PrincipalArn => one(self.principal_arn()),
            KeySource::PrincipalAccount => one(self.principal_account()),
            KeySource::PrincipalType => one(self.principal_type().map(Cow::Borrowed)),
            KeySource::UserId => self.user_id(key),
            KeySource::UserName => one(self.user_name().map(Cow::Borrowed)),
            KeySource::PrincipalTag(tag) => one(self.principal_tag(tag).map(Cow::Borrowed)),
            KeySource::PrincipalIsAwsService => {
                Values::One(Cow::Borrowed(if self.service_name().is_some() { "true" } else { "false" }))
            }
            KeySource::PrincipalServiceName => one(self.service_name().map(Cow::Borrowed)),
            KeySource::PrincipalServiceNamesList => self.service_names(key),
            // Who has no account is in no organization, whatever the request says.
            KeySource::PrincipalOrgId | KeySource::PrincipalOrgPaths if self.subject.account().is_none() => {
                Values::Absent
            }
            KeySource::PrincipalOrgId => self.organization_id(self.subject.account(), key),
            KeySource::PrincipalOrgPaths => self.organization_path(self.subject.account(), key),
            KeySource::ResourceAccount => one(self.object.account.as_ref().map(account_text)),
            KeySource::ResourceOrgId => self.organization_id(self.object.account, key),
            KeySource::ResourceOrgPaths => self.organization_path(self.object.account, key),
            KeySource::ResourceTag { service, tag } => self.resource_tag(service, tag, key),
            KeySource::CurrentTime => self.clock(key, "aws:epochtime", |now| now.to_string()),
            KeySource::EpochTime => self.clock(key, "aws:currenttime", |now| now.as_second().to_string()),
        }
    }

    fn given(&self, key: &ConditionKey) -> Values<'_> {
        self.request.context.get(&key.folded).map_or(Values::Absent, Values::Given)
    }

    /// For a session the ARN of its role, with the path if the store knows it.
    fn principal_arn(&self) -> Option<Cow<'a, str>> {
        let Principal::AssumedRole(caller, _) = self.subject.principal else {
            return self.subject.principal.caller().map(|caller| Cow::Borrowed(caller.arn));
        };
        let unknown = || format!("arn:{}:iam::{}:role/{}", caller.partition, caller.account, caller.name);
        Some(self.subject.entity.map_or_else(|| Cow::Owned(unknown()), |role| Cow::Borrowed(role.arn())))
    }

    fn principal_type(&self) -> Option<&'static str> {
        match self.subject.principal {
            Principal::Root(_) => Some("Account"),
            Principal::User(_) => Some("User"),
            Principal::Role(_) | Principal::AssumedRole(..) => Some("AssumedRole"),
            Principal::FederatedUser(_) => Some("FederatedUser"),
            Principal::Anonymous => Some("Anonymous"),
            Principal::Service(_) | Principal::IdentityProvider(_) => None,
        }
    }

    fn user_name(&self) -> Option<&'a str> {
        if let Principal::User(caller) = self.subject.principal { Some(caller.name) } else { None }
    }

    /// Of who is nobody it is `anonymous`, so that an account can be told from none by this key.
    fn principal_account(&self) -> Option<Cow<'_, str>> {
        if matches!(self.subject.principal, Principal::Anonymous) {
            return Some(Cow::Borrowed("anonymous"));
        }
        self.subject.principal.caller().map(|caller| account_text(&caller.account))
    }

    fn service_name(&self) -> Option<&'a str> {
        if let Principal::Service(name) = self.subject.principal { Some(name) } else { None }
    }

    /// All names of a service only the request can say; of nobody else, since only services have them.
    fn service_names(&self, key: &ConditionKey) -> Values<'_> {
        if self.service_name().is_some() { self.given(key) } else { Values::Absent }
    }

    /// Where the store does not give the unique id, the request may.
    fn user_id(&self, key: &ConditionKey) -> Values<'_> {
        let unique_id = self.subject.entity.and_then(|entity| entity.unique_id());
        let known = match self.subject.principal {
            Principal::Root(caller) => Some(account_text(&caller.account)),
            Principal::User(_) => unique_id.map(Cow::Borrowed),
            Principal::AssumedRole(_, session) => unique_id.map(|id| Cow::Owned(format!("{id}:{session}"))),
            Principal::FederatedUser(caller) => Some(Cow::Owned(format!("{}:{}", caller.account, caller.name))),
            Principal::Anonymous => Some(Cow::Borrowed("anonymous")),
            Principal::Role(_) => return self.role_user_id(unique_id, key),
            Principal::Service(_) | Principal::IdentityProvider(_) => None,
        };
        known.map_or_else(|| self.given(key), Values::One)
    }

    /// `ROLE_ID:SESSION`: the session's name only the request can say, the role's id the store, if it does.
    fn role_user_id(&self, role_id: Option<&str>, key: &ConditionKey) -> Values<'_> {
        let of_role = |value: &str| {
            role_id.is_none_or(|id| value.strip_prefix(id).is_some_and(|session| session.starts_with(':')))
        };
        let given = self.given(key);
        if given.iter().all(of_role) { given } else { Values::Absent }
    }

    /// The tags of the user or role, overlaid by session tags; the request's context has no say (rule 54).
    fn principal_tag(&self, tag: &str) -> Option<&'a str> {
        let own = || self.subject.entity.and_then(|entity| entity.tags().get(tag));
        self.request.session_tags.get(tag).or_else(own)
    }

    /// The store's tags, then the request's (rules 52 and 54).
    fn resource_tag(&self, service: &str, tag: &str, key: &ConditionKey) -> Values<'_> {
        let own = self.request.resource.arn().is_some_and(|arn| arn.service.eq_ignore_ascii_case(service));
        let tags = self.object.tags.filter(|_| own || service == "aws");
        match tags.and_then(|tags| tags.get(tag)) {
            Some(value) => Values::One(Cow::Borrowed(value)),
            None => self.given(key),
        }
    }

    /// Where the store describes an organization, it alone says who belongs to it.
    fn organization_id(&self, account: Option<AccountId>, key: &ConditionKey) -> Values<'_> {
        let Some(organization) = &self.directory.organization else {
            return self.given(key);
        };
        let member = account.filter(|account| organization.accounts.contains_key(account));
        one(member.map(|_| Cow::Borrowed(&*organization.id)))
    }

    fn organization_path(&self, account: Option<AccountId>, key: &ConditionKey) -> Values<'_> {
        if self.directory.organization.is_none() {
            return self.given(key);
        }
        let member = account.and_then(|account| membership(self.directory, account));
        one(member.and_then(|member| member.path.as_deref()).map(Cow::Borrowed))
    }

    /// The time that the request gives, under this key or the other one, counts (rule 53); else the service's clock.
    fn clock(&self, key: &ConditionKey, other: &str, show: fn(jiff::Timestamp) -> String) -> Values<'_> {
        if let given @ Values::Given(_) = self.given(key) {
            return given;
        }
        if let Some(values) = self.request.context.get(other) {
            return match values {
                [value] => Values::One(parse_date(value).map_or(Cow::Borrowed(value), |time| Cow::Owned(show(time)))),
                _ => Values::Given(values),
            };
        }
        Values::One(Cow::Owned(show(*self.now.get_or_init(self.clock))))
    }
}

impl<A: Audience> Facts for RequestFacts<'_, A> {
    fn values(&self, key: &ConditionKey) -> Values<'_> {
        let values = self.find(key);
        if let Values::Absent = &values {
            self.audience.missing(key);
        }
        values
    }
}

impl<A: Audience> Resolve for RequestFacts<'_, A> {
    type Listener = A;

    fn listener(&self) -> &A {
        self.audience
    }

    fn resolve(&self, key: &ConditionKey) -> Option<Cow<'_, str>> {
        let value = match self.values(key) {
            Values::Absent => return None,
            Values::One(value) => value,
            Values::Given([value]) => Cow::Borrowed(*value),
            Values::Given(_) => return None,
        };
        (key.cardinality != Cardinality::Multi && !value.is_empty()).then_some(value)
    }
}

fn one(value: Option<Cow<'_, str>>) -> Values<'_> {
    value.map_or(Values::Absent, Values::One)
}

fn account_text(account: &AccountId) -> Cow<'_, str> {
    Cow::Borrowed(account.as_str())
}
