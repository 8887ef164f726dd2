//! One layer: the policies of one type that have a say, and what they say.

use std::sync::Arc;

use super::audience::Audience;
use super::facts::RequestFacts;
use super::trace::OrganizationNode;
use crate::access::{PolicyType, StatementRef};
use crate::policy::{Circumstances, CompiledPolicy, Effect, GrantClass, Resolve as _};

/// What the policies of one layer, or of one level of it, say to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether a Deny applies.
    pub(super) denied: bool,
    /// The strongest way in which an Allow applies.
    pub(super) granted: Option<GrantClass>,
}

impl Verdict {
    /// What two say of which each must allow.
    pub(super) fn and(self, other: Self) -> Self {
        Self { denied: self.denied | other.denied, granted: self.granted.min(other.granted) }
    }
}

/// Asks every statement of a layer. Where nobody listens, statements that cannot change the verdict are left out.
pub(super) fn ask<'p, A: Audience>(
    policy_type: PolicyType,
    policies: impl IntoIterator<Item = &'p CompiledPolicy>,
    circumstances: &Circumstances<'_, RequestFacts<'_, A>>,
) -> Verdict {
    ask_level(policy_type, || None, policies, circumstances)
}

/// As [`ask`], of one level of an organization.
pub(super) fn ask_level<'p, A: Audience>(
    policy_type: PolicyType,
    node: impl FnOnce() -> Option<OrganizationNode>,
    policies: impl IntoIterator<Item = &'p CompiledPolicy>,
    circumstances: &Circumstances<'_, RequestFacts<'_, A>>,
) -> Verdict {
    let audience = circumstances.facts.listener();
    let mut verdict = Verdict::default();
    for policy in policies {
        for (index, statement) in policy.statements.iter().enumerate() {
            let settled = match statement.effect {
                Effect::Allow => verdict.denied || verdict.granted == Some(GrantClass::Caller),
                Effect::Deny => verdict.denied,
            };
            if settled && !A::EXHAUSTIVE {
                continue;
            }
            let class = statement.applies(circumstances);
            audience.statement(policy_type, policy, index, class);
            match (class, statement.effect) {
                (Some(_), Effect::Allow) => verdict.granted = verdict.granted.max(class),
                (Some(_), Effect::Deny) => verdict.denied = true,
                (None, _) => {}
            }
        }
    }
    audience.level(node, verdict);
    verdict
}

/// Names a statement and its place.
pub(super) fn reference(policy_type: PolicyType, policy: &CompiledPolicy, index: usize) -> StatementRef {
    let statement = policy.statements.get(index);
    let position = statement.map_or(crate::finding::Position::START, |statement| statement.position);
    StatementRef {
        policy_type,
        policy: Arc::clone(&policy.name.reference),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        sid: statement.map_or_else(|| Arc::from(""), |statement| Arc::clone(&statement.sid)),
        file: Arc::clone(&policy.name.file),
        line: position.line,
        column: position.column,
    }
}
