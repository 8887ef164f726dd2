//! The decision: `(&Snapshot, &AccessRequest) -> Evaluation`. Pure, synchronous, cannot fail.
//!
//! Each policy type is a layer; layers are asked in the order in which a denial is attributed (evaluation.md,
//! rule 58). A Deny in any of them is final. Otherwise every layer that has to allow must; which ones have to depends
//! on whose resource it is and on how directly its policy names the caller (rules 60-74).

mod asking;
mod audience;
mod facts;
mod layer;
mod recorder;
mod standing;
mod subject;
mod trace;

use std::sync::Arc;

use crate::access::{AccessRequest, Decision, Detail, InvalidField, Outcome, PolicyType, Principal};
use crate::finding::Findings;
use crate::policy::{self, CompiledPolicy, Effect, GrantClass, Nobody, PolicyKind, PolicyName};
use crate::snapshot::Snapshot;
use audience::{Audience, Witness};
use facts::RequestFacts;
use recorder::Recorder;
use subject::{Object, Subject};

pub use standing::{Reason, Standing};
pub use subject::LastCaller;
pub use trace::{
    ConditionNote, ConditionTrace, ElementTrace, EntryTrace, LayerTrace, LevelTrace, NodeKind, OrganizationNode,
    StatementTrace, Trace, VariableTrace,
};

/// An outcome, and whether it may be remembered.
#[derive(Debug)]
pub struct Evaluation {
    /// What was decided.
    pub outcome: Outcome,
    /// Whether the service's clock was looked at: the same request may be decided otherwise later.
    pub read_clock: bool,
}

/// Session policies, ready to be asked.
#[derive(Debug, Default)]
pub struct SessionPolicies {
    policies: Vec<CompiledPolicy>,
}

impl SessionPolicies {
    /// Compiles the session policies of a request; the first that is wrong is named, with places in it.
    pub fn compile(documents: &[String]) -> Result<Self, InvalidField> {
        let policies = documents.iter().enumerate().map(|(index, document)| session_policy(index, document));
        Ok(Self { policies: policies.collect::<Result<_, _>>()? })
    }
}

fn session_policy(index: usize, document: &str) -> Result<CompiledPolicy, InvalidField> {
    let name: Arc<str> = format!("session_policies[{index}]").into();
    let mut findings = Findings::without_near_misses();
    let name = PolicyName { reference: Arc::clone(&name), file: name };
    let policy = policy::load_text(document, PolicyKind::Session, name, &mut findings);
    policy.ok_or_else(|| {
        let errors = findings.into_sorted();
        let errors = || errors.iter().filter(|finding| finding.severity == crate::finding::Severity::Error);
        // Three are enough to mend, if they are short: the answer stands in a header, and quotes what the caller sent.
        let place = |f: &crate::finding::Finding| {
            format!("line {}, column {}: {}", f.position.line, f.position.column, f.message)
        };
        let mut shown: Vec<String> = errors().take(3).map(place).collect();
        while shown.len() > 1 && shown.iter().map(String::len).sum::<usize>() > 1_000 {
            shown.pop();
        }
        let more = match errors().count() - shown.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        InvalidField::new("session_policies", format!("the policy at index {index}, {}{more}", shown.join("; ")))
    })
}

/// The service's clock, for `aws:CurrentTime` and `aws:EpochTime`. Looked at once at most, and only if a condition asks for it:
/// that takes time itself.
pub type Clock<'c> = &'c dyn Fn() -> jiff::Timestamp;

/// Decides one request.
pub fn decide(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    session: &SessionPolicies,
    now: Clock<'_>,
    detail: Detail,
) -> Evaluation {
    decide_next(snapshot, request, session, now, detail, &mut LastCaller::default())
}

/// The same, of one of several requests, of which the one before may have been of the same caller.
pub fn decide_next<'s, 'm>(
    snapshot: &'s Snapshot,
    request: &AccessRequest<'m>,
    session: &SessionPolicies,
    now: Clock<'_>,
    detail: Detail,
    last: &mut LastCaller<'s, 'm>,
) -> Evaluation {
    match detail {
        Detail::Decision => run(snapshot, request, session, now, &Nobody, last).evaluation(None),
        Detail::Statements => {
            let witness = Witness::default();
            run(snapshot, request, session, now, &witness, last).evaluation(Some(witness))
        }
    }
}

/// Decides one request as [`decide`] does with [`Detail::Statements`], and tells how.
pub fn explain(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    session: &SessionPolicies,
    now: Clock<'_>,
) -> (Evaluation, Trace) {
    let recorder = Recorder::default();
    let reached = run(snapshot, request, session, now, &recorder, &mut LastCaller::default());
    let (witness, trace) = recorder.finish();
    (reached.evaluation(Some(witness)), trace)
}

