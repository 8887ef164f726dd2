//! Rules 57 to 78: how the policies are put together.

use std::collections::{BTreeMap, BTreeSet};

use iamd::access::{Decision, PolicyType};
use serde_json::Value;

use super::caller::Kind;
use super::facts::FACTS;
use super::organization;
use super::principal::{Grant, names};
use super::question::Question;
use super::statement::{Effect, statements};

/// As what, in which policy, and which of its statements.
pub(super) type Place = (PolicyType, String, usize);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub decision: Decision,
    pub decided_by: PolicyType,
    pub statements: BTreeSet<Place>,
    /// The ways in which the resource's policy grants (rule 61).
    pub grants: BTreeSet<Grant>,
}

/// A policy that has a say.
struct Policy<'a> {
    kind: PolicyType,
    label: String,
    document: &'a Value,
    /// SCPs are asked level by level, from the root on.
    level: usize,
}

/// A statement that applies to the request.
struct Applied {
    place: Place,
    effect: Effect,
    level: usize,
    grants: Vec<Grant>,
}

pub(super) fn decide(question: &Question<'_>) -> Verdict {
    let verdict =
        |decision, decided_by, statements| Verdict { decision, decided_by, statements, grants: BTreeSet::new() };
    if question.action == "sts:getcalleridentity" && question.caller.kind != Kind::Anonymous {
        return verdict(Decision::Allow, PolicyType::Identity, BTreeSet::new());
    }
    let session = session_documents(question);
    let applied: Vec<Applied> =
        policies(question, &session).iter().flat_map(|policy| apply(policy, question)).collect();
    let denies: BTreeSet<Place> =
        applied.iter().filter(|one| one.effect == Effect::Deny).map(|one| one.place.clone()).collect();
    if let Some((kind, _, _)) = denies.first() {
        return verdict(Decision::ExplicitDeny, *kind, denies);
    }
    let layers = Layers::new(question, &applied);
    let grants = layers.grants.clone();
    match layers.first_that_fails() {
        Some(kind) => Verdict { grants, ..verdict(Decision::ImplicitDeny, kind, BTreeSet::new()) },
        None => Verdict { grants, ..verdict(Decision::Allow, layers.granting(), layers.allowing(&applied)) },
    }
}

/// Rule 68: the root user of a bucket's owner may always mend the bucket's policy, which then has no say.
fn mends_bucket_policy(question: &Question<'_>) -> bool {
    let mends = ["s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"];
    let owned = question.owner_is_known();
    question.caller.kind == Kind::Root && owned && question.is_at_home() && mends.contains(&question.action.as_str())
}

// --- who has a say ----------------------------------------------------------------------------------------------------

fn session_documents(question: &Question<'_>) -> Vec<Value> {
    question.request.session_policies.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn policies<'a>(question: &Question<'a>, session: &'a [Value]) -> Vec<Policy<'a>> {
    let mut all = Vec::new();
    if let Some(levels) = resource_control_levels(question) {
        all.extend(control_policies(question, &levels, PolicyType::ResourceControl));
    }
    if let Some(levels) = service_control_levels(question) {
        all.extend(control_policies(question, &levels, PolicyType::ServiceControl));
    }
    all.extend(endpoint_policies(question));
    all.extend(resource_policy(question));
    all.extend(identity_policies(question));
    let lone = |kind, label, document| Policy { kind, label, document, level: 0 };
    if let Some(boundary) = question.caller.entity.and_then(|entity| entity.boundary.as_ref()) {
        all.push(lone(PolicyType::PermissionsBoundary, boundary.clone(), question.store.managed(boundary)));
    }
    let label = |n: usize| format!("session_policies[{n}]");
    all.extend(session.iter().enumerate().map(|(n, document)| lone(PolicyType::Session, label(n), document)));
    all
}

/// Rule 65: the levels above the resource's owner, if RCPs hold.
fn resource_control_levels<'a>(question: &Question<'a>) -> Option<Vec<&'a Value>> {
    let held = FACTS.has_rcps(question.service()) && !question.caller.is_service_linked();
    question.owner.as_deref().filter(|_| held).and_then(|owner| member_levels(question, owner))
}

/// Rule 64: the levels above the caller, if SCPs hold it.
fn service_control_levels<'a>(question: &Question<'a>) -> Option<Vec<&'a Value>> {
    let account = question.caller.account.filter(|_| !question.caller.is_service_linked());
    account.and_then(|account| member_levels(question, account))
}

fn member_levels<'a>(question: &Question<'a>, account: &str) -> Option<Vec<&'a Value>> {
    let organization = question.store.organization.as_ref()?;
    let member = !organization::is_management(organization, account);
    member.then(|| organization::levels(organization, account)).flatten()
}

