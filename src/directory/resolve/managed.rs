//! Managed policies by ARN: those of the store, else those of AWS that are built in.

use std::collections::HashMap;
use std::sync::Arc;

use super::register::{Register, Who};
use super::{Common, Problems};
use crate::access::shown;
use crate::arn::{AccountId, Arn};
use crate::catalogue;
use crate::directory::fragment::ManagedPolicy;
use crate::finding::{Findings, NearMisses, Position};
use crate::json;
use crate::policy::{self, CompiledPolicy, PolicyKind, PolicyName};

/// All managed policies there are; AWS's own are compiled when they are first asked for.
pub(super) struct ManagedPolicies<'f> {
    register: &'f Register<'f>,
    before: Option<&'f Common>,
    /// By ARN, what was asked for so far.
    known: HashMap<Arc<str>, Resolution>,
    /// What may have been meant by an ARN, where that was asked.
    hints: HashMap<Arc<str>, Option<String>>,
    /// Policies of the catalogue that were asked for; None of one with errors.
    pub(super) built_in: HashMap<Arc<str>, Option<Arc<CompiledPolicy>>>,
}

/// What an ARN comes to.
#[derive(Clone)]
pub(super) enum Resolution {
    Policy(Arc<CompiledPolicy>),
    /// Defined with errors, which are reported where it is defined.
    Broken,
    Missing,
    /// Not the ARN of a managed policy.
    Invalid,
    /// A policy of another account.
    Foreign,
}

impl<'f> ManagedPolicies<'f> {
    pub(super) fn new(register: &'f Register<'f>, before: Option<&'f Common>) -> Self {
        Self { register, before, known: HashMap::new(), hints: HashMap::new(), built_in: HashMap::new() }
    }

    /// What an ARN comes to, where somebody of this account names it.
    pub(super) fn resolution(
        &mut self,
        owner: Option<AccountId>,
        text: &Arc<str>,
        findings: &mut Findings,
    ) -> Resolution {
        let Some(arn) = Arn::parse(text).filter(is_managed_policy) else { return Resolution::Invalid };
        if arn.account_id().is_some() && arn.account_id() != owner {
            return Resolution::Foreign;
        }
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let resolution = match self.with_arn(&arn) {
            Some(ManagedPolicy { policy: Some(policy), .. }) => Resolution::Policy(Arc::clone(policy)),
            Some(_) => Resolution::Broken,
            None => self.built_in(text, &arn, findings),
        };
        self.known.insert(Arc::clone(text), resolution.clone());
        resolution
    }

    /// Reports a reference that does not come to a policy; `what` is what the holder uses it as.
    pub(super) fn report(
        &mut self,
        holder: &Who<'_>,
        text: &Arc<str>,
        position: Position,
        what: &str,
        problems: &mut Problems,
    ) {
        match self.resolution(holder.owner, text, &mut problems.findings) {
            Resolution::Policy(_) | Resolution::Broken => {}
            Resolution::Invalid => {
                let message = format!("`{}` is not the ARN of a managed policy", shown(text));
                problems.findings.error(holder.file, position, "invalid-arn", message).hint(
                    "it is `arn:aws:iam::ACCOUNT:policy/NAME`, or `arn:aws:iam::aws:policy/NAME` for a policy of AWS",
                );
            }
            Resolution::Foreign => {
                let message = format!("the {what} `{}` belongs to another account", shown(text));
                problems
                    .findings
                    .error(holder.file, position, "foreign-policy", message)
                    .hint("policies of the same account and AWS's own can be attached");
            }
            Resolution::Missing => {
                let hint = self.hint(text, problems);
                problems.missing(holder, position, format!("the {what} `{}` is not defined", shown(text)), hint);
            }
        }
    }

    fn with_arn(&self, arn: &Arn<'_>) -> Option<&'f ManagedPolicy> {
        let policy = self.register.managed_policy(arn.account_id(), name_of(arn.resource))?;
        (*policy.identity.arn == *arn.text).then_some(policy)
    }

    fn built_in(&mut self, text: &Arc<str>, arn: &Arn<'_>, findings: &mut Findings) -> Resolution {
        let before = self.before.and_then(|before| before.built_in.get(text));
        let policy = match before {
            // Its errors, if it has any, are to be reported once more.
            Some(Some(policy)) => Some(Arc::clone(policy)),
            Some(None) | None => match catalogue::managed_policy(text) {
                Some(document) => compile(&document, text, arn, findings),
                None => return Resolution::Missing,
            },
        };
        self.built_in.insert(Arc::clone(text), policy.clone());
        policy.map_or(Resolution::Broken, Resolution::Policy)
    }

    fn hint(&mut self, text: &Arc<str>, problems: &mut Problems) -> Option<String> {
        if problems.unreadable.is_some() {
            return None;
        }
        if let Some(known) = self.hints.get(text) {
            return known.clone();
        }
        let hint = Arn::parse(text).and_then(|arn| self.meant(&arn, &mut problems.near_misses));
        self.hints.insert(Arc::clone(text), hint.clone());
        hint
    }

    /// What may have been meant: names are compared, since paths are what people forget.
    fn meant(&self, arn: &Arn<'_>, near_misses: &mut NearMisses) -> Option<String> {
        let name = name_of(arn.resource);
        let owner = arn.account_id();
        let own = self.register.managed_policies().filter(|identity| identity.owner == owner);
        let built_in = catalogue::managed_policy_arns().filter(|_| owner.is_none());
        let arns = own.map(|identity| &*identity.arn).chain(built_in.map(|arn| arn as &str));
        if let Some(meant) = near_misses.find(name, arns.map(name_of)) {
            let own = self.register.managed_policy(owner, meant).map(|policy| &*policy.identity.arn);
            let arn = own.or_else(|| catalogue::managed_policy_arns().find(|arn| name_of(arn) == meant));
            return arn.map(|arn| format!("did you mean `{arn}`?"));
        }
        owner.is_none().then(|| "it is not among AWS's policies that are built in, but a file may define it".to_owned())
    }
}

/// A policy of the catalogue, compiled. What there is to warn of in it is AWS's business, not the user's.
fn compile(document: &str, text: &Arc<str>, arn: &Arn<'_>, findings: &mut Findings) -> Option<Arc<CompiledPolicy>> {
    let path = arn.resource.strip_prefix("policy/").unwrap_or(arn.resource);
    let file: Arc<str> = format!("aws-managed/{path}.json").into();
    let name = PolicyName { reference: Arc::clone(text), file: Arc::clone(&file) };
    let node = match json::parse(document) {
        Ok(node) => node,
        Err(errors) => {
            for error in errors {
                findings.error(&file, error.position, error.code, error.message);
            }
            return None;
        }
    };
    let mut own = Findings::new();
    let policy = policy::load(&node, PolicyKind::Identity, name, &mut own);
    if policy.is_none() {
        findings.append(own);
    }
    policy.map(Arc::new)
}

fn is_managed_policy(arn: &Arn<'_>) -> bool {
    let owned = arn.account == "aws" || arn.account_id().is_some();
    owned && arn.service == "iam" && arn.region.is_empty() && arn.resource.starts_with("policy/")
}

/// What follows the last `/`.
fn name_of(resource: &str) -> &str {
    resource.rsplit('/').next().unwrap_or(resource)
}
