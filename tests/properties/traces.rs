//! A trace cannot disagree with the decision that it explains: the outcome is the one without it, and follows from it.

use std::collections::BTreeSet;

use iamd::access::{Decision, Detail, Explanation, Outcome, PolicyType, StatementRef};
use iamd::evaluate::{
    self, ConditionNote, ConditionTrace, LayerTrace, LevelTrace, Reason, SessionPolicies, Standing, StatementTrace,
    Trace,
};
use iamd::policy::{Effect, ElementName, Found};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::json::Style;
use super::laws::{Checked, hold};
use super::scene::{Seen, loaded};

#[test]
fn a_trace_agrees_with_its_decision() {
    hold(|scene, answers, _| {
        let snapshot = loaded(scene.directory(&mut Style::default())).into_snapshot(1);
        for (question, answer) in scene.questions.iter().zip(answers) {
            question.ask(&mut Style::default(), |request| {
                let session = SessionPolicies::compile(request.session_policies).expect("session policies");
                let now = "2026-11-22T06:00:00Z".parse().expect("an instant");
                let untraced = evaluate::decide(&snapshot, request, &session, &|| now, Detail::Statements);
                let (traced, trace) = evaluate::explain(&snapshot, request, &session, &|| now);
                prop_assert_eq!(&traced.outcome, &untraced.outcome);
                prop_assert_eq!(traced.read_clock, untraced.read_clock);
                prop_assert_eq!(&Seen::of(&traced.outcome), answer);
                follows(&traced.outcome, &trace)
            })?;
        }
        Ok(())
    });
}

/// Decision, layer, statements and missing keys, recomputed from the trace.
fn follows(outcome: &Outcome, trace: &Trace) -> Checked {
    let explanation = outcome.explanation.as_deref().cloned().unwrap_or_default();
    prop_assert_eq!(trace.layers.len(), 7);
    for layer in &trace.layers {
        layer.levels.iter().flat_map(|level| &level.statements).try_for_each(statement_follows)?;
        layer.levels.iter().try_for_each(level_follows)?;
        standing_follows(layer)?;
    }
    let first =
        |wanted: fn(&LayerTrace) -> bool| trace.layers.iter().find(|layer| wanted(layer)).map(|it| it.policy_type);
    let denying = first(|layer| layer.statements().any(|it| it.effect == Effect::Deny && it.applies.is_some()));
    let silent = first(|layer| matches!(layer.standing, Standing::DoesNotAllow(_)));
    let expected = match (denying, silent) {
        (Some(layer), _) => (Decision::ExplicitDeny, layer),
        (None, Some(layer)) => (Decision::ImplicitDeny, layer),
        (None, None) => (Decision::Allow, granting(outcome, trace)?),
    };
    prop_assert_eq!((outcome.decision, outcome.decided_by), expected, "{:#?}", trace);
    statements_follow(outcome.decision, outcome.decided_by, &explanation, trace)?;
    missing_keys_follow(&explanation, trace)
}

/// The layer that granted: it allows, or is the root user's.
fn granting(outcome: &Outcome, trace: &Trace) -> Result<PolicyType, TestCaseError> {
    let layer = trace.layers.iter().find(|layer| layer.policy_type == outcome.decided_by);
    let standing = layer.map(|layer| layer.standing);
    let allows = matches!(standing, Some(Standing::Allows | Standing::NoSay(Reason::RootUser)));
    prop_assert!(allows, "{:?} by {:?}", outcome, standing);
    Ok(outcome.decided_by)
}

fn statement_follows(statement: &StatementTrace) -> Checked {
    for element in &statement.elements {
        let any = element.entries.iter().any(|it| matches!(it.found, Found::Match | Found::Names(_)));
        let unresolved = element.entries.iter().any(|it| it.found == Found::Unresolved);
        match element.element {
            ElementName::Action | ElementName::Resource | ElementName::Principal => {
                prop_assert_eq!(element.matches, any)
            }
            ElementName::NotAction => prop_assert_eq!(element.matches, !any),
            ElementName::NotResource => {
                let excludes = any || unresolved && statement.effect == Effect::Allow;
                prop_assert_eq!(element.matches, !excludes);
            }
            ElementName::NotPrincipal => {}
        }
    }
    let about_it = statement.elements.iter().all(|element| element.matches);
    let holds = statement.conditions.iter().all(|condition| condition.holds);
    prop_assert_eq!(statement.applies.is_some(), about_it && holds, "{:#?}", statement);
    // What does not match ends it: nothing after it is looked at.
    let (last, before) = statement.elements.split_last().expect("an action");
    prop_assert!(before.iter().all(|element| element.matches));
    prop_assert!(last.matches || statement.conditions.is_empty());
    Ok(())
}

