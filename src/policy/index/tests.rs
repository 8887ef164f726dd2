//! The index against a plain scan: of random statements, whatever applies is found.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::access::Principal;
use crate::policy::tests::identity_policy;
use crate::policy::{
    Circumstances, CompiledPolicy, ConditionKey, Facts, GrantClass, Listener, Nobody, PolicySet, PrincipalFacts,
    Resolve, Sought, Values,
};

/// Hears everything, so that no matcher takes a short cut.
struct Everybody;

impl Listener for Everybody {
    const EXHAUSTIVE: bool = true;
}

/// Every key that begins with `s3:` is missing, `aws:userid` is empty, others have a value that looks like a pattern, or an
/// ordinary one.
struct Given<L>(L);

impl<L: Listener> Resolve for Given<L> {
    type Listener = L;

    fn listener(&self) -> &L {
        &self.0
    }

    fn resolve(&self, key: &ConditionKey) -> Option<Cow<'_, str>> {
        match &*key.folded {
            "aws:username" => Some(Cow::Borrowed("ali")),
            "aws:principaltag/odd" => Some(Cow::Borrowed("a*?${x}:é")),
            _ => None,
        }
    }
}

impl<L: Listener> Facts for Given<L> {
    fn values(&self, key: &ConditionKey) -> Values<'_> {
        self.resolve(key).map_or(Values::Absent, Values::One)
    }
}

/// Which statements apply, by where they are in memory, and how.
type Applying = BTreeSet<(usize, Option<GrantClass>)>;

struct Collecting<'c, F> {
    circumstances: &'c Circumstances<'c, F>,
    applying: Applying,
    found: BTreeSet<usize>,
}

impl<F: Facts> Seeker for Collecting<'_, F> {
    fn wants(&self, _: Effect) -> bool {
        true
    }

    fn found(&mut self, statement: &CompiledStatement) -> ControlFlow<()> {
        let address = std::ptr::from_ref(statement).addr();
        self.found.insert(address);
        let class = statement.applies(self.circumstances);
        self.applying.extend(class.map(|class| (address, Some(class))));
        ControlFlow::Continue(())
    }
}

