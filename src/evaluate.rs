//! The decision: `(&Snapshot, &AccessRequest) -> Evaluation`. Pure, synchronous, cannot fail.
//!
//! Each policy type is a layer; layers are asked in the order in which a denial is attributed (evaluation.md,
//! rule 58). A Deny in any of them is final. Otherwise every layer that has to allow must; which ones have to depends
//! on whose resource it is and on how directly its policy names the caller (rules 60-74).

mod facts;
mod layer;
mod subject;

use std::sync::Arc;

use crate::access::{
    AccessRequest, Decision, Detail, Explanation, InvalidField, Outcome, PolicyType, Principal, StatementRef,
};
use crate::arn::{AccountId, Arn};
use crate::catalogue;
use crate::directory::Membership;
use crate::finding::Findings;
use crate::policy::{self, Circumstances, CompiledPolicy, Effect, GrantClass, PolicyKind, PolicyName};
use crate::snapshot::Snapshot;
use facts::RequestFacts;
use layer::Verdict;
use subject::{Object, Subject};

/// An outcome, and whether it may be remembered.
#[derive(Debug)]
pub struct Evaluation {
    /// What was decided.
    pub outcome: Outcome,
    /// Whether the service's clock was looked at: the same request may be decided otherwise later.
    pub read_clock: bool,
}

/// Session policies, ready to be asked.
#[derive(Debug, Default)]
pub struct SessionPolicies {
    policies: Vec<CompiledPolicy>,
}

impl SessionPolicies {
    /// Compiles the session policies of a request; the first that is wrong is named, with the place in it.
    pub fn compile(documents: &[String]) -> Result<Self, InvalidField> {
        let policies = documents.iter().enumerate().map(|(index, document)| session_policy(index, document));
        Ok(Self { policies: policies.collect::<Result<_, _>>()? })
    }
}

fn session_policy(index: usize, document: &str) -> Result<CompiledPolicy, InvalidField> {
    let name: Arc<str> = format!("session_policies[{index}]").into();
    let mut findings = Findings::without_near_misses();
    let name = PolicyName { reference: Arc::clone(&name), file: name };
    let policy = policy::load_text(document, PolicyKind::Session, name, &mut findings);
    policy.ok_or_else(|| {
        let errors = findings.into_sorted();
        let first = errors.iter().find(|finding| finding.severity == crate::finding::Severity::Error);
        let what = first.map(|f| format!("{}:{}: {}", f.position.line, f.position.column, f.message));
        InvalidField::new("session_policies", format!("[{index}]:{}", what.unwrap_or_default()))
    })
}

/// Decides one request. `now` is the service's clock, for `aws:CurrentTime` and `aws:EpochTime`.
pub fn decide(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    session: &SessionPolicies,
    now: jiff::Timestamp,
    detail: Detail,
) -> Evaluation {
    let subject = Subject::find(&snapshot.directory, request);
    let object = Object::find(&snapshot.directory, request);
    let explain = detail == Detail::Statements;
    let facts = RequestFacts::new(request, &snapshot.directory, &subject, &object, now, explain);
    let case = Case { snapshot, request, session, subject: &subject, object: &object };
    let (decision, decided_by, statements) = case.decide(&facts, explain);
    let read_clock = facts.read_clock();
    let explanation =
        explain.then(|| Arc::new(Explanation { statements, missing_context_keys: facts.into_missing_keys() }));
    Evaluation { outcome: Outcome { decision, decided_by, explanation }, read_clock }
}

/// One request, with what the store knows of it.
struct Case<'a> {
    snapshot: &'a Snapshot,
    request: &'a AccessRequest<'a>,
    session: &'a SessionPolicies,
    subject: &'a Subject<'a>,
    object: &'a Object<'a>,
}

/// What each layer says; those that have no say allow.
#[derive(Default)]
struct Verdicts {
    layers: Vec<(PolicyType, Verdict)>,
    service_control_allows: bool,
    vpc_endpoint_allows: bool,
    identity_allows: bool,
    boundary_allows: bool,
    session_allows: bool,
    resource_grant: Option<GrantClass>,
}

type Reached = (Decision, PolicyType, Vec<StatementRef>);

