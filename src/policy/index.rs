//! Which of many statements may be about a request: all that are, and few more.
//!
//! A pattern matches only what begins like it, up to its first wildcard or variable. So statements are found by how their
//! resources begin and, where that leaves more than a few, by how their actions do. What is found is compared in full: the index
//! can cost time, but no answer depends on it, as long as it leaves out nothing that applies.

mod trie;

use std::ops::ControlFlow;

use super::Effect;
use super::compile::CompiledStatement;
use crate::access::{Action, ResourceName};
use crate::wildcard::Beginning;

use trie::Root;
pub(super) use trie::Trie;

/// So few are compared one by one: to look them up would take as long.
pub(super) const FEW: usize = 4;

/// More patterns in an element are worth an index of their own.
pub(super) const MANY_PATTERNS: usize = 8;

/// Who is shown the statements that are found.
pub trait Seeker {
    /// Whether statements of this effect still matter.
    fn wants(&self, effect: Effect) -> bool;

    /// A statement may apply; more than once, if it is found in several ways.
    fn found(&mut self, statement: &CompiledStatement) -> ControlFlow<()>;
}

/// The statements of some policies by resource, then by action.
#[derive(Debug)]
pub(super) struct Index {
    /// Trees of `actions`.
    resources: ByResource,
    /// Statements by action, twice their number and one more for a Deny: many trees.
    actions: Trie,
    /// Policy and statement of each number.
    statements: Box<[(u32, u32)]>,
}

/// Entries by resource.
#[derive(Debug)]
pub(super) struct ByResource {
    /// By ARNs from their start on.
    arns: Trie,
    /// By the last part of ARNs, for patterns with a wildcard before it: few resources are told apart by their region.
    last_parts: Trie,
}

/// How the texts begin that a pattern of resources matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ResourceKey {
    /// The ARN.
    Arn(Key),
    /// The last of its parts.
    LastPart(Key),
}

/// A [`Beginning`] of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) whole: bool,
}

impl ByResource {
    fn new(keys: &[(ResourceKey, u32)]) -> Option<Self> {
        let of = |pick: fn(&ResourceKey) -> Option<&Key>| {
            let keys = keys.iter().filter_map(|(key, entry)| Some((pick(key)?.borrowed(), *entry)));
            Trie::of(keys)
        };
        let arns = of(|key| if let ResourceKey::Arn(key) = key { Some(key) } else { None })?;
        let last_parts = of(|key| if let ResourceKey::LastPart(key) = key { Some(key) } else { None })?;
        Some(Self { arns, last_parts })
    }

    /// Of the patterns of an element, by their places in it. None if they are few.
    pub(super) fn of_patterns(keys: impl ExactSizeIterator<Item = ResourceKey>) -> Option<Box<Self>> {
        if keys.len() <= MANY_PATTERNS {
            return None;
        }
        let keys: Vec<_> = keys.zip(0..).collect();
        Self::new(&keys).map(Box::new)
    }

    /// Visits the entries that may be about a resource.
    fn walk<B>(&self, resource: &ResourceName<'_>, mut visit: impl FnMut(&[u32]) -> ControlFlow<B>) -> ControlFlow<B> {
        let Some(arn) = resource.arn() else {
            return self.arns.walk(Trie::FIRST, b"", visit);
        };
        self.arns.walk(Trie::FIRST, arn.text.as_bytes(), &mut visit)?;
        self.last_parts.walk(Trie::FIRST, arn.resource.as_bytes(), visit)
    }

    /// Whether one of the patterns that may match a resource does.
    pub(super) fn any(&self, resource: &ResourceName<'_>, matches: impl Fn(usize) -> bool) -> bool {
        self.walk(resource, trie::until(matches)).is_break()
    }
}

impl ResourceKey {
    /// Whether what is found by the other is found by this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Arn(key), Self::Arn(other)) | (Self::LastPart(key), Self::LastPart(other)) => key.covers(other),
            (Self::Arn(_), Self::LastPart(_)) | (Self::LastPart(_), Self::Arn(_)) => false,
        }
    }
}

impl From<Beginning<'_>> for Key {
    fn from(Beginning { text, whole }: Beginning<'_>) -> Self {
        Self { text: text.to_owned(), whole }
    }
}

