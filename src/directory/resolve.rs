//! References become what they name: what became of each file becomes a [`Directory`].
//!
//! All of it is done anew for a directory, in a time that grows with the number of files and of what they name, but hardly
//! with what is in them; what comes to the same as in the directory before is shared with it. Where only some files are others,
//! and none of these has anything to do with how the rest is read, [`patch`] looks at these alone.

mod link;
mod managed;
mod namers;
mod patch;
mod register;
mod sets;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use link::Linker;
use namers::Namers;
pub(super) use patch::{Patch, patch};
use register::{Register, Who};

use super::draft::report_twice;
use super::fragment::Fragment;
use super::identity::Place;
use super::principals::{Location, Principals, Roles, Users, number};
use super::table::{Table, Tag};
use super::{Directory, Map, Organization, Resource, VpcEndpoint};
use crate::access::shown;
use crate::arn::{AccountId, Arn};
use crate::finding::{Findings, NearMisses, Position};
use crate::policy::{CompiledPolicy, PolicySet};

/// What directories made one after the other may have in common besides fragments.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// AWS's own policies that are asked for, by ARN; None of one with errors.
    built_in: Arc<HashMap<Arc<str>, Option<Arc<CompiledPolicy>>>>,
    /// Sets by the addresses of their policies, which live as long as these do.
    sets: Arc<HashMap<Box<[usize]>, Arc<PolicySet>>>,
    /// Those that came in the place of others since all references were resolved.
    later_sets: HashMap<Box<[usize]>, Arc<PolicySet>>,
    /// How many patterns the indexes hold of policies that others may have, too.
    shared_patterns: usize,
    groups: Arc<Table<Location>>,
    managed_policies: Arc<Table<Location>>,
    /// Who names what; made when it is first asked for.
    namers: Arc<OnceLock<Namers>>,
    /// Whether there is something to report that is in no file alone.
    has_joint_findings: bool,
}

impl Common {
    fn set(&self, addresses: &[usize]) -> Option<&Arc<PolicySet>> {
        self.later_sets.get(addresses).or_else(|| self.sets.get(addresses))
    }
}

/// The directory and all findings; with an error among them the directory is not whole.
pub(super) fn resolve(
    files: &[Arc<Fragment>],
    mut problems: Problems,
    before: Option<&Directory>,
) -> (Directory, Findings) {
    let findings = &mut problems.findings;
    files.iter().for_each(|file| file.findings.iter().for_each(|finding| findings.add(finding.clone())));
    let of_files = findings.len();
    let register = Register::new(files, findings);
    report_repeated_ids(files, findings);
    let accounts: HashSet<AccountId> = files.iter().flat_map(|file| file.accounts.iter().copied()).collect();
    let organization = organization(files, &accounts, findings);
    let resources = resources(files, &register, findings);
    let vpc_endpoints = vpc_endpoints(files, findings);
    let linker = Linker::new(files, &register, problems, before);
    let linked = linker.link();
    let sum = |count: fn(&Fragment) -> usize| files.iter().map(|file| count(file)).sum::<usize>();
    let (mut common, findings) = (linked.common, linked.problems.finish());
    common.has_joint_findings = findings.len() > of_files;
    let built_in = || common.built_in.values().flatten();
    let built_in_statements: usize = built_in().map(|policy| policy.statement_count()).sum();
    let directory = Directory {
        accounts,
        resources: resources.into(),
        vpc_endpoints,
        organization,
        policy_count: sum(|file| file.policy_count) + built_in().count(),
        statement_count: sum(|file| file.statement_count) + built_in_statements,
        users: Users::new(linked.files.clone(), &register.users),
        roles: Roles::new(linked.files.clone(), &register.roles),
        files: linked.files,
        common,
    };
    (directory, findings)
}

/// What is wrong with references.
#[derive(Debug)]
pub(super) struct Problems {
    findings: Findings,
    /// Where what is not defined may be defined all the same.
    unreadable: Option<Place>,
    /// References that were not reported because of that.
    unresolved: usize,
    near_misses: NearMisses,
}

impl Problems {
    /// `unreadable`: the first of the files that could not be read at all.
    pub(super) fn new(
        findings: Findings,
        unreadable: Option<Place>,
        files: &[Arc<Fragment>],
        near_misses: NearMisses,
    ) -> Self {
        let unreadable = unreadable.or_else(|| files.iter().find_map(|file| file.unreadable.clone()));
        Self { findings, unreadable, unresolved: 0, near_misses }
    }

    fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.unresolved == 0
    }

    /// Reports that a reference names nothing, unless what it names may be in what could not be read.
    fn missing(&mut self, holder: &Who<'_>, position: Position, message: String, hint: Option<String>) {
        if self.unreadable.is_some() {
            self.unresolved += 1;
            return;
        }
        self.findings.error(holder.file, position, "not-defined", message);
        if let Some(hint) = hint {
            self.findings.hint(hint);
        }
    }

    fn finish(mut self) -> Findings {
        if let (Some(Place { file, position }), 1..) = (&self.unreadable, self.unresolved) {
            let count = self.unresolved;
            let references = if count == 1 { "reference" } else { "references" };
            let message = format!("{count} unresolved {references} may lead here: reported when this can be read");
            self.findings.warning(file, *position, "unresolved-references", message);
        }
        self.findings
    }
}

