//! Files in, [`Directory`] out: every file is read as it comes, references are resolved at the end.

use std::sync::Arc;

use super::digest::Digest;
use super::draft::{Before, Draft};
use super::entity::elements;
use super::fragment::{Comparisons, Fragment};
use super::identity::Place;
use super::keys;
use super::resolve::{Patch, Problems, patch, resolve};
use super::schema;
use super::{Directory, StoreOptions, Written};
use crate::finding::{Finding, Findings, NearMisses, Position, WORDS_TO_COMPARE, near_miss};
use crate::json::{self, Node, PartReader, SyntaxError, Value};

/// How many comparisons the hints for all references of one store may cost: about 30 times all of AWS's policies, some
/// milliseconds each. A store with thousands of slips is told of all of them, with hints for the first.
const NAMES_TO_COMPARE: usize = 50_000;

/// The lists of a dump. With one of these keys, an object is one.
const DUMP_LISTS: [&str; 4] = ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"];

/// Reads a policy store, file by file; [`Loader::finish`] resolves it, all or nothing.
#[derive(Debug)]
pub struct Loader {
    options: StoreOptions,
    /// What became of the files so far.
    fragments: Vec<Arc<Fragment>>,
    /// What they have left to the next one.
    before: Before,
    /// What is kept for checks, if anything is.
    written: Option<Written>,
    /// Why files could not be read.
    findings: Findings,
    /// The first of those.
    unreadable: Option<Place>,
}

/// A file that is another than when the directory before was made.
#[derive(Debug)]
pub struct ChangedFile {
    /// Relative to the store's root, with `/`.
    pub path: Arc<str>,
    /// Of its content.
    pub digest: Digest,
    /// Its content.
    pub text: String,
}

