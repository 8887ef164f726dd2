//! What became of one file: everything but what its references to other files come to.
//!
//! A file that did not change need not be read again: its fragment is shared by one snapshot after the other. What references
//! come to does change, and is kept beside it, in [`Linked`].

use std::sync::{Arc, LazyLock};

use super::digest::Digest;
use super::identity::{Identity, Place};
use super::principals::{Principals, WrittenReference};
use super::{EntityTags, Organization, Resource, VpcEndpoint};
use crate::arn::AccountId;
use crate::finding::{Finding, Position};
use crate::policy::{CompiledPolicy, PolicySet};

/// What one file says.
#[derive(Debug)]
pub struct Fragment {
    /// Relative to the store's root, with `/`.
    pub(super) path: Arc<str>,
    /// Of its content; None if it is not to be had again.
    pub(super) digest: Option<Digest>,
    /// What was known of the files before it.
    pub(super) footing: Footing,
    pub(super) findings: Vec<Finding>,
    /// The first thing that could not be read so far that it would be known what it defines: references to that cannot be told
    /// from references to nothing.
    pub(super) unreadable: Option<Place>,
    /// Those to whom something in the file belongs.
    pub(super) accounts: Vec<AccountId>,
    pub(super) users: Principals,
    pub(super) roles: Principals,
    /// By number of the role: its trust policy, None if that has errors; and whether it is service-linked.
    pub(super) trusts: Vec<(Option<Arc<CompiledPolicy>>, bool)>,
    pub(super) groups: Vec<Group>,
    pub(super) managed_policies: Vec<ManagedPolicy>,
    pub(super) resources: Vec<(Arc<str>, Position, Arc<Resource>)>,
    /// Managed policies that have tags, which are resources in that.
    pub(super) tagged_policies: Vec<(Arc<str>, Arc<Resource>)>,
    pub(super) vpc_endpoints: Vec<(Arc<str>, Position, Arc<VpcEndpoint>)>,
    /// None inside if it has errors.
    pub(super) organizations: Vec<(Position, Option<Arc<Organization>>)>,
    /// What is named in the file, each once.
    pub(super) names: Vec<Name>,
    /// What its users, roles and groups have, each once.
    pub(super) sets: Vec<WrittenSet>,
    /// Tags of users and roles, each once.
    pub(super) tags: Vec<EntityTags>,
    pub(super) policy_count: usize,
    pub(super) statement_count: usize,
}

/// What the files before it have to do with what becomes of a file. Where this is the same, the same becomes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Footing {
    /// How many comparisons in search of near misses were left, of either kind, and how many were made.
    pub(super) comparisons: Comparisons,
    pub(super) compared: Comparisons,
    /// AWS's own policies that it defines, and whether a file before it has said the same.
    pub(super) aws_policies: Vec<AwsPolicy>,
}

/// Numbers of comparisons: of words of the language, and of names in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparisons {
    pub(super) words: usize,
    pub(super) names: usize,
}

/// A policy of AWS as a file defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AwsPolicy {
    pub(super) name: Box<str>,
    pub(super) arn: Box<str>,
    /// None if it has no document.
    pub(super) digest: Option<Digest>,
    pub(super) standing: Standing,
}

/// What a policy of AWS is to those that are known already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// The first of its name.
    #[default]
    New,
    /// The same as the first.
    Repeated,
    /// Another one than the first.
    Conflicting,
}

/// Something that is named in a file, and may be defined in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) role: NameRole,
    /// The account of who names it.
    pub(super) owner: Option<AccountId>,
    pub(super) text: Arc<str>,
}

/// What something is named as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameRole {
    Group,
    Policy,
    Boundary,
}

/// A set of policies as it is written.
#[derive(Debug)]
pub(super) enum WrittenSet {
    /// Those of the group of this name.
    OfGroup(u32),
    /// What is attached to somebody: inline, and by these names.
    Attached { inline: Vec<Arc<CompiledPolicy>>, names: Box<[u32]> },
}

/// A group as it is written.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) identity: Identity,
    /// Number of its set; None if it has no policies.
    pub(super) set: Option<u32>,
    pub(super) references: Vec<WrittenReference>,
}

/// A managed policy as it is written.
#[derive(Debug)]
pub(super) struct ManagedPolicy {
    pub(super) identity: Identity,
    /// None if it has errors.
    pub(super) policy: Option<Arc<CompiledPolicy>>,
}

