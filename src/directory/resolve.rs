//! References become what they name: the draft becomes a [`Directory`].

mod attached;
mod sets;

use std::collections::HashSet;
use std::sync::Arc;

use attached::ManagedPolicies;
use sets::PolicySets;

use super::draft::{Draft, Grants, Group, Principal, Reference, Role, User};
use super::identity::{Identity, Place};
use super::registry::{Identified, Registry, report_taken};
use super::{Directory, Entity, Map, Resource};
use crate::access::shown;
use crate::arn::{AccountId, Arn};
use crate::finding::{Findings, NearMisses};
use crate::policy::PolicySet;

/// The directory and all findings; with an error among them the directory is not whole.
pub(super) fn resolve(mut draft: Draft) -> (Directory, Findings) {
    report_resources_in_iam(&mut draft);
    let accounts = accounts(&draft);
    warn_of_outsiders(&mut draft, &accounts);
    let Draft { users, roles, groups, resources, tagged_policies, vpc_endpoints, organization, .. } = draft;
    let mut resolver = Resolver {
        problems: Problems {
            findings: draft.findings,
            unreadable: draft.unreadable,
            unresolved: 0,
            near_misses: draft.near_misses,
        },
        managed_policies: ManagedPolicies::new(draft.managed_policies),
        sets: PolicySets::default(),
        group_sets: Vec::new(),
        groups,
    };
    resolver.resolve_groups();
    let (user_names, role_names) = (users.names(), roles.names());
    let users = users.into_vec().into_iter().map(|user| resolver.user(user)).collect();
    let roles = resolver.roles(roles);
    let resources: Map<_, _> =
        resources.into_iter().map(|(arn, (_, resource))| (arn, resource)).chain(tagged_policies).collect();
    let directory = Directory {
        accounts,
        users,
        roles,
        user_names,
        role_names,
        resources: resources.into(),
        vpc_endpoints: vpc_endpoints.into_iter().map(|(id, (_, endpoint))| (id, endpoint)).collect(),
        organization: organization.and_then(|(_, organization)| organization),
        policy_count: draft.policy_count + resolver.managed_policies.policy_count,
        statement_count: draft.statement_count + resolver.managed_policies.statement_count,
    };
    (directory, resolver.problems.finish())
}

/// An organization without the accounts that the store holds has no hold on them, and nobody would see it (rule 64).
fn warn_of_outsiders(draft: &mut Draft, accounts: &HashSet<AccountId>) {
    let Some((place, Some(organization))) = &draft.organization else { return };
    let is_member = |account: &AccountId| organization.accounts.contains_key(account);
    let mut outsiders: Vec<AccountId> = accounts.iter().copied().filter(|account| !is_member(account)).collect();
    outsiders.sort_unstable();
    for account in outsiders {
        let message =
            format!("the account {account} is none of the organization's: its SCPs and RCPs do not hold there");
        draft
            .findings
            .warning(&place.file, place.position, "account-outside-organization", message)
            .hint("list it under `Accounts`, unless it belongs to somebody else");
    }
}

/// What is wrong with references.
struct Problems {
    findings: Findings,
    /// Where what is not defined may be defined all the same.
    unreadable: Option<Place>,
    /// References that were not reported because of that.
    unresolved: usize,
    near_misses: NearMisses,
}

