//! The laws, each held against a few hundred random scenes.

use std::cell::RefCell;
use std::collections::HashMap;

use iamd::access::{Decision, Detail};
use iamd::engine::{CacheStatus, Engine};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::ask::ask;
use super::dice::Dice;
use super::generate::{SESSION, WORKER, everything, scene};
use super::json::Style;
use super::scene::{Level, Organization, Policy, Question, Scene, Seen, loaded};

const CASES: u32 = 200;
/// Every decision is at least one answer in this many; else the scenes say little.
const RAREST: usize = 12;

pub(super) type Checked = Result<(), TestCaseError>;

/// Runs a law over random scenes, each with its answers and a seed.
pub(super) fn hold(law: impl Fn(&Scene, &[Seen], u64) -> Checked) {
    let counts = RefCell::new(HashMap::<Decision, usize>::new());
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(scene(), any::<u64>()), |(scene, seed)| {
        let answers = scene.answers(&mut Style::default());
        for answer in &answers {
            *counts.borrow_mut().entry(answer.decision).or_default() += 1;
        }
        law(&scene, &answers, seed)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let counts = counts.into_inner();
    let all: usize = counts.values().sum();
    for decision in Decision::ALL {
        let count = counts.get(&decision).copied().unwrap_or_default();
        assert!(count * RAREST >= all, "{decision:?} is rare: {counts:?}");
    }
}

/// Changes scenes in a way that changes no answer, nor its explanation.
fn hold_when(change: impl Fn(&mut Scene, &mut Dice)) {
    hold(|scene, answers, seed| {
        let mut changed = scene.clone();
        change(&mut changed, &mut Dice::new(seed));
        prop_assert_eq!(answers, changed.answers(&mut Style::default()), "{:#?}", changed);
        Ok(())
    });
}

/// As [`hold_when`], but the policies that statements stand in may have other names.
fn hold_but_for_names_when(change: impl Fn(&mut Scene, &mut Dice)) {
    hold(|scene, answers, seed| {
        let mut changed = scene.clone();
        change(&mut changed, &mut Dice::new(seed));
        let unnamed = |answers: Vec<Seen>| answers.into_iter().map(Seen::without_policies).collect::<Vec<_>>();
        prop_assert_eq!(unnamed(answers.to_vec()), unnamed(changed.answers(&mut Style::default())), "{:#?}", changed);
        Ok(())
    });
}

// --- narrowing ------------------------------------------------------------------------------------------------------

#[test]
fn a_deny_never_widens() {
    let counts = RefCell::new(0);
    hold(|scene, answers, seed| {
        let mut dice = Dice::new(seed);
        let mut changed = scene.clone();
        let mut policies = changed.policies_mut();
        let from = &policies[dice.below(policies.len())].statements;
        let mut deny = from[dice.below(from.len())].clone();
        (deny.deny, deny.sid) = (true, "Added".to_owned());
        let at = dice.below(policies.len());
        let statements = &mut policies[at].statements;
        statements.insert(dice.below(statements.len() + 1), deny);
        for (before, after) in answers.iter().zip(changed.answers(&mut Style::default())) {
            let narrower = match before.decision {
                Decision::Allow => true,
                Decision::ImplicitDeny => after.decision != Decision::Allow,
                Decision::ExplicitDeny => after.decision == Decision::ExplicitDeny,
            };
            prop_assert!(narrower, "{:?} became {:?} in {:#?}", before, after, changed);
            *counts.borrow_mut() += usize::from(before.decision != after.decision);
        }
        Ok(())
    });
    let count = counts.into_inner();
    assert!(count > 10, "the denies that are added matter in {count} answers only");
}

#[test]
fn an_identity_allow_never_narrows() {
    let counts = RefCell::new(0);
    hold(|scene, answers, seed| {
        let mut dice = Dice::new(seed);
        let mut changed = scene.clone();
        let policies = changed.policies_mut();
        let from = &policies[dice.below(policies.len())].statements;
        let mut allow = from[dice.below(from.len())].clone();
        (allow.deny, allow.sid) = (false, "Added".to_owned());
        // Else it would hardly ever apply where nothing else does.
        allow.conditions.clear();
        allow.resources = everything().resources;
        for entity in changed.users.iter_mut().chain(&mut changed.roles) {
            entity.inline.push(Policy { name: "added".to_owned(), statements: vec![allow.clone()] });
        }
        for (before, after) in answers.iter().zip(changed.answers(&mut Style::default())) {
            let wider = match before.decision {
                Decision::Allow => after.decision == Decision::Allow,
                Decision::ImplicitDeny => after.decision != Decision::ExplicitDeny,
                Decision::ExplicitDeny => after.decision == Decision::ExplicitDeny,
            };
            prop_assert!(wider, "{:?} became {:?} in {:#?}", before, after, changed);
            *counts.borrow_mut() += usize::from(before.decision != after.decision);
        }
        Ok(())
    });
    let count = counts.into_inner();
    assert!(count > 10, "the allows that are added matter in {count} answers only");
}

#[test]
fn session_policies_never_widen_what_a_role_may() {
    let counts = RefCell::new(0);
    hold(|scene, _, seed| {
        let mut dice = Dice::new(seed);
        let mut without = scene.clone();
        for question in &mut without.questions {
            question.principal = if dice.below(2) == 0 { WORKER } else { SESSION };
            question.session.clear();
        }
        let mut with = without.clone();
        for question in &mut with.questions {
            question.session = vec![scene.managed[0][dice.below(scene.managed[0].len())].clone()];
        }
        let answers = [&with, &without].map(|scene| scene.answers(&mut Style::default()));
        for (with, without) in answers[0].iter().zip(&answers[1]) {
            let narrower = with.decision != Decision::Allow || without.decision == Decision::Allow;
            prop_assert!(narrower, "{:?} was {:?} in {:#?}", with, without, scene);
            *counts.borrow_mut() += usize::from(with.decision != without.decision);
        }
        Ok(())
    });
    let count = counts.into_inner();
    assert!(count > 10, "session policies matter in {count} answers only");
}

// --- what must not matter -------------------------------------------------------------------------------------------

/// Files in any order, lone values in lists, condition keys and actions in any case.
#[test]
fn how_it_is_written_does_not_matter() {
    hold(|scene, answers, seed| {
        let styles = [
            ("files in another order", Style { shuffle_files: Some(Dice::new(seed)), ..Style::default() }),
            ("lone values in lists", Style { wrap: true, ..Style::default() }),
            ("keys and actions in another case", Style { respell: Some(Dice::new(seed)), ..Style::default() }),
        ];
        for (what, mut style) in styles {
            prop_assert_eq!(answers, scene.answers(&mut style), "{}", what);
        }
        Ok(())
    });
}

#[test]
fn the_order_of_things_does_not_matter() {
    hold_when(|scene, dice| {
        for policy in scene.policies_mut() {
            dice.shuffle(&mut policy.statements);
            for statement in &mut policy.statements {
                dice.shuffle(&mut statement.principals.entries);
                dice.shuffle(&mut statement.actions.entries);
                dice.shuffle(&mut statement.resources.entries);
                dice.shuffle(&mut statement.conditions);
                statement.conditions.iter_mut().for_each(|condition| dice.shuffle(&mut condition.values));
            }
        }
        scene.lists_mut().into_iter().for_each(|list| dice.shuffle(list));
        for entity in scene.users.iter_mut().chain(&mut scene.roles) {
            dice.shuffle(&mut entity.attached);
            dice.shuffle(&mut entity.groups);
            dice.shuffle(&mut entity.tags);
        }
        for question in &mut scene.questions {
            dice.shuffle(&mut question.context);
            question.context.iter_mut().for_each(|(_, values)| dice.shuffle(values));
        }
    });
}

#[test]
fn a_policy_may_be_split_in_two() {
    hold_but_for_names_when(|scene, dice| {
        for list in scene.lists_mut() {
            for index in 0..list.len() {
                let policy = &mut list[index];
                if policy.statements.len() > 1 {
                    let statements = policy.statements.split_off(1 + dice.below(policy.statements.len() - 1));
                    let name = format!("{}rest", policy.name);
                    list.push(Policy { name, statements });
                }
            }
        }
    });
}

#[test]
fn a_statement_may_move_from_an_inline_policy_to_a_managed_one() {
    hold_but_for_names_when(|scene, dice| {
        let Scene { users, roles, groups, managed, .. } = scene;
        let entities = users.iter_mut().chain(roles).map(|e| (e.account, &mut e.inline, &mut e.attached));
        let groups = groups.iter_mut().map(|group| (0, &mut group.inline, &mut group.attached));
        for (account, inline, attached) in entities.chain(groups) {
            if inline.is_empty() {
                continue;
            }
            let at = dice.below(inline.len());
            let from = &mut inline[at];
            let statement = from.statements.remove(dice.below(from.statements.len()));
            let name = format!("{}moved", from.name);
            if from.statements.is_empty() {
                inline.remove(at);
            }
            attached.push(name.clone());
            managed[account].push(Policy { name, statements: vec![statement] });
        }
    });
}

#[test]
fn a_boundary_that_allows_everything_changes_nothing() {
    hold(|scene, _, _| {
        let scene = &without_exceptions(scene);
        let mut changed = scene.clone();
        for managed in &mut changed.managed {
            managed.push(Policy { name: "open".to_owned(), statements: vec![everything()] });
        }
        for entity in changed.users.iter_mut().chain(&mut changed.roles) {
            entity.boundary.get_or_insert_with(|| "open".to_owned());
        }
        prop_assert_eq!(scene.answers(&mut Style::default()), changed.answers(&mut Style::default()), "{:#?}", changed);
        Ok(())
    });
}

#[test]
fn an_organization_that_allows_everything_changes_nothing() {
    hold(|scene, _, _| {
        let mut scene = without_exceptions(scene);
        scene.organization = None;
        let open = || Level { full_access: true, service_control: Vec::new(), resource_control: Vec::new() };
        let levels = [open(), open(), open(), open()];
        let changed = Scene { organization: Some(Organization { levels }), ..scene.clone() };
        prop_assert_eq!(scene.answers(&mut Style::default()), changed.answers(&mut Style::default()), "{:#?}", changed);
        Ok(())
    });
}

/// Without `NotPrincipal`, which looks at whether there is a boundary, and without the keys that an organization gives.
fn without_exceptions(scene: &Scene) -> Scene {
    let mut scene = scene.clone();
    for statement in scene.policies_mut().into_iter().flat_map(|policy| &mut policy.statements) {
        statement.principals.negated = false;
        statement.conditions.retain(|condition| !condition.key.contains("Org"));
    }
    scene
}

// --- the cache ------------------------------------------------------------------------------------------------------

#[test]
fn what_is_remembered_is_what_is_decided() {
    hold(|scene, _, _| {
        let scene = &with_twins(scene);
        let answers = &scene.answers(&mut Style::default());
        let engine = Engine::new(loaded(scene.directory(&mut Style::default())), 1 << 20);
        let active = engine.load_full();
        for (question, uncached) in scene.questions.iter().zip(answers) {
            question.ask(&mut Style::default(), |request| {
                let ask = |detail| ask(&active, request, detail).expect("an answer");
                let [first, second] = [(); 2].map(|()| ask(Detail::Statements));
                prop_assert_eq!(&Seen::of(&first.outcome), uncached);
                prop_assert_eq!(&first.outcome, &second.outcome);
                let repeated = match first.cache {
                    CacheStatus::Bypass => CacheStatus::Bypass,
                    CacheStatus::Hit | CacheStatus::Miss => CacheStatus::Hit,
                };
                prop_assert_eq!(second.cache, repeated);
                let [first, second] = [(); 2].map(|()| ask(Detail::Decision).outcome);
                prop_assert_eq!((first.decision, first.decided_by), (uncached.decision, uncached.decided_by));
                prop_assert_eq!((&first.explanation, &first), (&None, &second));
                Ok(())
            })?;
        }
        Ok(())
    });
}

/// Beside every question those that differ from it in one thing: a key that leaves it out would lend them its answer.
fn with_twins(scene: &Scene) -> Scene {
    let others = scene.questions.iter().cycle().skip(1);
    let twins = scene.questions.iter().zip(others).take(4).flat_map(|(asked, other)| {
        let red = asked.tags.iter().map(|(key, _)| (key.clone(), "red".to_owned()));
        [
            asked.clone(),
            Question { context: other.context.clone(), ..asked.clone() },
            Question { resource: other.resource, ..asked.clone() },
            Question { session: Vec::new(), ..asked.clone() },
            Question { tags: Vec::new(), ..asked.clone() },
            Question { tags: red.collect(), ..asked.clone() },
        ]
    });
    Scene { questions: twins.collect(), ..scene.clone() }
}
