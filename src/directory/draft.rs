//! What the files say, gathered until all of them are read: policies are compiled, references are not resolved yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::identity::{Identity, Place};
use super::registry::{Identified, Registry};
use super::{EntityTags, Holder, Organization, Resource, StoreOptions, VpcEndpoint, Written};
use crate::finding::{Findings, NearMisses, Position};
use crate::json::{Node, Value};
use crate::policy::{self, CompiledPolicy, PolicyKind, PolicyName};

/// How many comparisons the hints for all references of one store may cost: about 30 times all of AWS's policies, some
/// milliseconds each. A store with thousands of slips is told of all of them, with hints for the first.
const REFERENCES_TO_COMPARE: usize = 50_000;

/// Everything that was read so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) options: StoreOptions,
    pub(super) findings: Findings,
    /// The first thing that could not be read so far that it would be known what it defines: references to that cannot
    /// be told from references to nothing.
    pub(super) unreadable: Option<Place>,
    pub(super) near_misses: NearMisses,
    pub(super) users: Registry<User>,
    pub(super) roles: Registry<Role>,
    pub(super) groups: Registry<Group>,
    pub(super) managed_policies: Registry<ManagedPolicy>,
    pub(super) resources: HashMap<Box<str>, (Place, Resource)>,
    /// Managed policies that have tags, which are resources in that.
    pub(super) tagged_policies: Vec<(Box<str>, Resource)>,
    pub(super) vpc_endpoints: HashMap<Box<str>, (Place, VpcEndpoint)>,
    /// None inside if it has errors.
    pub(super) organization: Option<(Place, Option<Organization>)>,
    pub(super) policy_count: usize,
    pub(super) statement_count: usize,
    /// What is kept for checks, if anything is.
    pub(super) written: Option<Written>,
    /// Where each unique id was given first.
    pub(super) unique_ids: HashMap<Box<str>, Place>,
    /// Texts of references: few policies and groups are named by many users.
    texts: HashSet<Arc<str>>,
}

/// The name or ARN of something that may be defined in another file.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) text: Arc<str>,
    pub(super) position: Position,
}

/// The policies of a user, group or role.
#[derive(Debug, Default)]
pub(super) struct Grants {
    pub(super) inline: Vec<Arc<CompiledPolicy>>,
    pub(super) attached: Vec<Reference>,
}

/// What users and roles have in common.
#[derive(Debug)]
pub(super) struct Principal {
    pub(super) identity: Identity,
    pub(super) unique_id: Option<Box<str>>,
    pub(super) tags: EntityTags,
    pub(super) grants: Grants,
    pub(super) boundary: Option<Reference>,
}

/// A user as it is written.
#[derive(Debug)]
pub(super) struct User {
    pub(super) principal: Principal,
    pub(super) groups: Vec<Reference>,
}

/// A role as it is written.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) principal: Principal,
    /// None if it has errors.
    pub(super) trust: Option<Arc<CompiledPolicy>>,
    pub(super) service_linked: bool,
}

/// A group as it is written.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) identity: Identity,
    pub(super) grants: Grants,
}

/// A managed policy as it is written.
#[derive(Debug)]
pub(super) struct ManagedPolicy {
    pub(super) identity: Identity,
    /// None if it has errors.
    pub(super) policy: Option<Arc<CompiledPolicy>>,
    /// Digest of the document, of AWS's policies only: every account's dump repeats them.
    pub(super) digest: Option<[u8; 32]>,
}

impl Identified for User {
    fn identity(&self) -> &Identity {
        &self.principal.identity
    }
}

impl Identified for Role {
    fn identity(&self) -> &Identity {
        &self.principal.identity
    }
}

impl Identified for Group {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Identified for ManagedPolicy {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Draft {
    pub(super) fn new(options: &StoreOptions) -> Self {
        Self { options: options.clone(), near_misses: NearMisses::within(REFERENCES_TO_COMPARE), ..Self::default() }
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

    /// A reference by the string that stands at `node`; None if it is no string (the schema has said so).
    pub(super) fn reference(&mut self, node: &Node<'_>) -> Option<Reference> {
        let written = node.as_str()?;
        let text = match self.texts.get(written) {
            Some(known) => Arc::clone(known),
            None => {
                let text: Arc<str> = written.into();
                self.texts.insert(Arc::clone(&text));
                text
            }
        };
        Some(Reference { text, position: node.position })
    }

    /// Notes how many policies and groups somebody has, if that is kept.
    pub(super) fn note_holder(&mut self, identity: &Identity, attached: &[Reference], groups: &[Reference]) {
        if let (Some(written), true) = (&mut self.written, identity.known) {
            written.holders.push(Holder {
                arn: identity.arn.clone(),
                kind: identity.kind.noun(),
                file: Arc::clone(&identity.place.file),
                position: identity.place.position,
                attached: attached.len(),
                groups: groups.len(),
            });
        }
    }

    /// Reports a second definition of something that may be defined once.
    pub(super) fn defined_twice(&mut self, what: &str, again: &Place, first: &Place) {
        let message = format!("{what} is defined twice, first at {first}");
        self.findings.error(&again.file, again.position, "defined-twice", message);
    }
}
