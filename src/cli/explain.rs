//! How a decision came about, for people: `check --explain`.

mod json;
mod words;

use super::report::{self, Stream};
use crate::access::{Outcome, PolicyType, StatementRef};
use crate::evaluate::{
    ConditionTrace, ElementTrace, LayerTrace, LevelTrace, Standing, StatementTrace, Trace, VariableTrace,
};
use crate::policy::{Effect, ElementName};

pub(super) use json::document;

/// A condition that does not fit is written on several lines.
const LINE_CHARACTERS: usize = 100;

/// How many statements about other actions are named; more are counted.
const FEW: usize = 3;

/// As wide as the longest policy type, `PERMISSIONS_BOUNDARY`.
const TYPE_CHARACTERS: usize = 20;

/// As wide as `Condition`; the rare `NotPrincipal` sticks out.
const LABEL_CHARACTERS: usize = 9;

/// Prints every layer, and in the end what decided.
pub(super) fn print(outcome: &Outcome, trace: &Trace, out: &mut Stream) {
    if !trace.layers.is_empty() {
        out.line("layers:");
    }
    for layer in &trace.layers {
        print_layer(layer, out);
    }
    out.line(format_args!("so {}: {}", outcome.decision.as_str(), words::conclusion(outcome, trace)));
}

fn print_layer(layer: &LayerTrace, out: &mut Stream) {
    let words = words::standing(layer);
    let words = match layer.standing {
        Standing::Denies | Standing::DoesNotAllow(_) => out.paint.red(words),
        Standing::Allows => out.paint.green(words),
        Standing::NotNeeded(_) | Standing::NoSay(_) => words,
    };
    out.line(format_args!("  {:<TYPE_CHARACTERS$}  {words}", layer.policy_type.as_str()));
    for level in &layer.levels {
        print_level(level, layer.policy_type, out);
    }
}

/// The statements about this action, by policy; then those about others.
fn print_level(level: &LevelTrace, policy_type: PolicyType, out: &mut Stream) {
    if let Some(node) = &level.node {
        out.line(format_args!("    {}", report::printable(&words::level(node, level, policy_type))));
    }
    let (concerned, others): (Vec<_>, Vec<_>) = level.statements.iter().partition(|it| it.concerns_action());
    let mut policy = None;
    for statement in concerned {
        // A policy of an organization is called by its node, which was named.
        if level.node.is_none() && policy != Some(&statement.statement.policy) {
            out.line(format_args!("    {}", report::printable(&statement.statement.policy)));
        }
        policy = Some(&statement.statement.policy);
        print_statement(statement, out);
    }
    print_others(&others, out);
}

fn print_others(others: &[&StatementTrace], out: &mut Stream) {
    if others.len() > FEW {
        return out.line(format_args!("    {} statements are about other actions", others.len()));
    }
    for statement in others {
        let about = statement.elements.first().map(words::other_actions).unwrap_or_default();
        out.line(format_args!("    {} is about {about}", title(statement)));
        out.line(format_args!("      {}", place(statement)));
    }
}

fn print_statement(statement: &StatementTrace, out: &mut Stream) {
    let title = title(statement);
    let applies = match (statement.applies, statement.effect) {
        (None, _) => format!("{title} does not apply"),
        (Some(_), Effect::Allow) => out.paint.green(format_args!("{title} applies")),
        (Some(_), Effect::Deny) => out.paint.red(format_args!("{title} applies")),
    };
    out.line(format_args!("      {applies}"));
    out.line(format_args!("        {}", place(statement)));
    for element in &statement.elements {
        print_element(element, out);
    }
    for condition in &statement.conditions {
        print_condition(condition, out);
    }
}

/// `Deny ButNeverStopProduction`; a statement without Sid is `#INDEX`.
fn title(statement: &StatementTrace) -> String {
    let effect = match statement.effect {
        Effect::Allow => "Allow",
        Effect::Deny => "Deny",
    };
    let StatementRef { sid, index, .. } = &statement.statement;
    if sid.is_empty() { format!("{effect} #{index}") } else { format!("{effect} {}", report::printable(sid)) }
}

/// Where it is written, as compilers say it.
fn place(statement: &StatementTrace) -> String {
    let StatementRef { file, line, column, .. } = &statement.statement;
    format!("--> {}:{line}:{column}", report::printable(file))
}

fn print_element(element: &ElementTrace, out: &mut Stream) {
    print_detail(element_name(element.element), &words::element(element), out);
    print_variables(element.entries.iter().flat_map(|entry| &entry.variables), out);
}

fn print_condition(condition: &ConditionTrace, out: &mut Stream) {
    let [about, has, wants, result] = words::condition(condition);
    let line = format!("{about}: {has}, {wants}: {result}");
    let indent = 8 + LABEL_CHARACTERS + 2;
    if indent + line.chars().count() <= LINE_CHARACTERS {
        print_detail("Condition", &line, out);
    } else {
        print_detail("Condition", &format!("{about}: {result}"), out);
        print_detail("", &has, out);
        print_detail("", &wants, out);
    }
    print_variables(&condition.variables, out);
}

fn print_variables<'v>(variables: impl IntoIterator<Item = &'v VariableTrace>, out: &mut Stream) {
    let mut printed = Vec::new();
    for variable in variables {
        if !printed.contains(&variable) {
            print_detail("", &words::variable(variable), out);
            printed.push(variable);
        }
    }
}

fn print_detail(label: &str, text: &str, out: &mut Stream) {
    out.line(format_args!("        {label:<LABEL_CHARACTERS$}  {text}"));
}

/// As policies spell it.
fn element_name(element: ElementName) -> &'static str {
    match element {
        ElementName::Action => "Action",
        ElementName::NotAction => "NotAction",
        ElementName::Principal => "Principal",
        ElementName::NotPrincipal => "NotPrincipal",
        ElementName::Resource => "Resource",
        ElementName::NotResource => "NotResource",
    }
}
