//! Users, roles and groups as their files say, with what is written in them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::EntityTags;
use super::draft::{Draft, Grants, Group, Principal, Reference, Role, User};
use super::identity::{Identity, Kind, Place};
use crate::access::{fold_key, shown};
use crate::finding::Position;
use crate::json::Node;
use crate::policy::PolicyKind;

impl Draft {
    /// Takes in a user whose keys are checked.
    pub(super) fn user(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::User);
        let principal = self.principal(file, node, identity, ["UserId", "UserPolicyList"]);
        let groups = self.references(elements(node, "GroupList"));
        self.note_holder(&principal.identity, &principal.grants.attached, &groups);
        self.users.add(User { principal, groups }, &mut self.findings);
    }

    /// Takes in a role whose keys are checked.
    pub(super) fn role(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::Role);
        let principal = self.principal(file, node, identity, ["RoleId", "RolePolicyList"]);
        self.note_holder(&principal.identity, &principal.grants.attached, &[]);
        let arn = principal.identity.arn.clone();
        let document = node.get("AssumeRolePolicyDocument");
        let trust = document.and_then(|document| self.compile(file, document, PolicyKind::Trust, &arn));
        let service_linked = arn.splitn(6, ':').last().is_some_and(|path| path.starts_with("role/aws-service-role/"));
        if let (true, Some(boundary)) = (service_linked, &principal.boundary) {
            let message = format!("the service-linked role `{arn}` cannot have a permissions boundary");
            self.findings.error(file, boundary.position, "service-linked-boundary", message);
        }
        self.roles.add(Role { principal, trust, service_linked }, &mut self.findings);
    }

    /// Takes in a group whose keys are checked.
    pub(super) fn group(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::Group);
        let grants = self.grants(file, node, "GroupPolicyList", &identity.arn);
        self.note_holder(&identity, &grants.attached, &[]);
        self.groups.add(Group { identity, grants }, &mut self.findings);
    }

    fn principal(
        &mut self,
        file: &Arc<str>,
        node: &Node<'_>,
        identity: Identity,
        [id_key, inline_key]: [&str; 2],
    ) -> Principal {
        let boundary = node.get("PermissionsBoundary").and_then(|boundary| boundary.get("PermissionsBoundaryArn"));
        Principal {
            unique_id: node.get(id_key).and_then(|id| self.unique_id(file, id)),
            tags: self.tags(file, node),
            grants: self.grants(file, node, inline_key, &identity.arn),
            boundary: boundary.and_then(|arn| self.reference(arn)),
            identity,
        }
    }

    /// AWS gives each id once, and policies may name who has it (rule 19): two of them would share what is granted to one.
    fn unique_id(&mut self, file: &Arc<str>, node: &Node<'_>) -> Option<Box<str>> {
        let id = node.as_str()?;
        match self.unique_ids.entry(id.into()) {
            Entry::Vacant(free) => {
                free.insert(Place::new(file, node.position));
            }
            Entry::Occupied(taken) => {
                let message = format!("the unique id `{}` is given twice, first at {}", shown(id), taken.get());
                self.findings.warning(file, node.position, "duplicate-unique-id", message);
            }
        }
        Some(id.into())
    }

    fn grants(&mut self, file: &Arc<str>, node: &Node<'_>, inline_key: &str, arn: &str) -> Grants {
        let mut grants = Grants::default();
        let mut names = HashSet::new();
        for element in elements(node, inline_key) {
            let (Some(name), Some(document)) = (element.get("PolicyName"), element.get("PolicyDocument")) else {
                continue; // The schema has said so.
            };
            let written = name.as_str().unwrap_or_default();
            if !names.insert(written) {
                let message = format!("the inline policy `{}` is given twice", shown(written));
                self.findings.error(file, name.position, "defined-twice", message);
            }
            let reference = format!("{arn}/inline/{written}");
            grants.inline.extend(self.compile(file, document, PolicyKind::Identity, &reference));
        }
        let attached = elements(node, "AttachedManagedPolicies");
        grants.attached = self.references(attached.iter().filter_map(|element| element.get("PolicyArn")));
        grants
    }

    fn references<'n, 'a: 'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node<'a>>) -> Vec<Reference> {
        nodes.into_iter().filter_map(|node| self.reference(node)).collect()
    }

    /// The tags of a user, role or resource. Keys that differ in case only are one key: policies cannot tell them
    /// apart.
    pub(super) fn tags(&mut self, file: &Arc<str>, node: &Node<'_>) -> EntityTags {
        let mut seen: HashMap<String, (&str, Position)> = HashMap::new();
        let mut tags = Vec::new();
        for element in elements(node, "Tags") {
            let (Some(key), Some(value)) = (element.get("Key"), element.get("Value").and_then(Node::as_str)) else {
                continue; // The schema has said so.
            };
            let Some(written) = key.as_str() else { continue };
            let folded = fold_key(written);
            if written.is_empty() {
                self.findings.error(file, key.position, "invalid-tag", "the key of a tag is empty");
            } else if let Some((first, at)) = seen.get(&folded) {
                let message = format!("the tag `{}` is given twice, first on line {}", shown(written), at.line);
                self.findings.error(file, key.position, "duplicate-tag", message);
                if *first != written {
                    self.findings.hint(format!("policies do not tell `{}` from `{}`", shown(first), shown(written)));
                }
            } else {
                tags.push((folded.as_str().into(), value.into()));
                seen.insert(folded, (written, key.position));
            }
        }
        EntityTags::new(tags)
    }
}

/// The elements of a list that may be absent.
pub(super) fn elements<'n, 'a>(node: &'n Node<'a>, key: &str) -> &'n [Node<'a>] {
    node.get(key).and_then(Node::as_array).unwrap_or_default()
}