impl ChangedFile {
    /// As it would be read after the files that come before the one in whose place it is.
    fn read<'d>(&self, options: &StoreOptions, before: &'d Directory) -> Option<Patch<'d>> {
        let number = before.files.number_of(&self.path)?;
        let old = &before.files.get(number)?.fragment;
        let mut loader = Loader::new(options);
        loader.before.left = old.footing.comparisons;
        loader.read(old.path(), &self.text, Some(self.digest));
        Some(Patch { number, old, new: loader.fragments.pop()? })
    }
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
            (DUMP_LISTS.into_iter().any(has), Self::Dump),
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
        Self {
            options: options.clone(),
            fragments: Vec::new(),
            before: Before {
                left: Comparisons { words: WORDS_TO_COMPARE, names: NAMES_TO_COMPARE },
                ..Before::default()
            },
            written: None,
            findings: Findings::new(),
            unreadable: None,
        }
    }

    /// A store without files, of which what is written is kept for checks, besides what becomes of it.
    pub fn keeping_written(options: &StoreOptions) -> Self {
        Self { written: Some(Written::default()), ..Self::new(options) }
    }

    /// What was written in the files so far; nothing, unless it is kept. For once: it is handed over.
    pub fn written(&mut self) -> Written {
        self.written.take().unwrap_or_default()
    }

    /// Reads one file. `path` is relative to the store's root, with `/` between folders: their names may give the
    /// account.
    pub fn file(&mut self, path: &str, text: &str) {
        self.read(&path.into(), text, None);
    }

    /// Reads one file, of which the content has this digest.
    pub fn read(&mut self, path: &Arc<str>, text: &str, digest: Option<Digest>) {
        let mut reading = Reading { draft: self.draft(path), file: path };
        match json::parse_in_parts(text, &mut reading) {
            Ok(node) => {
                reading.draft.node(path, &node);
                let draft = reading.draft;
                self.take(draft, digest);
            }
            Err(errors) => {
                self.before = reading.draft.discard();
                let draft = self.refused(path, errors);
                self.take(draft, digest);
            }
        }
    }

    /// Reads a document that is parsed already: the inline store of a policy test.
    pub fn node(&mut self, path: &Arc<str>, node: &Node<'_>) {
        let mut draft = self.draft(path);
        draft.node(path, node);
        self.take(draft, None);
    }

    /// Takes over what became of a file when it was read before. False, and nothing is done, if something else would become of
    /// it now: then it is to be read.
    pub fn reuse(&mut self, fragment: &Arc<Fragment>) -> bool {
        if !self.before.comes_to_the_same(&fragment.footing) {
            return false;
        }
        self.before.pass(&fragment.footing);
        self.fragments.push(Arc::clone(fragment));
        true
    }

    /// Takes in why a file could not be read: since it is not known what it defines, references that may lead there are
    /// not reported.
    pub fn unreadable(&mut self, finding: Finding) {
        self.unreadable.get_or_insert_with(|| Place::new(&finding.file, finding.position));
        self.findings.add(finding);
    }

    /// Resolves every reference. The directory with its warnings, or all errors and warnings; both sorted.
    pub fn finish(self) -> Result<(Directory, Vec<Finding>), Vec<Finding>> {
        self.finish_after(None)
    }

    /// As [`Loader::finish`], and whatever did not change since is shared with the directory before.
    pub fn finish_after(self, before: Option<&Directory>) -> Result<(Directory, Vec<Finding>), Vec<Finding>> {
        let (strict, fragments) = (self.options.strict, self.fragments);
        let (findings, near_misses) = (self.findings, NearMisses::within(self.before.left.names));
        let problems = Problems::new(findings, self.unreadable, &fragments, near_misses);
        let (directory, findings) = resolve(&fragments, problems, before);
        if findings.refuses(strict) {
            return Err(findings.into_sorted());
        }
        Ok((directory, findings.into_sorted()))
    }

    /// The directory in which these files, sorted by path, are others, with its findings; None if that may concern more than these
    /// files, or something is wrong with one: then all files are to be looked at. Files of `before` are in the order of their paths.
    pub fn patch(
        options: &StoreOptions,
        before: &Directory,
        findings: &[Finding],
        others: &[ChangedFile],
    ) -> Option<(Directory, Vec<Finding>)> {
        let patches: Vec<_> = others.iter().map(|file| file.read(options, before)).collect::<Option<_>>()?;
        let directory = patch(before, &patches)?;
        let mut all = Findings::new();
        let is_other = |finding: &Finding| others.binary_search_by(|file| file.path.cmp(&finding.file)).is_ok();
        findings.iter().filter(|finding| !is_other(finding)).for_each(|finding| all.add(finding.clone()));
        patches.iter().flat_map(|patch| &patch.new.findings).for_each(|finding| all.add(finding.clone()));
        (!all.refuses(options.strict)).then(|| (directory, all.into_sorted()))
    }

    fn draft(&mut self, path: &Arc<str>) -> Draft {
        Draft::new(&self.options, path, std::mem::take(&mut self.before), self.written.is_some())
    }

    fn take(&mut self, draft: Draft, digest: Option<Digest>) {
        let (fragment, before, written) = draft.finish(digest);
        self.before = before;
        self.fragments.push(Arc::new(fragment));
        if let (Some(all), Some(mut written)) = (&mut self.written, written) {
            all.policies.append(&mut written.policies);
            all.holders.append(&mut written.holders);
        }
    }

    /// A file that is not JSON.
    fn refused(&mut self, path: &Arc<str>, errors: Vec<SyntaxError>) -> Draft {
        let mut draft = self.draft(path);
        draft.unreadable(path, Position::START);
        for error in errors {
            draft.findings.error(path, error.position, error.code, error.message);
        }
        draft
    }
}

/// A file that is being read.
struct Reading<'f> {
    draft: Draft,
    file: &'f Arc<str>,
}