fn run<'s, 'm>(
    snapshot: &'s Snapshot,
    request: &AccessRequest<'m>,
    session: &SessionPolicies,
    now: Clock<'_>,
    audience: &impl Audience,
    last: &mut LastCaller<'s, 'm>,
) -> Reached {
    let subject = Subject::find(&snapshot.directory, request, last);
    let object = Object::find(&snapshot.directory, request);
    let facts = RequestFacts::new(request, &snapshot.directory, &subject, &object, now, audience);
    let case = Case { snapshot, request, session, subject: &subject, object: &object };
    let reached = case.decide(&facts);
    Reached { read_clock: facts.read_clock(), ..reached }
}

/// What was decided.
#[derive(Clone, Copy, Debug)]
struct Reached {
    decision: Decision,
    decided_by: PolicyType,
    /// Whether the Allows of the resource's policy made the decision, too.
    resource_counts: bool,
    read_clock: bool,
}

impl Reached {
    fn new(decision: Decision, decided_by: PolicyType) -> Self {
        Self { decision, decided_by, resource_counts: false, read_clock: false }
    }

    /// Whether statements that apply, of this effect and in policies of this type, made the decision.
    fn counts(&self, effect: Effect, policy_type: PolicyType) -> bool {
        match (self.decision, effect) {
            (Decision::ExplicitDeny, Effect::Deny) => true,
            (Decision::Allow, Effect::Allow) => match policy_type {
                PolicyType::Identity => true,
                PolicyType::Resource | PolicyType::Trust => self.resource_counts,
                PolicyType::ResourceControl
                | PolicyType::ServiceControl
                | PolicyType::VpcEndpoint
                | PolicyType::PermissionsBoundary
                | PolicyType::Session => false,
            },
            (Decision::ExplicitDeny | Decision::Allow | Decision::ImplicitDeny, _) => false,
        }
    }

    fn evaluation(self, witness: Option<Witness>) -> Evaluation {
        let Self { decision, decided_by, read_clock, .. } = self;
        let explanation = witness.map(|witness| Arc::new(witness.explanation(&self)));
        Evaluation { outcome: Outcome { decision, decided_by, explanation }, read_clock }
    }
}

/// One request, with what the store knows of it.
struct Case<'a> {
    snapshot: &'a Snapshot,
    request: &'a AccessRequest<'a>,
    session: &'a SessionPolicies,
    subject: &'a Subject<'a>,
    object: &'a Object<'a>,
}

impl Case<'_> {
    fn decide<A: Audience>(&self, facts: &RequestFacts<'_, A>) -> Reached {
        if self.is_always_allowed() {
            return Reached::new(Decision::Allow, PolicyType::Identity);
        }
        let opinions = match self.ask_layers(facts) {
            Ok(opinions) => opinions,
            Err(denying) => return Reached::new(Decision::ExplicitDeny, denying),
        };
        let standings = self.standings(opinions);
        facts.audience().standings(&standings);
        let first = |wanted: fn(Standing) -> bool| standings.iter().find(|(_, standing)| wanted(*standing));
        if let Some((denying, _)) = first(|standing| standing == Standing::Denies) {
            return Reached::new(Decision::ExplicitDeny, *denying);
        }
        match first(|standing| matches!(standing, Standing::DoesNotAllow(_))) {
            Some((silent, _)) => Reached::new(Decision::ImplicitDeny, *silent),
            None => self.allowed(standing::grant(&opinions)),
        }
    }

    /// `sts:GetCallerIdentity` needs no permission (rule 71).
    fn is_always_allowed(&self) -> bool {
        let authenticated = !matches!(self.subject.principal, Principal::Anonymous);
        authenticated && self.request.action.folded() == "sts:getcalleridentity"
    }

    /// What granted: the resource policy if its grant is enough, else identity policies.
    fn allowed(&self, resource_grant: Option<GrantClass>) -> Reached {
        let enough = match self.subject.account() {
            None => true,
            Some(_) => self.is_same_account() && resource_grant >= Some(GrantClass::Entity),
        };
        let decided_by = if enough { self.resource_type() } else { PolicyType::Identity };
        // The account's delegation is no grant of its own where identity policies are enough.
        let resource_counts = enough || !self.is_same_account() || self.object.needs_policy;
        Reached { resource_counts, ..Reached::new(Decision::Allow, decided_by) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_wrong_session_policy_the_first_error_is_named() {
        let document = |version: &str, resource: &str| {
            let statement = format!(r#"{{"Effect": "Allow", "Action": "s3:*", "Resource": "{resource}"}}"#);
            format!(r#"{{"Version": "{version}", "Statement": {statement}}}"#)
        };
        // Another version is a warning: it comes first, and refuses nothing.
        for version in ["2012-10-17", "2020-01-01"] {
            assert!(SessionPolicies::compile(&[document(version, "*")]).is_ok());
            let wrong = SessionPolicies::compile(&[document(version, "*"), document(version, "b")]).unwrap_err();
            assert_eq!(
                wrong.to_string(),
                "session_policies: the policy at index 1, line 1, column 90: the resource `b` is not an ARN or `*`"
            );
        }
    }
}
