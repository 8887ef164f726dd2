//! AWS's own managed policies, each attached to a user who asks for every action of the services that it names.
//!
//! tests/data/managed-policies.txt has a line for each policy: how many of the answers are ALLOW, and digests of some and
//! of all of them, so that a diff shows which policies a change decides otherwise. An ordinary run asks some actions of
//! each policy, and the second evaluator with them; with `IAMD_REFERENCE_CASES`, both all. `IAMD_UPDATE_CASES=1` rewrites it,
//! and asks the second evaluator some.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use iamd::access::Decision;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::compare::Pair;
use super::facts::{FACTS, fold};
use super::request::Request;
use super::statement::{Statement, statements};
use super::store::strings;
use super::wildcard::{Sign, arn_parts, matches, signs};

const DIGESTS: &str = "tests/data/managed-policies.txt";
const USER: &str = "arn:aws:iam::123456789012:user/u";
/// Of each policy, in an ordinary run.
const ACTIONS: usize = 8;

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Some actions of each policy.
    Some,
    /// All of them; the reference, which is slow, some.
    Digests,
    /// All of them, and of the reference too.
    All,
}

impl Extent {
    fn wanted() -> Self {
        let is_set = |name| std::env::var_os(name).is_some();
        match (is_set("IAMD_UPDATE_CASES"), is_set("IAMD_REFERENCE_CASES")) {
            (true, _) => Self::Digests,
            (false, true) => Self::All,
            (false, false) => Self::Some,
        }
    }
}

/// What is kept of the answers about one policy.
struct Answers {
    digest: String,
    allowed: usize,
    asked: usize,
}

#[test]
fn managed_policies_decide_as_before() {
    let extent = Extent::wanted();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIGESTS);
    let lines: Vec<String> = FACTS.managed.iter().map(|(arn, document)| line(arn, document, extent)).collect();
    if extent == Extent::Digests {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    let kept = include_str!("../data/managed-policies.txt");
    assert_eq!(kept.lines().count(), lines.len());
    // What was not asked is not compared.
    let shown =
        |line: &str| line.split(' ').take(if extent == Extent::Some { 2 } else { 4 }).collect::<Vec<_>>().join(" ");
    let changed: Vec<_> = kept.lines().zip(&lines).filter(|(kept, line)| shown(kept) != shown(line)).collect();
    assert!(changed.is_empty(), "these policies decide otherwise than {DIGESTS} has it:\n{changed:#?}");
}

/// Name, digest of some answers, digest of all, and how many allow.
fn line(arn: &str, document: &Value, extent: Extent) -> String {
    let name = arn.split_once("policy/").unwrap().1;
    let subject = Subject::new(arn, document);
    let actions = subject.actions();
    let some = subject.some(&actions, ACTIONS);
    subject.compare(if extent == Extent::All { &actions } else { &some });
    let some = subject.digest(&some).digest;
    if extent == Extent::Some {
        return format!("{name} {some}");
    }
    let Answers { digest, allowed, asked } = subject.digest(&actions);
    format!("{name} {some} {digest} {allowed}/{asked}")
}

/// So many, from all over the list.
fn spread(actions: &[String], count: usize) -> Vec<String> {
    actions.iter().step_by(actions.len().div_ceil(count).max(1)).cloned().collect()
}

/// A service, and the signs of a name.
type ActionPattern = (String, Vec<Sign>);

/// A policy and the user it is attached to.
struct Subject<'a> {
    statements: Vec<Statement<'a>>,
    /// What each statement that lists actions is about: them, and an ARN.
    about: Vec<(Vec<ActionPattern>, String)>,
    user: Value,
    pair: Pair,
    /// The keys of its conditions, with values that suit them and with values that do not.
    contexts: [Vec<(String, Vec<String>)>; 3],
}

impl<'a> Subject<'a> {
    fn new(arn: &str, document: &'a Value) -> Self {
        let statements = statements(document);
        let keys = keys(&statements);
        let tags = keys.iter().filter_map(|(key, value)| Some((key.strip_prefix("aws:PrincipalTag/")?, value)));
        let user = json!({
            "UserName": "u",
            "Arn": USER,
            "UserId": "AIDAEXAMPLE0000000001",
            "Tags": tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>(),
            "AttachedManagedPolicies": [{"PolicyArn": arn}],
        });
        let pair = Pair::load(std::slice::from_ref(&user)).unwrap();
        let given = |value: fn(&str) -> String| keys.iter().map(|(key, own)| (key.clone(), vec![value(own)])).collect();
        let contexts = [Vec::new(), given(str::to_owned), given(|_| "other".to_owned())];
        let about = statements.iter().map(about).collect();
        Self { statements, about, user, pair, contexts }
    }

    /// Every action of the services that the policy's actions name, those that AWS still has.
    fn actions(&self) -> Vec<String> {
        let entries = self
            .statements
            .iter()
            .flat_map(|one| strings(&one.value["Action"]).into_iter().chain(strings(&one.value["NotAction"])));
        let named: BTreeSet<String> =
            entries.filter_map(|entry| Some(entry.split_once(':')?.0.to_lowercase())).collect();
        let services = named.iter().filter_map(|service| Some((service, FACTS.actions.get(service)?)));
        services.flat_map(|(service, names)| names.iter().map(move |name| format!("{service}:{name}"))).collect()
    }