impl<'a> PartReader<'a> for Reading<'_> {
    /// With one of these keys it is a dump, whatever follows.
    fn wants(&self, key: &str) -> bool {
        DUMP_LISTS.contains(&key)
    }

    fn element(&mut self, key: &str, element: &Node<'a>) {
        self.draft.element_of_dump(self.file, key, element);
    }

    fn document(&mut self, document: &Node<'a>) {
        self.draft.node(self.file, document);
    }
}

impl Draft {
    fn node(&mut self, path: &Arc<str>, node: &Node<'_>) {
        match &node.value {
            Value::Array(elements) => elements.iter().for_each(|element| self.node(path, element)),
            Value::Object(_) => self.object(path, node),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let message = format!("expected an object or a list of objects, found {}", node.kind());
                self.unreadable(path, node.position);
                self.findings.error(path, node.position, "unknown-document", message);
            }
        }
    }

    fn object(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let Some(document) = Document::of(node) else { return self.unknown(file, node) };
        if let Some(keys) = document.schema() {
            schema::check(node, keys, file, &mut self.findings);
        }
        match document {
            Document::Dump => self.dump(file, node),
            Document::User => self.user(file, node),
            Document::Role => self.role(file, node),
            Document::Group => self.group(file, node),
            Document::ManagedPolicy => self.managed_policy(file, node),
            Document::BarePolicy => self.bare_policy(file, node),
            Document::Resource => self.resource(file, node),
            Document::Organization => self.organization(file, node),
            Document::VpcEndpoint => self.vpc_endpoint(file, node),
        }
    }

    fn dump(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let truncated = node.get("IsTruncated").filter(|flag| flag.value == Value::Bool(true));
        if let Some(at) = truncated.or(node.get("NextToken")) {
            self.unreadable(file, at.position);
            self.findings.error(file, at.position, "truncated-dump", "this account dump is not whole").hint(
                "`aws iam get-account-authorization-details` without --max-items and --no-paginate prints all of it",
            );
        }
        // Where the file was read in parts, these have been taken in, and the lists are empty.
        for key in DUMP_LISTS {
            elements(node, key).iter().for_each(|element| self.detail(file, key, element));
        }
    }

    /// An element of a dump that is not in it any more when the dump comes.
    fn element_of_dump(&mut self, file: &Arc<str>, key: &str, element: &Node<'_>) {
        let keys = match key {
            "UserDetailList" => &keys::USER,
            "GroupDetailList" => &keys::GROUP,
            "RoleDetailList" => &keys::ROLE,
            _ => &keys::MANAGED_POLICY,
        };
        schema::check(element, keys, file, &mut self.findings);
        self.detail(file, key, element);
    }

    fn detail(&mut self, file: &Arc<str>, key: &str, element: &Node<'_>) {
        match key {
            "UserDetailList" => self.user(file, element),
            "GroupDetailList" => self.group(file, element),
            "RoleDetailList" => self.role(file, element),
            _ => self.managed_policy(file, element),
        }
    }

    fn unknown(&mut self, file: &Arc<str>, node: &Node<'_>) {
        self.unreadable(file, node.position);
        let expected = TELLING_KEYS.map(|key| format!("`{key}`")).join(", ");
        let message = format!("nothing that a policy store holds: expected an object with one of {expected}");
        self.findings.error(file, node.position, "unknown-document", message);
        let keys: Vec<&str> = node.as_object().unwrap_or_default().iter().map(|member| &*member.key).collect();
        if let [wrapper @ ("User" | "Role" | "Group" | "Policy")] = keys.as_slice() {
            self.findings.hint(format!("give what stands in `{wrapper}`, without it"));
        } else if keys == ["PolicyVersion"] {
            self.findings.hint("give the `Document` that stands in `PolicyVersion`, in a file named like the policy");
        } else if let Some(meant) = keys.iter().find_map(|key| near_miss(key, TELLING_KEYS)) {
            self.findings.hint(format!("did you mean `{meant}`?"));
        }
    }
}
