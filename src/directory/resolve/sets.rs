//! Policies that are attached together: whoever has the same ones shares them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::policy::{CompiledPolicy, PolicySet};

/// All sets that somebody else may have, too.
#[derive(Default)]
pub(super) struct PolicySets {
    /// By the addresses of its policies, in order.
    known: HashMap<Box<[*const CompiledPolicy]>, Arc<PolicySet>>,
    /// Used by `set` alone; here for its memory to be reused.
    seen: HashSet<*const CompiledPolicy>,
}

impl PolicySets {
    /// The set of these policies, each once. None if there are none.
    pub(super) fn set(
        &mut self,
        inline: Vec<Arc<CompiledPolicy>>,
        attached: Vec<Arc<CompiledPolicy>>,
    ) -> Option<Arc<PolicySet>> {
        // Nobody else has a policy that is written inline.
        let shared = inline.is_empty();
        let mut policies = inline;
        policies.extend(attached);
        self.seen.clear();
        policies.retain(|policy| self.seen.insert(Arc::as_ptr(policy)));
        if policies.is_empty() {
            return None;
        }
        if !shared {
            return Some(Arc::new(PolicySet::new(policies)));
        }
        let addresses: Box<[_]> = policies.iter().map(Arc::as_ptr).collect();
        Some(Arc::clone(self.known.entry(addresses).or_insert_with(|| Arc::new(PolicySet::new(policies)))))
    }
}
