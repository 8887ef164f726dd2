//! What one file says, gathered while it is read: policies are compiled, references are not resolved yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::digest::Digest;
use super::fragment::{
    AwsPolicy, Comparisons, Footing, Fragment, Group, ManagedPolicy, Name, NameRole, Standing, WrittenSet,
};
use super::identity::{Identity, Place};
use super::principals::{NONE, NewPrincipal, Principals, WrittenReference, number};
use super::table::{Table, Tag};
use super::{EntityTags, Holder, Organization, Resource, StoreOptions, VpcEndpoint, Written};
use crate::arn::AccountId;
use crate::finding::{Findings, NearMisses, Position};
use crate::json::{Node, Value};
use crate::policy::{self, CompiledPolicy, PolicyKind, PolicyName};

/// Everything that was read of a file so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) options: StoreOptions,
    path: Arc<str>,
    pub(super) findings: Findings,
    unreadable: Option<Place>,
    pub(super) near_misses: NearMisses,
    pub(super) accounts: Vec<AccountId>,
    users: Principals,
    roles: Principals,
    trusts: Vec<(Option<Arc<CompiledPolicy>>, bool)>,
    groups: Vec<Group>,
    managed_policies: Vec<ManagedPolicy>,
    pub(super) resources: Vec<(Arc<str>, Position, Arc<Resource>)>,
    pub(super) tagged_policies: Vec<(Arc<str>, Arc<Resource>)>,
    pub(super) vpc_endpoints: Vec<(Arc<str>, Position, Arc<VpcEndpoint>)>,
    pub(super) organizations: Vec<(Position, Option<Arc<Organization>>)>,
    names: Distinct<Name>,
    sets: Distinct<WrittenSet>,
    tags: Distinct<EntityTags>,
    policy_count: usize,
    statement_count: usize,
    /// What is kept for checks, if anything is.
    pub(super) written: Option<Written>,
    /// AWS's policies by name, of this file and those before it.
    known_aws_policies: AwsPolicies,
    pub(super) aws_policies: Vec<AwsPolicy>,
    left_at_first: Comparisons,
}

/// By name, the ARN and the digest of each policy of AWS that a file defines, as the first one does.
pub(super) type AwsPolicies = HashMap<Box<str>, (Box<str>, Option<Digest>)>;

/// What a file is read by: what the files before it have left or defined.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) left: Comparisons,
    pub(super) aws_policies: AwsPolicies,
}

impl Before {
    /// What this policy of AWS is to those that are known; it is known from now on.
    pub(super) fn standing(known: &mut AwsPolicies, policy: &AwsPolicy) -> Standing {
        match known.entry(policy.name.to_ascii_lowercase().into()) {
            Entry::Vacant(free) => {
                free.insert((policy.arn.clone(), policy.digest));
                Standing::New
            }
            Entry::Occupied(first) => {
                let (arn, digest) = first.get();
                let same = policy.digest.is_some() && *arn == policy.arn && *digest == policy.digest;
                if same { Standing::Repeated } else { Standing::Conflicting }
            }
        }
    }

    /// Whether the same becomes of a file that was read on this footing.
    pub(super) fn comes_to_the_same(&self, footing: &Footing) -> bool {
        let Comparisons { words, names } = footing.compared;
        let first = footing.comparisons;
        let enough = |left: usize, first: usize, compared: usize| left == first || compared < first && compared <= left;
        let same_comparisons =
            enough(self.left.words, first.words, words) && enough(self.left.names, first.names, names);
        if footing.aws_policies.is_empty() {
            return same_comparisons;
        }
        let mut known = self.aws_policies.clone();
        same_comparisons
            && footing.aws_policies.iter().all(|policy| Self::standing(&mut known, policy) == policy.standing)
    }

