//! How a decision came about: layer by layer, statement by statement, with all that was compared.

use super::standing::Standing;
use crate::access::{PolicyType, StatementRef};
use crate::policy::{Effect, ElementName, Found, GrantClass};

/// How a decision came about.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Every layer in the order of rule 58; none where no permission is needed (rule 71).
    pub layers: Vec<LayerTrace>,
}

/// The policies of one type.
#[derive(Clone, Debug)]
pub struct LayerTrace {
    /// Which.
    pub policy_type: PolicyType,
    /// What it means for the decision.
    pub standing: Standing,
    /// Those of an organization from the root to the account; else one, or none if nothing was compared.
    pub levels: Vec<LevelTrace>,
}

/// The policies of one level.
#[derive(Clone, Debug)]
pub struct LevelTrace {
    /// The node of the organization that they are attached to.
    pub node: Option<OrganizationNode>,
    /// Whether a Deny applies.
    pub denied: bool,
    /// The strongest way in which an Allow applies.
    pub granted: Option<GrantClass>,
    /// Every statement.
    pub statements: Vec<StatementTrace>,
}

/// Where organization policies are attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationNode {
    /// What it is.
    pub kind: NodeKind,
    /// Its id.
    pub id: String,
}

/// The kinds of nodes of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// The root.
    Root,
    /// An organizational unit.
    Unit,
    /// An account.
    Account,
}

/// A statement that was compared.
#[derive(Clone, Debug)]
pub struct StatementTrace {
    /// Which, and where it is written.
    pub statement: StatementRef,
    /// Allow or Deny.
    pub effect: Effect,
    /// How directly it applies; None if it does not.
    pub applies: Option<GrantClass>,
    /// Its elements, up to the first that does not match.
    pub elements: Vec<ElementTrace>,
    /// Its conditions, if all elements match.
    pub conditions: Vec<ConditionTrace>,
}

/// An element of a statement.
#[derive(Clone, Debug)]
pub struct ElementTrace {
    /// Which.
    pub element: ElementName,
    /// Whether the statement is about the request, as far as the element says.
    pub matches: bool,
    /// Its entries, as far as they were looked at.
    pub entries: Vec<EntryTrace>,
}

/// An entry of an element.
#[derive(Clone, Debug)]
pub struct EntryTrace {
    /// As written.
    pub text: Box<str>,
    /// What it has to do with the request.
    pub found: Found,
    /// The variables in it.
    pub variables: Vec<VariableTrace>,
}

/// A variable that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableTrace {
    /// Its key, as written.
    pub key: Box<str>,
    /// What it became; None if it has no value and no default.
    pub value: Option<Box<str>>,
}

/// A condition that was tested.
#[derive(Clone, Debug)]
pub struct ConditionTrace {
    /// As written.
    pub operator: Box<str>,
    /// As written.
    pub key: Box<str>,
    /// The values that the key has; None if it is missing.
    pub request: Option<Vec<String>>,
    /// The values of the policy, as written.
    pub policy: Vec<Box<str>>,
    /// The variables in them.
    pub variables: Vec<VariableTrace>,
    /// Whether it holds, as far as that can be told.
    pub holds: bool,
    /// What needs saying about that.
    pub note: Option<ConditionNote>,
}

/// What is not plain from the values of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionNote {
    /// The key is missing.
    KeyMissing,
    /// A plain operator never matches a key that has several values.
    NeverMatchesSeveral,
    /// A value is not of the operator's type, or several are given for a key that has one: what cannot be told makes an
    /// Allow not apply and a Deny apply.
    Unreadable,
}

impl Trace {
    /// Every statement that was compared.
    pub fn statements(&self) -> impl Iterator<Item = &StatementTrace> {
        self.layers.iter().flat_map(LayerTrace::statements)
    }
}

impl LayerTrace {
    /// Its statements, of all levels.
    pub fn statements(&self) -> impl Iterator<Item = &StatementTrace> {
        self.levels.iter().flat_map(|level| &level.statements)
    }
}

impl StatementTrace {
    /// Whether it is about the action that was asked for.
    pub fn concerns_action(&self) -> bool {
        !self
            .elements
            .iter()
            .any(|it| matches!(it.element, ElementName::Action | ElementName::NotAction) && !it.matches)
    }
}