impl Problems {
    /// Reports that a reference names nothing, unless what it names may be in what could not be read.
    fn missing(&mut self, holder: &Identity, reference: &Reference, message: String, hint: Option<String>) {
        if self.unreadable.is_some() {
            self.unresolved += 1;
            return;
        }
        self.findings.error(&holder.place.file, reference.position, "not-defined", message);
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

struct Resolver {
    problems: Problems,
    managed_policies: ManagedPolicies,
    groups: Registry<Group>,
    sets: PolicySets,
    /// By number of the group.
    group_sets: Vec<Vec<Arc<PolicySet>>>,
}

impl Resolver {
    fn resolve_groups(&mut self) {
        let groups = self.groups.iter();
        let resolve = |group: &Group| {
            let attached = self.managed_policies.attached(&group.identity, &group.grants.attached, &mut self.problems);
            self.sets.sets(group.grants.inline.clone(), attached)
        };
        self.group_sets = groups.map(resolve).collect();
    }

    fn user(&mut self, user: User) -> (Box<str>, Entity) {
        let identity = &user.principal.identity;
        let inherited: Vec<usize> = user.groups.iter().filter_map(|group| self.group(identity, group)).collect();
        let entity = self.entity(user.principal, &inherited);
        (entity.arn.clone(), entity)
    }

    fn roles(&mut self, roles: Registry<Role>) -> Map<AccountId, Map<Box<str>, super::Role>> {
        let mut by_account: Map<AccountId, Map<Box<str>, super::Role>> = Map::default();
        for Role { principal, trust, service_linked } in roles.into_vec() {
            let (owner, name) = (principal.identity.owner, principal.identity.name.clone());
            let entity = self.entity(principal, &[]);
            // Without trust policy it has an error: no directory will come of this.
            if let (Some(account), Some(trust)) = (owner, trust) {
                by_account.entry(account).or_default().insert(name, super::Role { entity, trust, service_linked });
            }
        }
        by_account
    }

    fn entity(&mut self, principal: Principal, groups: &[usize]) -> Entity {
        let Principal { identity, unique_id, tags, grants: Grants { inline, attached }, boundary } = principal;
        let attached = self.managed_policies.attached(&identity, &attached, &mut self.problems);
        let mut policies = self.sets.sets(inline, attached);
        for set in groups.iter().filter_map(|group| self.group_sets.get(*group)).flatten() {
            // A group may be named twice, and may have just what is attached directly.
            if !policies.iter().any(|known| Arc::ptr_eq(known, set)) {
                policies.push(Arc::clone(set));
            }
        }
        let boundary = boundary.and_then(|boundary| {
            self.managed_policies.find(&identity, &boundary, "permissions boundary", &mut self.problems)
        });
        let boundary = boundary.map(|policy| self.sets.set(vec![policy]));
        Entity { arn: identity.arn, unique_id, tags, policies: policies.into(), boundary }
    }

    /// The number of a user's group.
    fn group(&mut self, user: &Identity, reference: &Reference) -> Option<usize> {
        let near = self.groups.named(user.owner, &reference.text);
        if let Some((index, _)) = near.filter(|(_, group)| *group.identity.name == *reference.text) {
            return Some(index);
        }
        let account = user.owner.map(|owner| owner.to_string()).unwrap_or_default();
        let message = format!("the group `{}` is not defined in account {account}", shown(&reference.text));
        let mut hint = None;
        if self.problems.unreadable.is_none() {
            let same_account = self.groups.iter().filter(|group| group.identity.owner == user.owner);
            let names = same_account.map(|group| &*group.identity.name);
            let meant = self.problems.near_misses.find(&reference.text, names);
            hint = meant.map(|meant| format!("did you mean `{meant}`?"));
        }
        self.problems.missing(user, reference, message, hint);
        None
    }
}

/// A role's trust policy is its resource policy, and no other thing in IAM has one: a resource with the ARN of
/// something in IAM is a second definition.
fn report_resources_in_iam(draft: &mut Draft) {
    fn place<'a, T: Identified>(registry: &'a Registry<T>, arn: &Arn<'_>) -> Option<&'a Identity> {
        registry.with_arn(arn).map(T::identity)
    }
    for (text, (at, _)) in &draft.resources {
        let Some(arn) = Arn::parse(text).filter(|arn| arn.service == "iam") else { continue };
        let first = place(&draft.users, &arn)
            .or_else(|| place(&draft.roles, &arn))
            .or_else(|| place(&draft.groups, &arn))
            .or_else(|| place(&draft.managed_policies, &arn));
        if let Some(first) = first {
            report_taken(&mut draft.findings, at, text, first);
        }
    }
}

fn accounts(draft: &Draft) -> HashSet<AccountId> {
    fn owners<T: Identified>(registry: &Registry<T>) -> impl Iterator<Item = AccountId> {
        registry.iter().filter_map(|thing| thing.identity().owner)
    }
    let owner = |(_, resource): &(Place, Resource)| resource.account;
    owners(&draft.users)
        .chain(owners(&draft.roles))
        .chain(owners(&draft.groups))
        .chain(owners(&draft.managed_policies))
        .chain(draft.resources.values().filter_map(owner))
        .collect()
}
