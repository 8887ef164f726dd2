//! Who and what has a name, over all files: names are unique in an account, whatever their case and path, as in IAM.

use std::collections::HashSet;
use std::sync::Arc;

use super::Common;
use crate::arn::{AccountId, Arn};
use crate::directory::draft::report_twice;
use crate::directory::files::Files;
use crate::directory::fragment::{Fragment, Group, ManagedPolicy};
use crate::directory::identity::{Identity, Kind, Place};
use crate::directory::principals::{Location, name_in, number};
use crate::directory::table::{Table, Tag};
use crate::finding::{Findings, Position};

/// Where everything is that has a name.
#[derive(Debug)]
pub(super) struct Register<'f> {
    files: Read<'f>,
    pub(super) users: Table<Location>,
    pub(super) roles: Table<Location>,
    /// Kept for the next directory, as are the next ones.
    pub(super) groups: Arc<Table<Location>>,
    pub(super) managed_policies: Arc<Table<Location>>,
    /// What has a name that is taken, and is reported for that alone.
    dropped: HashSet<(Kind, Location)>,
}

/// What became of the files, now or before.
#[derive(Clone, Copy, Debug)]
enum Read<'f> {
    Now(&'f [Arc<Fragment>]),
    Before(&'f Files),
}

impl<'f> Read<'f> {
    fn get(self, number: u32) -> Option<&'f Arc<Fragment>> {
        match self {
            Self::Now(files) => files.get(number as usize),
            Self::Before(files) => files.get(number).map(|file| &file.fragment),
        }
    }

    fn iter(self) -> impl Iterator<Item = &'f Arc<Fragment>> {
        let (now, before) = match self {
            Self::Now(files) => (Some(files), None),
            Self::Before(files) => (None, Some(files)),
        };
        now.into_iter().flatten().chain(before.into_iter().flat_map(|files| files.iter().map(|file| &file.fragment)))
    }
}

/// Something in IAM.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'f> {
    pub(super) kind: Kind,
    pub(super) owner: Option<AccountId>,
    pub(super) name: &'f str,
    pub(super) arn: &'f str,
    pub(super) file: &'f Arc<str>,
    pub(super) position: Position,
}

impl Who<'_> {
    /// Reports that its name is given again: by the same ARN, or by one that differs in case or path only.
    pub(super) fn report_taken<'r>(&self, findings: &'r mut Findings, again: &Place, arn: &str) -> &'r mut Findings {
        let place = Place::new(self.file, self.position);
        if self.arn == arn {
            report_twice(findings, &format!("the {} `{arn}`", self.kind.noun()), again, &place);
            return findings;
        }
        let message = format!("the name of `{arn}` is taken by `{}`, defined at {place}", self.arn);
        findings
            .error(&again.file, again.position, "defined-twice", message)
            .hint("IAM names are unique within an account, whatever their case and path")
    }
}

impl<'f> Register<'f> {
    /// Registers everything. A name that is taken is reported.
    pub(super) fn new(files: &'f [Arc<Fragment>], findings: &mut Findings) -> Self {
        let table = |kind| Table::with_capacity(files.iter().map(|file| count(file, kind)).sum());
        let mut register = Self {
            files: Read::Now(files),
            users: table(Kind::User),
            roles: table(Kind::Role),
            groups: table(Kind::Group).into(),
            managed_policies: table(Kind::ManagedPolicy).into(),
            dropped: HashSet::new(),
        };
        for kind in Kind::ALL {
            for (file_number, file) in (0..).zip(files) {
                for index in 0..number(count(file, kind)) {
                    register.add(kind, Location { file: file_number, index }, findings);
                }
            }
        }
        register
    }

    /// Groups and managed policies of the directory before, in files that define them where those of before do.
    pub(super) fn of(before: &Common, files: &'f Files) -> Self {
        let (groups, managed_policies) = (Arc::clone(&before.groups), Arc::clone(&before.managed_policies));
        let (users, roles, dropped) = (Table::default(), Table::default(), HashSet::new());
        Self { files: Read::Before(files), users, roles, groups, managed_policies, dropped }
    }

    fn add(&mut self, kind: Kind, at: Location, findings: &mut Findings) {
        let Some(tag) = self.tag(kind, at) else { return };
        let taken = self.table(kind).find(tag, |known| self.same_name(kind, known, at));
        let Some(first) = taken.and_then(|first| self.at(kind, first)) else {
            self.table_mut(kind).insert(tag, at);
            return;
        };
        let Some(new) = self.at(kind, at) else { return };
        let findings = first.report_taken(findings, &Place::new(new.file, new.position), new.arn);
        if new.owner.is_none() {
            findings.hint("AWS's policies may be repeated, but not with another document: dump both accounts anew");
        }
        self.dropped.insert((kind, at));
    }

