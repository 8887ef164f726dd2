//! Managed policies by ARN: those of the store, else those of AWS that are built in.

use std::collections::HashMap;
use std::sync::Arc;

use super::Problems;
use crate::access::shown;
use crate::arn::Arn;
use crate::catalogue;
use crate::directory::draft::{ManagedPolicy, Reference};
use crate::directory::identity::Identity;
use crate::directory::registry::Registry;
use crate::finding::{Findings, NearMisses};
use crate::json;
use crate::policy::{self, CompiledPolicy, PolicyKind, PolicyName};

/// All managed policies there are; AWS's own are compiled when they are first asked for.
pub(super) struct ManagedPolicies {
    store: Registry<ManagedPolicy>,
    /// By ARN, what was asked for so far.
    known: HashMap<Arc<str>, Resolution>,
    /// How many policies of the catalogue were compiled, and their statements.
    pub(super) policy_count: usize,
    pub(super) statement_count: usize,
}

/// What an ARN comes to.
#[derive(Clone)]
enum Resolution {
    Policy(Arc<CompiledPolicy>),
    /// Defined with errors, which are reported where it is defined.
    Broken,
    /// Not defined; with what may have been meant.
    Missing(Option<String>),
}

impl ManagedPolicies {
    pub(super) fn new(store: Registry<ManagedPolicy>) -> Self {
        Self { store, known: HashMap::new(), policy_count: 0, statement_count: 0 }
    }

    /// The policies attached to somebody, without those that have problems.
    pub(super) fn attached(
        &mut self,
        holder: &Identity,
        references: &[Reference],
        problems: &mut Problems,
    ) -> Vec<Arc<CompiledPolicy>> {
        references.iter().filter_map(|reference| self.find(holder, reference, "managed policy", problems)).collect()
    }

    /// The policy that a reference names; `what` is what the holder uses it as. None after an error.
    pub(super) fn find(
        &mut self,
        holder: &Identity,
        reference: &Reference,
        what: &str,
        problems: &mut Problems,
    ) -> Option<Arc<CompiledPolicy>> {
        let text = &reference.text;
        let file = &holder.place.file;
        let Some(arn) = Arn::parse(text).filter(is_managed_policy) else {
            let message = format!("`{}` is not the ARN of a managed policy", shown(text));
            problems.findings.error(file, reference.position, "invalid-arn", message).hint(
                "it is `arn:aws:iam::ACCOUNT:policy/NAME`, or `arn:aws:iam::aws:policy/NAME` for a policy of AWS",
            );
            return None;
        };
        if arn.account_id().is_some() && arn.account_id() != holder.owner {
            let message = format!("the {what} `{}` belongs to another account", shown(text));
            problems
                .findings
                .error(file, reference.position, "foreign-policy", message)
                .hint("policies of the same account and AWS's own can be attached");
            return None;
        }
        match self.resolution(text, &arn, problems) {
            Resolution::Policy(policy) => Some(policy),
            Resolution::Broken => None,
            Resolution::Missing(hint) => {
                problems.missing(holder, reference, format!("the {what} `{}` is not defined", shown(text)), hint);
                None
            }
        }
    }

    fn resolution(&mut self, text: &Arc<str>, arn: &Arn<'_>, problems: &mut Problems) -> Resolution {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let resolution = match self.store.with_arn(arn) {
            Some(ManagedPolicy { policy: Some(policy), .. }) => Resolution::Policy(Arc::clone(policy)),
            Some(_) => Resolution::Broken,
            None => match self.built_in(text, arn, &mut problems.findings) {
                Some(resolution) => resolution,
                None if problems.unreadable.is_some() => Resolution::Missing(None),
                None => Resolution::Missing(self.hint(arn, &mut problems.near_misses)),
            },
        };
        self.known.insert(Arc::clone(text), resolution.clone());
        resolution
    }

    /// A policy of the catalogue, compiled. What there is to warn of in it is AWS's business, not the user's.
    fn built_in(&mut self, text: &Arc<str>, arn: &Arn<'_>, findings: &mut Findings) -> Option<Resolution> {
        let document = catalogue::managed_policy(text)?;
        let path = arn.resource.strip_prefix("policy/").unwrap_or(arn.resource);
        let file: Arc<str> = format!("aws-managed/{path}.json").into();
        let name = PolicyName { reference: Arc::clone(text), file: Arc::clone(&file) };
        let node = match json::parse(&document) {
            Ok(node) => node,
            Err(errors) => {
                for error in errors {
                    findings.error(&file, error.position, error.code, error.message);
                }
                return Some(Resolution::Broken);
            }
        };
        let mut own = Findings::new();
        let Some(policy) = policy::load(&node, PolicyKind::Identity, name, &mut own) else {
            findings.append(own);
            return Some(Resolution::Broken);
        };
        self.policy_count += 1;
        self.statement_count += policy.statement_count();
        Some(Resolution::Policy(Arc::new(policy)))
    }

    /// What may have been meant: names are compared, since paths are what people forget.
    fn hint(&self, arn: &Arn<'_>, near_misses: &mut NearMisses) -> Option<String> {
        let name = name_of(arn.resource);
        let owner = arn.account_id();
        let own = self.store.iter().map(|policy| &policy.identity).filter(|identity| identity.owner == owner);
        let built_in = catalogue::managed_policy_arns().filter(|_| owner.is_none());
        let arns = own.map(|identity| &*identity.arn).chain(built_in.map(|arn| arn as &str));
        if let Some(meant) = near_misses.find(name, arns.map(name_of)) {
            let own = self.store.named(owner, meant).map(|(_, policy)| &*policy.identity.arn);
            let arn = own.or_else(|| catalogue::managed_policy_arns().find(|arn| name_of(arn) == meant));
            return arn.map(|arn| format!("did you mean `{arn}`?"));
        }
        owner.is_none().then(|| "it is not among AWS's policies that are built in, but a file may define it".to_owned())
    }
}

fn is_managed_policy(arn: &Arn<'_>) -> bool {
    let owned = arn.account == "aws" || arn.account_id().is_some();
    owned && arn.service == "iam" && arn.region.is_empty() && arn.resource.starts_with("policy/")
}

/// What follows the last `/`.
fn name_of(resource: &str) -> &str {
    resource.rsplit('/').next().unwrap_or(resource)
}