    /// Goes past a file that was read on such a footing.
    pub(super) fn pass(&mut self, footing: &Footing) {
        self.left.words = self.left.words.saturating_sub(footing.compared.words);
        self.left.names = self.left.names.saturating_sub(footing.compared.names);
        for policy in &footing.aws_policies {
            Self::standing(&mut self.aws_policies, policy);
        }
    }
}

/// The name or ARN of something that may be defined in another file.
pub(super) type Reference<'n> = (&'n str, Position);

/// The policies of a user, group or role.
#[derive(Debug, Default)]
pub(super) struct Grants<'n> {
    pub(super) inline: Vec<Arc<CompiledPolicy>>,
    pub(super) attached: Vec<Reference<'n>>,
}

/// What users and roles have in common.
#[derive(Debug)]
pub(super) struct Principal<'n> {
    pub(super) identity: Identity,
    pub(super) unique_id: Option<Reference<'n>>,
    pub(super) tags: EntityTags,
    pub(super) grants: Grants<'n>,
    pub(super) boundary: Option<Reference<'n>>,
    pub(super) groups: Vec<Reference<'n>>,
}

/// Things of which many are the same, each once, by number.
#[derive(Debug)]
struct Distinct<T> {
    list: Vec<T>,
    numbers: Table<u32>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { list: Vec::new(), numbers: Table::default() }
    }
}

impl<T> Distinct<T> {
    /// The number of the thing that has this tag and is the right one; it is put in, if it is new.
    fn number(&mut self, tag: Tag, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> u32 {
        self.find(tag, is_it).unwrap_or_else(|| self.insert(tag, new()))
    }

    fn find(&self, tag: Tag, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        self.numbers.find(tag, |n| self.list.get(n as usize).is_some_and(&is_it))
    }

    fn insert(&mut self, tag: Tag, thing: T) -> u32 {
        let number = self.push(thing);
        self.numbers.insert(tag, number);
        number
    }

    /// The number of a thing that is like no other.
    fn push(&mut self, thing: T) -> u32 {
        self.list.push(thing);
        number(self.list.len() - 1)
    }
}

impl Distinct<Name> {
    fn name(&mut self, role: NameRole, owner: Option<AccountId>, text: &str) -> u32 {
        let is_it = |name: &Name| name.role == role && name.owner == owner && *name.text == *text;
        self.number(Tag::of(text), is_it, || Name { role, owner, text: text.into() })
    }
}

impl Distinct<WrittenSet> {
    fn of_group(&mut self, name: u32) -> u32 {
        let is_it = |set: &WrittenSet| matches!(set, WrittenSet::OfGroup(known) if *known == name);
        self.number(Tag::of_numbers(&[name], true), is_it, || WrittenSet::OfGroup(name))
    }

    /// None if nothing is attached. Nobody else has what is written inline.
    fn attached(&mut self, inline: Vec<Arc<CompiledPolicy>>, names: &[u32]) -> Option<u32> {
        if inline.is_empty() && names.is_empty() {
            return None;
        }
        if !inline.is_empty() {
            return Some(self.push(WrittenSet::Attached { inline, names: names.into() }));
        }
        let is_it = |set: &WrittenSet| match set {
            WrittenSet::Attached { inline, names: known } => inline.is_empty() && **known == *names,
            WrittenSet::OfGroup(_) => false,
        };
        let new = || WrittenSet::Attached { inline, names: names.into() };
        Some(self.number(Tag::of_numbers(names, false), is_it, new))
    }
}

impl Distinct<EntityTags> {
    /// NONE if there are none.
    fn tags(&mut self, tags: EntityTags) -> u32 {
        if tags.iter().len() == 0 {
            return NONE;
        }
        let tag = Tag::of_texts(tags.iter().flat_map(|(key, value)| [key, value]));
        self.find(tag, |known| *known == tags).unwrap_or_else(|| self.insert(tag, tags))
    }
}

impl Draft {
    pub(super) fn new(options: &StoreOptions, path: &Arc<str>, before: Before, written: bool) -> Self {
        Self {
            options: options.clone(),
            path: Arc::clone(path),
            findings: Findings::within(before.left.words),
            near_misses: NearMisses::within(before.left.names),
            left_at_first: before.left,
            known_aws_policies: before.aws_policies,
            written: written.then(Written::default),
            ..Self::default()
        }
    }

