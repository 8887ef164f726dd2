//! Other files in the places of some: who has nothing to do with what changed is not looked at.
//!
//! That will do where the files define the same as before by the same names: then only who names a group or a policy of theirs is
//! looked at besides them. Whatever else may have changed, or is to be reported, is left to [`super::resolve`], which looks at all
//! files; so that no message depends on how a store came to be what it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Common;
use super::link::{Half, Linker};
use super::namers::Namers;
use super::register::Register;
use crate::directory::Directory;
use crate::directory::fragment::{Fragment, Linked, NameRole};

/// How many sets or resources that are no longer wanted may be kept, or a quarter of all: then it is time to look at all.
const MOST_LEFT_BEHIND: usize = 64;

/// A file that takes the place of another.
pub(in crate::directory) struct Patch<'d> {
    pub(in crate::directory) number: u32,
    pub(in crate::directory) old: &'d Fragment,
    pub(in crate::directory) new: Arc<Fragment>,
}

/// The directory with other files, sorted by their numbers; None if all files are to be looked at.
pub(in crate::directory) fn patch(before: &Directory, patches: &[Patch<'_>]) -> Option<Directory> {
    let is_alike = |patch: &Patch<'_>| patch.new.looks_like(patch.old) && uses_the_same_of_aws(patch, &before.common);
    if before.common.has_joint_findings || !patches.iter().all(is_alike) {
        return None;
    }
    let (linked, common) = relink(before, patches)?;
    let files = before.files.with(&linked);
    let changed: Vec<u32> = patches.iter().map(|patch| patch.number).collect();
    let sum = |count: usize, of: fn(&Fragment) -> usize| {
        patches.iter().fold(count, |count, patch| (count + of(&patch.new)).saturating_sub(of(patch.old)))
    };
    let resources = patches.iter().flat_map(|patch| patch.new.resources());
    Some(Directory {
        accounts: before.accounts.clone(),
        users: before.users.after(files.clone(), &changed)?,
        roles: before.roles.after(files.clone(), &changed)?,
        resources: before.resources.with(resources, MOST_LEFT_BEHIND)?,
        vpc_endpoints: before.vpc_endpoints.clone(),
        organization: before.organization.clone(),
        policy_count: sum(before.policy_count, |file| file.policy_count),
        statement_count: sum(before.statement_count, |file| file.statement_count),
        files,
        common,
    })
}

/// Files by their numbers, sorted.
type Numbered = Vec<(u32, Arc<Linked>)>;

/// What the references come to of the files that are others, and of those that name something in them.
fn relink(before: &Directory, patches: &[Patch<'_>]) -> Option<(Numbered, Common)> {
    let others: BTreeMap<u32, &Arc<Fragment>> = patches.iter().map(|patch| (patch.number, &patch.new)).collect();
    let named = others.iter().filter(|(_, file)| file.is_named_by_others());
    let read = before.files.with(&named.map(|(number, file)| (*number, not_linked(file))).collect::<Vec<_>>());
    let register = Register::of(&before.common, &read);
    let mut linker = Linker::beside(&before.common, &register);
    let reached =
        reached(before, patches).into_iter().filter_map(|number| Some((number, &before.files.get(number)?.fragment)));
    let mut all: BTreeMap<u32, &Arc<Fragment>> = reached.collect();
    all.extend(others);
    let halves: Vec<(u32, &Arc<Fragment>, Half)> =
        all.into_iter().map(|(number, file)| (number, file, linker.half(file))).collect();
    // What groups have is known then, also to those of these files who are in them.
    let with_groups = halves.iter().filter(|(_, file, _)| !file.groups.is_empty());
    let attached = with_groups.map(|(number, file, half)| (*number, Arc::new(half.clone().linked(file))));
    let files = before.files.with(&attached.collect::<Vec<_>>());
    let linked = halves.into_iter().map(|(number, file, half)| Some((number, linker.link_beside(file, half, &files)?)));
    let linked = linked.collect::<Option<_>>()?;
    Some((linked, common(before, patches, linker)?))
}

fn not_linked(file: &Arc<Fragment>) -> Arc<Linked> {
    Arc::new(Linked::new(file, Vec::new(), Vec::new()))
}

/// The numbers of the files that name a policy or group that may be another now.
fn reached(before: &Directory, patches: &[Patch<'_>]) -> Vec<u32> {
    let changed = || patches.iter().map(|patch| &*patch.new);
    if !changed().any(Fragment::is_named_by_others) {
        return Vec::new();
    }
    let namers = before.common.namers.get_or_init(|| Namers::of(&before.files));
    let mut reached: Vec<u32> = changed().flat_map(|file| namers.of_policies(file)).collect();
    let through_policies = reached.iter().filter_map(|number| Some(&*before.files.get(*number)?.fragment));
    let through_groups: Vec<u32> = changed().chain(through_policies).flat_map(|file| namers.of_groups(file)).collect();
    reached.extend(through_groups);
    reached
}

/// Whether the same of AWS's policies are asked for as before: all of these are counted, and nobody knows who else asks for one.
fn uses_the_same_of_aws(patch: &Patch<'_>, common: &Common) -> bool {
    let used = |file: &Fragment| {
        let names = file.names.iter().filter(|name| name.role != NameRole::Group);
        let mut used: Vec<_> =
            names.filter(|name| common.built_in.contains_key(&name.text)).map(|name| Arc::clone(&name.text)).collect();
        used.sort_unstable();
        used.dedup();
        used
    };
    used(&patch.new) == used(patch.old)
}

/// None if a policy of AWS came in, something is to be reported, or too much is no longer wanted.
fn common(before: &Directory, patches: &[Patch<'_>], linker: Linker<'_>) -> Option<Common> {
    let before = &before.common;
    if !linker.problems.is_empty()
        || linker.managed_policies.built_in.keys().any(|arn| !before.built_in.contains_key(arn))
    {
        return None;
    }
    let mut later_sets: HashMap<_, _> = before.later_sets.clone();
    later_sets.extend(linker.sets.known.into_iter().filter(|(addresses, _)| !before.sets.contains_key(addresses)));
    if later_sets.len() > MOST_LEFT_BEHIND.max(before.sets.len() / 4) {
        return None;
    }
    Some(Common {
        built_in: Arc::clone(&before.built_in),
        sets: Arc::clone(&before.sets),
        later_sets,
        shared_patterns: linker.sets.shared_patterns,
        groups: Arc::clone(&before.groups),
        managed_policies: Arc::clone(&before.managed_policies),
        namers: if patches.iter().all(|patch| patch.new.names == patch.old.names) {
            Arc::clone(&before.namers)
        } else {
            Arc::default()
        },
        has_joint_findings: false,
    })
}
