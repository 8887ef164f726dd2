//! One layer: the policies of one type that have a say, and what they say.

use std::sync::Arc;

use crate::access::{PolicyType, StatementRef};
use crate::policy::{Circumstances, CompiledPolicy, Effect, Facts, GrantClass};

/// What the policies of one layer say to a request.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Whether a Deny applies.
    pub(super) denied: bool,
    /// The strongest way in which an Allow applies.
    pub(super) granted: Option<GrantClass>,
    /// The statements that apply; only where somebody wants to know.
    pub(super) applied: Vec<(Effect, StatementRef)>,
}

/// Asks every statement of a layer. Without an audience, statements that cannot change the verdict are left out.
pub(super) fn ask<'p, F: Facts>(
    policy_type: PolicyType,
    policies: impl IntoIterator<Item = &'p CompiledPolicy>,
    circumstances: &Circumstances<'_, F>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let all = circumstances.exhaustive;
    for policy in policies {
        for (index, statement) in policy.statements.iter().enumerate() {
            let settled = match statement.effect {
                Effect::Allow => verdict.denied || verdict.granted == Some(GrantClass::Caller),
                Effect::Deny => verdict.denied,
            };
            if settled && !all {
                continue;
            }
            let Some(class) = statement.applies(circumstances) else {
                continue;
            };
            match statement.effect {
                Effect::Allow => verdict.granted = verdict.granted.max(Some(class)),
                Effect::Deny => verdict.denied = true,
            }
            if all {
                verdict.applied.push((statement.effect, reference(policy_type, policy, index)));
            }
        }
    }
    verdict
}

fn reference(policy_type: PolicyType, policy: &CompiledPolicy, index: usize) -> StatementRef {
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
