//! What the references of each file come to.

use std::collections::HashMap;
use std::sync::Arc;

use super::managed::{ManagedPolicies, Resolution};
use super::register::{Register, Who, count};
use super::sets::PolicySets;
use super::{Common, Problems};
use crate::access::shown;
use crate::directory::Directory;
use crate::directory::files::Files;
use crate::directory::fragment::{Fragment, Linked, Name, NameRole, Sets, WrittenSet};
use crate::directory::identity::Kind;
use crate::directory::principals::{Location, WrittenReference, number};
use crate::finding::{Findings, NearMisses};
use crate::policy::PolicySet;

/// Every file with what its references come to, and what is wrong with them.
pub(super) struct AllLinked {
    pub(super) files: Files,
    pub(super) common: Common,
    pub(super) problems: Problems,
}

/// Resolves references, file by file.
pub(super) struct Linker<'f> {
    files: &'f [Arc<Fragment>],
    register: &'f Register<'f>,
    pub(super) managed_policies: ManagedPolicies<'f>,
    pub(super) sets: PolicySets<'f>,
    pub(super) problems: Problems,
    /// Files of the directory before, by the address of what became of them.
    before: HashMap<*const Fragment, &'f Arc<Linked>>,
    /// Numbers of the files in which a reference comes to nothing.
    faulty: Vec<usize>,
}

/// A file of which the sets of groups may not be known yet.
#[derive(Clone)]
pub(super) struct Half {
    /// By number of the set as it is written.
    sets: Vec<Sets>,
    boundaries: Vec<Option<Arc<PolicySet>>>,
    /// Whether something that it names comes to nothing.
    is_faulty: bool,
}

impl Half {
    /// Takes in what the groups have that its file names.
    fn put_groups(&mut self, groups: Vec<(usize, Option<Sets>)>) {
        for (number, sets) in groups {
            self.is_faulty |= sets.is_none();
            if let Some(slot) = self.sets.get_mut(number) {
                *slot = sets.unwrap_or_default();
            }
        }
    }

    pub(super) fn linked(self, file: &Arc<Fragment>) -> Linked {
        Linked::new(file, self.sets, self.boundaries)
    }
}

impl<'f> Linker<'f> {
    pub(super) fn new(
        files: &'f [Arc<Fragment>],
        register: &'f Register<'f>,
        problems: Problems,
        before: Option<&'f Directory>,
    ) -> Self {
        let common = before.map(|before| &before.common);
        let linked = before.into_iter().flat_map(|before| before.files.iter());
        Self {
            files,
            register,
            managed_policies: ManagedPolicies::new(register, common),
            sets: PolicySets::after(common),
            problems,
            before: linked.map(|file| (Arc::as_ptr(&file.fragment), file)).collect(),
            faulty: Vec::new(),
        }
    }

    /// For files that join those of the directory before.
    pub(super) fn beside(before: &'f Common, register: &'f Register<'f>) -> Self {
        Self {
            files: &[],
            register,
            managed_policies: ManagedPolicies::new(register, Some(before)),
            sets: PolicySets::beside(before),
            problems: Problems::new(Findings::new(), None, &[], NearMisses::default()),
            before: HashMap::new(),
            faulty: Vec::new(),
        }
    }

    /// What a file comes to beside these; None if something that it names is not there.
    pub(super) fn link_beside(&self, file: &Arc<Fragment>, mut half: Half, others: &Files) -> Option<Arc<Linked>> {
        half.put_groups(self.groups_of(file, |at| others.get(at.file)?.sets_of_group(at.index)));
        (!half.is_faulty).then(|| Arc::new(half.linked(file)))
    }

    pub(super) fn link(mut self) -> AllLinked {
        let mut halves: Vec<Half> = self.files.iter().map(|file| self.half(file)).collect();
        for (index, file) in self.files.iter().enumerate() {
            let groups = self.groups_of(file, |at| sets_of_group(self.files, &halves, at));
            let Some(half) = halves.get_mut(index) else { continue };
            half.put_groups(groups);
            if half.is_faulty {
                self.faulty.push(index);
            }
        }
        let linked = self.files.iter().zip(halves).map(|(file, half)| self.whole(file, half)).collect();
        self.report();
        let common = Common {
            built_in: self.managed_policies.built_in.into(),
            sets: self.sets.known.into(),
            shared_patterns: self.sets.shared_patterns,
            groups: Arc::clone(&self.register.groups),
            managed_policies: Arc::clone(&self.register.managed_policies),
            ..Common::default()
        };
        AllLinked { files: linked, common, problems: self.problems }
    }