impl Key {
    /// Whether what is found by the other is found by this.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self == other || !self.whole && other.text.starts_with(&self.text)
    }

    fn borrowed(&self) -> Beginning<'_> {
        Beginning { text: &self.text, whole: self.whole }
    }
}

/// A statement may be found by each of its resources together with each of its actions. Where that were this many times as often
/// as it has resources and actions, it is found by its resources alone: an index grows with what is written, not faster.
const MOST_PAIRS: usize = 8;

impl Index {
    /// Of policies, each given as its statements. None where there are only a few.
    pub(super) fn new<'p>(policies: impl Iterator<Item = &'p [CompiledStatement]>) -> Option<Self> {
        let mut draft = Draft::default();
        for (policy, statements) in policies.enumerate() {
            for (index, statement) in statements.iter().enumerate() {
                draft.add(statement, (u32::try_from(policy).ok()?, u32::try_from(index).ok()?))?;
            }
        }
        if draft.statements.len() > FEW { draft.finish() } else { None }
    }

    /// Shows statements that may be about an action and a resource, until the seeker has enough.
    pub(super) fn search<'p>(
        &self,
        statement: impl Fn(u32, u32) -> Option<&'p CompiledStatement>,
        (action, resource): (&Action<'_>, &ResourceName<'_>),
        seeker: &mut impl Seeker,
    ) -> ControlFlow<()> {
        let mut show = |number: &u32| {
            let effect = if number.is_multiple_of(2) { Effect::Allow } else { Effect::Deny };
            let place = self.statements.get((number / 2) as usize).filter(|_| seeker.wants(effect));
            let found = place.and_then(|(policy, index)| statement(*policy, *index));
            found.map_or(ControlFlow::Continue(()), |statement| seeker.found(statement))
        };
        let name = action.folded().as_bytes();
        self.resources.walk(resource, |trees| {
            trees.iter().try_for_each(|tree| {
                self.actions.walk(Root(*tree), name, |numbers| numbers.iter().try_for_each(&mut show))
            })
        })
    }
}

/// Statements with what they are found by.
#[derive(Default)]
struct Draft {
    statements: Vec<(u32, u32)>,
    /// How the actions of each begin.
    actions: Vec<Vec<Key>>,
    /// How the resources of each begin, with its number.
    resources: Vec<(ResourceKey, u32)>,
}

impl Draft {
    fn add(&mut self, statement: &CompiledStatement, place: (u32, u32)) -> Option<()> {
        let (resources, mut actions) = statement.keys();
        if resources.len() * actions.len() > MOST_PAIRS * (resources.len() + actions.len()) {
            actions = vec![Key::default()];
        }
        let number = u32::try_from(self.statements.len()).ok()?.checked_mul(2)?;
        let number = if statement.effect == Effect::Deny { number.checked_add(1)? } else { number };
        self.resources.extend(resources.into_iter().map(|key| (key, number)));
        self.actions.push(actions);
        self.statements.push(place);
        Some(())
    }

    fn finish(mut self) -> Option<Index> {
        self.resources.sort_unstable();
        self.resources.dedup();
        let mut trees = Trie::default();
        let mut resources = Vec::new();
        for group in self.resources.chunk_by(|(one, _), (other, _)| one == other) {
            let Root(tree) = trees.add(&mut self.by_action(group));
            resources.extend(group.first().map(|(key, _)| (key.clone(), tree)));
        }
        let (resources, actions) = (ByResource::new(&resources)?, trees.finish()?);
        Some(Index { resources, actions, statements: self.statements.into() })
    }

    /// The statements on one resource, by action unless they are few.
    fn by_action(&self, group: &[(ResourceKey, u32)]) -> Vec<(Beginning<'_>, u32)> {
        if group.len() <= FEW {
            return group.iter().map(|(_, number)| (Beginning::ANY, *number)).collect();
        }
        let keys = |number: u32| self.actions.get((number / 2) as usize).map(Vec::as_slice).unwrap_or_default();
        group.iter().flat_map(|(_, number)| keys(*number).iter().map(|key| (key.borrowed(), *number))).collect()
    }
}

#[cfg(test)]
mod tests;
