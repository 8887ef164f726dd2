//! What each layer's opinion means for the decision. Deciding and explaining read the same [`Standing`]s: the decision is
//! the first that denies, else the first that does not allow; the explanation is all of them.

use super::Case;
use super::layer::Verdict;
use crate::access::{PolicyType, Principal};
use crate::arn::Arn;
use crate::policy::GrantClass;

/// What a layer says by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opinion {
    /// What came of comparing its statements.
    Stated(Verdict),
    /// It has none that concern the caller and the resource.
    Unstated(Reason),
}

/// How a layer stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A Deny applies, and that is final.
    Denies,
    /// It allows.
    Allows,
    /// It has to allow, and does not; why, if not for want of a statement that does.
    DoesNotAllow(Option<Reason>),
    /// It need not allow, whatever its statements say.
    NotNeeded(Reason),
    /// It has no say.
    NoSay(Reason),
}

/// Why a layer has no say, need not allow, or cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The store has no organization.
    NoOrganization,
    /// The account does not belong to the organization.
    OutsideOrganization,
    /// The account is the organization's management account.
    ManagementAccount,
    /// The caller is a session of a service-linked role.
    ServiceLinkedRole,
    /// RCPs do not cover the action's service.
    ServiceNotCovered,
    /// RCPs only deny.
    OnlyDenies,
    /// The caller belongs to no account: a service, an identity provider, or anonymous.
    NoAccount,
    /// The request names no VPC endpoint.
    NoEndpoint,
    /// The store does not know the VPC endpoint.
    UnknownEndpoint,
    /// The store has no policy for the resource.
    NoResourcePolicy,
    /// The root user of the bucket's account gets past the bucket's policy, to mend it.
    BucketOwner,
    /// Caller and resource are of one account: the identity policies suffice.
    SameAccount,
    /// Caller and resource are of different accounts: both sides have to allow.
    OtherAccount,
    /// A role or key that only those get at whom its own policy lets in.
    OwnPolicyDecides,
    /// Caller and resource are of different partitions.
    OtherPartition,
    /// Only an identity provider can ask for this.
    NotAnIdentityProvider,
    /// Nobody asks for a role without a name.
    NotSigned,
    /// The root user is allowed by default.
    RootUser,
    /// The store holds nothing of the caller's account.
    UnknownAccount,
    /// The store does not know the user or role.
    UnknownCaller,
    /// The resource's policy names the caller so directly that its grant gets past.
    Granted(GrantClass),
    /// The user or role has no permissions boundary.
    NoBoundary,
    /// Only sessions have session policies.
    NotASession,
    /// The session was created without session policies.
    NoSessionPolicy,
}

/// Every layer in the order of rule 58.
pub(super) type Standings = [(PolicyType, Standing); 7];

/// What the layers say, in the same order.
pub(super) type Opinions = [Opinion; 7];

impl Opinion {
    pub(super) fn denies(self) -> bool {
        matches!(self, Self::Stated(Verdict { denied: true, .. }))
    }

    fn grant(self) -> Option<GrantClass> {
        match self {
            Self::Stated(verdict) => verdict.granted,
            Self::Unstated(_) => None,
        }
    }

    /// If nothing else matters: whoever is asked has to allow, whoever is not has no say.
    fn alone(self) -> Standing {
        match self {
            Self::Unstated(reason) => Standing::NoSay(reason),
            Self::Stated(Verdict { denied: true, .. }) => Standing::Denies,
            Self::Stated(Verdict { granted: Some(_), .. }) => Standing::Allows,
            Self::Stated(Verdict { granted: None, .. }) => Standing::DoesNotAllow(None),
        }
    }
}

/// How directly the resource's policy grants.
pub(super) fn grant(opinions: &Opinions) -> Option<GrantClass> {
    let [_, _, _, resource, ..] = opinions;
    resource.grant()
}