fn control_policies<'a>(question: &Question<'a>, levels: &[&'a Value], kind: PolicyType) -> Vec<Policy<'a>> {
    let organization = question.store.organization.as_ref().unwrap();
    let name = if kind == PolicyType::ServiceControl { "SERVICE_CONTROL_POLICY" } else { "RESOURCE_CONTROL_POLICY" };
    let of_level = |(level, node): (usize, &&'a Value)| {
        let label = node["Id"].as_str().unwrap().to_owned();
        let policy = |policy: &'a Value| Policy { kind, label: label.clone(), document: &policy["Content"], level };
        organization::attached(organization, node, name).into_iter().map(policy).collect::<Vec<_>>()
    };
    levels.iter().enumerate().flat_map(of_level).collect()
}

/// Rule 66. A request may name several endpoints; each of them must allow.
fn endpoint_policies<'a>(question: &Question<'a>) -> Vec<Policy<'a>> {
    let ids = question.values("aws:SourceVpce").unwrap_or_default();
    let known = |(level, id): (usize, &String)| {
        let (id, document) = question.store.endpoints.iter().find(|(known, _)| known == id)?;
        Some(Policy { kind: PolicyType::VpcEndpoint, label: id.clone(), document, level })
    };
    ids.iter().enumerate().filter_map(known).collect()
}

/// The trust policy of the role, or the policy of the longest ARN that governs the resource and has one.
fn resource_policy<'a>(question: &Question<'a>) -> Option<Policy<'a>> {
    if mends_bucket_policy(question) {
        return None;
    }
    let kind = question.resource_layer();
    let policy = |arn: &str, document| Policy { kind, label: arn.to_owned(), document, level: 0 };
    if question.asks_trust() {
        let role = question.store.roles.iter().find(|role| role.arn == question.request.resource);
        return role.map(|role| policy(&role.arn, &role.trust));
    }
    question.governing().into_iter().find_map(|resource| Some(policy(&resource.arn, resource.policy.as_ref()?)))
}

/// Rule 59: inline and attached, those of a user's groups included.
fn identity_policies<'a>(question: &Question<'a>) -> Vec<Policy<'a>> {
    let Some(entity) = question.caller.entity else { return Vec::new() };
    let account = question.caller.account.unwrap();
    let groups =
        question.store.groups.iter().filter(|group| {
            entity.groups.contains(&group.name) && super::store::account_of(&group.arn) == Some(account)
        });
    let policy = |label: String, document| Policy { kind: PolicyType::Identity, label, document, level: 0 };
    let mut all = Vec::new();
    for holder in std::iter::once(entity).chain(groups) {
        all.extend(
            holder.inline.iter().map(|(name, document)| policy(format!("{}/inline/{name}", holder.arn), document)),
        );
        all.extend(holder.attached.iter().map(|arn| policy(arn.clone(), question.store.managed(arn))));
    }
    all
}

// --- what they say ----------------------------------------------------------------------------------------------------

fn apply(policy: &Policy<'_>, question: &Question<'_>) -> Vec<Applied> {
    let names_callers = matches!(
        policy.kind,
        PolicyType::ResourceControl | PolicyType::VpcEndpoint | PolicyType::Resource | PolicyType::Trust
    );
    let mut applied = Vec::new();
    for statement in statements(policy.document) {
        let effect = statement.effect();
        let grants =
            if names_callers { names(policy.kind, statement.value, &question.caller, effect) } else { Vec::new() };
        if (names_callers && grants.is_empty()) || !statement.applies(question) {
            continue;
        }
        let place = (policy.kind, policy.label.clone(), statement.index);
        applied.push(Applied { place, effect, level: policy.level, grants });
    }
    applied
}

/// What each layer allows.
struct Layers<'a> {
    question: &'a Question<'a>,
    /// Per layer, the levels at which a statement allows.
    allowed: BTreeMap<PolicyType, BTreeSet<usize>>,
    grants: BTreeSet<Grant>,
}

impl<'a> Layers<'a> {
    fn new(question: &'a Question<'a>, applied: &[Applied]) -> Self {
        let mut allowed: BTreeMap<PolicyType, BTreeSet<usize>> = BTreeMap::new();
        let mut grants = BTreeSet::new();
        for one in applied.iter().filter(|one| one.effect == Effect::Allow) {
            allowed.entry(one.place.0).or_default().insert(one.level);
            if one.place.0 == question.resource_layer() {
                grants.extend(&one.grants);
            }
        }
        // A user, a service or an anonymous caller does not assume roles in the ways of identity providers (rule 76).
        let federates = question.is_federation() && question.caller.kind != Kind::IdentityProvider;
        // And an anonymous caller assumes none: STS answers signed requests (rule 72).
        if federates || question.caller.kind == Kind::Anonymous && question.asks_trust() {
            grants.clear();
        }
        Self { question, allowed, grants }
    }

