//! Versions, Sids, empty blocks, and statements that say nothing more.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::finding::Position;
use crate::policy::{PrincipalElement, Statement, Text};

use super::Subject;
use super::glob::{covers, glob};
use super::resources::all_covered;

/// Checks the document as a whole.
pub(super) fn document(subject: &mut Subject<'_>) {
    let document = &subject.policy.document;
    version(subject);
    for statement in &document.statements {
        if let Some(at) = statement.empty_sid {
            subject
                .report(at, "empty-sid", "the Sid is empty, which is as good as none")
                .hint("name it, or leave it out");
        }
        for at in &statement.empty_conditions {
            subject
                .report(*at, "empty-condition", "the condition is empty: it always holds")
                .hint("leave it out, or say what must hold");
        }
    }
    redundant(&document.statements, subject);
}

/// Under the old version `${` is text, which is told where it stands; else it is only out of date.
fn version(subject: &mut Subject<'_>) {
    let policy = subject.policy;
    let document = &policy.document;
    if document.variables {
        return;
    }
    let variables: Vec<&Text> = texts(&document.statements).filter(|text| text.text.contains("${")).collect();
    let (at, what) = match &document.version {
        Some(version) => (version.position, "the version is 2008-10-17"),
        None => (policy.position, "there is no version, which means 2008-10-17"),
    };
    if variables.is_empty() {
        subject.report(at, "old-version", what).hint("write `\"Version\": \"2012-10-17\"`");
    }
    for text in variables {
        let message = format!("`{}` has a variable, but {what}: it is read as plain text", text.text);
        subject.report(text.position, "variable-without-version", message).hint("write `\"Version\": \"2012-10-17\"`");
    }
}

/// Where variables may stand.
fn texts(statements: &[Statement]) -> impl Iterator<Item = &Text> {
    statements.iter().flat_map(|statement| {
        let resources = statement.resource.iter().flat_map(|element| &element.value);
        resources.chain(statement.conditions.iter().flat_map(|condition| &condition.values))
    })
}

/// A statement in a form that can be compared with others.
struct Shape {
    index: usize,
    /// Its Sid, or its number as explanations have it, and where it is.
    name: String,
    at: Position,
    /// Effect and principal.
    scope: String,
    /// Empty if there are none.
    conditions: String,
    actions: Option<Vec<Vec<char>>>,
    resources: Option<Vec<Vec<Vec<char>>>>,
    /// All of it, for equality.
    whole: String,
}

/// Statements that are written twice, or that another with the same effect covers.
fn redundant(statements: &[Statement], subject: &mut Subject<'_>) {
    let shapes: Vec<Shape> =
        statements.iter().enumerate().map(|(index, statement)| Shape::of(index, statement)).collect();
    let mut first: HashMap<&str, &str> = HashMap::new();
    let mut others: HashMap<&str, Vec<&Shape>> = HashMap::new();
    shapes.iter().for_each(|shape| others.entry(&shape.scope).or_default().push(shape));
    for shape in &shapes {
        if subject.budget.is_spent() {
            return;
        }
        let message = if let Some(at) = first.get(shape.whole.as_str()) {
            format!("the statement says the same as {at}")
        } else {
            first.insert(&shape.whole, &shape.name);
            let mut candidates = others.get(shape.scope.as_str()).into_iter().flatten();
            let covering = candidates.find(|other| {
                let affordable = subject.budget.spend(64);
                let covers = affordable && other.whole != shape.whole && other.covers(shape, subject);
                // Of two that cover each other, one is to stay.
                covers && (other.index < shape.index || !shape.covers(other, subject))
            });
            let Some(covering) = covering else { continue };
            format!("{} covers this statement", covering.name)
        };
        subject.report(shape.at, "redundant-statement", message).hint("leave it out");
    }
}

impl Shape {
    fn of(index: usize, statement: &Statement) -> Self {
        let fold = |texts: &[Text], lower: bool| -> Vec<String> {
            let text = |text: &Text| if lower { text.text.to_ascii_lowercase() } else { text.text.clone() };
            let mut sorted: Vec<String> = texts.iter().map(text).collect();
            sorted.sort();
            sorted.dedup();
            sorted
        };
        let actions = fold(&statement.action.value, true);
        let resources = statement.resource.as_ref().map(|element| fold(&element.value, false));
        let scope = format!("{:?} {}", statement.effect, principal(statement));
        let conditions = conditions(statement);
        let whole = format!(
            "{scope}\n{} {actions:?}\n{:?} {resources:?}\n{conditions}",
            statement.action.negated,
            statement.resource.as_ref().map(|element| element.negated),
        );
        let plain_resource = statement.resource.as_ref().is_none_or(|element| !element.negated);
        let split = |arn: &String| arn.splitn(6, ':').map(glob).collect();
        let sid = statement.sid.as_ref().map_or_else(|| format!("#{index}"), |sid| sid.text.clone());
        Self {
            index,
            name: format!("`{sid}` on line {}", statement.position.line),
            at: statement.position,
            scope,
            conditions,
            actions: (!statement.action.negated).then(|| actions.iter().map(|text| glob(text)).collect()),
            resources: plain_resource.then(|| resources.iter().flatten().map(split).collect()),
            whole,
        }
    }

    /// Whether this one holds wherever the other does.
    fn covers(&self, other: &Self, subject: &mut Subject<'_>) -> bool {
        if !self.conditions.is_empty() && self.conditions != other.conditions {
            return false;
        }
        let (Some(actions), Some(narrow_actions)) = (&self.actions, &other.actions) else { return false };
        let (Some(resources), Some(narrow_resources)) = (&self.resources, &other.resources) else { return false };
        if resources.is_empty() != narrow_resources.is_empty() {
            return false;
        }
        // Each entry is compared with each, until one is not covered; most differ in their first characters.
        let mut affordable = |entries: usize| subject.budget.spend(4 * entries);
        let action_covered =
            |narrow: &Vec<char>| affordable(actions.len()) && actions.iter().any(|wide| covers(wide, narrow));
        if !narrow_actions.iter().all(action_covered) {
            return false;
        }
        let mut affordable = |entries: usize| subject.budget.spend(16 * entries);
        let resource_covered = |narrow: &Vec<Vec<char>>| {
            affordable(resources.len()) && resources.iter().any(|wide| all_covered(wide, narrow))
        };
        narrow_resources.iter().all(resource_covered)
    }
}

fn principal(statement: &Statement) -> String {
    let Some(element) = &statement.principal else { return String::new() };
    let entries = match &element.value {
        PrincipalElement::Everyone => vec!["*".to_owned()],
        PrincipalElement::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{} {}", key.text, value.text)).collect();
            entries.sort();
            entries
        }
    };
    format!("{} {entries:?}", element.negated)
}

/// Operators, keys and values, in an order of their own.
fn conditions(statement: &Statement) -> String {
    let condition = |condition: &crate::policy::Condition| {
        let mut values: Vec<&str> = condition.values.iter().map(|value| value.text.as_str()).collect();
        values.sort_unstable();
        let key = crate::access::fold_key(&condition.key.text);
        format!("{} {key} {values:?}", condition.operator.text)
    };
    let mut all: Vec<String> = statement.conditions.iter().map(condition).collect();
    all.sort();
    all.into_iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}