/// AWS gives each id once, and policies may name who has it (rule 19): two of them would share what is granted to one.
fn report_repeated_ids(files: &[Arc<Fragment>], findings: &mut Findings) {
    let ids_in = |file: &Fragment| file.users.len() + file.roles.len();
    let mut first: Table<Location> = Table::with_capacity(files.iter().map(|file| ids_in(file)).sum());
    let at = |at: Location| files.get(at.file as usize).and_then(|file| id_at(file, at.index));
    for (number_of_file, file) in (0..).zip(files) {
        for index in 0..number(ids_in(file)) {
            let here = Location { file: number_of_file, index };
            let Some(tag) = id_tag(file, index) else { continue };
            let same = |known| at(known).zip(at(here)).is_some_and(|((known, _), (id, _))| known == id);
            let Some(known) = first.find(tag, same) else {
                first.insert(tag, here);
                continue;
            };
            let Some((id, position)) = at(here) else { continue };
            let place = files.get(known.file as usize).zip(at(known));
            let place = place.map(|(file, (_, position))| Place::new(&file.path, position).to_string());
            let message =
                format!("the unique id `{}` is given twice, first at {}", shown(id), place.unwrap_or_default());
            findings.warning(&file.path, position, "duplicate-unique-id", message);
        }
    }
}

/// A principal of a file, its users counted before its roles.
fn principal_at(file: &Fragment, index: u32) -> (&Principals, u32) {
    match index.checked_sub(number(file.users.len())) {
        None => (&file.users, index),
        Some(index) => (&file.roles, index),
    }
}

fn id_at(file: &Fragment, index: u32) -> Option<(&str, Position)> {
    let (all, index) = principal_at(file, index);
    Some((all.unique_id(index)?, all.id_place(index)))
}

fn id_tag(file: &Fragment, index: u32) -> Option<Tag> {
    let (all, index) = principal_at(file, index);
    all.id_tag(index)
}

fn organization(
    files: &[Arc<Fragment>],
    accounts: &HashSet<AccountId>,
    findings: &mut Findings,
) -> Option<Arc<Organization>> {
    let mut all = files.iter().flat_map(|file| file.organizations.iter().map(move |it| (file, it)));
    let (file, (position, organization)) = all.next()?;
    let first = Place::new(&file.path, *position);
    for (file, (position, _)) in all {
        report_twice(findings, "the organization", &Place::new(&file.path, *position), &first);
    }
    if let Some(organization) = organization {
        warn_of_outsiders(organization, &first, accounts, findings);
    }
    organization.clone()
}

/// An organization without the accounts that the store holds has no hold on them, and nobody would see it (rule 64).
fn warn_of_outsiders(
    organization: &Organization,
    place: &Place,
    accounts: &HashSet<AccountId>,
    findings: &mut Findings,
) {
    let is_member = |account: &AccountId| organization.accounts.contains_key(account);
    let mut outsiders: Vec<AccountId> = accounts.iter().copied().filter(|account| !is_member(account)).collect();
    outsiders.sort_unstable();
    for account in outsiders {
        let message =
            format!("the account {account} is none of the organization's: its SCPs and RCPs do not hold there");
        findings
            .warning(&place.file, place.position, "account-outside-organization", message)
            .hint("list it under `Accounts`, unless it belongs to somebody else");
    }
}

/// What is defined by a name of its own, each once: the second one is reported.
fn each_once<'f, T: 'f>(
    files: &'f [Arc<Fragment>],
    of: impl Fn(&'f Fragment) -> &'f [(Arc<str>, Position, Arc<T>)],
    what: &str,
    findings: &mut Findings,
) -> Map<Arc<str>, Arc<T>> {
    let mut by_name = Map::default();
    let mut again = Vec::new();
    for file in files {
        for (name, position, thing) in of(file) {
            if by_name.contains_key(name) {
                again.push((name, Place::new(&file.path, *position)));
            } else {
                by_name.insert(Arc::clone(name), Arc::clone(thing));
            }
        }
    }
    if !again.is_empty() {
        let mut first: HashMap<&str, Place> = HashMap::new();
        for file in files {
            for (name, position, _) in of(file) {
                first.entry(name).or_insert_with(|| Place::new(&file.path, *position));
            }
        }
        for (name, place) in again {
            if let Some(first) = first.get(&**name) {
                report_twice(findings, &format!("the {what} `{name}`"), &place, first);
            }
        }
    }
    by_name
}

fn vpc_endpoints(files: &[Arc<Fragment>], findings: &mut Findings) -> Map<Arc<str>, Arc<VpcEndpoint>> {
    each_once(files, |file| &file.vpc_endpoints, "VPC endpoint", findings)
}

/// A role's trust policy is its resource policy, and no other thing in IAM has one: a resource with the ARN of
/// something in IAM is a second definition.
fn resources(
    files: &[Arc<Fragment>],
    register: &Register<'_>,
    findings: &mut Findings,
) -> Map<Arc<str>, Arc<Resource>> {
    let mut resources = each_once(files, |file| &file.resources, "resource", findings);
    for file in files {
        for (text, position, resource) in &file.resources {
            let Some(arn) = Arn::parse(text).filter(|arn| arn.service == "iam") else { continue };
            let is_first = resources.get(text).is_some_and(|first| Arc::ptr_eq(first, resource));
            if let Some(first) = register.with_arn(&arn).filter(|_| is_first) {
                first.report_taken(findings, &Place::new(&file.path, *position), text);
            }
        }
    }
    let tagged = files.iter().flat_map(|file| file.tagged_policies.iter().cloned());
    resources.extend(tagged);
    resources
}