impl Case<'_> {
    /// How each layer stands, now that all were asked.
    pub(super) fn standings(&self, opinions: Opinions) -> Standings {
        let [resource_control, service_control, vpc_endpoint, resource, identity, boundary, session] = opinions;
        let grant = resource.grant();
        [
            (PolicyType::ResourceControl, resource_control_standing(resource_control)),
            (PolicyType::ServiceControl, service_control.alone()),
            (PolicyType::VpcEndpoint, vpc_endpoint.alone()),
            (self.resource_type(), self.resource_standing(resource)),
            (PolicyType::Identity, self.identity_standing(identity, grant)),
            (PolicyType::PermissionsBoundary, self.boundary_standing(boundary, grant)),
            (PolicyType::Session, self.session_standing(session, grant)),
        ]
    }

    /// The resource policy has to allow callers of other accounts and of none (rules 67 and 69), and everybody where
    /// the resource says so (rules 72 and 78). Partitions are worlds apart.
    fn resource_standing(&self, opinion: Opinion) -> Standing {
        let needed = !self.is_same_account() || self.object.needs_policy;
        match (opinion, self.why_out_of_reach()) {
            (Opinion::Stated(Verdict { denied: true, .. }), _) => Standing::Denies,
            (_, Some(reason)) => Standing::DoesNotAllow(Some(reason)),
            (Opinion::Stated(Verdict { granted: Some(GrantClass::Account), .. }), None) if !needed => {
                Standing::NotNeeded(Reason::SameAccount)
            }
            (Opinion::Stated(Verdict { granted: Some(_), .. }), None) => Standing::Allows,
            (Opinion::Stated(_), None) if needed => Standing::DoesNotAllow(Some(self.why_needed())),
            (Opinion::Stated(_), None) => Standing::NotNeeded(Reason::SameAccount),
            (Opinion::Unstated(reason), None) if needed => Standing::DoesNotAllow(Some(reason)),
            (Opinion::Unstated(reason), None) => Standing::NoSay(reason),
        }
    }

    /// Why no policy of the resource can let the caller in: only an identity provider can ask for a role by web identity or
    /// SAML (rule 76), nobody without a name for any role, since STS answers signed requests only; and partitions.
    fn why_out_of_reach(&self) -> Option<Reason> {
        let federated = self.request.action.federation().is_some();
        match self.subject.principal {
            Principal::IdentityProvider(_) => None,
            Principal::Anonymous => self.object.is_trust.then_some(Reason::NotSigned),
            Principal::Root(_)
            | Principal::User(_)
            | Principal::Role(_)
            | Principal::AssumedRole(..)
            | Principal::FederatedUser(_)
            | Principal::Service(_) => federated.then_some(Reason::NotAnIdentityProvider),
        }
        .or_else(|| (!self.is_same_partition()).then_some(Reason::OtherPartition))
    }

    /// Why the resource's policy has to allow.
    fn why_needed(&self) -> Reason {
        match self.subject.account() {
            _ if self.object.needs_policy => Reason::OwnPolicyDecides,
            Some(_) => Reason::OtherAccount,
            None => Reason::NoAccount,
        }
    }

    fn identity_standing(&self, opinion: Opinion, grant: Option<GrantClass>) -> Standing {
        match opinion {
            _ if self.subject.account().is_none() => Standing::NoSay(Reason::NoAccount),
            Opinion::Unstated(Reason::RootUser) => Standing::NoSay(Reason::RootUser),
            Opinion::Stated(_) | Opinion::Unstated(_) => self.unless_exempt(opinion, GrantClass::Entity, grant),
        }
    }

    fn boundary_standing(&self, opinion: Opinion, grant: Option<GrantClass>) -> Standing {
        match opinion {
            _ if self.subject.account().is_none() => Standing::NoSay(Reason::NoAccount),
            // Whoever assumes a role needs a boundary that allows it, however directly the trust policy names it (rule 73).
            Opinion::Stated(_) if !self.object.is_trust => self.unless_exempt(opinion, GrantClass::Caller, grant),
            Opinion::Stated(_) | Opinion::Unstated(_) => opinion.alone(),
        }
    }

    /// None: a role's session passes; a federated user gets only what resources grant it directly (rule 63).
    fn session_standing(&self, opinion: Opinion, grant: Option<GrantClass>) -> Standing {
        let is_federated = matches!(self.subject.principal, Principal::FederatedUser(_));
        match opinion {
            _ if self.subject.account().is_none() => Standing::NoSay(Reason::NoAccount),
            Opinion::Unstated(reason) if !is_federated => Standing::NoSay(reason),
            Opinion::Stated(_) | Opinion::Unstated(_) => self.unless_exempt(opinion, GrantClass::Caller, grant),
        }
    }

    /// It has to allow, unless the resource's policy grants at least so directly, in the caller's own account (rule 61).
    fn unless_exempt(&self, opinion: Opinion, at_least: GrantClass, grant: Option<GrantClass>) -> Standing {
        let may_be_exempt = self.is_same_account() && !self.subject.contradicts_store;
        let standing = match opinion {
            Opinion::Unstated(reason) => Standing::DoesNotAllow(Some(reason)),
            Opinion::Stated(_) => opinion.alone(),
        };
        match (standing, grant) {
            (Standing::DoesNotAllow(_), Some(class)) if may_be_exempt && class >= at_least => {
                Standing::NotNeeded(Reason::Granted(class))
            }
            _ => standing,
        }
    }

    pub(super) fn is_same_account(&self) -> bool {
        self.subject.account().is_some_and(|account| self.object.account == Some(account))
    }

    pub(super) fn is_same_partition(&self) -> bool {
        let resource = self.request.resource.arn().map(|Arn { partition, .. }| *partition);
        let caller = self.subject.principal.caller().map(|caller| caller.partition);
        resource.zip(caller).is_none_or(|(resource, caller)| resource == caller)
    }

    pub(super) fn resource_type(&self) -> PolicyType {
        if self.object.is_trust { PolicyType::Trust } else { PolicyType::Resource }
    }
}

/// RCPs only deny: full access stands at each level (rule 65).
fn resource_control_standing(opinion: Opinion) -> Standing {
    match opinion {
        Opinion::Stated(verdict) if !verdict.denied => Standing::NotNeeded(Reason::OnlyDenies),
        Opinion::Stated(_) | Opinion::Unstated(_) => opinion.alone(),
    }
}