fn level_follows(level: &LevelTrace) -> Checked {
    let applied = |effect| level.statements.iter().filter(move |it| it.effect == effect).filter_map(|it| it.applies);
    prop_assert_eq!(level.denied, applied(Effect::Deny).next().is_some());
    prop_assert_eq!(level.granted, applied(Effect::Allow).max());
    Ok(())
}

fn standing_follows(layer: &LayerTrace) -> Checked {
    let denied = layer.levels.iter().any(|level| level.denied);
    prop_assert_eq!(layer.standing == Standing::Denies, denied, "{:#?}", layer);
    if layer.standing == Standing::Allows {
        prop_assert!(layer.levels.iter().all(|level| level.granted.is_some()), "{:#?}", layer);
    }
    if layer.standing == Standing::DoesNotAllow(None) {
        prop_assert!(layer.levels.iter().any(|level| level.granted.is_none()), "{:#?}", layer);
    }
    if let Standing::NoSay(_) = layer.standing {
        prop_assert!(layer.levels.is_empty(), "{:#?}", layer);
    }
    Ok(())
}

/// Those of the explanation are those of the trace that apply with the effect of the decision, of layers that count.
fn statements_follow(decision: Decision, by: PolicyType, explanation: &Explanation, trace: &Trace) -> Checked {
    let applied = |effect: Effect, types: &[PolicyType]| {
        let layers = trace.layers.iter().filter(|layer| types.is_empty() || types.contains(&layer.policy_type));
        let applied = layers.flat_map(LayerTrace::statements).filter(|it| it.effect == effect && it.applies.is_some());
        let references: BTreeSet<StatementRef> = applied.map(|it| it.statement.clone()).collect();
        Vec::from_iter(references)
    };
    let statements = &explanation.statements;
    let identity = applied(Effect::Allow, &[PolicyType::Identity]);
    let both = applied(Effect::Allow, &[PolicyType::Identity, PolicyType::Resource, PolicyType::Trust]);
    match (decision, by) {
        (Decision::ExplicitDeny, _) => prop_assert_eq!(statements, &applied(Effect::Deny, &[])),
        (Decision::ImplicitDeny, _) => prop_assert!(statements.is_empty()),
        (Decision::Allow, PolicyType::Identity) => {
            prop_assert!(*statements == identity || *statements == both, "{:?}", statements);
        }
        (Decision::Allow, _) => prop_assert_eq!(statements, &both),
    }
    Ok(())
}

/// What a condition or a variable missed is listed, and nothing else.
fn missing_keys_follow(explanation: &Explanation, trace: &Trace) -> Checked {
    let listed: BTreeSet<String> = explanation.missing_context_keys.iter().map(|key| key.to_lowercase()).collect();
    let conditions = || trace.statements().flat_map(|statement| &statement.conditions);
    let entries = trace.statements().flat_map(|it| &it.elements).flat_map(|it| &it.entries);
    for ConditionTrace { key, request, note, .. } in conditions() {
        prop_assert_eq!(request.is_none(), *note == Some(ConditionNote::KeyMissing));
        prop_assert_eq!(request.is_none(), listed.contains(&key.to_lowercase()), "{}", key);
    }
    let variables = entries.flat_map(|it| &it.variables).chain(conditions().flat_map(|it| &it.variables));
    let asked: BTreeSet<String> =
        conditions().map(|it| &it.key).chain(variables.map(|it| &it.key)).map(|key| key.to_lowercase()).collect();
    prop_assert!(listed.is_subset(&asked), "{:?} of {:?}", listed, asked);
    Ok(())
}