    /// What is attached in a file.
    pub(super) fn half(&mut self, file: &Arc<Fragment>) -> Half {
        let resolutions: Vec<Option<Resolution>> = file.names.iter().map(|name| self.resolution(name)).collect();
        let policy = |name: u32| match resolutions.get(name as usize)? {
            Some(Resolution::Policy(policy)) => Some(Arc::clone(policy)),
            _ => None,
        };
        let sets = file.sets.iter().map(|set| match set {
            WrittenSet::OfGroup(_) => Sets::default(),
            WrittenSet::Attached { inline, names } => {
                let attached = names.iter().filter_map(|name| policy(*name)).collect();
                self.sets.sets(inline.clone(), attached)
            }
        });
        let sets = sets.collect();
        let mut boundaries = Vec::new();
        for (number, _) in (0..).zip(&file.names).filter(|(_, name)| name.role == NameRole::Boundary) {
            boundaries.resize(number as usize, None);
            boundaries.push(policy(number).map(|policy| self.sets.apart(policy)));
        }
        let is_there = |it: &Resolution| matches!(it, Resolution::Policy(_) | Resolution::Broken);
        let is_faulty = !resolutions.iter().flatten().all(is_there);
        Half { sets, boundaries, is_faulty }
    }

    /// None of a group.
    fn resolution(&mut self, name: &Name) -> Option<Resolution> {
        match name.role {
            NameRole::Group => None,
            NameRole::Policy | NameRole::Boundary => {
                Some(self.managed_policies.resolution(name.owner, &name.text, &mut self.problems.findings))
            }
        }
    }

    /// What the groups have that a file names, by number of the set as it is written; None of a group that is not there.
    fn groups_of(
        &self,
        file: &Fragment,
        sets_of_group: impl Fn(Location) -> Option<Sets>,
    ) -> Vec<(usize, Option<Sets>)> {
        let of_group = |set: &WrittenSet| match set {
            WrittenSet::OfGroup(name) => Some(*name),
            WrittenSet::Attached { .. } => None,
        };
        let named = file.sets.iter().enumerate().filter_map(|(number, set)| Some((number, of_group(set)?)));
        let sets = |name: u32| {
            let at = self.group(file.names.get(name as usize)?)?;
            Some(sets_of_group(at).unwrap_or_default())
        };
        named.map(|(number, name)| (number, sets(name))).collect()
    }

    fn group(&self, name: &Name) -> Option<Location> {
        let (at, group) = self.register.group(name.owner, &name.text)?;
        (*group.identity.name == *name.text).then_some(at)
    }

    /// The file as it was in the directory before, if nothing in it is another now.
    fn whole(&self, file: &Arc<Fragment>, half: Half) -> Arc<Linked> {
        let linked = half.linked(file);
        let before = self.before.get(&Arc::as_ptr(file)).filter(|before| before.is_same(&linked));
        before.map_or_else(|| Arc::new(linked), |before| Arc::clone(before))
    }

    /// Reports every reference that comes to nothing: of groups, then of users, then of roles.
    fn report(&mut self) {
        let faulty = std::mem::take(&mut self.faulty);
        for kind in [Kind::Group, Kind::User, Kind::Role] {
            for (index, file) in faulty.iter().filter_map(|index| Some((*index, self.files.get(*index)?))) {
                for at in (0..number(count(file, kind))).map(|n| Location { file: number(index), index: n }) {
                    if let Some(holder) = self.register.at(kind, at).filter(|_| !self.register.is_dropped(kind, at)) {
                        self.report_holder(&holder, file, references(file, kind, at.index));
                    }
                }
            }
        }
    }

    fn report_holder(&mut self, holder: &Who<'_>, file: &Fragment, references: &[WrittenReference]) {
        for reference in references {
            let Some(name) = file.names.get(reference.name as usize) else { continue };
            let mut report = |what| {
                self.managed_policies.report(holder, &name.text, reference.position, what, &mut self.problems);
            };
            match name.role {
                NameRole::Policy => report("managed policy"),
                NameRole::Boundary => report("permissions boundary"),
                NameRole::Group if self.group(name).is_none() => self.report_group(holder, name, reference),
                NameRole::Group => {}
            }
        }
    }

    fn report_group(&mut self, user: &Who<'_>, name: &Name, reference: &WrittenReference) {
        let account = user.owner.map(|owner| owner.to_string()).unwrap_or_default();
        let message = format!("the group `{}` is not defined in account {account}", shown(&name.text));
        let mut hint = None;
        if self.problems.unreadable.is_none() {
            let same_account = self.register.groups().filter(|group| group.owner == user.owner);
            let names = same_account.map(|group| &*group.name);
            let meant = self.problems.near_misses.find(&name.text, names);
            hint = meant.map(|meant| format!("did you mean `{meant}`?"));
        }
        self.problems.missing(user, reference.position, message, hint);
    }
}

/// What stands in a file of somebody.
fn references(file: &Fragment, kind: Kind, index: u32) -> &[WrittenReference] {
    match kind {
        Kind::User => file.users.references(index),
        Kind::Role => file.roles.references(index),
        Kind::Group => file.groups.get(index as usize).map(|group| group.references.as_slice()).unwrap_or_default(),
        Kind::ManagedPolicy => &[],
    }
}

fn sets_of_group(files: &[Arc<Fragment>], halves: &[Half], at: Location) -> Option<Sets> {
    let set = files.get(at.file as usize)?.set_of_group(at.index)?;
    halves.get(at.file as usize)?.sets.get(set as usize).cloned()
}
