//! Which files name a policy or a group.

use std::collections::HashMap;
use std::sync::Arc;

use crate::arn::AccountId;
use crate::directory::files::Files;
use crate::directory::fragment::{Fragment, NameRole};

/// Numbers of files by what they name.
#[derive(Debug, Default)]
pub(super) struct Namers {
    /// By ARN, as what is attached or as a boundary.
    of_policy: HashMap<Arc<str>, Vec<u32>>,
    /// By name, each with the account in which that is looked for.
    of_group: HashMap<Arc<str>, Vec<(Option<AccountId>, u32)>>,
}

impl Namers {
    pub(super) fn of(files: &Files) -> Self {
        let mut namers = Self::default();
        for (number, file) in (0..).zip(files.iter()) {
            for name in &file.fragment.names {
                let text = Arc::clone(&name.text);
                match name.role {
                    NameRole::Policy | NameRole::Boundary => namers.of_policy.entry(text).or_default().push(number),
                    NameRole::Group => namers.of_group.entry(text).or_default().push((name.owner, number)),
                }
            }
        }
        namers
    }

    /// Of the managed policies in a file.
    pub(super) fn of_policies(&self, file: &Fragment) -> impl Iterator<Item = u32> {
        file.managed_policies().filter_map(|(_, arn, _)| self.of_policy.get(arn)).flatten().copied()
    }

    /// Of the groups in a file.
    pub(super) fn of_groups(&self, file: &Fragment) -> impl Iterator<Item = u32> {
        let namers = file.groups().filter_map(|(owner, _, name)| Some((owner, self.of_group.get(name)?)));
        namers.flat_map(|(owner, all)| {
            all.iter().filter(move |(account, _)| *account == owner).map(|(_, number)| *number)
        })
    }
}
