//! Rules 1 to 27: what a statement is about.

use serde_json::Value;

use super::condition;
use super::facts::fold;
use super::question::Question;
use super::store::strings;
use super::variable::{expand, parts};
use super::wildcard::{Sign, arn_matches, matches, signs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

pub(super) struct Statement<'a> {
    pub value: &'a Value,
    /// From 0.
    pub index: usize,
    /// Whether `${...}` is a variable (rules 5, 6).
    variables: bool,
}

/// The statements of a document; one alone stands for a list of one.
pub(super) fn statements(document: &Value) -> Vec<Statement<'_>> {
    let version = document["Version"].as_str().unwrap_or("2008-10-17");
    let list = match &document["Statement"] {
        Value::Array(list) => list.iter().collect(),
        lone => vec![lone],
    };
    let variables = version != "2008-10-17";
    list.into_iter().enumerate().map(|(index, value)| Statement { value, index, variables }).collect()
}

impl Statement<'_> {
    pub(super) fn effect(&self) -> Effect {
        if self.value["Effect"] == "Allow" { Effect::Allow } else { Effect::Deny }
    }

    /// Whether it is about this action on this resource under these circumstances, whoever asks.
    pub(super) fn applies(&self, question: &Question<'_>) -> bool {
        self.is_about_action(&question.action)
            && self.is_about_resource(question)
            && condition::hold(question, &self.value["Condition"], self.variables, self.effect())
    }

    fn is_about_action(&self, action: &str) -> bool {
        let any = |entries: &Value| strings(entries).iter().any(|entry| entry == "*" || action_matches(entry, action));
        match self.value.get("NotAction") {
            Some(excluded) => !any(excluded),
            None => any(&self.value["Action"]),
        }
    }

    fn is_about_resource(&self, question: &Question<'_>) -> bool {
        if let Some(excluded) = self.value.get("NotResource") {
            return self.is_beyond(&strings(excluded), question);
        }
        match self.value.get("Resource") {
            Some(entries) => strings(entries).iter().any(|entry| self.covers(entry, question) == Some(true)),
            // What the policy is attached to (rule 11).
            None => true,
        }
    }

    /// Rule 49: an entry without value excludes nothing under Deny; under Allow the statement does not apply.
    fn is_beyond(&self, excluded: &[String], question: &Question<'_>) -> bool {
        excluded.iter().all(|entry| match self.covers(entry, question) {
            Some(covers) => !covers,
            None => self.effect() == Effect::Deny,
        })
    }

    /// Whether an entry covers the request's resource; None if a variable in it has no value.
    fn covers(&self, entry: &str, question: &Question<'_>) -> Option<bool> {
        let parts: Vec<&str> = parts(entry, self.variables);
        let parts: Option<Vec<Vec<Sign>>> =
            parts.into_iter().map(|part| expand(part, self.variables, question)).collect();
        let parts = parts?;
        Some(match question.request.resource.as_str() {
            "*" => entry == "*",
            arn => entry == "*" || arn_matches(&parts, arn),
        })
    }
}

fn action_matches(entry: &str, action: &str) -> bool {
    let entry = fold(entry);
    match (entry.split_once(':'), action.split_once(':')) {
        (Some((service, name)), Some((of, asked))) => service == of && matches(&signs(name), asked),
        _ => false,
    }
}
