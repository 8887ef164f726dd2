//! One layer: the policies of one type that have a say, and what they say.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::audience::Audience;
use super::facts::RequestFacts;
use super::trace::OrganizationNode;
use crate::access::{Action, PolicyType, ResourceName, StatementRef};
use crate::policy::{
    self, Circumstances, CompiledPolicy, CompiledStatement, Effect, GrantClass, PolicySet, Resolve as _, Seeker, Sought,
};

/// What the policies of one layer, or of one level of it, say to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether a Deny applies.
    pub(super) denied: bool,
    /// The strongest way in which an Allow applies.
    pub(super) granted: Option<GrantClass>,
}

impl Verdict {
    /// Takes in what came of asking a statement.
    fn add(&mut self, effect: Effect, applies: Option<GrantClass>) {
        match effect {
            Effect::Allow => self.granted = self.granted.max(applies),
            Effect::Deny => self.denied |= applies.is_some(),
        }
    }

    /// What two say of which each must allow.
    pub(super) fn and(self, other: Self) -> Self {
        Self { denied: self.denied | other.denied, granted: self.granted.min(other.granted) }
    }
}

/// Asks the policies of a layer.
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
    if A::EXHAUSTIVE {
        return tell(policy_type, node, policies, circumstances);
    }
    Scale::weigh(circumstances, |request, scale| {
        policies.into_iter().try_for_each(|policy| policy.search(request, scale))
    })
}

/// As [`ask`], of policies in sets.
pub(super) fn ask_sets<'p, A: Audience>(
    policy_type: PolicyType,
    sets: impl IntoIterator<Item = &'p Arc<PolicySet>>,
    circumstances: &Circumstances<'_, RequestFacts<'_, A>>,
) -> Verdict {
    if A::EXHAUSTIVE {
        return tell(policy_type, || None, policy::each_policy(sets), circumstances);
    }
    Scale::weigh(circumstances, |(action, resource), scale| {
        let sought = Sought::new(action, resource);
        sets.into_iter().try_for_each(|set| set.search(&sought, scale))
    })
}

/// Asks every statement, and tells of each.
fn tell<'p, A: Audience>(
    policy_type: PolicyType,
    node: impl FnOnce() -> Option<OrganizationNode>,
    policies: impl IntoIterator<Item = &'p CompiledPolicy>,
    circumstances: &Circumstances<'_, RequestFacts<'_, A>>,
) -> Verdict {
    let audience = circumstances.facts.listener();
    let mut verdict = Verdict::default();
    for policy in policies {
        for (index, statement) in policy.statements.iter().enumerate() {
            let class = statement.applies(circumstances);
            audience.statement(policy_type, policy, index, class);
            verdict.add(statement.effect, class);
        }
    }
    audience.level(node, verdict);
    verdict
}

/// Asks the statements that can change a verdict, until none can.
struct Scale<'c, 'f, A> {
    circumstances: &'c Circumstances<'c, RequestFacts<'f, A>>,
    verdict: Verdict,
}

impl<'c, 'f, A: Audience> Scale<'c, 'f, A> {
    fn weigh(
        circumstances: &'c Circumstances<'c, RequestFacts<'f, A>>,
        search: impl FnOnce((&Action<'_>, &ResourceName<'_>), &mut Self) -> ControlFlow<()>,
    ) -> Verdict {
        let mut scale = Self { circumstances, verdict: Verdict::default() };
        // What ended the search is in the verdict.
        let _ = search((circumstances.action, circumstances.resource), &mut scale);
        scale.verdict
    }
}

impl<A: Audience> Seeker for Scale<'_, '_, A> {
    fn wants(&self, effect: Effect) -> bool {
        match effect {
            Effect::Allow => self.verdict.granted != Some(GrantClass::Caller),
            Effect::Deny => true,
        }
    }

    /// A Deny is final.
    fn found(&mut self, statement: &CompiledStatement) -> ControlFlow<()> {
        self.verdict.add(statement.effect, statement.applies(self.circumstances));
        if self.verdict.denied { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
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
