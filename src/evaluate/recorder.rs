//! Records a [`Trace`] while a request is decided.

use std::cell::RefCell;

use super::audience::{Audience, Witness};
use super::layer::{Verdict, reference};
use super::standing::{Standing, Standings};
use super::trace::{
    ConditionNote, ConditionTrace, ElementTrace, EntryTrace, LayerTrace, LevelTrace, OrganizationNode, StatementTrace,
    Trace, VariableTrace,
};
use crate::access::PolicyType;
use crate::policy::{
    Cardinality, CompiledPolicy, CompiledStatement, ConditionKey, ElementName, Found, GrantClass, Listener, Spelled,
    SpelledCondition, Values,
};

/// Keeps everything, and what a [`Witness`] keeps.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    witness: Witness,
    heard: RefCell<Heard>,
}

/// What was heard, and not yet of what it is a part.
#[derive(Debug, Default)]
struct Heard {
    variables: Vec<VariableTrace>,
    entries: Vec<HeardEntry>,
    elements: Vec<(ElementName, bool, Vec<HeardEntry>)>,
    conditions: Vec<HeardCondition>,
    statements: Vec<StatementTrace>,
    levels: Vec<LevelTrace>,
    layers: Vec<Vec<LevelTrace>>,
    trace: Trace,
}

#[derive(Debug)]
struct HeardEntry {
    index: usize,
    found: Found,
    variables: Vec<VariableTrace>,
}

#[derive(Debug)]
struct HeardCondition {
    key: Box<str>,
    cardinality: Cardinality,
    request: Option<Vec<String>>,
    variables: Vec<VariableTrace>,
    result: Option<bool>,
    holds: bool,
}

impl Recorder {
    /// What was recorded, and what a witness has to say.
    pub(super) fn finish(self) -> (Witness, Trace) {
        (self.witness, self.heard.into_inner().trace)
    }
}

impl Listener for Recorder {
    const EXHAUSTIVE: bool = true;

    fn entry(&self, index: usize, found: Found) {
        let heard = &mut *self.heard.borrow_mut();
        let variables = std::mem::take(&mut heard.variables);
        heard.entries.push(HeardEntry { index, found, variables });
    }

    fn element(&self, element: ElementName, matches: bool) {
        let heard = &mut *self.heard.borrow_mut();
        let entries = std::mem::take(&mut heard.entries);
        heard.elements.push((element, matches, entries));
    }

    fn variable(&self, key: &ConditionKey, value: Option<&str>) {
        let variable = VariableTrace { key: key.spelled.clone(), value: value.map(Box::from) };
        let variables = &mut self.heard.borrow_mut().variables;
        // One value of a policy is compared with each of the request's.
        if !variables.contains(&variable) {
            variables.push(variable);
        }
    }

    fn condition(&self, key: &ConditionKey, values: &Values<'_>, result: Option<bool>, holds: bool) {
        let request = (!matches!(values, Values::Absent)).then(|| values.iter().map(str::to_owned).collect());
        let heard = &mut *self.heard.borrow_mut();
        let variables = std::mem::take(&mut heard.variables);
        let (key, cardinality) = (key.spelled.clone(), key.cardinality);
        heard.conditions.push(HeardCondition { key, cardinality, request, variables, result, holds });
    }
}

impl Audience for Recorder {
    fn missing(&self, key: &ConditionKey) {
        self.witness.missing(key);
    }

    fn statement(&self, kind: PolicyType, policy: &CompiledPolicy, index: usize, applies: Option<GrantClass>) {
        self.witness.statement(kind, policy, index, applies);
        let heard = &mut *self.heard.borrow_mut();
        let (elements, conditions) = (std::mem::take(&mut heard.elements), std::mem::take(&mut heard.conditions));
        let Some(CompiledStatement { effect, spelled, .. }) = policy.statements.get(index) else { return };
        heard.statements.push(StatementTrace {
            statement: reference(kind, policy, index),
            effect: *effect,
            applies,
            elements: elements.into_iter().map(|heard| element(heard, spelled)).collect(),
            conditions: conditions
                .into_iter()
                .zip(&spelled.conditions)
                .map(|(heard, it)| condition(heard, it))
                .collect(),
        });
    }