    /// What became of the file, and of what the files before it have left.
    pub(super) fn finish(mut self, digest: Option<Digest>) -> (Fragment, Before, Option<Written>) {
        let left = Comparisons { words: self.findings.words_left(), names: self.near_misses.left() };
        let compared = Comparisons {
            words: self.left_at_first.words.saturating_sub(left.words),
            names: self.left_at_first.names.saturating_sub(left.names),
        };
        self.users.shrink();
        self.roles.shrink();
        self.sets.list.shrink_to_fit();
        self.accounts.sort_unstable();
        self.accounts.dedup();
        let fragment = Fragment {
            path: self.path,
            digest,
            footing: Footing { comparisons: self.left_at_first, compared, aws_policies: self.aws_policies },
            findings: self.findings.into_sorted(),
            unreadable: self.unreadable,
            accounts: self.accounts,
            users: self.users,
            roles: self.roles,
            trusts: self.trusts,
            groups: self.groups,
            managed_policies: self.managed_policies,
            resources: self.resources,
            tagged_policies: self.tagged_policies,
            vpc_endpoints: self.vpc_endpoints,
            organizations: self.organizations,
            names: self.names.list,
            sets: self.sets.list,
            tags: self.tags.list,
            policy_count: self.policy_count,
            statement_count: self.statement_count,
        };
        (fragment, Before { left, aws_policies: self.known_aws_policies }, self.written)
    }

    /// As if nothing had been read of the file.
    pub(super) fn discard(mut self) -> Before {
        for policy in self.aws_policies.iter().filter(|policy| policy.standing == Standing::New) {
            self.known_aws_policies.remove(&*policy.name.to_ascii_lowercase());
        }
        Before { left: self.left_at_first, aws_policies: self.known_aws_policies }
    }

    /// Notes that it is not known what is defined here.
    pub(super) fn unreadable(&mut self, file: &Arc<str>, position: Position) {
        self.unreadable.get_or_insert_with(|| Place::new(file, position));
    }

    /// Compiles a policy document. None after an error.
    pub(super) fn compile(
        &mut self,
        file: &Arc<str>,
        node: &Node<'_>,
        kind: PolicyKind,
        reference: &str,
    ) -> Option<Arc<CompiledPolicy>> {
        if !matches!(node.value, Value::Object(_) | Value::String(_)) {
            return None; // The schema has said so.
        }
        let name = PolicyName { reference: reference.into(), file: Arc::clone(file) };
        if let Some(written) = &mut self.written {
            written.policies.extend(policy::written(node, kind, name.clone()));
        }
        let policy = policy::load(node, kind, name, &mut self.findings)?;
        self.policy_count += 1;
        self.statement_count += policy.statement_count();
        Some(Arc::new(policy))
    }

    pub(super) fn add_user(&mut self, user: Principal<'_>) {
        if let Some(new) = self.add_principal(user) {
            self.users.push(&new.as_new());
        }
    }

    pub(super) fn add_role(&mut self, role: Principal<'_>, trust: Option<Arc<CompiledPolicy>>, service_linked: bool) {
        if let Some(new) = self.add_principal(role) {
            self.roles.push(&new.as_new());
            self.trusts.push((trust, service_linked));
        }
    }

    pub(super) fn add_group(&mut self, identity: Identity, grants: Grants<'_>) {
        if identity.known {
            self.accounts.extend(identity.owner);
            let references = self.numbered(NameRole::Policy, identity.owner, &grants.attached);
            let set = self.sets.attached(grants.inline, &names_of(&references));
            self.groups.push(Group { identity, set, references });
        }
    }