    fn tag(&self, kind: Kind, at: Location) -> Option<Tag> {
        match kind {
            Kind::User => self.file(at)?.users.name_tag(at.index),
            Kind::Role => self.file(at)?.roles.name_tag(at.index),
            Kind::Group | Kind::ManagedPolicy => self.at(kind, at).map(|who| Tag::of_name(who.owner, who.name)),
        }
    }

    fn same_name(&self, kind: Kind, one: Location, other: Location) -> bool {
        let both = self.at(kind, one).zip(self.at(kind, other));
        both.is_some_and(|(one, other)| has_name(&one, other.owner, other.name))
    }

    /// Whether it is not registered, since its name is taken.
    pub(super) fn is_dropped(&self, kind: Kind, at: Location) -> bool {
        self.dropped.contains(&(kind, at))
    }

    /// The group of this name, case aside.
    pub(super) fn group(&self, owner: Option<AccountId>, name: &str) -> Option<(Location, &'f Group)> {
        let at = self.named(Kind::Group, owner, name)?;
        Some((at, self.file(at)?.groups.get(at.index as usize)?))
    }

    /// The managed policy of this name, case aside.
    pub(super) fn managed_policy(&self, owner: Option<AccountId>, name: &str) -> Option<&'f ManagedPolicy> {
        let at = self.named(Kind::ManagedPolicy, owner, name)?;
        self.file(at)?.managed_policies.get(at.index as usize)
    }

    /// Every group that is registered, in the order of the files.
    pub(super) fn groups(&self) -> impl Iterator<Item = &'f Identity> {
        self.files.iter().flat_map(|file| file.groups.iter().map(|group| &group.identity))
    }

    /// Every managed policy, in the order of the files.
    pub(super) fn managed_policies(&self) -> impl Iterator<Item = &'f Identity> {
        self.files.iter().flat_map(|file| file.managed_policies.iter().map(|policy| &policy.identity))
    }

    /// The thing in IAM with exactly this ARN.
    pub(super) fn with_arn(&self, arn: &Arn<'_>) -> Option<Who<'f>> {
        let name = arn.resource.rsplit('/').next()?;
        let find = |kind| self.at(kind, self.named(kind, arn.account_id(), name)?).filter(|who| who.arn == arn.text);
        Kind::ALL.into_iter().find_map(find)
    }

    fn named(&self, kind: Kind, owner: Option<AccountId>, name: &str) -> Option<Location> {
        let table = self.table(kind);
        let tag = Tag::of_name(owner, name);
        table.find(tag, |at| self.at(kind, at).is_some_and(|known| has_name(&known, owner, name)))
    }

    /// What is at a place.
    pub(super) fn at(&self, kind: Kind, at: Location) -> Option<Who<'f>> {
        let file = self.file(at)?;
        let (all, index) = match kind {
            Kind::User => (&file.users, at.index),
            Kind::Role => (&file.roles, at.index),
            Kind::Group => return Some(who(&file.groups.get(at.index as usize)?.identity)),
            Kind::ManagedPolicy => return Some(who(&file.managed_policies.get(at.index as usize)?.identity)),
        };
        let arn = all.arn(index);
        let (owner, name) = name_in(arn)?;
        Some(Who { kind, owner: Some(owner), name, arn, file: &file.path, position: all.place(index) })
    }

    fn file(&self, at: Location) -> Option<&'f Arc<Fragment>> {
        self.files.get(at.file)
    }

    fn table(&self, kind: Kind) -> &Table<Location> {
        match kind {
            Kind::User => &self.users,
            Kind::Role => &self.roles,
            Kind::Group => &self.groups,
            Kind::ManagedPolicy => &self.managed_policies,
        }
    }

    fn table_mut(&mut self, kind: Kind) -> &mut Table<Location> {
        match kind {
            Kind::User => &mut self.users,
            Kind::Role => &mut self.roles,
            Kind::Group => Arc::make_mut(&mut self.groups),
            Kind::ManagedPolicy => Arc::make_mut(&mut self.managed_policies),
        }
    }
}

fn has_name(who: &Who<'_>, owner: Option<AccountId>, name: &str) -> bool {
    who.owner == owner && who.name.eq_ignore_ascii_case(name)
}

fn who(identity: &Identity) -> Who<'_> {
    let Identity { kind, owner, name, arn, place, .. } = identity;
    Who { kind: *kind, owner: *owner, name, arn, file: &place.file, position: place.position }
}

/// How many things of a kind a file has.
pub(super) fn count(file: &Fragment, kind: Kind) -> usize {
    match kind {
        Kind::User => file.users.len(),
        Kind::Role => file.roles.len(),
        Kind::Group => file.groups.len(),
        Kind::ManagedPolicy => file.managed_policies.len(),
    }
}
