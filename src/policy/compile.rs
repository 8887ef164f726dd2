//! A document as written becomes a policy as used.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use super::action::{self, ActionMatcher};
use super::condition::{self, CompiledCondition, Facts};
use super::document::{Effect, PolicyDocument, Reader, Statement};
use super::filter::Filter;
use super::index::{Index, Key, ResourceKey, Seeker};
use super::listener::Listener;
use super::principal::{self, GrantClass, PrincipalFacts, PrincipalMatcher};
use super::resource::{self, ResourceMatcher};
use super::spelled::Spelled;
use super::{PolicyKind, PolicyName};
use crate::access::{Action, ResourceName};
use crate::arn::Arn;
use crate::finding::Position;

/// A policy as it is used. Immutable.
#[derive(Debug)]
pub struct CompiledPolicy {
    /// What it is called, and where it was read.
    pub name: PolicyName,
    /// Its statements, in the order of the document.
    pub statements: Box<[CompiledStatement]>,
    /// Of the statements. Made when it is first asked for: only of policies that are attached it is.
    filter: OnceLock<Box<Filter>>,
    /// Of the statements, if they are many and the policy is asked alone: those of identities are asked in a set.
    index: Option<Box<Index>>,
}

/// A statement as it is used.
#[derive(Debug)]
pub struct CompiledStatement {
    /// Allow or Deny.
    pub effect: Effect,
    /// Its Sid, or empty.
    pub sid: Arc<str>,
    /// Where it starts.
    pub position: Position,
    /// Its entries as written. In a box of its own: whoever only decides never looks at it.
    pub spelled: Box<Spelled>,
    principal: PrincipalMatcher,
    action: ActionMatcher,
    resource: ResourceMatcher,
    conditions: Box<[CompiledCondition]>,
}

/// What a statement is compared with.
#[derive(Debug)]
pub struct Circumstances<'a, F> {
    /// Who asks.
    pub principal: PrincipalFacts<'a>,
    /// What they want to do.
    pub action: &'a Action<'a>,
    /// What they want to do it to.
    pub resource: &'a ResourceName<'a>,
    /// The condition keys, and who listens.
    pub facts: &'a F,
}

impl CompiledPolicy {
    /// How many statements it has.
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// How many actions and resources its statements list.
    pub fn pattern_count(&self) -> usize {
        self.statements.iter().map(|statement| statement.action.count() + statement.resource.count()).sum()
    }

    /// What it may be about.
    pub(super) fn filter(&self) -> &Filter {
        self.filter.get_or_init(|| Box::new(Filter::of(&self.statements)))
    }

    /// Shows statements that may be about an action and a resource, until the seeker has enough.
    pub fn search(&self, request: (&Action<'_>, &ResourceName<'_>), seeker: &mut impl Seeker) -> ControlFlow<()> {
        match &self.index {
            Some(index) => index.search(|_, statement| self.statements.get(statement as usize), request, seeker),
            None => self.scan(seeker),
        }
    }

    /// Shows all statements, until the seeker has enough.
    pub(super) fn scan(&self, seeker: &mut impl Seeker) -> ControlFlow<()> {
        self.statements.iter().try_for_each(|statement| match seeker.wants(statement.effect) {
            true => seeker.found(statement),
            false => ControlFlow::Continue(()),
        })
    }
}

impl CompiledStatement {
    /// Whether the statement applies, and how directly it names the caller.
    pub fn applies<F: Facts>(&self, circumstances: &Circumstances<'_, F>) -> Option<GrantClass> {
        let Circumstances { principal, action, resource, facts } = circumstances;
        if !self.action.matches(action, facts.listener()) {
            return None;
        }
        let class = self.principal.matches(principal, self.effect, facts.listener())?;
        let resource_matches = self.resource.matches(resource, self.effect, *facts);
        (resource_matches && self.conditions_hold(*facts)).then_some(class)
    }

    /// How the resources and the actions begin that it is about, without those that others cover.
    pub(super) fn keys(&self) -> (Vec<ResourceKey>, Vec<Key>) {
        let (mut resources, mut actions) = (self.resource.keys(), self.action.keys());
        resources.sort_unstable();
        resources.dedup_by(|next, kept| kept.covers(next));
        actions.sort_unstable();
        actions.dedup_by(|next, kept| kept.covers(next));
        (resources, actions)
    }

    fn conditions_hold<F: Facts>(&self, facts: &F) -> bool {
        if !F::Listener::EXHAUSTIVE {
            return self.conditions.iter().all(|condition| condition.holds(self.effect, facts));
        }
        self.conditions.iter().fold(true, |all, condition| all & condition.holds(self.effect, facts))
    }
}

/// How the texts of a document are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Whether `${...}` is a variable.
    pub(super) variables: bool,
    /// Whether AWS wrote it: then what cannot do harm is not refused.
    pub(super) by_aws: bool,
    /// What it is attached to.
    pub(super) kind: PolicyKind,
    /// Whether it is about S3, or may be: S3 alone knows canonical users.
    pub(super) of_s3: bool,
}

/// Compiles a document; what is wrong is added to the findings of the reader.
pub(super) fn compile(
    document: &PolicyDocument,
    kind: PolicyKind,
    name: PolicyName,
    reader: &mut Reader<'_>,
) -> CompiledPolicy {
    let of_s3 = match kind {
        PolicyKind::Resource => Arn::parse(&name.reference).is_some_and(|arn| arn.service.starts_with("s3")),
        PolicyKind::VpcEndpoint => true,
        PolicyKind::Identity
        | PolicyKind::Trust
        | PolicyKind::Session
        | PolicyKind::ServiceControl
        | PolicyKind::ResourceControl => false,
    };
    let by_aws = name.reference.contains(":iam::aws:policy/");
    let dialect = Dialect { variables: document.variables, by_aws, kind, of_s3 };
    let compile = |s| statement(s, dialect, reader);
    let statements: Box<[_]> = document.statements.iter().map(compile).collect();
    let index = match kind {
        // Those of sessions are small, come with requests, and take the place that they are given.
        PolicyKind::Identity | PolicyKind::Session => None,
        PolicyKind::Resource
        | PolicyKind::Trust
        | PolicyKind::ServiceControl
        | PolicyKind::ResourceControl
        | PolicyKind::VpcEndpoint => Index::new(std::iter::once(&*statements)),
    };
    CompiledPolicy { name, statements, filter: OnceLock::new(), index: index.map(Box::new) }
}

fn statement(statement: &Statement, dialect: Dialect, reader: &mut Reader<'_>) -> CompiledStatement {
    let Statement { effect, position, .. } = *statement;
    let conditions =
        statement.conditions.iter().filter_map(|c| condition::compile(c, dialect.variables, reader)).collect();
    CompiledStatement {
        effect,
        sid: statement.sid.as_ref().map(|sid| sid.text.as_str()).unwrap_or_default().into(),
        position,
        spelled: Box::new(Spelled::new(statement)),
        principal: principal::compile(statement.principal.as_ref(), dialect, reader),
        action: action::compile(&statement.action, reader),
        resource: resource::compile(statement.resource.as_ref(), effect, dialect, reader),
        conditions,
    }
}
