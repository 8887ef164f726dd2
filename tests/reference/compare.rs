//! The program and the second evaluator, asked the same.

use std::collections::BTreeSet;

use iamd::access::{AccessRequest, Decision, Detail, Outcome, PolicyType, RawRequest};
use iamd::directory::{Loader, StoreOptions};
use iamd::engine::{Active, Engine};
use iamd::snapshot::{Loaded, Revision};
use serde_json::Value;

use super::ask::ask;
use super::decide::{Place, Verdict, decide};
use super::question::Question;
use super::request::Request;
use super::store::Store;

/// A store, as both have read it.
pub(super) struct Pair {
    pub real: Engine,
    pub reference: Store,
}

/// What is compared of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub decision: Decision,
    pub decided_by: PolicyType,
    pub statements: BTreeSet<Place>,
}

/// What both say of one request.
pub(super) struct Answers {
    /// None if it is no request.
    pub real: Option<Seen>,
    pub reference: Verdict,
}

impl Pair {
    /// Or why the program refuses it.
    pub(super) fn load(files: &[Value]) -> Result<Self, String> {
        let mut loader = Loader::new(&StoreOptions::default());
        for (n, file) in files.iter().enumerate() {
            loader.file(&format!("{n}.json"), &file.to_string());
        }
        let shown = |findings: Vec<_>| findings.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n");
        let (directory, _) = loader.finish().map_err(shown)?;
        let loaded = Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() };
        let reference = Store::read(files.iter().map(|file| ("", file)));
        Ok(Self { real: Engine::new(loaded, 1 << 20), reference })
    }

    pub(super) fn ask(&self, request: &Request) -> Answers {
        let now = jiff::Timestamp::now().as_second();
        let reference = decide(&Question::new(&self.reference, request, now));
        Answers { real: real(&self.real.load_full(), request), reference }
    }

    /// What the program decides, without more; None if it is no request.
    pub(super) fn decided(&self, request: &Request) -> Option<(Decision, PolicyType)> {
        with_access_request(request, |request| {
            let outcome = ask(&self.real.load(), request, Detail::Decision)?.outcome;
            Some((outcome.decision, outcome.decided_by))
        })
    }
}

impl Answers {
    pub(super) fn agree(&self) -> bool {
        let Some(real) = &self.real else { return true };
        let Verdict { decision, decided_by, statements, .. } = &self.reference;
        (real.decision, real.decided_by, &real.statements) == (*decision, *decided_by, statements)
    }
}

/// With and without an explanation, decided and remembered: the same.
fn real(active: &Active, request: &Request) -> Option<Seen> {
    with_access_request(request, |request| {
        let decide = |detail| ask(active, request, detail).map(|answer| answer.outcome);
        let explained = decide(Detail::Statements)?;
        for again in [decide(Detail::Decision)?, decide(Detail::Decision)?, decide(Detail::Statements)?] {
            assert_eq!((again.decision, again.decided_by), (explained.decision, explained.decided_by));
        }
        Some(Seen::of(&explained))
    })
}

fn with_access_request<T>(request: &Request, answer: impl FnOnce(&AccessRequest<'_>) -> Option<T>) -> Option<T> {
    let context = request.context.iter().map(|(key, values)| (key.as_str(), values.as_slice()));
    let raw = RawRequest {
        principal: &request.principal,
        action: &request.action,
        resource: &request.resource,
        context: context.collect(),
        resource_account: &request.resource_account,
        session_policies: &request.session_policies,
        session_tags: request.session_tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        federated_by: &request.federated_by,
    };
    answer(&AccessRequest::new(&raw).ok()?)
}

impl Seen {
    fn of(outcome: &Outcome) -> Self {
        let explanation = outcome.explanation.as_deref().cloned().unwrap_or_default();
        let place = |one: &iamd::access::StatementRef| {
            (one.policy_type, one.policy.to_string(), usize::try_from(one.index).unwrap())
        };
        let statements = explanation.statements.iter().map(place).collect();
        Self { decision: outcome.decision, decided_by: outcome.decided_by, statements }
    }
}
