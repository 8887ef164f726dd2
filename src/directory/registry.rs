//! Things of one kind in IAM, found by account and name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::TakenNames;
use super::identity::{Identity, Place};
use crate::arn::{AccountId, Arn};
use crate::finding::Findings;

/// Something that has an [`Identity`].
pub(super) trait Identified {
    fn identity(&self) -> &Identity;
}

/// Things of one kind. Their names are unique within an account, whatever their case and path, as in IAM.
#[derive(Debug)]
pub(super) struct Registry<T> {
    list: Vec<T>,
    by_name: HashMap<(Option<AccountId>, Box<str>), usize>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { list: Vec::new(), by_name: HashMap::new() }
    }
}

impl<T: Identified> Registry<T> {
    /// Adds a thing, unless its name is taken: then that is reported. True if it was added.
    pub(super) fn add(&mut self, thing: T, findings: &mut Findings) -> bool {
        let identity = thing.identity();
        if !identity.known {
            return false;
        }
        match self.by_name.entry(key(identity.owner, &identity.name)) {
            Entry::Vacant(free) => {
                free.insert(self.list.len());
                self.list.push(thing);
                true
            }
            Entry::Occupied(taken) => {
                // INVARIANT: indexes are those of `list`, which only grows.
                if let Some(first) = self.list.get(*taken.get()) {
                    report_taken(findings, &identity.place, &identity.arn, first.identity());
                }
                false
            }
        }
    }

    /// The thing with this name, case aside, and its number.
    pub(super) fn named(&self, owner: Option<AccountId>, name: &str) -> Option<(usize, &T)> {
        let index = *self.by_name.get(&key(owner, name))?;
        self.list.get(index).map(|thing| (index, thing))
    }

    /// The thing with exactly this ARN.
    pub(super) fn with_arn(&self, arn: &Arn<'_>) -> Option<&T> {
        let name = arn.resource.rsplit('/').next()?;
        let (_, thing) = self.named(arn.account_id(), name)?;
        (*thing.identity().arn == *arn.text).then_some(thing)
    }

    /// The names of all things, by account.
    pub(super) fn names(&self) -> TakenNames {
        let of_account = |(owner, name): &(Option<AccountId>, Box<str>)| Some(((*owner)?, name.clone()));
        TakenNames { folded: self.by_name.keys().filter_map(of_account).collect() }
    }

    /// All things, in the order of the files.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.list.iter()
    }

    /// All things, in the order of the files.
    pub(super) fn into_vec(self) -> Vec<T> {
        self.list
    }
}

fn key(owner: Option<AccountId>, name: &str) -> (Option<AccountId>, Box<str>) {
    (owner, name.to_ascii_lowercase().into())
}

/// Reports a name that is taken: by the same ARN, or by one that differs in case or path only.
pub(super) fn report_taken(findings: &mut Findings, again: &Place, arn: &str, first: &Identity) {
    let Identity { kind, arn: first_arn, place, .. } = first;
    if **first_arn == *arn {
        let message = format!("the {} `{arn}` is defined twice, first at {place}", kind.noun());
        findings.error(&again.file, again.position, "defined-twice", message);
    } else {
        let message = format!("the name of `{arn}` is taken by `{first_arn}`, defined at {place}");
        findings
            .error(&again.file, again.position, "defined-twice", message)
            .hint("IAM names are unique within an account, whatever their case and path");
    }
}
