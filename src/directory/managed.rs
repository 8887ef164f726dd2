//! Managed policies as their files say: with versions, with one document, or a bare document.

use std::sync::Arc;

use super::Resource;
use super::digest::digest;
use super::draft::Draft;
use super::entity::elements;
use super::fragment::{AwsPolicy, Standing};
use super::identity::{Identity, Kind, WrittenIdentity};
use crate::access::shown;
use crate::finding::Severity;
use crate::json::{Node, Value};
use crate::policy::PolicyKind;

impl Draft {
    /// Takes in a managed policy whose keys are checked.
    pub(super) fn managed_policy(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let identity = self.identify(file, node, Kind::ManagedPolicy);
        let tags = self.tags(file, node);
        if identity.known && tags.iter().len() > 0 {
            let tagged = Resource { account: identity.owner, tags, policy: None };
            self.tagged_policies.push((identity.arn.as_ref().into(), Arc::new(tagged)));
        }
        let document = self.document_that_counts(file, node);
        self.managed_policy_of(file, identity, document);
    }

    /// Takes in a bare policy document, named like its file.
    pub(super) fn bare_policy(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let file_name = file.rsplit('/').next().unwrap_or_default();
        let written = WrittenIdentity {
            kind: Kind::ManagedPolicy,
            name: file_name.strip_suffix(".json").unwrap_or(file_name),
            name_position: node.position,
            arn: None,
            path: None,
            position: node.position,
        };
        let identity = self.identify_written(file, &written);
        self.managed_policy_of(file, identity, Some(node));
    }

    fn managed_policy_of(&mut self, file: &Arc<str>, identity: Identity, document: Option<&Node<'_>>) {
        let of_aws = identity.known && identity.owner.is_none();
        if of_aws {
            let (name, arn, digest) = (identity.name.clone(), identity.arn.clone(), document.map(digest));
            if self.repeats(AwsPolicy { name, arn, digest, standing: Standing::New }) {
                return;
            }
        }
        let before = of_aws.then(|| std::mem::take(&mut self.findings));
        let policy = document.and_then(|document| self.compile(file, document, PolicyKind::Identity, &identity.arn));
        if let Some(before) = before {
            // As of those that are built in: what there is to warn of is AWS's business, not the user's.
            let own = std::mem::replace(&mut self.findings, before);
            let errors = own.into_sorted().into_iter().filter(|finding| finding.severity == Severity::Error);
            errors.for_each(|error| self.findings.add(error));
        }
        self.add_managed_policy(identity, policy);
    }

    /// `PolicyDocument`, or the `Document` of the default version. None after an error.
    fn document_that_counts<'n, 'a>(&mut self, file: &Arc<str>, node: &'n Node<'a>) -> Option<&'n Node<'a>> {
        match (node.get("PolicyDocument"), node.get("PolicyVersionList")) {
            (Some(document), None) => Some(document),
            (None, Some(_)) => self.default_version(file, node)?.get("Document"),
            (Some(document), Some(_)) => {
                let message = "a managed policy has `PolicyVersionList` or `PolicyDocument`, not both";
                self.findings.error(file, document.position, "two-documents", message);
                None
            }
            (None, None) => {
                let message = "a managed policy needs `PolicyVersionList` or `PolicyDocument`";
                self.findings
                    .error(file, node.position, "missing-key", message)
                    .hint("`aws iam get-account-authorization-details` prints policies with their versions");
                None
            }
        }
    }

    /// The one version with `IsDefaultVersion`; without one, the version that `DefaultVersionId` names.
    fn default_version<'n, 'a>(&mut self, file: &Arc<str>, node: &'n Node<'a>) -> Option<&'n Node<'a>> {
        let versions = elements(node, "PolicyVersionList");
        let is_default =
            |version: &&Node<'_>| version.get("IsDefaultVersion").map(|n| &n.value) == Some(&Value::Bool(true));
        let flagged: Vec<_> = versions.iter().filter(is_default).collect();
        let id = node.get("DefaultVersionId").and_then(Node::as_str);
        let named = || versions.iter().find(|version| id.is_some() && version_id(version) == id);
        let (at, message) = match (flagged.as_slice(), id) {
            ([version], None) => return Some(version),
            ([version], Some(id)) if version_id(version).is_none_or(|own| own == id) => return Some(version),
            ([version], Some(id)) => {
                (*version, format!("this version has `IsDefaultVersion`, but `DefaultVersionId` is `{}`", shown(id)))
            }
            ([], _) if named().is_some() => return named(),
            ([], _) => (node, "no version of this policy is its default".to_owned()),
            ([_, second, ..], _) => (*second, "two versions of this policy have `IsDefaultVersion`".to_owned()),
        };
        self.findings
            .error(file, at.position, "no-default-version", message)
            .hint("exactly one version has `\"IsDefaultVersion\": true`");
        None
    }
}

fn version_id<'n>(version: &'n Node<'_>) -> Option<&'n str> {
    version.get("VersionId").and_then(Node::as_str)
}
