//! A policy document as written: its elements with their places, checked against the grammar.
//!
//! Source of the grammar: IAM User Guide, `reference_policies_grammar` (evaluation.md, rules 1-9).

use std::sync::Arc;

use super::condition::operator::Operator;
use crate::finding::{Findings, Position};
use crate::json::{Member, Node, Value};

/// A policy document.
#[derive(Debug)]
pub struct PolicyDocument {
    /// `Version`, if it is given.
    pub version: Option<Text>,
    /// Whether `${...}` is a variable: under version 2012-10-17.
    pub variables: bool,
    /// Its statements.
    pub statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug)]
pub struct Statement {
    /// Where it starts.
    pub position: Position,
    /// Its id; an empty one counts as none.
    pub sid: Option<Text>,
    /// Where an empty id stands.
    pub empty_sid: Option<Position>,
    /// Allow or Deny.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`.
    pub principal: Option<Element<PrincipalElement>>,
    /// `Action` or `NotAction`.
    pub action: Element<Vec<Text>>,
    /// `Resource` or `NotResource`.
    pub resource: Option<Element<Vec<Text>>>,
    /// `Condition`, one entry per operator and key.
    pub conditions: Vec<Condition>,
    /// Where a `Condition`, or an operator in it, has nothing in it.
    pub empty_conditions: Vec<Position>,
}

/// What a statement does when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It grants.
    Allow,
    /// It forbids, whatever else grants.
    Deny,
}

/// An element that comes plain or with `Not`.
#[derive(Debug)]
pub struct Element<T> {
    /// Whether it is the `Not...` form.
    pub negated: bool,
    /// Where its key stands.
    pub position: Position,
    /// What it holds.
    pub value: T,
}

/// The value of `Principal`.
#[derive(Debug)]
pub enum PrincipalElement {
    /// `"*"`
    Everyone,
    /// `{"AWS": [...], ...}`: one entry per value, with its key.
    Map(Vec<(Text, Text)>),
}

/// `"Operator": {"key": [values]}`
#[derive(Debug)]
pub struct Condition {
    /// E.g. `ForAnyValue:StringLikeIfExists`.
    pub operator: Text,
    /// E.g. `aws:SourceIp`.
    pub key: Text,
    /// The values, each in its string form.
    pub values: Vec<Text>,
}

/// A string and where it stands.
#[derive(Clone, Debug)]
pub struct Text {
    /// The string.
    pub text: String,
    /// Where it starts.
    pub position: Position,
}

/// Longest pattern or value, in characters.
pub(super) const MAX_PATTERN_CHARACTERS: usize = 2048;

const STATEMENT_KEYS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// Reads elements of one file, adding what is wrong to the findings.
#[derive(Debug)]
pub(super) struct Reader<'f> {
    /// Path of the file.
    pub file: &'f Arc<str>,
    /// Where errors go.
    pub findings: &'f mut Findings,
}

