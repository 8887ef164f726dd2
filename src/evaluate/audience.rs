//! Who listens to a decision: nobody, a [`Witness`] of what the answer says with its statements, or a recorder of
//! everything. The evaluator is the same for all; what nobody hears compiles to nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Reached;
use super::layer::{Verdict, reference};
use super::standing::Standings;
use super::trace::OrganizationNode;
use crate::access::{Explanation, PolicyType, StatementRef};
use crate::policy::{CompiledPolicy, ConditionKey, Effect, GrantClass, Listener, Nobody};

/// Hears how a request is decided: what a [`Listener`] hears of a statement, then the statement; the statements of a
/// level, then the level; the levels of a layer, then the layer; all layers, then how they stand.
pub(super) trait Audience: Listener {
    /// A key was asked for in vain.
    fn missing(&self, _key: &ConditionKey) {}

    /// The statement at this index was compared; it applies, thus directly, or does not.
    fn statement(&self, _kind: PolicyType, _policy: &CompiledPolicy, _index: usize, _applies: Option<GrantClass>) {}

    /// All statements of a level were compared: of a node of the organization, or the only level.
    fn level(&self, _node: impl FnOnce() -> Option<OrganizationNode>, _verdict: Verdict) {}

    /// All levels of a layer were asked.
    fn layer(&self) {}

    /// How the layers stand.
    fn standings(&self, _standings: &Standings) {}
}

impl Audience for Nobody {}

/// Keeps what an [`Explanation`] has.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Keys that were asked for in vain, by folded key.
    missing: RefCell<BTreeMap<Box<str>, Box<str>>>,
    /// The statements that apply.
    applied: RefCell<Vec<(Effect, StatementRef)>>,
}

impl Listener for Witness {
    const EXHAUSTIVE: bool = true;
}

impl Audience for Witness {
    fn missing(&self, key: &ConditionKey) {
        let mut missing = self.missing.borrow_mut();
        let spelled = missing.entry(key.folded.clone()).or_insert_with(|| key.spelled.clone());
        // Of several spellings the first in order, whichever policy was read first.
        if key.spelled < *spelled {
            spelled.clone_from(&key.spelled);
        }
    }

    fn statement(&self, kind: PolicyType, policy: &CompiledPolicy, index: usize, applies: Option<GrantClass>) {
        let Some(statement) = policy.statements.get(index).filter(|_| applies.is_some()) else { return };
        self.applied.borrow_mut().push((statement.effect, reference(kind, policy, index)));
    }
}

impl Witness {
    /// The statements that made the decision, in order, each once; and the keys, as the policies spell them.
    pub(super) fn explanation(self, reached: &Reached) -> Explanation {
        let applied = self.applied.into_inner().into_iter();
        let decisive = applied.filter(|(effect, statement)| reached.counts(*effect, statement.policy_type));
        let mut statements: Vec<_> = decisive.map(|(_, statement)| statement).collect();
        statements.sort();
        statements.dedup();
        let missing = self.missing.into_inner();
        Explanation { statements, missing_context_keys: missing.into_values().map(String::from).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_listed_once_in_the_spelling_that_sorts_first() {
        let witness = Witness::default();
        for spelling in ["aws:SourceVpc", "AWS:SourceVpc", "Aws:SourceVpc", "aws:SourceIp", "aws:sourceip"] {
            witness.missing(&ConditionKey::new(spelling));
        }
        let listed: Vec<Box<str>> = witness.missing.into_inner().into_values().collect();
        assert_eq!(listed, ["aws:SourceIp".into(), "AWS:SourceVpc".into()]);
    }
}