    /// One action without context and resource, with what the conditions ask for, and with something else.
    fn requests(&self, action: &str) -> Vec<Request> {
        let resource = self.resource(action);
        let request = |(n, context): (usize, &Vec<(String, Vec<String>)>)| Request {
            principal: USER.to_owned(),
            action: action.to_owned(),
            resource: if n == 0 { "*".to_owned() } else { resource.to_owned() },
            context: context.clone(),
            ..Request::default()
        };
        self.contexts.iter().enumerate().map(request).collect()
    }

    /// So many actions: half of them such that statements with conditions list.
    fn some(&self, actions: &[String], count: usize) -> Vec<String> {
        let statements = self.statements.iter().zip(&self.about);
        let conditional = statements.filter(|(statement, _)| statement.value.get("Condition").is_some());
        let patterns: Vec<ActionPattern> = conditional.flat_map(|(_, (patterns, _))| patterns.clone()).collect();
        let conditional: Vec<String> = actions.iter().filter(|action| lists(&patterns, action)).cloned().collect();
        [spread(&conditional, count / 2), spread(actions, count / 2)].concat()
    }

    /// What the first statement about the action is about.
    fn resource(&self, action: &str) -> &str {
        self.about.iter().find(|(patterns, _)| lists(patterns, action)).map_or("*", |(_, arn)| arn)
    }

    /// Both evaluators give the same answers.
    fn compare(&self, actions: &[String]) {
        for request in actions.iter().flat_map(|action| self.requests(action)) {
            let answers = self.pair.ask(&request);
            let Request { action, resource, context, .. } = &request;
            let (real, reference) = (&answers.real, &answers.reference);
            assert!(real.is_some(), "no request: {action} on {resource} with {context:?}");
            assert!(
                answers.agree(),
                "{action} on {resource} with {context:?} of {:#}\nthe program: {real:?}\nthe reference: {reference:?}",
                self.user
            );
        }
    }

    /// A digest of the answers, how many allow, and how many there are.
    fn digest(&self, actions: &[String]) -> Answers {
        let mut text = String::new();
        let mut answers = Answers { allowed: 0, asked: 0, digest: String::new() };
        for request in actions.iter().flat_map(|action| self.requests(action)) {
            let (decision, decided_by) = self.pair.decided(&request).unwrap();
            writeln!(text, "{} {} {}", request.action, decision.as_str(), decided_by.as_str()).unwrap();
            answers.asked += 1;
            answers.allowed += usize::from(decision == Decision::Allow);
        }
        // Sixteen digits are 64 bits: two of some thousand policies do not meet by chance.
        Sha256::digest(text).iter().take(8).for_each(|byte| write!(answers.digest, "{byte:02x}").unwrap());
        answers
    }
}

fn about(statement: &Statement<'_>) -> (Vec<ActionPattern>, String) {
    let actions = strings(&statement.value["Action"]).iter().map(|action| fold(action)).collect::<Vec<_>>();
    let split = actions.iter().filter_map(|action| action.split_once(':'));
    let resources = strings(&statement.value["Resource"]);
    let arn = resources.iter().map(|pattern| an_arn(pattern)).find(|arn| arn_parts(arn).is_some());
    let names = split.map(|(service, name)| (service.to_owned(), signs(name))).collect();
    (names, arn.unwrap_or_else(|| "*".to_owned()))
}

fn lists(patterns: &[ActionPattern], action: &str) -> bool {
    let (service, name) = action.split_once(':').unwrap();
    let mut of_service = patterns.iter().filter(|(of, _)| of == service).peekable();
    let name = of_service.peek().map(|_| fold(name)).unwrap_or_default();
    of_service.any(|(_, signs)| matches(signs, &name))
}

/// The keys of conditions, once each, with a value that suits the first condition on it.
fn keys(statements: &[Statement<'_>]) -> Vec<(String, String)> {
    let mut keys: Vec<(String, String)> = Vec::new();
    let conditions = statements.iter().filter_map(|statement| statement.value["Condition"].as_object());
    for (operator, tests) in conditions.flatten() {
        for (key, values) in tests.as_object().unwrap() {
            let known = keys.iter().any(|(known, _)| known.eq_ignore_ascii_case(key));
            // What must be missing is not given.
            let absent = operator == "Null" && values != "false";
            if !known && !absent {
                keys.push((key.clone(), an_example(operator, &strings(values)[0])));
            }
        }
    }
    keys
}

fn an_example(operator: &str, value: &str) -> String {
    let known = value.replace("${aws:PrincipalAccount}", "123456789012").replace("${aws:username}", "u");
    match operator {
        "Null" => "some".to_owned(),
        _ if operator.contains("Arn") => an_arn(&known),
        _ => filled(&known, "x"),
    }
}

/// An ARN that a pattern may match.
fn an_arn(pattern: &str) -> String {
    let fillings = ["arn", "aws", "s3", "eu-west-1", "123456789012", "x"];
    let parts = pattern.splitn(6, ':').zip(fillings);
    parts.map(|(part, filling)| filled(part, filling)).collect::<Vec<_>>().join(":")
}

/// Without wildcards and variables.
fn filled(pattern: &str, filling: &str) -> String {
    let mut text = pattern.replace("${aws:PrincipalAccount}", "123456789012");
    while let Some((start, end)) = text.find("${").and_then(|start| Some((start, start + text[start..].find('}')?))) {
        text.replace_range(start..=end, "x");
    }
    text.replace('*', filling).replace('?', "x")
}
