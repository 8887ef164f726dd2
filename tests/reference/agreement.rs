//! Random stores and requests: the program and the second evaluator give the same answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use iamd::access::{Decision, PolicyType};

use super::asking::request;
use super::compare::Pair;
use super::condition;
use super::dice::Dice;
use super::principal::Grant;
use super::request::Request;
use super::shrink;
use super::world::world;

/// How many cases an ordinary run has; `IAMD_REFERENCE_CASES` asks for more.
const CASES: usize = 12_000;
/// So that building a store is paid by many.
const REQUESTS_PER_WORLD: usize = 250;
/// A run with so many cases sees every operator, with every quantifier, hold and fail.
const MANY: usize = 100_000;
/// Of ten thousand: an answer that is rarer is not tested.
const RARE: usize = 20;
/// The same for ways to be granted: most of them lead to one answer.
const RARE_GRANT: usize = 10;

/// Every answer that there can be. RCPs only deny explicitly; no layer but these three grants.
fn possible() -> Vec<(Decision, PolicyType)> {
    let granting = [PolicyType::Resource, PolicyType::Trust, PolicyType::Identity];
    let explicit = PolicyType::ALL.map(|kind| (Decision::ExplicitDeny, kind));
    let implicit = PolicyType::ALL.into_iter().filter(|kind| *kind != PolicyType::ResourceControl);
    let allows = granting.map(|kind| (Decision::Allow, kind));
    allows.into_iter().chain(explicit).chain(implicit.map(|kind| (Decision::ImplicitDeny, kind))).collect()
}

#[derive(Default)]
struct Census {
    cases: usize,
    refused: usize,
    answers: BTreeMap<(Decision, PolicyType), usize>,
    /// How often a resource's policy granted in this way, alone or with others.
    grants: BTreeMap<Grant, usize>,
}

#[test]
fn the_program_and_the_reference_agree() {
    let cases = std::env::var("IAMD_REFERENCE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    // Another seed is other worlds; the default is fixed, so that a failure is found again.
    let seed: u64 = std::env::var("IAMD_REFERENCE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut census = Census::default();
    for n in 0..u64::try_from(cases.div_ceil(REQUESTS_PER_WORLD)).unwrap() {
        ask_world(seed.wrapping_mul(1 << 32).wrapping_add(n), &mut census);
    }
    println!("{}", census.report());
    assert!(census.refused * 50 < census.cases, "{} of {} are no requests", census.refused, census.cases);
    census.assert_complete();
}

fn ask_world(seed: u64, census: &mut Census) {
    // Multiplied, so that neighbours do not throw alike.
    let mut dice = Dice::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17));
    let files = world(&mut dice);
    let pair = Pair::load(&files).unwrap_or_else(|refusal| panic!("the store of seed {seed} is refused:\n{refusal}"));
    for _ in 0..REQUESTS_PER_WORLD {
        let request = request(&mut dice);

        let answers = pair.ask(&Request::read(&request));
        if !answers.agree() {
            let (files, request) = shrink::shrink(&files, &request);
            panic!("they disagree in the world of seed {seed}:\n{}", shrink::suite(&files, &request));
        }
        census.count(&answers);
    }
}

impl Census {
    fn count(&mut self, answers: &super::compare::Answers) {
        self.cases += 1;
        let Some(real) = &answers.real else {
            self.refused += 1;
            return;
        };
        *self.answers.entry((real.decision, real.decided_by)).or_default() += 1;
        for grant in &answers.reference.grants {
            *self.grants.entry(*grant).or_default() += 1;
        }
    }

    fn report(&self) -> String {
        let mut text = format!("{} cases, {} of them no requests\n", self.cases, self.refused);
        let percent = |count: &usize| {
            100.0 * f64::from(u32::try_from(*count).unwrap()) / f64::from(u32::try_from(self.cases).unwrap())
        };
        for ((decision, kind), count) in &self.answers {
            writeln!(text, "{:>9} {:>6.2} % {} {}", count, percent(count), decision.as_str(), kind.as_str()).unwrap();
        }
        for (grant, count) in &self.grants {
            writeln!(text, "{count:>9} {:>6.2} % granted to {grant:?}", percent(count)).unwrap();
        }
        for (operator, [no, yes]) in condition::tested() {
            writeln!(text, "{:>9} {operator}: {yes} held, {no} did not", no + yes).unwrap();
        }
        text
    }

    /// Every answer, every way to be granted and every operator was there, and not by a rare chance.
    fn assert_complete(&self) {
        let rare = |count: Option<&usize>, limit| count.copied().unwrap_or_default() * 10_000 < limit * self.cases;
        let answers: Vec<_> = possible().into_iter().filter(|answer| rare(self.answers.get(answer), RARE)).collect();
        assert!(answers.is_empty(), "rare: {answers:?}");
        let grants = [
            Grant::Account,
            Grant::UserOfFederated,
            Grant::Role,
            Grant::User,
            Grant::Session,
            Grant::Everyone,
            Grant::WithoutAccount,
        ];
        let grants: Vec<_> = grants.into_iter().filter(|grant| rare(self.grants.get(grant), RARE_GRANT)).collect();
        assert!(grants.is_empty(), "rare: {grants:?}");
        let tested = condition::tested();
        assert_eq!(tested.len(), 26 * 3 + 1, "operators: {:?}", tested.keys());
        // Quantified ones are too many for an ordinary run to see all of them hold and fail.
        let enough = |operator: &str| self.cases < MANY && operator.contains(':');
        let one_sided = |(operator, counts): &(&String, &[usize; 2])| counts.contains(&0) && !enough(operator);
        let one_sided: Vec<_> = tested.iter().filter(one_sided).collect();
        assert!(one_sided.is_empty(), "{one_sided:?}");
    }
}
