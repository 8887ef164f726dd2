//! The answer.

use std::sync::Arc;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Everything that has to allow does, and nothing denies.
    Allow,
    /// A statement with Effect Deny applies.
    ExplicitDeny,
    /// Nothing denies, and something that has to allow does not.
    ImplicitDeny,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 3] = [Self::Allow, Self::ExplicitDeny, Self::ImplicitDeny];

    /// As in the protobuf enum, without its prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::ExplicitDeny => "EXPLICIT_DENY",
            Self::ImplicitDeny => "IMPLICIT_DENY",
        }
    }
}

/// The kinds of policy that decide, in the order in which a denial is attributed (evaluation.md, rule 58).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyType {
    /// RCP.
    ResourceControl,
    /// SCP.
    ServiceControl,
    /// Policy of the VPC endpoint that the request came through.
    VpcEndpoint,
    /// Policy of the resource.
    Resource,
    /// Trust policy of a role: the resource policy of `sts:AssumeRole*`.
    Trust,
    /// Policies of the user, its groups, or the role.
    Identity,
    /// Permissions boundary of the user or role.
    PermissionsBoundary,
    /// Policies passed when the session was created.
    Session,
}

impl PolicyType {
    /// Every type, in the order of rule 58.
    pub const ALL: [Self; 8] = [
        Self::ResourceControl,
        Self::ServiceControl,
        Self::VpcEndpoint,
        Self::Resource,
        Self::Trust,
        Self::Identity,
        Self::PermissionsBoundary,
        Self::Session,
    ];

    /// As in the protobuf enum, without its prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResourceControl => "RESOURCE_CONTROL",
            Self::ServiceControl => "SERVICE_CONTROL",
            Self::VpcEndpoint => "VPC_ENDPOINT",
            Self::Resource => "RESOURCE",
            Self::Trust => "TRUST",
            Self::Identity => "IDENTITY",
            Self::PermissionsBoundary => "PERMISSIONS_BOUNDARY",
            Self::Session => "SESSION",
        }
    }
}

/// How much to say about a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Detail {
    /// The decision and what decided it.
    #[default]
    Decision,
    /// Also the statements, and the condition keys that were missing.
    Statements,
}

/// A decision with what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was decided.
    pub decision: Decision,
    /// The policy type that denied explicitly, that failed to allow, or that granted.
    pub decided_by: PolicyType,
    /// Only with [`Detail::Statements`].
    pub explanation: Option<Arc<Explanation>>,
}

/// What there is to say about a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The statements that decided.
    pub statements: Vec<StatementRef>,
    /// Condition keys that policies asked for and the request did not give, sorted.
    pub missing_context_keys: Vec<String>,
}

/// A statement in a policy, precise enough to open the file at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementRef {
    /// As what the policy was evaluated.
    pub policy_type: PolicyType,
    /// The managed policy's ARN, `ENTITY_ARN/inline/NAME`, or the id of what the policy is attached to.
    pub policy: Arc<str>,
    /// Position in the policy's statement list, from 0.
    pub index: u32,
    /// Sid, or empty.
    pub sid: Arc<str>,
    /// Path relative to the policy store's root.
    pub file: Arc<str>,
    /// Where the statement starts, from 1.
    pub line: u32,
    /// Where the statement starts, in characters from 1.
    pub column: u32,
}