    fn level(&self, node: impl FnOnce() -> Option<OrganizationNode>, verdict: Verdict) {
        let heard = &mut *self.heard.borrow_mut();
        let statements = std::mem::take(&mut heard.statements);
        let Verdict { denied, granted } = verdict;
        heard.levels.push(LevelTrace { node: node(), denied, granted, statements });
    }

    fn layer(&self) {
        let heard = &mut *self.heard.borrow_mut();
        let levels = std::mem::take(&mut heard.levels);
        heard.layers.push(levels);
    }

    fn standings(&self, standings: &Standings) {
        let heard = &mut *self.heard.borrow_mut();
        let layer = |((policy_type, standing), levels): (&(PolicyType, Standing), Vec<LevelTrace>)| LayerTrace {
            policy_type: *policy_type,
            standing: *standing,
            levels,
        };
        heard.trace.layers = standings.iter().zip(heard.layers.drain(..)).map(layer).collect();
    }
}

fn element((element, matches, entries): (ElementName, bool, Vec<HeardEntry>), spelled: &Spelled) -> ElementTrace {
    let texts = match element {
        ElementName::Action | ElementName::NotAction => &spelled.actions,
        ElementName::Principal | ElementName::NotPrincipal => &spelled.principals,
        ElementName::Resource | ElementName::NotResource => &spelled.resources,
    };
    let entry = |HeardEntry { index, found, variables }| EntryTrace {
        text: texts.get(index).cloned().unwrap_or_default(),
        found,
        variables,
    };
    ElementTrace { element, matches, entries: entries.into_iter().map(entry).collect() }
}

fn condition(heard: HeardCondition, spelled: &SpelledCondition) -> ConditionTrace {
    let note = note(&heard, &spelled.operator);
    let HeardCondition { key, request, variables, holds, .. } = heard;
    let (operator, policy) = (spelled.operator.clone(), spelled.values.to_vec());
    ConditionTrace { operator, key, request, policy, variables, holds, note }
}

fn note(heard: &HeardCondition, operator: &str) -> Option<ConditionNote> {
    let plain = operator != "Null" && !operator.contains(':');
    let several = match heard.cardinality {
        Cardinality::Multi => true,
        Cardinality::Single => false,
        Cardinality::Unknown => heard.request.as_ref().is_some_and(|values| values.len() > 1),
    };
    match (&heard.request, heard.result) {
        (None, _) => Some(ConditionNote::KeyMissing),
        (_, None) => Some(ConditionNote::Unreadable),
        (_, Some(false)) if plain && several => Some(ConditionNote::NeverMatchesSeveral),
        (_, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_an_operator_never_matches_several_is_told_where_that_is_why() {
        let told = |operator: &str, cardinality, values: &[&str]| {
            let heard = HeardCondition {
                key: "k".into(),
                cardinality,
                request: Some(values.iter().map(|value| (*value).to_owned()).collect()),
                variables: Vec::new(),
                result: Some(false),
                holds: false,
            };
            note(&heard, operator)
        };
        let never = Some(ConditionNote::NeverMatchesSeveral);
        let cases = [
            ("StringEquals", Cardinality::Multi, &["a"][..], never),
            ("StringEquals", Cardinality::Unknown, &["a", "b"], never),
            ("StringEquals", Cardinality::Unknown, &["a"], None),
            ("StringEquals", Cardinality::Single, &["a", "b"], None),
            ("ForAnyValue:StringEquals", Cardinality::Multi, &["a", "b"], None),
            ("Null", Cardinality::Multi, &["a", "b"], None),
        ];
        for (operator, cardinality, values, expected) in cases {
            assert_eq!(told(operator, cardinality, values), expected, "{operator} on {cardinality:?} {values:?}");
        }
    }
}