    fn allows(&self, kind: PolicyType) -> bool {
        self.allowed.contains_key(&kind)
    }

    /// The first layer, in the order of rule 58, that has to allow and does not.
    fn first_that_fails(&self) -> Option<PolicyType> {
        let checks = [
            (PolicyType::ServiceControl, self.service_control_allows()),
            (PolicyType::VpcEndpoint, self.endpoints_allow()),
            (self.question.resource_layer(), self.resource_allows()),
            (PolicyType::Identity, self.identity_allows()),
            (PolicyType::PermissionsBoundary, self.boundary_allows()),
            (PolicyType::Session, self.session_allows()),
        ];
        checks.into_iter().find(|(_, allows)| !allows).map(|(kind, _)| kind)
    }

    /// Rule 64: every level must allow.
    fn service_control_allows(&self) -> bool {
        let Some(levels) = service_control_levels(self.question) else { return true };
        let allowed = self.allowed.get(&PolicyType::ServiceControl).cloned().unwrap_or_default();
        let organization = self.question.store.organization.as_ref().unwrap();
        let full_access = |node: &Value| organization::has_full_access(organization, node);
        levels.iter().enumerate().all(|(n, node)| full_access(node) || allowed.contains(&n))
    }

    fn endpoints_allow(&self) -> bool {
        let allowed = self.allowed.get(&PolicyType::VpcEndpoint).cloned().unwrap_or_default();
        endpoint_policies(self.question).iter().all(|policy| allowed.contains(&policy.level))
    }

    /// Whether the resource's policy must allow, and does (rules 60, 67, 69, 72, 76, 78).
    fn resource_allows(&self) -> bool {
        let question = self.question;
        let must = !question.is_at_home() || question.asks_trust() || question.asks_key();
        let partition =
            super::wildcard::arn_parts(&question.request.resource).map_or(question.caller.partition, |p| p[1]);
        !must || (!self.grants.is_empty() && question.same_partition(partition))
    }

    /// Whether a grant of the resource's policy gets past identity policies: in the same account, if it names the caller
    /// more directly than by its account.
    fn is_named(&self) -> bool {
        self.question.is_at_home() && self.grants.iter().any(|grant| *grant != Grant::Account)
    }

    /// Whether it gets past the boundary and session policies, too.
    fn is_named_directly(&self) -> bool {
        let direct = [Grant::User, Grant::Session, Grant::Everyone];
        self.question.is_at_home() && self.grants.iter().any(|grant| direct.contains(grant))
    }

    fn identity_allows(&self) -> bool {
        let caller = &self.question.caller;
        let Some(account) = caller.account else { return true };
        // Rule 68; of an account that the store does not hold nothing is known (rule 67).
        let root =
            caller.kind == Kind::Root && (self.question.is_at_home() || self.question.store.holds_account(account));
        root || self.is_named() || self.allows(PolicyType::Identity)
    }

    /// Rule 73: a boundary holds even those whom a trust policy names.
    fn boundary_allows(&self) -> bool {
        let bounded = self.question.caller.entity.is_some_and(|entity| entity.boundary.is_some());
        let past = self.is_named_directly() && !self.question.asks_trust();
        !bounded || past || self.allows(PolicyType::PermissionsBoundary)
    }

    /// Rule 63: a role's session needs none, a federated user does.
    fn session_allows(&self) -> bool {
        let none = self.question.request.session_policies.is_empty();
        let unheld = none && self.question.caller.kind != Kind::FederatedUser;
        unheld || self.is_named_directly() || self.allows(PolicyType::Session)
    }

    /// Where the resource's policy is enough alone, it granted.
    fn granting(&self) -> PolicyType {
        let alone = self.question.caller.account.is_none() || self.is_named();
        if alone { self.question.resource_layer() } else { PolicyType::Identity }
    }

    /// The statements of identity and resource policies that grant. Trust in the account alone is not told where nobody
    /// needed it.
    fn allowing(&self, applied: &[Applied]) -> BTreeSet<Place> {
        let question = self.question;
        let resource = question.resource_layer();
        let told = !question.is_at_home() || question.asks_trust() || question.asks_key() || self.is_named();
        let grants = |one: &&Applied| {
            let by_resource = one.place.0 == resource && told;
            one.effect == Effect::Allow && (one.place.0 == PolicyType::Identity || by_resource)
        };
        applied.iter().filter(grants).map(|one| one.place.clone()).collect()
    }
}
