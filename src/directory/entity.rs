//! Users, roles and groups as their files say, with what is written in them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::EntityTags;
use super::draft::{Draft, Grants, Principal, Reference, reference};
use super::identity::{Identity, Kind};
use crate::access::{fold_key, shown};
use crate::finding::Position;
use crate::json::Node;
use crate::policy::PolicyKind;

impl Draft {
    /// Takes in a user whose keys are checked.
    pub(super) fn user(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::User);
        let mut user = self.principal(file, node, identity, ["UserId", "UserPolicyList"]);
        user.groups = references(elements(node, "GroupList"));
        self.note_holder(&user.identity, user.grants.attached.len(), user.groups.len());
        self.add_user(user);
    }

    /// Takes in a role whose keys are checked.
    pub(super) fn role(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::Role);
        let principal = self.principal(file, node, identity, ["RoleId", "RolePolicyList"]);
        self.note_holder(&principal.identity, principal.grants.attached.len(), 0);
        let arn = principal.identity.arn.clone();
        let document = node.get("AssumeRolePolicyDocument");
        let trust = document.and_then(|document| self.compile(file, document, PolicyKind::Trust, &arn));
        let service_linked = arn.splitn(6, ':').last().is_some_and(|path| path.starts_with("role/aws-service-role/"));
        if let (true, Some((_, position))) = (service_linked, principal.boundary) {
            let message = format!("the service-linked role `{arn}` cannot have a permissions boundary");
            self.findings.error(file, position, "service-linked-boundary", message);
        }
        self.add_role(principal, trust, service_linked);
    }

    /// Takes in a group whose keys are checked.
    pub(super) fn group(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::Group);
        let grants = self.grants(file, node, "GroupPolicyList", &identity.arn);
        self.note_holder(&identity, grants.attached.len(), 0);
        self.add_group(identity, grants);
    }

    fn principal<'n>(
        &mut self,
        file: &Arc<str>,
        node: &'n Node<'_>,
        identity: Identity,
        [id_key, inline_key]: [&str; 2],
    ) -> Principal<'n> {
        let boundary = node.get("PermissionsBoundary").and_then(|boundary| boundary.get("PermissionsBoundaryArn"));
        Principal {
            unique_id: node.get(id_key).and_then(reference),
            tags: self.tags(file, node),
            grants: self.grants(file, node, inline_key, &identity.arn),
            boundary: boundary.and_then(reference),
            groups: Vec::new(),
            identity,
        }
    }

    fn grants<'n>(&mut self, file: &Arc<str>, node: &'n Node<'_>, inline_key: &str, arn: &str) -> Grants<'n> {
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
        grants.attached = references(attached.iter().filter_map(|element| element.get("PolicyArn")));
        grants
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

fn references<'n, 'a: 'n>(nodes: impl IntoIterator<Item = &'n Node<'a>>) -> Vec<Reference<'n>> {
    nodes.into_iter().filter_map(reference).collect()
}

/// The elements of a list that may be absent.
pub(super) fn elements<'n, 'a>(node: &'n Node<'a>, key: &str) -> &'n [Node<'a>] {
    node.get(key).and_then(Node::as_array).unwrap_or_default()
}
