//! Asking the layers, each in one function: who is asked, and what they say by themselves.

use super::audience::Audience;
use super::facts::RequestFacts;
use super::layer::{self, Verdict};
use super::standing::{Opinion, Opinions, Reason};
use super::trace::{NodeKind, OrganizationNode};
use super::{Case, subject};
use crate::access::{PolicyType, Principal};
use crate::arn::AccountId;
use crate::catalogue;
use crate::directory::Membership;
use crate::policy::{Circumstances, GrantClass};

type Asked<'c, 'f, A> = Circumstances<'c, RequestFacts<'f, A>>;

impl Case<'_> {
    /// Asks the layers in the order of rule 58. Where nobody listens, the first that denies ends it: the error.
    pub(super) fn ask_layers<A: Audience>(&self, facts: &RequestFacts<'_, A>) -> Result<Opinions, PolicyType> {
        let circumstances = &Circumstances {
            principal: self.subject.principal_facts(),
            action: &self.request.action,
            resource: &self.request.resource,
            facts,
        };
        let heard = |policy_type: PolicyType, opinion: Opinion| {
            facts.audience().layer();
            if opinion.denies() && !A::EXHAUSTIVE { Err(policy_type) } else { Ok(opinion) }
        };
        Ok([
            heard(PolicyType::ResourceControl, self.ask_resource_control(circumstances))?,
            heard(PolicyType::ServiceControl, self.ask_service_control(circumstances))?,
            heard(PolicyType::VpcEndpoint, self.ask_vpc_endpoints(circumstances))?,
            heard(self.resource_type(), self.ask_resource(circumstances))?,
            heard(PolicyType::Identity, self.ask_identity(circumstances))?,
            heard(PolicyType::PermissionsBoundary, self.ask_boundary(circumstances))?,
            heard(PolicyType::Session, self.ask_session(circumstances))?,
        ])
    }

    fn ask_resource_control<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        let member = match self.controlled(self.object.membership, self.object.account) {
            Ok(member) => member,
            Err(reason) => return Opinion::Unstated(reason),
        };
        if self.subject.service_linked {
            return Opinion::Unstated(Reason::ServiceLinkedRole);
        }
        if !catalogue::supports_resource_control_policies(self.request.action.service()) {
            return Opinion::Unstated(Reason::ServiceNotCovered);
        }
        let mut all = Verdict::default();
        for (depth, level) in member.resource_control.iter().enumerate() {
            let node = || node(member, depth, self.object.account);
            let policies = level.iter().map(|policy| &**policy);
            all.denied |= layer::ask_level(PolicyType::ResourceControl, node, policies, circumstances).denied;
        }
        Opinion::Stated(all)
    }

    /// Every level must allow (rule 64).
    fn ask_service_control<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        let Some(account) = self.subject.account() else {
            return Opinion::Unstated(Reason::NoAccount);
        };
        let member = match self.controlled(self.subject.membership, Some(account)) {
            Ok(member) => member,
            Err(reason) => return Opinion::Unstated(reason),
        };
        if self.subject.service_linked {
            return Opinion::Unstated(Reason::ServiceLinkedRole);
        }
        let mut all = Verdict { denied: false, granted: Some(GrantClass::Caller) };
        for (depth, level) in member.service_control.iter().enumerate() {
            let node = || node(member, depth, Some(account));
            let policies = level.iter().map(|policy| &**policy);
            all = all.and(layer::ask_level(PolicyType::ServiceControl, node, policies, circumstances));
        }
        Opinion::Stated(all)
    }

    /// The member account's place, unless it is the management account.
    fn controlled<'m>(
        &self,
        member: Option<&'m Membership>,
        account: Option<AccountId>,
    ) -> Result<&'m Membership, Reason> {
        let organization = self.snapshot.directory.organization.as_ref().ok_or(Reason::NoOrganization)?;
        if account == Some(organization.management_account) {
            return Err(Reason::ManagementAccount);
        }
        member.ok_or(Reason::OutsideOrganization)
    }

    /// If the request came through an endpoint that the store knows, it must allow (rule 66).
    fn ask_vpc_endpoints<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        let endpoints = &self.snapshot.directory.vpc_endpoints;
        // Whether the request names one matters only to whoever listens, if the store knows none.
        let may_matter = A::EXHAUSTIVE || !endpoints.is_empty();
        let Some(ids) = may_matter.then(|| self.request.context.get("aws:sourcevpce")).flatten() else {
            return Opinion::Unstated(Reason::NoEndpoint);
        };
        let mut opinion = Opinion::Unstated(Reason::UnknownEndpoint);
        let mut all = Verdict { denied: false, granted: Some(GrantClass::Caller) };
        for endpoint in ids.iter().filter_map(|id| endpoints.get(*id)) {
            all = all.and(layer::ask(PolicyType::VpcEndpoint, [&*endpoint.policy], circumstances));
            opinion = Opinion::Stated(all);
        }
        opinion
    }

    fn ask_resource<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        if self.is_owner_root_at_bucket_policy() {
            return Opinion::Unstated(Reason::BucketOwner);
        }
        match self.object.policy {
            Some(policy) => Opinion::Stated(layer::ask(self.resource_type(), [policy], circumstances)),
            None => Opinion::Unstated(Reason::NoResourcePolicy),
        }
    }

    /// The bucket owner's root gets past the bucket policy to mend it (rule 68). Where nobody says who owns the bucket, a Deny
    /// in its policy holds every root.
    fn is_owner_root_at_bucket_policy(&self) -> bool {
        let action = self.request.action.folded();
        matches!(self.subject.principal, Principal::Root(_))
            && !self.object.owner_is_assumed
            && self.is_same_account()
            && self.is_same_partition()
            && matches!(action, "s3:getbucketpolicy" | "s3:putbucketpolicy" | "s3:deletebucketpolicy")
    }

    fn ask_identity<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        match (self.subject.principal, self.subject.entity) {
            (Principal::Root(caller), _) if self.is_same_account() || self.holds(caller.account) => {
                Opinion::Unstated(Reason::RootUser)
            }
            (Principal::Root(_), _) => Opinion::Unstated(Reason::UnknownAccount),
            (_, Some(entity)) => {
                Opinion::Stated(layer::ask_sets(PolicyType::Identity, entity.policies(), circumstances))
            }
            (_, None) => Opinion::Unstated(Reason::UnknownCaller),
        }
    }

    /// Of an account that the store does not hold, nothing is known, not even of its root user (rule 67).
    fn holds(&self, account: AccountId) -> bool {
        let directory = &self.snapshot.directory;
        directory.accounts.contains(&account) || subject::membership(directory, account).is_some()
    }

    fn ask_boundary<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        match self.subject.entity.and_then(|entity| entity.boundary()) {
            Some(boundary) => {
                Opinion::Stated(layer::ask_sets(PolicyType::PermissionsBoundary, [boundary], circumstances))
            }
            None => Opinion::Unstated(Reason::NoBoundary),
        }
    }

    fn ask_session<A: Audience>(&self, circumstances: &Asked<'_, '_, A>) -> Opinion {
        let policies = &self.session.policies;
        match policies.is_empty() {
            false => Opinion::Stated(layer::ask(PolicyType::Session, policies, circumstances)),
            true if self.subject.principal.is_session() => Opinion::Unstated(Reason::NoSessionPolicy),
            true => Opinion::Unstated(Reason::NotASession),
        }
    }
}

/// The node at this depth above an account: the last is the account itself.
fn node(member: &Membership, depth: usize, account: Option<AccountId>) -> Option<OrganizationNode> {
    // `o-.../r-.../ou-.../`: the organization's own id is no level, what follows the last slash is empty.
    let id = member.path.as_deref()?.split('/').skip(1).nth(depth)?;
    Some(match (depth, id) {
        (_, "") => OrganizationNode { kind: NodeKind::Account, id: account?.to_string() },
        (0, _) => OrganizationNode { kind: NodeKind::Root, id: id.to_owned() },
        _ => OrganizationNode { kind: NodeKind::Unit, id: id.to_owned() },
    })
}