impl Case<'_> {
    fn decide(&self, facts: &RequestFacts<'_>, explain: bool) -> Reached {
        if self.is_always_allowed() {
            return (Decision::Allow, PolicyType::Identity, Vec::new());
        }
        let circumstances = Circumstances {
            principal: self.subject.principal_facts(),
            action: &self.request.action,
            resource: &self.request.resource,
            facts,
            exhaustive: explain,
        };
        let verdicts = self.ask_layers(&circumstances);
        if let Some((policy_type, _)) = verdicts.layers.iter().find(|(_, verdict)| verdict.denied) {
            return (Decision::ExplicitDeny, *policy_type, verdicts.statements(Effect::Deny, |_| true));
        }
        match self.missing_allow(&verdicts) {
            Some(policy_type) => (Decision::ImplicitDeny, policy_type, Vec::new()),
            None => self.allowed(&verdicts),
        }
    }

    /// `sts:GetCallerIdentity` needs no permission (rule 71).
    fn is_always_allowed(&self) -> bool {
        let authenticated = !matches!(self.subject.principal, Principal::Anonymous);
        authenticated && self.request.action.folded() == "sts:getcalleridentity"
    }

    // --- asking -----------------------------------------------------------------------------------------------------

    /// Asks the layers in the order of rule 58. Where nobody wants an explanation, the first Deny ends it.
    fn ask_layers(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>) -> Verdicts {
        let mut verdicts = Verdicts {
            service_control_allows: true,
            vpc_endpoint_allows: true,
            boundary_allows: true,
            ..Verdicts::default()
        };
        let layers: [fn(&Self, &Circumstances<'_, RequestFacts<'_>>, &mut Verdicts); 7] = [
            Self::ask_resource_control,
            Self::ask_service_control,
            Self::ask_vpc_endpoints,
            Self::ask_resource,
            Self::ask_identity,
            Self::ask_boundary,
            Self::ask_session,
        ];
        for ask in layers {
            ask(self, circumstances, &mut verdicts);
            if verdicts.is_denied() && !circumstances.exhaustive {
                break;
            }
        }
        verdicts
    }

    /// RCPs only deny: full access stands at each level (rule 65).
    fn ask_resource_control(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        let applies = !self.subject.service_linked
            && catalogue::supports_resource_control_policies(self.request.action.service());
        let levels = self.controlled(self.object.membership, self.object.account).filter(|_| applies);
        for level in levels.map(|member| &member.resource_control).into_iter().flatten() {
            verdicts.ask(PolicyType::ResourceControl, level.iter().map(|policy| &**policy), circumstances);
        }
    }

    /// Every level must allow (rule 64).
    fn ask_service_control(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        let member = self.controlled(self.subject.membership, self.subject.account());
        let levels = member.filter(|_| !self.subject.service_linked).map(|member| &member.service_control);
        for level in levels.into_iter().flatten() {
            let policies = level.iter().map(|policy| &**policy);
            let granted = verdicts.ask(PolicyType::ServiceControl, policies, circumstances);
            verdicts.service_control_allows &= granted.is_some();
        }
    }

    /// The member account's place, unless it is the management account.
    fn controlled<'m>(&self, member: Option<&'m Membership>, account: Option<AccountId>) -> Option<&'m Membership> {
        let organization = self.snapshot.directory.organization.as_ref()?;
        member.filter(|_| account != Some(organization.management_account))
    }

    /// If the request came through an endpoint that the store knows, it must allow (rule 66).
    fn ask_vpc_endpoints(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        for id in self.request.context.get("aws:sourcevpce").unwrap_or_default() {
            if let Some(endpoint) = self.snapshot.directory.vpc_endpoints.get(id.as_str()) {
                let granted = verdicts.ask(PolicyType::VpcEndpoint, [&*endpoint.policy], circumstances);
                verdicts.vpc_endpoint_allows &= granted.is_some();
            }
        }
    }

    fn ask_resource(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        if self.is_owner_root_at_bucket_policy() {
            return;
        }
        if let Some(policy) = self.object.policy {
            verdicts.resource_grant = verdicts.ask(self.resource_type(), [policy], circumstances);
        }
    }

    /// The bucket owner's root gets past the bucket policy to mend it (rule 68).
    fn is_owner_root_at_bucket_policy(&self) -> bool {
        let action = self.request.action.folded();
        matches!(self.subject.principal, Principal::Root(_))
            && self.is_same_account()
            && matches!(action, "s3:getbucketpolicy" | "s3:putbucketpolicy" | "s3:deletebucketpolicy")
    }

    fn ask_identity(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        verdicts.identity_allows = match (self.subject.principal, self.subject.entity) {
            (Principal::Root(caller), _) => self.is_same_account() || self.holds(caller.account),
            (_, Some(entity)) => {
                let policies = entity.policies.iter().map(|policy| &**policy);
                verdicts.ask(PolicyType::Identity, policies, circumstances).is_some()
            }
            (_, None) => false,
        };
    }

    /// Of an account that the store does not hold, nothing is known, not even of its root user (rule 67).
    fn holds(&self, account: AccountId) -> bool {
        let directory = &self.snapshot.directory;
        directory.accounts.contains(&account) || subject::membership(directory, account).is_some()
    }

    fn ask_boundary(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        if let Some(boundary) = self.subject.entity.and_then(|entity| entity.boundary.as_deref()) {
            let granted = verdicts.ask(PolicyType::PermissionsBoundary, [boundary], circumstances);
            verdicts.boundary_allows = granted.is_some();
        }
    }

    /// None: a role's session passes; a federated user gets only what resources grant it directly (rule 63).
    fn ask_session(&self, circumstances: &Circumstances<'_, RequestFacts<'_>>, verdicts: &mut Verdicts) {
        let policies = &self.session.policies;
        verdicts.session_allows = match policies.is_empty() {
            true => !matches!(self.subject.principal, Principal::FederatedUser(_)),
            false => verdicts.ask(PolicyType::Session, policies, circumstances).is_some(),
        };
    }

    // --- putting together -------------------------------------------------------------------------------------------

    /// The first layer that has to allow and does not.
    fn missing_allow(&self, verdicts: &Verdicts) -> Option<PolicyType> {
        let has_account = self.subject.account().is_some();
        let may_be_exempt = self.is_same_account() && !self.subject.contradicts_store;
        let exempt = |at_least: GrantClass| may_be_exempt && verdicts.resource_grant >= Some(at_least);
        // Whoever assumes a role needs a boundary that allows it, however directly the trust policy names it (rule 73).
        let boundary_exempt = exempt(GrantClass::Caller) && !self.object.is_trust;
        let layers = [
            (PolicyType::ServiceControl, verdicts.service_control_allows),
            (PolicyType::VpcEndpoint, verdicts.vpc_endpoint_allows),
            (self.resource_type(), self.resource_side_allows(verdicts)),
            (PolicyType::Identity, !has_account || verdicts.identity_allows || exempt(GrantClass::Entity)),
            (PolicyType::PermissionsBoundary, !has_account || verdicts.boundary_allows || boundary_exempt),
            (PolicyType::Session, !has_account || verdicts.session_allows || exempt(GrantClass::Caller)),
        ];
        layers.into_iter().find(|(_, allows)| !allows).map(|(policy_type, _)| policy_type)
    }

    /// The resource policy has to allow callers of other accounts and of none (rules 67 and 69), and everybody where
    /// the resource says so (rules 72 and 78). Partitions are worlds apart.
    fn resource_side_allows(&self, verdicts: &Verdicts) -> bool {
        let needed = !self.is_same_account() || self.object.needs_policy;
        // Only an identity provider can ask for a role by web identity or SAML (rule 76).
        let federated = self.request.action.federation().is_some();
        let may_ask = !federated || matches!(self.subject.principal, Principal::IdentityProvider(_));
        may_ask && self.is_same_partition() && (!needed || verdicts.resource_grant.is_some())
    }

    fn is_same_account(&self) -> bool {
        self.subject.account().is_some_and(|account| self.object.account == Some(account))
    }

    fn is_same_partition(&self) -> bool {
        let resource = self.request.resource.arn().map(|Arn { partition, .. }| *partition);
        let caller = self.subject.principal.caller().map(|caller| caller.partition);
        resource.zip(caller).is_none_or(|(resource, caller)| resource == caller)
    }

    /// What granted: the resource policy if its grant is enough, else identity policies.
    fn allowed(&self, verdicts: &Verdicts) -> Reached {
        let enough = match self.subject.account() {
            None => true,
            Some(_) => self.is_same_account() && verdicts.resource_grant >= Some(GrantClass::Entity),
        };
        let decided_by = if enough { self.resource_type() } else { PolicyType::Identity };
        // The account's delegation is no grant of its own where identity policies are enough.
        let resource_counts = enough || !self.is_same_account() || self.object.needs_policy;
        let counts = |policy_type| match policy_type {
            PolicyType::Identity => true,
            PolicyType::Resource | PolicyType::Trust => resource_counts,
            PolicyType::ResourceControl
            | PolicyType::ServiceControl
            | PolicyType::VpcEndpoint
            | PolicyType::PermissionsBoundary
            | PolicyType::Session => false,
        };
        (Decision::Allow, decided_by, verdicts.statements(Effect::Allow, counts))
    }

    fn resource_type(&self) -> PolicyType {
        if self.object.is_trust { PolicyType::Trust } else { PolicyType::Resource }
    }
}

impl Verdicts {
    fn is_denied(&self) -> bool {
        self.layers.iter().any(|(_, verdict)| verdict.denied)
    }

    /// Asks one more layer, or one more level of it; says how it grants.
    fn ask<'p>(
        &mut self,
        policy_type: PolicyType,
        policies: impl IntoIterator<Item = &'p CompiledPolicy>,
        circumstances: &Circumstances<'_, RequestFacts<'_>>,
    ) -> Option<GrantClass> {
        let verdict = layer::ask(policy_type, policies, circumstances);
        let granted = verdict.granted;
        self.layers.push((policy_type, verdict));
        granted
    }

    /// The statements of this effect that apply, in layers that count; in order, each once.
    fn statements(&self, effect: Effect, counts: impl Fn(PolicyType) -> bool) -> Vec<StatementRef> {
        let layers = self.layers.iter().filter(|(policy_type, _)| counts(*policy_type));
        let applied = layers.flat_map(|(_, verdict)| &verdict.applied);
        let mut statements: Vec<_> =
            applied.filter(|(applied, _)| *applied == effect).map(|(_, statement)| statement.clone()).collect();
        statements.sort();
        statements.dedup();
        statements
    }
}
