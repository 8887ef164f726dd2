//! A policy store and questions, in a form that is easily changed.

use std::collections::BTreeSet;

use iamd::access::{AccessRequest, Decision, Detail, Outcome, PolicyType, RawRequest};
use iamd::directory::{Directory, Loader, StoreOptions};
use iamd::evaluate::{self, SessionPolicies};
use iamd::policy::PolicyKind;
use iamd::snapshot::{Loaded, Revision};

use super::json::Style;

/// The account of most things, and another one.
pub(super) const ACCOUNTS: [&str; 2] = ["123456789012", "210987654321"];

#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub users: Vec<Entity>,
    pub roles: Vec<Entity>,
    /// All of the first account.
    pub groups: Vec<Group>,
    /// Per account.
    pub managed: [Vec<Policy>; 2],
    pub resources: Vec<Resource>,
    /// Of `vpce-1`.
    pub endpoint: Policy,
    pub organization: Option<Organization>,
    pub questions: Vec<Question>,
}

#[derive(Clone, Debug)]
pub(super) struct Entity {
    pub name: &'static str,
    /// Index into [`ACCOUNTS`].
    pub account: usize,
    pub inline: Vec<Policy>,
    /// Names of managed policies.
    pub attached: Vec<String>,
    pub boundary: Option<String>,
    pub groups: Vec<String>,
    pub tags: Vec<(String, String)>,
    /// Of a role.
    pub trust: Option<Policy>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: String,
    pub inline: Vec<Policy>,
    pub attached: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub arn: &'static str,
    pub account: usize,
    pub tags: Vec<(String, String)>,
    pub policy: Option<Policy>,
}

/// A root, a unit below it with the first account; the second account stands below the root.
#[derive(Clone, Debug)]
pub(super) struct Organization {
    /// Of the root, the unit, the first account, and the second account.
    pub levels: [Level; 4],
}

#[derive(Clone, Debug)]
pub(super) struct Level {
    /// Whether `p-FullAWSAccess` is attached.
    pub full_access: bool,
    pub service_control: Vec<Policy>,
    pub resource_control: Vec<Policy>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    pub name: String,
    pub statements: Vec<Statement>,
}

