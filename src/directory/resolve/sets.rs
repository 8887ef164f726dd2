//! Policies that are attached together: whoever has the same ones shares them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Common;
use crate::directory::fragment::Sets;
use crate::policy::{CompiledPolicy, PolicySet, are_told_apart};

/// How many patterns the indexes of sets may hold of policies that others may have, too. A million users could have as many
/// different selections of a thousand policies: an index for each would be larger than the store by far. At about 100 bytes a
/// pattern, these take 50 MB; who comes after them has each of its policies as a set of its own, which all share.
const SHARED_PATTERNS: usize = 1 << 19;

/// All sets that somebody else may have, too.
#[derive(Default)]
pub(super) struct PolicySets<'b> {
    /// By the addresses of its policies, in order.
    pub(super) known: HashMap<Box<[usize]>, Arc<PolicySet>>,
    /// Those of the directory before.
    before: Option<&'b Common>,
    /// Whether who has those of before still has them.
    beside: bool,
    /// How much is used up of [`SHARED_PATTERNS`].
    pub(super) shared_patterns: usize,
    /// Used by `sets` alone; here for its memory to be reused.
    seen: HashSet<*const CompiledPolicy>,
}

impl<'b> PolicySets<'b> {
    pub(super) fn after(before: Option<&'b Common>) -> Self {
        Self { before, ..Self::default() }
    }

    /// For some who join those of the directory before.
    pub(super) fn beside(before: &'b Common) -> Self {
        Self { before: Some(before), beside: true, shared_patterns: before.shared_patterns, ..Self::default() }
    }

    /// These policies, each once: as one set, unless they are told apart without an index of all, or that were too much.
    pub(super) fn sets(
        &mut self,
        mut inline: Vec<Arc<CompiledPolicy>>,
        mut attached: Vec<Arc<CompiledPolicy>>,
    ) -> Sets {
        self.seen.clear();
        attached.retain(|policy| self.seen.insert(Arc::as_ptr(policy)));
        // Nobody else has a policy that is written inline: a set of these is as large as what is written.
        if !are_told_apart(&attached) && (inline.is_empty() && self.is_known(&attached) || self.affords(&attached)) {
            inline.append(&mut attached);
        }
        let together = (!inline.is_empty()).then(|| self.set(addresses(&inline), || PolicySet::new(inline)));
        let apart = attached.into_iter().map(|policy| self.apart(policy));
        together.into_iter().chain(apart).collect()
    }

    /// A policy that is attached, as a set of its own.
    pub(super) fn apart(&mut self, policy: Arc<CompiledPolicy>) -> Arc<PolicySet> {
        self.set(addresses(std::slice::from_ref(&policy)), || PolicySet::apart(policy))
    }

    /// The set of the policies at these addresses. Those that are written inline are remembered for the next directory alone, at
    /// the price of a pointer for each.
    fn set(&mut self, addresses: Box<[usize]>, new: impl FnOnce() -> PolicySet) -> Arc<PolicySet> {
        let before = self.before.and_then(|before| before.set(&addresses));
        let new = || before.map_or_else(|| Arc::new(new()), Arc::clone);
        Arc::clone(self.known.entry(addresses).or_insert_with(new))
    }

    fn is_known(&self, policies: &[Arc<CompiledPolicy>]) -> bool {
        let addresses = addresses(policies);
        let before = self.before.filter(|_| self.beside);
        self.known.contains_key(&addresses) || before.is_some_and(|before| before.set(&addresses).is_some())
    }

    fn affords(&mut self, policies: &[Arc<CompiledPolicy>]) -> bool {
        let patterns: usize = policies.iter().map(|policy| policy.pattern_count()).sum();
        let affordable = self.shared_patterns + patterns <= SHARED_PATTERNS;
        self.shared_patterns += if affordable { patterns } else { 0 };
        affordable
    }
}

fn addresses(policies: &[Arc<CompiledPolicy>]) -> Box<[usize]> {
    policies.iter().map(|policy| Arc::as_ptr(policy).addr()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::identity_policy;

    /// A policy about so many actions on buckets of this number.
    fn policy(number: usize, actions: usize) -> Arc<CompiledPolicy> {
        let actions: Vec<_> = (0..actions).map(|action| format!("app:Do{action}")).collect();
        let resource = format!("arn:aws:s3:::bucket-{number}/*");
        let statement = serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": resource});
        identity_policy(&[statement]).unwrap().into()
    }

    #[test]
    fn attached_policies_are_asked_apart_unless_too_much_passes_their_filters() {
        let mut sets = PolicySets::default();
        let mut sizes = |inline: usize, attached: usize, actions: usize| {
            let policies = |numbers: std::ops::Range<usize>| numbers.map(|number| policy(number, actions)).collect();
            let sets = sets.sets(policies(100..100 + inline), policies(0..attached));
            sets.iter().map(|set| set.policies().len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0, 3, 2), [1, 1, 1]);
        assert_eq!(sizes(2, 3, 2), [2, 1, 1, 1]);
        assert_eq!(sizes(0, 33, 1), [33], "many");
        assert_eq!(sizes(0, 4, 200), [1, 1, 1, 1]);
        assert_eq!(sizes(0, 5, 200), [5], "each passes its filter");
        assert_eq!(sizes(2, 5, 200), [7]);
        assert_eq!(sizes(0, 0, 1), [0; 0]);
    }

    #[test]
    fn who_has_the_same_shares_it() {
        let mut sets = PolicySets::default();
        let (one, other) = (policy(1, 2), policy(2, 2));
        let both = sets.sets(Vec::new(), vec![Arc::clone(&one), Arc::clone(&other), Arc::clone(&one)]);
        assert_eq!(both.len(), 2, "each once");
        let turned = sets.sets(vec![policy(3, 1)], vec![other, one]);
        assert!(Arc::ptr_eq(&both[0], &turned[2]) && Arc::ptr_eq(&both[1], &turned[1]));
    }

    #[test]
    fn beyond_the_budget_every_policy_is_asked_apart() {
        let mut sets = PolicySets { shared_patterns: SHARED_PATTERNS, ..PolicySets::default() };
        let policies = || (0..5).map(|number| policy(number, 200)).collect();
        assert_eq!(sets.sets(Vec::new(), policies()).len(), 5);
        assert_eq!(PolicySets::default().sets(Vec::new(), policies()).len(), 1);
    }
}
