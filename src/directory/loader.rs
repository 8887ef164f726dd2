//! Files in, [`Directory`] out: every file is read as it comes, references are resolved at the end.

use std::sync::Arc;

use super::draft::Draft;
use super::entity::elements;
use super::keys;
use super::resolve::resolve;
use super::schema;
use super::{Directory, StoreOptions, Written};
use crate::finding::{Finding, Position, near_miss};
use crate::json::{self, Node, Value};

/// Reads a policy store, file by file; [`Loader::finish`] resolves it, all or nothing.
#[derive(Debug)]
pub struct Loader {
    draft: Draft,
}

/// What an object is, in the order in which its keys decide it.
#[derive(Clone, Copy)]
enum Document {
    Dump,
    User,
    Role,
    Group,
    ManagedPolicy,
    BarePolicy,
    Resource,
    Organization,
    VpcEndpoint,
}

/// The keys that decide what an object is.
const TELLING_KEYS: [&str; 12] = [
    "UserDetailList",
    "GroupDetailList",
    "RoleDetailList",
    "Policies",
    "UserName",
    "RoleName",
    "GroupName",
    "PolicyName",
    "Statement",
    "ResourceArn",
    "Organization",
    "VpcEndpointId",
];

impl Document {
    /// The first row of the table in the policy store's documentation that the object fits.
    fn of(node: &Node<'_>) -> Option<Self> {
        let has = |key| node.get(key).is_some();
        let policy = has("PolicyName") && (has("PolicyVersionList") || has("PolicyDocument"));
        let rows = [
            (["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"].into_iter().any(has), Self::Dump),
            (has("UserName"), Self::User),
            (has("RoleName"), Self::Role),
            (has("GroupName"), Self::Group),
            (policy, Self::ManagedPolicy),
            (has("Statement"), Self::BarePolicy),
            (has("ResourceArn"), Self::Resource),
            (has("Organization"), Self::Organization),
            (has("VpcEndpointId"), Self::VpcEndpoint),
            // Not in the table: an error that is better told where managed policies are read.
            (has("PolicyName"), Self::ManagedPolicy),
        ];
        rows.into_iter().find_map(|(fits, document)| fits.then_some(document))
    }

    /// Its keys; None where the policy language has them.
    fn schema(self) -> Option<&'static schema::Object> {
        match self {
            Self::Dump => Some(&keys::DUMP),
            Self::User => Some(&keys::USER),
            Self::Role => Some(&keys::ROLE),
            Self::Group => Some(&keys::GROUP),
            Self::ManagedPolicy => Some(&keys::MANAGED_POLICY),
            Self::BarePolicy => None,
            Self::Resource => Some(&keys::RESOURCE),
            Self::Organization => Some(&keys::ORGANIZATION_FILE),
            Self::VpcEndpoint => Some(&keys::VPC_ENDPOINT),
        }
    }
}

impl Loader {
    /// A store without files.
    pub fn new(options: &StoreOptions) -> Self {
        Self { draft: Draft::new(options) }
    }

    /// A store without files, of which what is written is kept for checks, besides what becomes of it.
    pub fn keeping_written(options: &StoreOptions) -> Self {
        let mut loader = Self::new(options);
        loader.draft.written = Some(Written::default());
        loader
    }

    /// What was written in the files so far; nothing, unless it is kept. For once: it is handed over.
    pub fn written(&mut self) -> Written {
        self.draft.written.take().unwrap_or_default()
    }

    /// Reads one file. `path` is relative to the store's root, with `/` between folders: their names may give the
    /// account.
    pub fn file(&mut self, path: &str, text: &str) {
        let path: Arc<str> = path.into();
        match json::parse(text) {
            Ok(node) => self.node(&path, &node),
            Err(errors) => {
                self.draft.unreadable(&path, Position::START);
                for error in errors {
                    self.draft.findings.error(&path, error.position, error.code, error.message);
                }
            }
        }
    }

    /// Reads a document that is parsed already: the inline store of a policy test.
    pub fn node(&mut self, path: &Arc<str>, node: &Node<'_>) {
        match &node.value {
            Value::Array(elements) => elements.iter().for_each(|element| self.node(path, element)),
            Value::Object(_) => self.object(path, node),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let message = format!("expected an object or a list of objects, found {}", node.kind());
                self.draft.unreadable(path, node.position);
                self.draft.findings.error(path, node.position, "unknown-document", message);
            }
        }
    }

    /// Takes in why a file could not be read: since it is not known what it defines, references that may lead there are
    /// not reported.
    pub fn unreadable(&mut self, finding: Finding) {
        self.draft.unreadable(&finding.file, finding.position);
        self.draft.findings.add(finding);
    }

    /// Resolves every reference. The directory with its warnings, or all errors and warnings; both sorted.
    pub fn finish(self) -> Result<(Directory, Vec<Finding>), Vec<Finding>> {
        let strict = self.draft.options.strict;
        let (directory, findings) = resolve(self.draft);
        if findings.refuses(strict) {
            return Err(findings.into_sorted());
        }
        Ok((directory, findings.into_sorted()))
    }

    fn object(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let Some(document) = Document::of(node) else { return self.unknown(file, node) };
        if let Some(keys) = document.schema() {
            schema::check(node, keys, file, &mut self.draft.findings);
        }
        match document {
            Document::Dump => self.dump(file, node),
            Document::User => self.draft.user(file, node),
            Document::Role => self.draft.role(file, node),
            Document::Group => self.draft.group(file, node),
            Document::ManagedPolicy => self.draft.managed_policy(file, node),
            Document::BarePolicy => self.draft.bare_policy(file, node),
            Document::Resource => self.draft.resource(file, node),
            Document::Organization => self.draft.organization(file, node),
            Document::VpcEndpoint => self.draft.vpc_endpoint(file, node),
        }
    }

    fn dump(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let truncated = node.get("IsTruncated").filter(|flag| flag.value == Value::Bool(true));
        if let Some(at) = truncated.or(node.get("NextToken")) {
            self.draft.unreadable(file, at.position);
            self.draft.findings.error(file, at.position, "truncated-dump", "this account dump is not whole").hint(
                "`aws iam get-account-authorization-details` without --max-items and --no-paginate prints all of it",
            );
        }
        elements(node, "UserDetailList").iter().for_each(|user| self.draft.user(file, user));
        elements(node, "GroupDetailList").iter().for_each(|group| self.draft.group(file, group));
        elements(node, "RoleDetailList").iter().for_each(|role| self.draft.role(file, role));
        elements(node, "Policies").iter().for_each(|policy| self.draft.managed_policy(file, policy));
    }

    fn unknown(&mut self, file: &Arc<str>, node: &Node<'_>) {
        self.draft.unreadable(file, node.position);
        let expected = TELLING_KEYS.map(|key| format!("`{key}`")).join(", ");
        let message = format!("nothing that a policy store holds: expected an object with one of {expected}");
        self.draft.findings.error(file, node.position, "unknown-document", message);
        let keys: Vec<&str> = node.as_object().unwrap_or_default().iter().map(|member| &*member.key).collect();
        if let [wrapper @ ("User" | "Role" | "Group" | "Policy")] = keys.as_slice() {
            self.draft.findings.hint(format!("give what stands in `{wrapper}`, without it"));
        } else if keys == ["PolicyVersion"] {
            self.draft
                .findings
                .hint("give the `Document` that stands in `PolicyVersion`, in a file named like the policy");
        } else if let Some(meant) = keys.iter().find_map(|key| near_miss(key, TELLING_KEYS)) {
            self.draft.findings.hint(format!("did you mean `{meant}`?"));
        }
    }
}
