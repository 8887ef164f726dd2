//! Who asks and what for, looked up in the directory.

use crate::access::{AccessRequest, Action, Caller, Principal, ResourceName};
use crate::arn::{AccountId, Arn};
use crate::directory::{Directory, Entity, EntityTags, Membership, Resources, Role};
use crate::policy::{CompiledPolicy, PrincipalFacts};

/// What the store knows about the caller.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) principal: &'a Principal<'a>,
    known: Known<'a>,
    federated_by: Option<&'a str>,
}

/// What the store knows about a caller, whatever is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'s> {
    /// The user or role that it is or belongs to.
    pub(super) entity: Option<Entity<'s>>,
    /// Whether it is a session of a service-linked role.
    pub(super) service_linked: bool,
    /// Whether it is, or belongs to, a user or role that differs from the one of its name in path or case: names are
    /// unique whatever these are, so that there is none such, and nothing may be had by that ARN that the other would not
    /// get.
    pub(super) contradicts_store: bool,
    /// Where its account stands in the organization.
    pub(super) membership: Option<&'s Membership>,
}

/// The caller who was looked up last: most requests that come together are of one.
#[derive(Debug, Default)]
pub struct LastCaller<'s, 'm> {
    /// Where, who, and what was found.
    last: Option<(&'s Directory, &'m str, Known<'s>)>,
}

impl<'s, 'm> LastCaller<'s, 'm> {
    fn look_up(&mut self, directory: &'s Directory, request: &AccessRequest<'m>) -> Known<'s> {
        let arn = match &request.principal {
            Principal::Root(caller)
            | Principal::User(caller)
            | Principal::Role(caller)
            | Principal::AssumedRole(caller, _) => caller.arn,
            // Whose user the request says; and those that nothing is known of.
            Principal::FederatedUser(_)
            | Principal::Service(_)
            | Principal::IdentityProvider(_)
            | Principal::Anonymous => return Known::find(directory, request),
        };
        match &self.last {
            Some((of, last, known)) if std::ptr::eq(*of, directory) && *last == arn => *known,
            _ => self.last.insert((directory, arn, Known::find(directory, request))).2,
        }
    }
}

impl<'s> Known<'s> {
    fn find(directory: &'s Directory, request: &AccessRequest<'_>) -> Self {
        let principal = &request.principal;
        let role = find_role(directory, principal);
        let entity = match principal {
            Principal::User(caller) => directory.users.with_arn(caller.account, caller.name, caller.arn),
            Principal::FederatedUser(_) => request.federated_by.and_then(|user| directory.users.get(user)),
            Principal::Role(_) | Principal::AssumedRole(..) => role.map(|role| role.entity),
            Principal::Root(_) | Principal::Service(_) | Principal::IdentityProvider(_) | Principal::Anonymous => None,
        };
        Self {
            entity,
            service_linked: role.is_some_and(|role| role.service_linked),
            contradicts_store: entity.is_none() && name_is_taken(directory, request),
            membership: principal.caller().and_then(|caller| membership(directory, caller.account)),
        }
    }
}

impl<'a> std::ops::Deref for Subject<'a> {
    type Target = Known<'a>;

    fn deref(&self) -> &Known<'a> {
        &self.known
    }
}

impl<'a> Subject<'a> {
    pub(super) fn find<'s: 'a, 'm: 'a>(
        directory: &'s Directory,
        request: &'a AccessRequest<'m>,
        last: &mut LastCaller<'s, 'm>,
    ) -> Self {
        let known = last.look_up(directory, request);
        Self { principal: &request.principal, known, federated_by: request.federated_by }
    }

    pub(super) fn account(&self) -> Option<AccountId> {
        self.principal.caller().map(|caller| caller.account)
    }

    /// What a Principal element can tell of it.
    pub(super) fn principal_facts(&self) -> PrincipalFacts<'a> {
        PrincipalFacts {
            principal: self.principal,
            unique_id: self.entity.and_then(|entity| entity.unique_id()),
            federated_by: self.federated_by,
            has_boundary: self.entity.is_some_and(|entity| entity.boundary().is_some()),
        }
    }
}

/// A session's ARN carries no path: the role is found by partition, account and name (evaluation.md, rule 15).
fn find_role<'a>(directory: &'a Directory, principal: &Principal<'_>) -> Option<Role<'a>> {
    match principal {
        Principal::Role(caller) => role_named(directory, caller).filter(|role| role.entity.arn() == caller.arn),
        Principal::AssumedRole(caller, _) => role_named(directory, caller).filter(|role| {
            let partition = Arn::parse(role.entity.arn()).map(|arn| arn.partition);
            partition == Some(caller.partition)
        }),
        Principal::Root(_)
        | Principal::User(_)
        | Principal::FederatedUser(_)
        | Principal::Service(_)
        | Principal::IdentityProvider(_)
        | Principal::Anonymous => None,
    }
}

fn role_named<'a>(directory: &'a Directory, caller: &Caller<'_>) -> Option<Role<'a>> {
    directory.roles.named(caller.account, caller.name).filter(|role| role.entity.name() == caller.name)
}

fn name_is_taken(directory: &Directory, request: &AccessRequest<'_>) -> bool {
    match &request.principal {
        Principal::User(caller) => directory.users.named(caller.account, caller.name).is_some(),
        Principal::Role(caller) | Principal::AssumedRole(caller, _) => {
            directory.roles.named(caller.account, caller.name).is_some()
        }
        Principal::FederatedUser(caller) => {
            let user = request.federated_by.and_then(|user| user.rsplit('/').next());
            user.is_some_and(|name| directory.users.named(caller.account, name).is_some())
        }
        Principal::Root(_) | Principal::Service(_) | Principal::IdentityProvider(_) | Principal::Anonymous => false,
    }
}