/// It may stand in a policy of any kind: what the kind does not take is left out when it is written.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub sid: String,
    pub deny: bool,
    pub principals: Principals,
    pub actions: Entries,
    pub resources: Entries,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub(super) struct Principals {
    /// `NotPrincipal`, where it may stand.
    pub negated: bool,
    /// Kind and value; none for everyone.
    pub entries: Vec<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
pub(super) struct Entries {
    pub negated: bool,
    pub entries: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub operator: String,
    pub key: String,
    pub values: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Question {
    pub principal: &'static str,
    pub action: String,
    pub resource: &'static str,
    pub context: Vec<(String, Vec<String>)>,
    pub session: Vec<Policy>,
    pub tags: Vec<(String, String)>,
}

/// What is seen of an answer, wherever its statements stand in their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub decision: Decision,
    pub decided_by: PolicyType,
    /// Type, policy and Sid.
    pub statements: BTreeSet<(PolicyType, String, String)>,
    /// In lower case.
    pub missing: BTreeSet<String>,
}

// --- walking --------------------------------------------------------------------------------------------------------

impl Scene {
    /// Gives every policy and every statement a name of its own.
    pub(super) fn named(mut self) -> Self {
        for (n, policy) in self.policies_mut().into_iter().enumerate() {
            if policy.name.is_empty() {
                policy.name = format!("p{n}");
            }
            for (m, statement) in policy.statements.iter_mut().enumerate() {
                statement.sid = format!("S{n}x{m}");
            }
        }
        self
    }

    /// Every policy, those of the questions' sessions included.
    pub(super) fn policies_mut(&mut self) -> Vec<&mut Policy> {
        let entities = self.users.iter_mut().chain(&mut self.roles);
        let mut all: Vec<&mut Policy> =
            entities.flat_map(|entity| entity.inline.iter_mut().chain(&mut entity.trust)).collect();
        all.extend(self.groups.iter_mut().flat_map(|group| &mut group.inline));
        all.extend(self.managed.iter_mut().flatten());
        all.extend(self.resources.iter_mut().filter_map(|resource| resource.policy.as_mut()));
        all.push(&mut self.endpoint);
        for level in self.organization.iter_mut().flat_map(|organization| &mut organization.levels) {
            all.extend(level.service_control.iter_mut().chain(&mut level.resource_control));
        }
        all.extend(self.questions.iter_mut().flat_map(|question| &mut question.session));
        all
    }

    /// The lists of policies that may have any number of members.
    pub(super) fn lists_mut(&mut self) -> Vec<&mut Vec<Policy>> {
        let entities = self.users.iter_mut().chain(&mut self.roles);
        let mut all: Vec<&mut Vec<Policy>> = entities.map(|entity| &mut entity.inline).collect();
        all.extend(self.groups.iter_mut().map(|group| &mut group.inline));
        for level in self.organization.iter_mut().flat_map(|organization| &mut organization.levels) {
            all.extend([&mut level.service_control, &mut level.resource_control]);
        }
        all.extend(self.questions.iter_mut().map(|question| &mut question.session));
        all
    }
}

// --- asking ---------------------------------------------------------------------------------------------------------

impl Scene {
    /// The store, loaded.
    pub(super) fn directory(&self, style: &mut Style) -> Directory {
        let mut loader = Loader::new(&StoreOptions::default());
        let files = self.files(style);
        for (path, text) in &files {
            loader.file(path, text);
        }
        let loaded = loader.finish();
        loaded.map(|(directory, _)| directory).unwrap_or_else(|findings| {
            let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
            panic!("the store is refused:\n{}\n{files:#?}", shown.join("\n"))
        })
    }

    /// The answer to every question, with its explanation; the same comes without one.
    pub(super) fn answers(&self, style: &mut Style) -> Vec<Seen> {
        let snapshot = loaded(self.directory(style)).into_snapshot(1);
        let answer = |question: &Question| {
            question.ask(style, |request| {
                let session = SessionPolicies::compile(request.session_policies).expect("session policies");
                let now = "2026-11-22T06:00:00Z".parse().expect("an instant");
                let decide = |detail| evaluate::decide(&snapshot, request, &session, &|| now, detail).outcome;
                let (plain, explained) = (decide(Detail::Decision), decide(Detail::Statements));
                assert_eq!((plain.decision, plain.decided_by), (explained.decision, explained.decided_by));
                Seen::of(&explained)
            })
        };
        self.questions.iter().map(answer).collect()
    }
}

/// As `Engine` takes it.
pub(super) fn loaded(directory: Directory) -> Loaded {
    Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() }
}

impl Question {
    pub(super) fn ask<T>(&self, style: &mut Style, answer: impl FnOnce(&AccessRequest<'_>) -> T) -> T {
        let action = style.spelled(&self.action);
        let keys: Vec<String> = self.context.iter().map(|(key, _)| style.spelled(key)).collect();
        let session: Vec<String> = self.session.iter().map(|p| p.text(PolicyKind::Session, style)).collect();
        let context = keys.iter().zip(&self.context).map(|(key, (_, values))| (key.as_str(), values.as_slice()));
        let raw = RawRequest {
            principal: self.principal,
            action: &action,
            resource: self.resource,
            context: context.collect(),
            session_policies: &session,
            session_tags: self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            ..RawRequest::default()
        };
        answer(&AccessRequest::new(&raw).expect("a request"))
    }
}

impl Seen {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let explanation = outcome.explanation.as_deref().cloned().unwrap_or_default();
        let statements = explanation.statements.iter().map(|statement| {
            let policy = statement.policy.split('[').next().unwrap_or_default();
            (statement.policy_type, policy.to_owned(), statement.sid.to_string())
        });
        Self {
            decision: outcome.decision,
            decided_by: outcome.decided_by,
            statements: statements.collect(),
            missing: explanation.missing_context_keys.iter().map(|key| key.to_lowercase()).collect(),
        }
    }

    /// Whatever the policies are called that the statements stand in.
    pub(super) fn without_policies(mut self) -> Self {
        self.statements = self.statements.into_iter().map(|(kind, _, sid)| (kind, String::new(), sid)).collect();
        self
    }
}