impl Reader<'_> {
    /// Reads a document; None if it is none. Statements with an error are left out of it, so that the others are checked
    /// further and all that is wrong is said at once.
    pub(super) fn document(&mut self, node: &Node<'_>) -> Option<PolicyDocument> {
        let Some(members) = node.as_object() else {
            self.error(node.position, "policy-syntax", format!("a policy document is an object, not {}", node.kind()));
            return None;
        };
        for member in members {
            if !["Version", "Id", "Statement"].contains(&&*member.key) {
                self.unknown_element(member, "a policy document", &["Version", "Id", "Statement"]);
            }
        }
        if let Some(id) = node.get("Id") {
            self.string(id, "Id");
        }
        let variables = self.version(node.get("Version"));
        let statements = self.statements(node);
        let version =
            node.get("Version").and_then(|node| Some(Text { text: node.as_str()?.into(), position: node.position }));
        Some(PolicyDocument { version, variables, statements })
    }

    /// Whether the version has variables (rules 5 and 6).
    fn version(&mut self, node: Option<&Node<'_>>) -> bool {
        let Some((node, text)) = node.and_then(|node| Some((node, self.string(node, "Version")?))) else {
            return false;
        };
        match text.text.as_str() {
            "2012-10-17" => true,
            "2008-10-17" => false,
            other if is_date(other) => {
                let message = format!("`{other}` is not a version of the policy language, read as 2012-10-17");
                self.findings
                    .warning(self.file, node.position, "unknown-version", message)
                    .hint("`Version` is not the date of the policy: write `2012-10-17`");
                true
            }
            other => {
                let message = format!("`{other}` is not a version of the policy language");
                self.error(node.position, "invalid-version", message).hint("write `2012-10-17`");
                false
            }
        }
    }

    fn statements(&mut self, node: &Node<'_>) -> Vec<Statement> {
        let Some(list) = node.get("Statement") else {
            self.error(node.position, "missing-element", "a policy document needs `Statement`");
            return Vec::new();
        };
        let statements = one_or_many(list);
        if statements.is_empty() {
            self.error(list.position, "empty-list", "`Statement` is an empty list");
        }
        statements.iter().filter_map(|statement| self.sound_statement(statement)).collect()
    }

    /// None if anything in it is not as it should be: more could only be said of what was not meant.
    fn sound_statement(&mut self, node: &Node<'_>) -> Option<Statement> {
        let before = self.findings.error_count();
        self.statement(node).filter(|_| self.findings.error_count() == before)
    }

    fn statement(&mut self, node: &Node<'_>) -> Option<Statement> {
        let Some(members) = node.as_object() else {
            self.error(node.position, "policy-syntax", format!("a statement is an object, not {}", node.kind()));
            return None;
        };
        for member in members {
            if !STATEMENT_KEYS.contains(&&*member.key) {
                self.unknown_element(member, "a statement", &STATEMENT_KEYS);
            }
        }
        let effect = self.effect(node);
        let sid = node.get("Sid").and_then(|sid| self.string(sid, "Sid"));
        let empty_sid = sid.as_ref().filter(|sid| sid.text.is_empty()).map(|sid| sid.position);
        let principal = self.either(node, "Principal", "NotPrincipal").map(|(member, negated)| Element {
            negated,
            position: member.position,
            value: self.principal(&member.node, &member.key),
        });
        let action = self.texts_of(node, "Action", "NotAction");
        if action.is_none() {
            self.error(node.position, "missing-element", "a statement needs `Action` or `NotAction`");
        }
        let resource = self.texts_of(node, "Resource", "NotResource");
        let conditions = node.get("Condition").map(|block| self.conditions(block)).unwrap_or_default();
        Some(Statement {
            position: node.position,
            sid: sid.filter(|sid| !sid.text.is_empty()),
            empty_sid,
            effect: effect?,
            principal,
            action: action?,
            resource,
            conditions,
            empty_conditions: node.get("Condition").map(empty_objects).unwrap_or_default(),
        })
    }

    fn effect(&mut self, node: &Node<'_>) -> Option<Effect> {
        let Some(effect) = node.get("Effect") else {
            self.error(node.position, "missing-element", "a statement needs `Effect`");
            return None;
        };
        let text = self.string(effect, "Effect")?;
        match text.text.as_str() {
            "Allow" => Some(Effect::Allow),
            "Deny" => Some(Effect::Deny),
            other => {
                self.error(text.position, "invalid-effect", format!("`Effect` is `Allow` or `Deny`, not `{other}`"))
                    .hint_near_miss(other, ["Allow", "Deny"]);
                None
            }
        }
    }

    /// The member for one of two keys that exclude each other, and whether it is the second.
    fn either<'n, 'a>(&mut self, node: &'n Node<'a>, plain: &str, negated: &str) -> Option<(&'n Member<'a>, bool)> {
        let members = node.as_object()?;
        let find = |key: &str| members.iter().find(|member| member.key == key);
        match (find(plain), find(negated)) {
            (Some(member), Some(second)) => {
                let message = format!("a statement has `{plain}` or `{negated}`, not both");
                self.error(second.position, "contradicting-elements", message);
                Some((member, false))
            }
            (Some(member), None) => Some((member, false)),
            (None, Some(member)) => Some((member, true)),
            (None, None) => None,
        }
    }

    fn texts_of(&mut self, node: &Node<'_>, plain: &str, negated: &str) -> Option<Element<Vec<Text>>> {
        let (member, negated) = self.either(node, plain, negated)?;
        let value = self.texts(&member.node, &member.key);
        Some(Element { negated, position: member.position, value })
    }

    /// One string or a list of strings, at least one.
    fn texts(&mut self, node: &Node<'_>, element: &str) -> Vec<Text> {
        let list = one_or_many(node);
        if list.is_empty() {
            self.error(node.position, "empty-list", format!("`{element}` is an empty list"));
        }
        list.iter().filter_map(|entry| self.pattern(entry, element)).collect()
    }

    fn principal(&mut self, node: &Node<'_>, element: &str) -> PrincipalElement {
        if let Some(members) = node.as_object() {
            if members.is_empty() {
                self.error(node.position, "empty-list", format!("`{element}` is empty"));
            }
            let entries = members.iter().flat_map(|member| {
                let key = Text { text: member.key.to_string(), position: member.position };
                let values = self.texts(&member.node, &member.key);
                values.into_iter().map(move |value| (key.clone(), value))
            });
            return PrincipalElement::Map(entries.collect());
        }
        if node.as_str() != Some("*") {
            let what = node.as_str().map_or_else(|| node.kind().to_owned(), |text| format!("`{text}`"));
            self.error(node.position, "invalid-principal", format!("`{element}` is `\"*\"` or an object, not {what}"))
                .hint("write `{\"AWS\": \"...\"}`, `{\"Service\": \"...\"}` or `{\"Federated\": \"...\"}`");
        }
        PrincipalElement::Everyone
    }

    fn conditions(&mut self, node: &Node<'_>) -> Vec<Condition> {
        let Some(operators) = node.as_object() else {
            self.error(node.position, "policy-syntax", format!("`Condition` is an object, not {}", node.kind()));
            return Vec::new();
        };
        operators.iter().flat_map(|operator| self.operator(operator)).collect()
    }

    fn operator(&mut self, operator: &Member<'_>) -> Vec<Condition> {
        let name = Text { text: operator.key.to_string(), position: operator.position };
        let Some(keys) = operator.node.as_object() else {
            let message = format!("`{}` is an object of condition keys, not {}", operator.key, operator.node.kind());
            self.error(operator.node.position, "policy-syntax", message)
                .hint("write `\"OPERATOR\": {\"KEY\": \"VALUE\"}`");
            return Vec::new();
        };
        let condition = |reader: &mut Self, member: &Member<'_>| {
            let key = Text { text: member.key.to_string(), position: member.position };
            if key.text.is_empty() {
                reader.error(key.position, "invalid-key", "a condition key is empty");
            }
            let values = reader.condition_values(&member.node, &member.key);
            Condition { operator: name.clone(), key, values }
        };
        // Without keys there is no condition to compile, which would find it out.
        if let (true, Err(unknown)) = (keys.is_empty(), Operator::parse(&name.text)) {
            unknown.report(&name, self);
        }
        keys.iter().map(|member| condition(self, member)).collect()
    }

    /// Strings, numbers and booleans, each in its string form (rule 3).
    fn condition_values(&mut self, node: &Node<'_>, key: &str) -> Vec<Text> {
        let list = one_or_many(node);
        if list.is_empty() {
            self.error(node.position, "empty-list", format!("the values of `{key}` are an empty list"));
        }
        let text = |reader: &mut Self, value: &Node<'_>| {
            let text = match &value.value {
                Value::Number(number) => (*number).to_owned(),
                Value::Bool(boolean) => boolean.to_string(),
                Value::String(_) => return reader.pattern(value, key),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    let message = format!("a value of `{key}` is a string, number or boolean, not {}", value.kind());
                    reader.error(value.position, "policy-syntax", message);
                    return None;
                }
            };
            Some(Text { text, position: value.position })
        };
        list.iter().filter_map(|value| text(self, value)).collect()
    }

    /// A string that is not longer than a pattern may be (rule 12).
    fn pattern(&mut self, node: &Node<'_>, element: &str) -> Option<Text> {
        let text = self.string(node, element)?;
        if text.text.chars().nth(MAX_PATTERN_CHARACTERS).is_some() {
            let message = format!("a value of `{element}` is longer than {MAX_PATTERN_CHARACTERS} characters");
            self.error(node.position, "too-long", message);
            return None;
        }
        Some(text)
    }

    fn string(&mut self, node: &Node<'_>, element: &str) -> Option<Text> {
        match node.as_str() {
            Some(text) => Some(Text { text: text.to_owned(), position: node.position }),
            None => {
                let message = format!("`{element}` takes a string, not {}", node.kind());
                self.error(node.position, "policy-syntax", message);
                None
            }
        }
    }

    fn unknown_element(&mut self, member: &Member<'_>, of: &str, known: &[&'static str]) {
        self.error(member.position, "unknown-element", format!("`{}` is not an element of {of}", member.key))
            .hint_near_miss(&member.key, known.iter().copied());
    }

    /// Adds an error of this file.
    pub(super) fn error(&mut self, at: Position, code: &'static str, message: impl Into<String>) -> &mut Findings {
        self.findings.error(self.file, at, code, message)
    }
}

/// A lone value equals a list of one (rule 2).
fn one_or_many<'n, 'a>(node: &'n Node<'a>) -> &'n [Node<'a>] {
    node.as_array().unwrap_or(std::slice::from_ref(node))
}

/// Where a `Condition`, or an operator in it, is an object with nothing in it.
fn empty_objects(block: &Node<'_>) -> Vec<Position> {
    let operators = block.as_object().unwrap_or_default();
    let members = operators.iter().map(|member| (&member.node, member.position));
    let is_empty = |node: &Node<'_>| node.as_object().is_some_and(<[_]>::is_empty);
    std::iter::once((block, block.position))
        .chain(members)
        .filter(|(node, _)| is_empty(node))
        .map(|(_, at)| at)
        .collect()
}

/// `YYYY-MM-DD`, leading zeros optional.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-').map(|part| {
        let digits = part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 4;
        part.parse::<u16>().ok().filter(|_| digits)
    });
    let (year, month, day) = (parts.next().flatten(), parts.next().flatten(), parts.next().flatten());
    year.is_some_and(|y| y >= 1000)
        && month.is_some_and(|m| (1..=12).contains(&m))
        && day.is_some_and(|d| (1..=31).contains(&d))
}
