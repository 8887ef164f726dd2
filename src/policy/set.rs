//! Policies that are asked together.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::compile::CompiledPolicy;
use super::index::{Index, Seeker};
use crate::access::{Action, ResourceName};

/// The policies that are attached to a user or role directly, or those of a group; whoever has the same ones shares them.
#[derive(Debug)]
pub struct PolicySet {
    policies: Box<[Arc<CompiledPolicy>]>,
    /// Of the statements of all, if they are many.
    index: Option<Box<Index>>,
}

/// The policies of sets, each once, in however many of them it is.
pub fn each_policy<'s>(sets: impl IntoIterator<Item = &'s Arc<PolicySet>>) -> impl Iterator<Item = &'s CompiledPolicy> {
    let mut seen = HashSet::new();
    let all = sets.into_iter().flat_map(|set| set.policies());
    all.filter(move |policy| seen.insert(Arc::as_ptr(policy))).map(|policy| &**policy)
}

impl PolicySet {
    /// A set of policies, of which none occurs twice.
    pub fn new(policies: Vec<Arc<CompiledPolicy>>) -> Self {
        let index = Index::new(policies.iter().map(|policy| &*policy.statements));
        Self { policies: policies.into(), index: index.map(Box::new) }
    }

    /// They, in the order in which they are attached.
    pub fn policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }

    /// Shows statements that may be about an action and a resource, until the seeker has enough.
    pub fn search(&self, request: (&Action<'_>, &ResourceName<'_>), seeker: &mut impl Seeker) -> ControlFlow<()> {
        let statement = |policy: u32, statement: u32| {
            let policy = self.policies.get(policy as usize)?;
            policy.statements.get(statement as usize)
        };
        match &self.index {
            Some(index) => index.search(statement, request, seeker),
            None => self.policies.iter().try_for_each(|policy| policy.scan(seeker)),
        }
    }
}