    pub(super) fn add_managed_policy(&mut self, identity: Identity, policy: Option<Arc<CompiledPolicy>>) {
        if identity.known {
            self.accounts.extend(identity.owner);
            self.managed_policies.push(ManagedPolicy { identity, policy });
        }
    }

    /// Whether this policy of AWS only repeats what this file or one before it says: every account's dump repeats them.
    pub(super) fn repeats(&mut self, mut policy: AwsPolicy) -> bool {
        policy.standing = Before::standing(&mut self.known_aws_policies, &policy);
        let standing = policy.standing;
        self.aws_policies.push(policy);
        standing == Standing::Repeated
    }

    /// None where it is not known who it is: then it is read for its other errors only.
    fn add_principal<'n>(&mut self, principal: Principal<'n>) -> Option<Numbered<'n>> {
        let Principal { identity, unique_id, tags, grants, boundary, groups } = principal;
        if !identity.known {
            return None;
        }
        let owner = identity.owner;
        if self.accounts.last().copied() != owner {
            self.accounts.extend(owner);
        }
        let mut references = self.numbered(NameRole::Policy, owner, &grants.attached);
        let mut sets = Vec::from_iter(self.sets.attached(grants.inline, &names_of(&references)));
        let groups = self.numbered(NameRole::Group, owner, &groups);
        for group in &groups {
            let set = self.sets.of_group(group.name);
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        let boundary = self.numbered(NameRole::Boundary, owner, boundary.as_slice());
        references.extend(groups);
        references.extend(&boundary);
        let (tags, boundary) = (self.tags.tags(tags), boundary.first().map_or(NONE, |boundary| boundary.name));
        Some(Numbered { identity, unique_id, sets, tags, boundary, references })
    }

    fn numbered(
        &mut self,
        role: NameRole,
        owner: Option<AccountId>,
        references: &[Reference<'_>],
    ) -> Vec<WrittenReference> {
        let of = |(text, position): &Reference<'_>| WrittenReference {
            name: self.names.name(role, owner, text),
            position: *position,
        };
        references.iter().map(of).collect()
    }

    /// Notes how many policies and groups somebody has, if that is kept.
    pub(super) fn note_holder(&mut self, identity: &Identity, attached: usize, groups: usize) {
        if let (Some(written), true) = (&mut self.written, identity.known) {
            written.holders.push(Holder {
                arn: identity.arn.clone(),
                kind: identity.kind.noun(),
                file: Arc::clone(&identity.place.file),
                position: identity.place.position,
                attached,
                groups,
            });
        }
    }

    /// Reports a second definition of something that may be defined once.
    pub(super) fn defined_twice(&mut self, what: &str, again: &Place, first: &Place) {
        report_twice(&mut self.findings, what, again, first);
    }
}

/// Reports a second definition of something that may be defined once.
pub(super) fn report_twice(findings: &mut Findings, what: &str, again: &Place, first: &Place) {
    let message = format!("{what} is defined twice, first at {first}");
    findings.error(&again.file, again.position, "defined-twice", message);
}

/// A user or role whose references have numbers.
struct Numbered<'n> {
    identity: Identity,
    unique_id: Option<Reference<'n>>,
    sets: Vec<u32>,
    tags: u32,
    boundary: u32,
    references: Vec<WrittenReference>,
}

impl Numbered<'_> {
    fn as_new(&self) -> NewPrincipal<'_> {
        NewPrincipal {
            arn: &self.identity.arn,
            unique_id: self.unique_id,
            place: self.identity.place.position,
            sets: &self.sets,
            tags: self.tags,
            boundary: self.boundary,
            references: &self.references,
        }
    }
}

fn names_of(references: &[WrittenReference]) -> Vec<u32> {
    references.iter().map(|reference| reference.name).collect()
}

/// A reference by the string that stands at `node`; None if it is no string (the schema has said so).
pub(super) fn reference<'n>(node: &'n Node<'_>) -> Option<Reference<'n>> {
    Some((node.as_str()?, node.position))
}
