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
    /// How much is used up of [`SHARED_PATTERNS`].
    shared_patterns: usize,
    /// Used by `sets` alone; here for its memory to be reused.
    seen: HashSet<*const CompiledPolicy>,
}

impl<'b> PolicySets<'b> {
    pub(super) fn after(before: Option<&'b Common>) -> Self {
        Self { before, ..Self::default() }
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
        let apart = attached.into_iter().map(|policy| vec![policy]);
        let sets = std::iter::once(inline).chain(apart).filter(|policies| !policies.is_empty());
        sets.map(|policies| self.set(policies)).collect()
    }

    /// These policies as one set. Those that are written inline are remembered for the next directory alone, at the price of a
    /// pointer for each.
    pub(super) fn set(&mut self, policies: Vec<Arc<CompiledPolicy>>) -> Arc<PolicySet> {
        let addresses = addresses(&policies);
        let before = self.before.and_then(|before| before.sets.get(&addresses));
        let new = || before.map_or_else(|| Arc::new(PolicySet::new(policies)), Arc::clone);
        Arc::clone(self.known.entry(addresses).or_insert_with(new))
    }

    fn is_known(&self, policies: &[Arc<CompiledPolicy>]) -> bool {
        self.known.contains_key(&addresses(policies))
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