impl Fragment {
    /// Relative to the store's root, with `/`.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Whether the other one has the same names for what other files may name, and for what requests do.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        // Of the tags of a policy of AWS, which several files may repeat, the last ones count.
        let tags_of_aws = |file: &Self| file.tagged_policies.iter().any(|(_, policy)| policy.account.is_none());
        let is_for_all = |file: &Self| {
            !(file.vpc_endpoints.is_empty() && file.organizations.is_empty() && file.unreadable.is_none())
                || tags_of_aws(file)
        };
        !is_for_all(self)
            && !is_for_all(other)
            && self.footing == other.footing
            && self.accounts == other.accounts
            // A policy with tags and a resource of its ARN are not alike: this one is a second definition.
            && self.resources.len() == other.resources.len()
            && self.resources().map(|(arn, _)| arn).eq(other.resources().map(|(arn, _)| arn))
            && self.groups().eq(other.groups())
            && self.managed_policies().eq(other.managed_policies())
            && self.users.have_the_names_of(&other.users)
            && self.roles.have_the_names_of(&other.roles)
    }

    /// Its resources by ARN; managed policies that have tags are some.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Resource>)> {
        let tagged = self.tagged_policies.iter().map(|(arn, resource)| (arn, resource));
        self.resources.iter().map(|(arn, _, resource)| (arn, resource)).chain(tagged)
    }

    /// Account, ARN and name of each group.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Option<AccountId>, &str, &str)> {
        self.groups.iter().map(|group| group.identity.names())
    }

    /// Number of the set of a group, by its number; None if it has no policies.
    pub(super) fn set_of_group(&self, group: u32) -> Option<u32> {
        self.groups.get(group as usize)?.set
    }

    /// Whether other files may name something that it defines.
    pub(super) fn is_named_by_others(&self) -> bool {
        !(self.groups.is_empty() && self.managed_policies.is_empty())
    }

    /// Account, ARN and name of each managed policy.
    pub(super) fn managed_policies(&self) -> impl Iterator<Item = (Option<AccountId>, &str, &str)> {
        self.managed_policies.iter().map(|policy| policy.identity.names())
    }

    /// Digest of the file that it came of, if it was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

/// What users, roles or a group have, as it is asked: those who stand in a group share what it has.
pub(super) type Sets = Arc<[Arc<PolicySet>]>;

/// A file of which is known what its references come to.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) fragment: Arc<Fragment>,
    /// What the sets as they are written come to.
    sets: Box<[Sets]>,
    /// By number of the name; None of what is no boundary.
    boundaries: Box<[Option<Arc<PolicySet>>]>,
}

impl Linked {
    pub(super) fn new(fragment: &Arc<Fragment>, sets: Vec<Sets>, boundaries: Vec<Option<Arc<PolicySet>>>) -> Self {
        Self { fragment: Arc::clone(fragment), sets: sets.into(), boundaries: boundaries.into() }
    }

    /// Whether nothing in it is another.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let boundaries =
            |file: &Self| file.boundaries.iter().map(|it| it.as_ref().map(Arc::as_ptr)).collect::<Vec<_>>();
        Arc::ptr_eq(&self.fragment, &other.fragment)
            && self.sets.len() == other.sets.len()
            && self.sets.iter().zip(&other.sets).all(|(own, other)| are_same(own, other))
            && boundaries(self) == boundaries(other)
    }

    /// What a group of the file has, by its number there.
    pub(super) fn sets_of_group(&self, group: u32) -> Option<Sets> {
        self.sets.get(self.fragment.set_of_group(group)? as usize).cloned()
    }

    /// What a set as it is written comes to.
    pub(super) fn sets(&self, set: u32) -> &[Arc<PolicySet>] {
        self.sets.get(set as usize).map(|sets| &**sets).unwrap_or_default()
    }

    pub(super) fn boundary(&self, name: u32) -> Option<&Arc<PolicySet>> {
        self.boundaries.get(name as usize)?.as_ref()
    }

    pub(super) fn tags(&self, tags: u32) -> &EntityTags {
        static NO_TAGS: LazyLock<EntityTags> = LazyLock::new(EntityTags::default);
        self.fragment.tags.get(tags as usize).unwrap_or(&NO_TAGS)
    }
}

/// Whether two lists have the very same sets.
fn are_same(one: &Sets, other: &Sets) -> bool {
    Arc::ptr_eq(one, other) || one.iter().map(Arc::as_ptr).eq(other.iter().map(Arc::as_ptr))
}