/// What applies of the statements that `search` shows, and how many those are.
fn collect<L: Listener>(
    (action, resource): (&str, &str),
    listener: L,
    search: impl FnOnce((&Action<'_>, &ResourceName<'_>), &mut Collecting<'_, Given<L>>),
) -> (Applying, usize) {
    let action = Action::parse(action).unwrap();
    let resource = ResourceName::parse(resource).unwrap();
    let principal = Principal::parse("arn:aws:iam::123456789012:user/ali", &action).unwrap();
    let principal = PrincipalFacts { principal: &principal, unique_id: None, federated_by: None, has_boundary: false };
    let circumstances = Circumstances { principal, action: &action, resource: &resource, facts: &Given(listener) };
    let mut collecting =
        Collecting { circumstances: &circumstances, applying: Applying::new(), found: BTreeSet::new() };
    search((&action, &resource), &mut collecting);
    (collecting.applying, collecting.found.len())
}

/// Pieces from which texts that have much in common are put together.
const ACTIONS: [&str; 12] = ["s3:", "S3:", "get", "Get", "o", "b", "*", "?", "ec2:", "object", "getobjec", ""];
const RESOURCES: [&str; 24] = [
    "arn:aws:s3:::",
    "arn:aws:s3:::",
    "arn:aws:sqs:eu-west-1:123456789012:",
    "arn:*:s3:*:*:",
    "arn:aws:sqs:*:*:",
    "arn:aws:s3:::*",
    "a*",
    "arn:aws:s?",
    "b",
    "/",
    "//",
    "a",
    "A",
    "é",
    "*",
    "?",
    ":",
    "ali",
    "${aws:username}",
    "${aws:PrincipalTag/Odd}",
    "${s3:prefix}",
    "${s3:prefix, 'b/a'}",
    "${*}",
    "",
];
const ASKED: [&str; 12] = ["b", "/", "//", "a", "A", "é", ":", "ali", "a*?${x}:é", "b/a", "*", ""];

fn action_pattern() -> impl Strategy<Value = String> {
    let pattern = (select(vec!["s3:", "S3:", "ec2:"]), vec(select(ACTIONS.to_vec()), 0..4))
        .prop_map(|(service, rest)| service.to_owned() + &rest.concat().replace(':', "") + "x")
        .prop_flat_map(|text| (Just(text), any::<bool>()))
        .prop_map(|(text, keep)| if keep { text } else { text.trim_end_matches('x').to_owned() + "*" });
    prop_oneof![1 => Just("*".to_owned()), 9 => pattern]
}

fn resource_pattern() -> impl Strategy<Value = String> {
    let pattern = vec(select(RESOURCES.to_vec()), 0..5).prop_map(|rest| rest.concat());
    let begun = (select(RESOURCES[..6].to_vec()), pattern).prop_map(|(start, rest)| format!("{start}{rest}"));
    prop_oneof![1 => Just("*".to_owned()), 1 => vec(select(RESOURCES.to_vec()), 1..5).prop_map(|all| all.concat()), 8 => begun]
}

/// A statement, one in two like so many that sets of them share nothing but a resource or an action.
fn statement() -> impl Strategy<Value = serde_json::Value> {
    let few = prop_oneof![9 => 1..4usize, 1 => 9..14usize];
    let lists = few.prop_flat_map(|many| (vec(action_pattern(), 1..=many), vec(resource_pattern(), 1..=many)));
    (lists, any::<bool>(), 0..8u8, any::<bool>()).prop_map(|((actions, resources), allow, shape, condition)| {
        let effect = if allow { "Allow" } else { "Deny" };
        let (action, resource) = match shape {
            0 => ("NotAction", "Resource"),
            1 => ("Action", "NotResource"),
            _ => ("Action", "Resource"),
        };
        let mut statement = serde_json::json!({ "Effect": effect, action: actions, resource: resources });
        if condition {
            statement["Condition"] = serde_json::json!({"StringLike": {"aws:username": "a*"}});
        }
        statement
    })
}

fn request() -> impl Strategy<Value = (String, String)> {
    let action = vec(select(vec!["get", "Get", "o", "b", "object", "getobjec", "x"]), 1..4)
        .prop_flat_map(|name| (Just(name.concat()), select(vec!["s3", "S3", "ec2"])))
        .prop_map(|(name, service)| format!("{service}:{name}"));
    let arn = (select(vec!["arn:aws:s3:::", "arn:aws:sqs:eu-west-1:123456789012:"]), vec(select(ASKED.to_vec()), 1..5))
        .prop_map(|(start, rest)| format!("{start}{}", rest.concat()))
        .prop_filter("an ARN names something", |arn| ResourceName::parse(arn).is_ok());
    (action, prop_oneof![1 => Just("*".to_owned()), 9 => arn])
}

/// None if this is none that a store may have.
fn policy(statements: &[serde_json::Value]) -> Option<CompiledPolicy> {
    let valid = |statement: &&serde_json::Value| identity_policy(std::slice::from_ref(*statement)).is_some();
    identity_policy(&statements.iter().filter(valid).cloned().collect::<Vec<_>>())
}

/// The policies that have these statements, as far as a store may have them.
fn policies(statements: &[serde_json::Value], pieces: usize) -> Vec<Arc<CompiledPolicy>> {
    let piece = statements.len().div_ceil(pieces).max(1);
    statements.chunks(piece).filter_map(|chunk| policy(chunk).map(Arc::new)).collect()
}

#[test]
fn whatever_applies_is_found() {
    let statements = prop_oneof![vec(statement(), 0..8), vec(statement(), 0..200)];
    let strategy = (statements, vec(request(), 16), prop_oneof![1..4usize, 1..40usize]);
    let (asked, met, all, compared) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |counter: &Cell<usize>, by: usize| counter.set(counter.get() + by);
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |(statements, requests, pieces)| {
        let policies = policies(&statements, pieces);
        let together = vec![PolicySet::new(policies.clone())];
        let apart: Vec<_> = policies.iter().map(|policy| PolicySet::apart(Arc::clone(policy))).collect();
        for (action, resource) in &requests {
            let request = (action.as_str(), resource.as_str());
            let (expected, whole) = collect(request, Everybody, |_, seeker| {
                policies.iter().for_each(|policy| assert!(policy.scan(seeker).is_continue()));
            });
            for sets in [&together, &apart] {
                let (found, few) = collect(request, Nobody, |(action, resource), seeker| {
                    let sought = Sought::new(action, resource);
                    sets.iter().for_each(|set| assert!(set.search(&sought, seeker).is_continue()));
                });
                prop_assert_eq!(&found, &expected, "{:?} of {:?}", request, statements);
                count(&asked, 1);
                count(&met, usize::from(!found.is_empty()));
                count(&all, whole);
                count(&compared, few);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    // Else the statements and requests say little.
    assert!(met.get() * 4 > asked.get(), "something applies to {} of {} requests", met.get(), asked.get());
    assert!(compared.get() * 2 < all.get(), "{} of {} statements are found", compared.get(), all.get());
}

/// Statements on distinct resources, on distinct actions, and on pairs of both.
fn many(shape: &str) -> PolicySet {
    let statement = |n: usize| {
        let (action, resource) = match shape {
            "resources" => ("s3:Get*".to_owned(), format!("arn:aws:s3:::bucket-{n:03}/*")),
            "regions" => ("s3:Get*".to_owned(), format!("arn:aws:s3:*:*:bucket-{n:03}/*")),
            "actions" => (format!("s3:GetObject{n:03}"), "*".to_owned()),
            _ => (format!("s3:GetObject{:02}", n / 20), format!("arn:aws:s3:::bucket-{:02}/*", n % 20)),
        };
        serde_json::json!({"Effect": "Allow", "Action": action, "Resource": resource})
    };
    let statements: Vec<_> = (0..400).map(statement).collect();
    PolicySet::new(vec![policy(&statements).unwrap().into()])
}

#[test]
fn few_are_compared() {
    let cases = [
        ("resources", "s3:GetObject", "arn:aws:s3:::bucket-123/o"),
        ("regions", "s3:GetObject", "arn:aws:s3:eu-west-1:123456789012:bucket-123/o"),
        ("actions", "s3:GetObject123", "arn:aws:s3:::bucket-1/o"),
        ("pairs", "s3:GetObject12", "arn:aws:s3:::bucket-13/o"),
    ];
    for (shape, action, resource) in cases {
        let (applying, found) = collect((action, resource), Nobody, |request, seeker| {
            assert!(many(shape).search(&Sought::new(request.0, request.1), seeker).is_continue())
        });
        assert_eq!((applying.len(), found), (1, 1), "{shape}");
    }
}
