//! Who and what exists, and which policies are attached to it: the policy store, read and resolved.

mod digest;
mod draft;
mod entity;
mod files;
mod fragment;
mod identity;
mod keys;
mod loader;
mod managed;
mod organization;
mod principals;
mod resolve;
mod resource;
mod schema;
mod table;
mod written;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::arn::{AccountId, Arn};
use crate::policy::CompiledPolicy;

pub use digest::Digest;
use files::Files;
pub use fragment::Fragment;
pub use loader::{ChangedFile, Loader};
pub use principals::{Entity, Role, Roles, Users};
use resolve::Common;
pub use written::{Holder, Written};

/// What requests are looked up in.
///
/// Hashed quickly, under a seed of the process: only the store puts names in, so that a request can make no list of names long
/// that have one hash, and no author of a store can foresee which would.
pub type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Everything that the store knows. Built by [`Loader`], immutable afterwards.
#[derive(Debug, Default)]
pub struct Directory {
    /// Accounts of which the store holds a user, role, group, managed policy or resource.
    pub accounts: HashSet<AccountId>,
    /// Users by account and name.
    pub users: Users,
    /// Roles by account and name (without path: a session's ARN carries none).
    pub roles: Roles,
    /// Resources by ARN.
    pub resources: Resources,
    /// VPC endpoints by id.
    pub vpc_endpoints: Map<Arc<str>, Arc<VpcEndpoint>>,
    /// The organization, if the store gives one.
    pub organization: Option<Arc<Organization>>,
    /// How many distinct policies (managed, inline, resource, trust, ...) it holds.
    pub policy_count: usize,
    /// How many statements those have.
    pub statement_count: usize,
    /// The files that it was made of, in their order.
    files: Files,
    /// What the next one may have in common with it.
    common: Common,
}

impl Directory {
    /// What it was made of, in the order of the files.
    pub fn fragments(&self) -> impl Iterator<Item = &Arc<Fragment>> {
        self.files.iter().map(|file| &file.fragment)
    }
}

/// A resource that the store describes.
#[derive(Debug)]
pub struct Resource {
    /// Its owner: from `AccountId`, else from the ARN, the folder or the options; None if nothing says.
    pub account: Option<AccountId>,
    /// Its tags.
    pub tags: EntityTags,
    /// Its policy.
    pub policy: Option<Arc<CompiledPolicy>>,
}

/// Resources by ARN.
#[derive(Debug, Default)]
pub struct Resources {
    by_arn: Arc<Map<Arc<str>, Arc<Resource>>>,
    /// What some of these have become since.
    later: Map<Arc<str>, Arc<Resource>>,
    /// One bit per length that an ARN has, in bytes: what has no such length need not be hashed.
    lengths: Arc<[u64]>,
}

impl From<Map<Arc<str>, Arc<Resource>>> for Resources {
    fn from(by_arn: Map<Arc<str>, Arc<Resource>>) -> Self {
        let mut lengths = Vec::new();
        for length in by_arn.keys().map(|arn| arn.len()) {
            lengths.resize(lengths.len().max(length / 64 + 1), 0);
            if let Some(word) = lengths.get_mut(length / 64) {
                *word |= 1 << (length % 64);
            }
        }
        Self { by_arn: by_arn.into(), later: Map::default(), lengths: lengths.into() }
    }
}

impl Resources {
    /// The resource with this ARN.
    pub fn get(&self, arn: &str) -> Option<&Resource> {
        if self.has_length(arn.len()) { self.now(arn).map(|resource| &**resource) } else { None }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_arn.is_empty()
    }

    /// Every resource with its ARN, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Resource)> {
        self.by_arn.keys().filter_map(|arn| Some((&**arn, &**self.now(arn)?)))
    }

    fn now(&self, arn: &str) -> Option<&Arc<Resource>> {
        self.later.get(arn).or_else(|| self.by_arn.get(arn))
    }

    /// With others in the places of some; None if these are more than `most`, and more than a quarter of all.
    fn with<'r>(&self, others: impl Iterator<Item = (&'r Arc<str>, &'r Arc<Resource>)>, most: usize) -> Option<Self> {
        let mut later = self.later.clone();
        later.extend(others.map(|(arn, resource)| (Arc::clone(arn), Arc::clone(resource))));
        let (by_arn, lengths) = (Arc::clone(&self.by_arn), Arc::clone(&self.lengths));
        (later.len() <= most.max(by_arn.len() / 4)).then_some(Self { by_arn, later, lengths })
    }

    /// The resource with this ARN, and those whose ARN it continues with `/` or `:`, longest first (policy-store.md).
    pub fn governing(&self, arn: &Arn<'_>) -> impl Iterator<Item = &Resource> {
        // A request may hold a megabyte of slashes: to hash all that it continues would take minutes.
        governing_arns(arn, self.lengths.len() * 64).filter_map(|name| self.get(name))
    }

    fn has_length(&self, length: usize) -> bool {
        self.lengths.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }
}

