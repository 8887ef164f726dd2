//! What an author wrote, for explanations: compiled patterns no longer say it.

use super::document::{self, PrincipalElement, Text};

/// The entries of a statement's elements, as written and in order. Nothing is decided by them.
#[derive(Debug)]
pub struct Spelled {
    /// Of `Principal` or `NotPrincipal`, without their kinds.
    pub principals: Box<[Box<str>]>,
    /// Of `Action` or `NotAction`.
    pub actions: Box<[Box<str>]>,
    /// Of `Resource` or `NotResource`.
    pub resources: Box<[Box<str>]>,
    /// Of `Condition`: one per operator and key.
    pub conditions: Box<[SpelledCondition]>,
}

/// A condition as written, but for its key.
#[derive(Debug)]
pub struct SpelledCondition {
    /// E.g. `ForAnyValue:StringLikeIfExists`.
    pub operator: Box<str>,
    /// Each in its string form.
    pub values: Box<[Box<str>]>,
}

impl Spelled {
    pub(super) fn new(statement: &document::Statement) -> Self {
        let principals: Box<[Box<str>]> = match statement.principal.as_ref().map(|element| &element.value) {
            None => Box::default(),
            Some(PrincipalElement::Everyone) => Box::new(["*".into()]),
            Some(PrincipalElement::Map(pairs)) => pairs.iter().map(|(_, value)| value.text.as_str().into()).collect(),
        };
        Self {
            principals,
            actions: texts(&statement.action.value),
            resources: statement.resource.as_ref().map(|element| texts(&element.value)).unwrap_or_default(),
            conditions: statement.conditions.iter().map(SpelledCondition::new).collect(),
        }
    }
}

impl SpelledCondition {
    fn new(condition: &document::Condition) -> Self {
        Self { operator: condition.operator.text.as_str().into(), values: texts(&condition.values) }
    }
}

fn texts(texts: &[Text]) -> Box<[Box<str>]> {
    texts.iter().map(|text| text.text.as_str().into()).collect()
}