pub(super) fn membership(directory: &Directory, account: AccountId) -> Option<&Membership> {
    directory.organization.as_ref()?.accounts.get(&account)
}

/// What the store knows about the resource.
#[derive(Debug)]
pub(super) struct Object<'a> {
    /// Its owner: from its ARN, else from the store, else from the request, else the caller's account.
    pub(super) account: Option<AccountId>,
    /// Whether that is the caller's for want of anything better.
    pub(super) owner_is_assumed: bool,
    pub(super) tags: Option<&'a EntityTags>,
    /// Its resource policy.
    pub(super) policy: Option<&'a CompiledPolicy>,
    /// Whether `policy` is, or would be, the trust policy of a role that is asked for.
    pub(super) is_trust: bool,
    /// Whether nobody has access unless the resource policy says so (rules 60, 72, 78).
    pub(super) needs_policy: bool,
    /// Where its account stands in the organization.
    pub(super) membership: Option<&'a Membership>,
}

impl<'a> Object<'a> {
    pub(super) fn find(directory: &'a Directory, request: &AccessRequest<'_>) -> Self {
        let is_trust = asks_for_role(&request.action, &request.resource);
        let mut object = match &request.resource {
            ResourceName::None => Self::unknown(None),
            ResourceName::Arn(arn) if is_trust => Self::find_trusting(directory, arn),
            ResourceName::Arn(arn) => Self::find_resource(directory, arn),
        };
        object.is_trust = is_trust;
        object.needs_policy = is_trust || asks_for_key(&request.action, &request.resource);
        let caller = request.principal.caller().map(|caller| caller.account);
        object.account = object.account.or(request.resource_account);
        object.owner_is_assumed = object.account.is_none();
        object.account = object.account.or(caller);
        object.membership = object.account.and_then(|account| membership(directory, account));
        object
    }

    fn unknown(account: Option<AccountId>) -> Self {
        let (tags, policy, membership) = (None, None, None);
        Self { account, owner_is_assumed: false, tags, policy, is_trust: false, needs_policy: false, membership }
    }

    /// A role that is asked for: its trust policy is its resource policy. What is no role has none; but whose it is, and
    /// its tags, are what the store knows of it all the same.
    fn find_trusting(directory: &'a Directory, arn: &Arn<'_>) -> Self {
        let role = directory.roles.get(arn.text);
        Self { policy: role.map(|role| &**role.trust), ..Self::find_resource(directory, arn) }
    }

    /// The policy of the longest ARN that the resource continues with `/` or `:` governs it; its tags are its own.
    fn find_resource(directory: &'a Directory, arn: &Arn<'_>) -> Self {
        let mut object = Self::unknown(arn.account_id());
        if !directory.resources.is_empty() {
            object.governed_by(&directory.resources, arn);
        }
        let described = directory.resources.get(arn.text).map(|resource| &resource.tags);
        object.tags = described.or_else(|| entity_with_arn(directory, arn).map(Entity::tags));
        object
    }

    fn governed_by(&mut self, resources: &'a Resources, arn: &Arn<'_>) {
        let governing = || resources.governing(arn);
        // Whose policy governs it owns it; where none does, the nearest owner that the store knows.
        let with_policy = governing().find(|resource| resource.policy.is_some());
        let owner = || governing().find_map(|resource| resource.account);
        self.account = self.account.or_else(|| with_policy.map_or_else(owner, |resource| resource.account));
        self.policy = with_policy.and_then(|resource| resource.policy.as_deref());
    }
}

/// Whether the trust policy of a role decides: whoever assumes a role needs it, whatever resource is named (rule 72), and
/// so does what goes with that (rule 77). Tags are passed to federated users too, who have no trust policy.
fn asks_for_role(action: &Action<'_>, resource: &ResourceName<'_>) -> bool {
    let is_role = |arn: &Arn<'_>| arn.service == "iam" && arn.resource.starts_with("role/");
    let only_with_role = action.assumes_role() || action.folded() == "sts:setsourceidentity";
    only_with_role || action.service() == "sts" && resource.arn().is_some_and(is_role)
}

/// What KMS does without a key, in lower case, sorted.
const KMS_ACTIONS_WITHOUT_KEY: [&str; 14] = [
    "connectcustomkeystore",
    "createalias",
    "createcustomkeystore",
    "createkey",
    "deletealias",
    "deletecustomkeystore",
    "describecustomkeystores",
    "disconnectcustomkeystore",
    "generaterandom",
    "listaliases",
    "listkeys",
    "listretirablegrants",
    "updatealias",
    "updatecustomkeystore",
];

/// Whether the policy of a key decides (rule 78): whoever uses a key needs it, whatever resource is named.
fn asks_for_key(action: &Action<'_>, resource: &ResourceName<'_>) -> bool {
    let uses_key = action.service() == "kms" && KMS_ACTIONS_WITHOUT_KEY.binary_search(&action.name()).is_err();
    uses_key || resource.arn().is_some_and(|arn| is_key(arn, action))
}

/// Whether this is a key, of which its policy says who has access (rule 78). An alias stands for its key, but where the
/// alias itself is made, moved or deleted.
fn is_key(arn: &Arn<'_>, action: &Action<'_>) -> bool {
    let stands_for_key = || arn.resource.starts_with("alias/") && !action.name().ends_with("alias");
    arn.service == "kms" && (arn.resource.starts_with("key/") || stands_for_key())
}

fn entity_with_arn<'a>(directory: &'a Directory, arn: &Arn<'_>) -> Option<Entity<'a>> {
    if arn.service != "iam" {
        return None;
    }
    directory.users.get(arn.text).or_else(|| directory.roles.get(arn.text).map(|role| role.entity))
}