/// An ARN, then each that it continues with `/` or `:`, longest first; those that are shorter than `limit`.
fn governing_arns<'a>(arn: &Arn<'a>, limit: usize) -> impl Iterator<Item = &'a str> {
    let text = arn.text;
    let shortest = text.len() - arn.resource.len();
    let resource = text.as_bytes().get(shortest..text.len().min(limit)).unwrap_or_default();
    let ends = resource.iter().enumerate().skip(1).rev().filter(|(_, byte)| matches!(byte, b'/' | b':'));
    let continued = ends.filter_map(move |(end, _)| text.get(..shortest + end));
    (text.len() < limit).then_some(text).into_iter().chain(continued)
}

/// A VPC endpoint that the store describes.
#[derive(Debug)]
pub struct VpcEndpoint {
    /// Its owner: from `OwnerId`, else from the folder or the options; None if nothing says.
    pub owner: Option<AccountId>,
    /// Its policy.
    pub policy: Arc<CompiledPolicy>,
}

/// Tags sorted by folded key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EntityTags {
    entries: Box<[(Box<str>, Box<str>)]>,
}

impl EntityTags {
    /// Tags by folded key; the caller has made sure that no key occurs twice.
    pub fn new(mut folded: Vec<(Box<str>, Box<str>)>) -> Self {
        folded.sort();
        Self { entries: folded.into() }
    }

    /// The value of a key that is already folded.
    pub fn get(&self, folded: &str) -> Option<&str> {
        let index = self.entries.binary_search_by(|(key, _)| key.as_ref().cmp(folded)).ok()?;
        self.entries.get(index).map(|(_, value)| value.as_ref())
    }

    /// Folded keys and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

/// An AWS organization.
#[derive(Debug)]
pub struct Organization {
    /// `o-...`
    pub id: Box<str>,
    /// Not held by SCPs and RCPs.
    pub management_account: AccountId,
    /// All accounts in it, the management account included.
    pub accounts: Map<AccountId, Membership>,
}

/// Where an account stands in its organization.
#[derive(Debug)]
pub struct Membership {
    /// As in `aws:PrincipalOrgPaths`: `o-.../r-.../ou-.../`. None if the store does not say where the account is.
    pub path: Option<Box<str>>,
    /// Per level, from the root to the account: the SCPs attached there.
    pub service_control: Vec<Vec<Arc<CompiledPolicy>>>,
    /// Per level, from the root to the account: the RCPs attached there.
    pub resource_control: Vec<Vec<Arc<CompiledPolicy>>>,
}

/// How a store is read.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Account of entities whose ARN and folder name none.
    pub account_id: Option<AccountId>,
    /// Partition of the ARNs that are built.
    pub partition: String,
    /// Whether warnings refuse the store.
    pub strict: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { account_id: None, partition: "aws".to_owned(), strict: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_governed_from_the_longest_arn_on() {
        let arn = Arn::parse("arn:aws:s3:::b/x/y").unwrap();
        let governing: Vec<_> = governing_arns(&arn, usize::MAX).collect();
        assert_eq!(governing, ["arn:aws:s3:::b/x/y", "arn:aws:s3:::b/x", "arn:aws:s3:::b"]);
        assert_eq!(governing_arns(&arn, 16).collect::<Vec<_>>(), ["arn:aws:s3:::b"]);
        let arn = Arn::parse("arn:aws:lambda:r:123456789012:function:f:prod").unwrap();
        assert_eq!(governing_arns(&arn, usize::MAX).last(), Some("arn:aws:lambda:r:123456789012:function"));
    }

    /// Were each of a million slashes looked up, with all before it hashed, this would take minutes.
    #[test]
    fn what_is_longer_than_any_resource_is_not_looked_up() {
        let bucket = Resource { account: None, tags: EntityTags::default(), policy: None };
        let resources = Resources::from(Map::from_iter([("arn:aws:s3:::b".into(), Arc::new(bucket))]));
        let text = format!("arn:aws:s3:::b/{}", "/".repeat(1 << 20));
        assert_eq!(resources.governing(&Arn::parse(&text).unwrap()).count(), 1);
    }
}
