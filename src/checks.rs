//! Checks: what is allowed to be written, and is probably not what was meant.
//!
//! Loading says what AWS, and so this service, would refuse. Checks go further: they compare a policy with AWS's service
//! reference, and look for what is wide open, has no effect, or can be left out. They judge documents as they are
//! written, never refuse a store, and only `iamd validate` runs them: the service knows nothing of them.
//!
//! A document of 1 MiB with thousands of entries must not take long: what compares entries with each other, or with
//! all of AWS's actions, spends from a budget, and stops where it is spent.

mod actions;
mod conditions;
mod glob;
mod grants;
mod principals;
mod quotas;
mod reference;
mod resources;
mod statements;
mod trust;

use crate::directory::Written;
use crate::finding::{Finding, Findings, Position};
use crate::policy::WrittenPolicy;

use self::reference::Reference;

/// Runs all checks over a store. The findings, sorted.
pub fn check(written: &Written) -> Vec<Finding> {
    let mut checks = Checks::new();
    written.policies.iter().filter(|policy| !is_of_aws(policy)).for_each(|policy| checks.policy(policy));
    quotas::inline_policies(&written.policies, &mut checks.findings);
    quotas::holders(&written.holders, &mut checks.findings);
    checks.into_sorted()
}

/// Whether AWS wrote it: accounts' dumps repeat AWS's policies, and nobody but AWS can mend them.
fn is_of_aws(policy: &WrittenPolicy) -> bool {
    policy.name.reference.contains(":iam::aws:policy/")
}

/// Runs all checks over one policy after another; what was read of the service reference is kept meanwhile.
#[derive(Debug, Default)]
pub struct Checks {
    reference: Reference,
    findings: Findings,
}

impl Checks {
    /// Nothing is checked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks one policy, whoever wrote it.
    pub fn policy(&mut self, policy: &WrittenPolicy) {
        let mut subject = Subject {
            policy,
            reference: &mut self.reference,
            findings: &mut self.findings,
            budget: Budget(STEPS_PER_DOCUMENT),
        };
        statements::document(&mut subject);
        quotas::trust_policy(&mut subject);
        for statement in &policy.document.statements {
            let actions = actions::check(statement, &mut subject);
            resources::check(statement, &actions, &mut subject);
            conditions::check(statement, &actions, &mut subject);
            principals::check(statement, &mut subject);
            trust::check(statement, &mut subject);
            grants::check(statement, &mut subject);
        }
    }

    /// The findings, sorted.
    pub fn into_sorted(self) -> Vec<Finding> {
        self.findings.into_sorted()
    }
}

/// What a check is given: a policy, what is known of AWS, and where findings go.
#[derive(Debug)]
struct Subject<'a> {
    policy: &'a WrittenPolicy,
    reference: &'a mut Reference,
    findings: &'a mut Findings,
    budget: Budget,
}

impl Subject<'_> {
    /// Adds a finding; its severity is that of its code.
    fn report(&mut self, at: Position, code: &'static str, message: impl Into<String>) -> &mut Findings {
        self.findings.found(&self.policy.name.file, at, code, message)
    }
}

/// How many comparisons of characters or names a document may cost: some tenths of a second. The largest of AWS's own
/// policies, with thousands of actions, stays below half of it.
const STEPS_PER_DOCUMENT: usize = 20_000_000;

/// Comparisons that may still be made.
#[derive(Debug)]
struct Budget(usize);

impl Budget {
    /// Whether nothing more can be afforded.
    fn is_spent(&self) -> bool {
        self.0 == 0
    }

    /// Whether so many steps can be afforded; they are spent, or else all that are left.
    fn spend(&mut self, steps: usize) -> bool {
        let affordable = self.0 >= steps;
        self.0 = self.0.saturating_sub(steps);
        affordable
    }
}
