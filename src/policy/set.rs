//! Policies that are asked together.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::compile::CompiledPolicy;
use super::filter::Filter;
use super::index::{Index, Seeker};
use crate::access::{Action, ResourceName};

/// Policies that are asked together; whoever has the same ones shares them.
#[derive(Debug)]
pub struct PolicySet {
    /// Of a policy that is asked apart, unless it lets everything through.
    filter: Option<Box<Filter>>,
    policies: Box<[Arc<CompiledPolicy>]>,
    /// Of the statements of all, if they are many.
    index: Option<Box<Index>>,
}

/// So many of the policies that are asked apart may be looked into for a request that none of them is about.
const SEVERAL: usize = 4;

/// So many of them may be about the same.
const ALIKE: u8 = 8;

/// To ask the filters of more takes longer than to walk one tree.
const MANY: usize = 32;

/// Whether these policies are better asked apart, each as a set of its own, since few of them are looked into for a request. What
/// is looked at then is shared by all that have one of them and stays in the processor's caches, as the indexes of all selections
/// that people have would not.
pub fn are_told_apart(policies: &[Arc<CompiledPolicy>]) -> bool {
    let filters = || policies.iter().map(|policy| policy.filter());
    policies.len() <= MANY
        && filters().map(Filter::passing).sum::<usize>() <= SEVERAL * Filter::PARTS
        && Filter::most_in_common(filters()) <= ALIKE
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
        Self { filter: None, policies: policies.into(), index: index.map(Box::new) }
    }

    /// A policy that others may have, too, as a set of its own.
    pub fn apart(policy: Arc<CompiledPolicy>) -> Self {
        let filter = Some(policy.filter()).filter(|filter| !filter.lets_all_through()).copied();
        Self { filter: filter.map(Box::new), ..Self::new(vec![policy]) }
    }

    /// They, in the order in which they are attached.
    pub fn policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }

    /// Shows statements that may be about an action and a resource, until the seeker has enough.
    #[inline]
    pub fn search(&self, sought: &Sought<'_>, seeker: &mut impl Seeker) -> ControlFlow<()> {
        match &self.filter {
            Some(filter) if !filter.may_have(sought.filter()) => ControlFlow::Continue(()),
            _ => self.look(sought, seeker),
        }
    }

    /// The same, past the filter. Apart from it, since most sets need no more than that.
    #[inline(never)]
    fn look(&self, sought: &Sought<'_>, seeker: &mut impl Seeker) -> ControlFlow<()> {
        let statement = |policy: u32, statement: u32| {
            let policy = self.policies.get(policy as usize)?;
            policy.statements.get(statement as usize)
        };
        match &self.index {
            Some(index) => index.search(statement, (sought.action, sought.resource), seeker),
            None => self.policies.iter().try_for_each(|policy| policy.scan(seeker)),
        }
    }
}

/// What is looked for in sets.
#[derive(Debug)]
pub struct Sought<'a> {
    action: &'a Action<'a>,
    resource: &'a ResourceName<'a>,
    /// Made when it is first needed.
    filter: OnceCell<Filter>,
}

impl<'a> Sought<'a> {
    /// An action and a resource.
    pub fn new(action: &'a Action<'a>, resource: &'a ResourceName<'a>) -> Self {
        Self { action, resource, filter: OnceCell::new() }
    }

    fn filter(&self) -> &Filter {
        self.filter.get_or_init(|| Filter::for_request(self.action, self.resource))
    }
}
