//! One decision, by what the caller has: `cargo bench --bench evaluate`, or with a part of a scenario's name.
//!
//! A scenario is a store and some requests, all with the same answer; they are asked in turn. Everything is made from numbers, so
//! that it is the same at each run.

#![expect(clippy::expect_used, reason = "a bench may end early")]

use std::cell::{LazyCell, OnceCell};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

#[path = "common/store.rs"]
mod store;

use criterion::{Criterion, criterion_group, criterion_main};
use iamd::access::{AccessRequest, Decision, Detail};
use iamd::catalogue;
use iamd::config::RequestLimits;
use iamd::engine::Active;
use iamd::evaluate::{self, SessionPolicies};
use iamd::proto::v1;
use iamd::server::convert;

const USER: &str = "arn:aws:iam::123456789012:user/alice";

/// An address that policies know.
const INSIDE: &str = "203.0.113.7";

/// How many requests are asked in turn.
const ASKED: usize = 64;

/// A store, and requests of which each is decided like that.
struct Scenario {
    name: String,
    files: Vec<String>,
    requests: Vec<v1::IsAuthorizedRequest>,
    decision: Decision,
}

// --- scenarios ------------------------------------------------------------------------------------------------------

/// Four statements on a bucket of this number, half of them with conditions, or none.
fn ordinary(n: usize, conditional: bool) -> String {
    let condition = |text: &str| if conditional { format!(r#", "Condition": {text}"#) } else { String::new() };
    let team = condition(r#"{"StringEquals": {"aws:PrincipalTag/Team": ["blue", "green"]}}"#);
    let outside = condition(r#"{"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "198.51.100.0/24"]}}"#);
    let denied = if conditional { "s3:*" } else { "s3:Delete*" };
    format!(
        r#"{{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::bucket-{n}"}},
        {{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject"], "Resource": "arn:aws:s3:::bucket-{n}/${{aws:username}}/*"{team}}},
        {{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}},
        {{"Effect": "Deny", "Action": "{denied}", "Resource": ["arn:aws:s3:::bucket-{n}", "arn:aws:s3:::bucket-{n}/*"]{outside}}}"#
    )
}

/// What the `n`th statement of a large store is about.
type Shape = fn(usize) -> (String, String);

const SHAPES: [(&str, Shape); 4] = [
    ("distinct resources", |n| ("s3:GetObject".to_owned(), format!("arn:aws:s3:::bucket-{n}/*"))),
    ("distinct regional resources", |n| ("sqs:SendMessage".to_owned(), format!("arn:aws:sqs:*:*:queue-{n}"))),
    ("distinct actions", |n| (format!("app:Action{n}"), "*".to_owned())),
    ("a grid", |n| (format!("app:Action{}", n % 100), format!("arn:aws:s3:::bucket-{}/*", n / 100))),
];

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];

/// Policies of at most a hundred statements each, which are all that the user has.
fn user_with(statements: &[String]) -> String {
    let policy = |(n, statements): (usize, &[String])| {
        let statements = statements.join(",\n");
        format!(
            r#"{{"PolicyName": "p{n}", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [{statements}]}}}}"#
        )
    };
    let policies: Vec<_> = statements.chunks(100).enumerate().map(policy).collect();
    format!(
        r#"{{"UserName": "alice", "Arn": "{USER}", "Tags": [{{"Key": "Team", "Value": "blue"}}], "UserPolicyList": [{}]}}"#,
        policies.join(", ")
    )
}

/// How a request fares among policies.
#[derive(Clone, Copy)]
enum Fate {
    LastAllows,
    NoneIsAboutIt,
    FirstDenies,
}

/// So many policies of four statements: the request is an ordinary one.
fn policies(count: usize, conditional: bool, fate: Fate) -> Scenario {
    let policy = |n| {
        let statements = ordinary(n, conditional);
        format!(
            r#"{{"PolicyName": "p{n}", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [{statements}]}}}}"#
        )
    };
    let policies: Vec<_> = (0..count).map(policy).collect();
    let user =
        user_with(&[]).replace(r#""UserPolicyList": []"#, &format!(r#""UserPolicyList": [{}]"#, policies.join(", ")));
    let (bucket, action, address, decision, what) = match fate {
        Fate::LastAllows => (count - 1, "s3:GetObject", INSIDE, Decision::Allow, "the last allows"),
        Fate::NoneIsAboutIt => (count, "s3:GetObject", INSIDE, Decision::ImplicitDeny, "none is about it"),
        Fate::FirstDenies => (0, "s3:DeleteObject", "192.0.2.1", Decision::ExplicitDeny, "the first denies"),
    };
    let resource = format!("arn:aws:s3:::bucket-{bucket}/alice/report.pdf");
    let with = if conditional { "" } else { " without conditions" };
    Scenario {
        name: format!("{count} policies of 4 statements{with}, {what}"),
        files: vec![user],
        requests: vec![message(action, &resource, address)],
        decision,
    }
}

fn large(shape: &str, of: Shape, size: usize) -> Scenario {
    let statement =
        |(action, resource)| format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "{resource}"}}"#);
    let statements: Vec<_> = (0..size).map(of).map(statement).collect();
    let ask = |n: usize| {
        let (action, resource) = of(n * 7919 % size);
        let resource = resource.replace(":*:*:", ":eu-west-1:123456789012:").replace("/*", "/alice/report.pdf");
        message(&action, &resource, INSIDE)
    };
    Scenario {
        name: format!("{size} statements, {shape}"),
        files: vec![user_with(&statements)],
        requests: (0..ASKED).map(ask).collect(),
        decision: Decision::Allow,
    }
}

/// Every statement begins with a wildcard and may be about every request, and all but the last have a condition that fails.
fn worst(size: usize) -> Scenario {
    let statement = |n| {
        format!(
            r#"{{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::*/report.pdf",
                "Condition": {{"StringLike": {{"aws:PrincipalTag/Team": "*-{n}"}}}}}}"#
        )
    };
    let statements: Vec<_> = (0..size).map(statement).collect();
    Scenario {
        name: format!("{size} statements, all compared"),
        files: vec![user_with(&statements)],
        requests: vec![message("s3:GetObject", "arn:aws:s3:::bucket/alice/report.pdf", INSIDE)],
        decision: Decision::ImplicitDeny,
    }
}

/// A user with policies that AWS manages.
fn managed(name: &str, arns: &[&str]) -> Scenario {
    let attached: Vec<_> = arns.iter().map(|arn| format!(r#"{{"PolicyArn": "{arn}"}}"#)).collect();
    let user =
        format!(r#"{{"UserName": "alice", "Arn": "{USER}", "AttachedManagedPolicies": [{}]}}"#, attached.join(", "));
    Scenario {
        name: name.to_owned(),
        files: vec![user],
        requests: vec![message("s3:GetObject", "arn:aws:s3:::bucket/alice/report.pdf", INSIDE)],
        decision: Decision::Allow,
    }
}

/// Twenty of AWS's, `ReadOnlyAccess` and the largest others that have no part in S3.
fn twenty_managed() -> Vec<&'static str> {
    const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let mut arns: Vec<_> = catalogue::managed_policy_arns()
        .filter_map(|arn| Some((catalogue::managed_policy(arn)?.len(), arn as &str)))
        .filter(|(_, arn)| *arn != READ_ONLY)
        .collect();
    arns.sort_unstable_by(|a, b| b.cmp(a));
    std::iter::once(READ_ONLY).chain(arns.into_iter().map(|(_, arn)| arn).take(19)).collect()
}

fn bucket_policy(size: usize) -> Scenario {
    let statement = |n| {
        format!(
            r#"{{"Effect": "Allow", "Principal": {{"AWS": "{USER}"}}, "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::bucket/team-{n}/*"}}"#
        )
    };
    let statements: Vec<_> = (0..size).map(statement).collect();
    let policy = format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(",\n"));
    let bucket = format!(r#"{{"ResourceArn": "arn:aws:s3:::bucket", "ResourcePolicy": {policy}}}"#);
    let ask = |n: usize| message("s3:GetObject", &format!("arn:aws:s3:::bucket/team-{}/a", n * 7919 % size), INSIDE);
    Scenario {
        name: format!("a bucket policy of {size} statements"),
        files: vec![user_with(&[]), bucket],
        requests: (0..ASKED).map(ask).collect(),
        decision: Decision::Allow,
    }
}

/// A random one of many users, in 10,000 groups, each of which has ten of 1,600 policies. As many different requests are
/// asked however many they are, so that only the store differs.
fn one_of(name: String, users: usize) -> Scenario {
    const GROUPS: usize = 10_000;
    const POLICIES: usize = 1_600;
    const REQUESTS: usize = 50_000;
    let arn = |n: usize| format!("arn:aws:iam::123456789012:user/user-{n}");
    let policy = |n: usize| {
        let statements: Vec<_> = (0..3).map(|k| ordinary(n * 3 + k, true)).collect();
        let statements = statements.join(",");
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
        format!(
            r#"{{"PolicyName": "p{n}", "Arn": "arn:aws:iam::123456789012:policy/p{n}", "PolicyDocument": {document}}}"#
        )
    };
    let group = |n: usize| {
        let attached =
            |k: usize| format!(r#"{{"PolicyArn": "arn:aws:iam::123456789012:policy/p{}"}}"#, (n + k * 159) % POLICIES);
        let attached: Vec<_> = (0..10).map(attached).collect();
        format!(
            r#"{{"GroupName": "g{n}", "Arn": "arn:aws:iam::123456789012:group/g{n}", "AttachedManagedPolicies": [{}]}}"#,
            attached.join(",")
        )
    };
    let user = |n: usize| {
        format!(
            r#"{{"UserName": "user-{n}", "Arn": "{}", "GroupList": ["g{}"], "Tags": [{{"Key": "Team", "Value": "blue"}}]}}"#,
            arn(n),
            n % GROUPS
        )
    };
    let list = |key: &str, all: Vec<String>| format!(r#"{{"{key}": [{}]}}"#, all.join(","));
    let mut files: Vec<_> = (0..users)
        .step_by(10_000)
        .map(|from| list("UserDetailList", (from..users.min(from + 10_000)).map(user).collect()))
        .collect();
    files.push(list("GroupDetailList", (0..GROUPS).map(group).collect()));
    files.push(list("Policies", (0..POLICIES).map(policy).collect()));
    let ask = |n: usize| {
        let caller = n * 7_919_777 % users;
        let resource = format!("arn:aws:s3:::bucket-{}/user-{caller}/report.pdf", caller % GROUPS % POLICIES * 3);
        v1::IsAuthorizedRequest { principal: arn(caller), ..message("s3:GetObject", &resource, INSIDE) }
    };
    let requests = (0..REQUESTS).map(ask).collect();
    Scenario { name, files, requests, decision: Decision::Allow }
}

fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for count in [1, 5, 20, 100] {
        for conditional in [true, false] {
            let fates = [Fate::LastAllows, Fate::NoneIsAboutIt, Fate::FirstDenies];
            scenarios.extend(fates.map(|fate| policies(count, conditional, fate)));
        }
    }
    for (name, shape) in SHAPES {
        scenarios.extend(SIZES.iter().map(|size| large(name, shape, *size)));
    }
    scenarios.extend([
        managed("ReadOnlyAccess", &["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
        managed("20 policies of AWS", &twenty_managed()),
        bucket_policy(1_000),
    ]);
    scenarios.extend([20, 100, 1_000, 10_000, 100_000].map(worst));
    scenarios
}

// --- asking ---------------------------------------------------------------------------------------------------------

fn message(action: &str, resource: &str, address: &str) -> v1::IsAuthorizedRequest {
    let one = |value: &str| v1::ContextValues { values: vec![value.to_owned()] };
    v1::IsAuthorizedRequest {
        principal: USER.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        context: HashMap::from([
            ("aws:SourceIp".to_owned(), one(address)),
            ("aws:SecureTransport".to_owned(), one("true")),
        ]),
        ..v1::IsAuthorizedRequest::default()
    }
}

fn decide(active: &Active, request: &AccessRequest<'_>, detail: Detail) -> Decision {
    let now = active.snapshot.loaded_at;
    evaluate::decide(&active.snapshot, request, &SessionPolicies::default(), &|| now, detail).outcome.decision
}

fn decisions(criterion: &mut Criterion) {
    for scenario in scenarios() {
        in_turn(criterion, &scenario.name.clone(), || scenario);
    }
    for users in [1_000, 1_000_000] {
        let name = format!("one of {users} users");
        in_turn(criterion, &name.clone(), || one_of(name, users));
    }
}

/// Asks the requests of a scenario in turn. Only what is measured is built: the largest stores take seconds.
fn in_turn(criterion: &mut Criterion, name: &str, make: impl FnOnce() -> Scenario) {
    let limits = RequestLimits::default();
    let (scenario, active) = (LazyCell::new(make), OnceCell::new());
    criterion.bench_function(&format!("decide: {name}"), |bencher| {
        let Scenario { files, requests, decision, .. } = &*scenario;
        let requests: Vec<_> =
            requests.iter().map(|message| convert::access_request(message, &limits).expect("a request")).collect();
        let active = active.get_or_init(|| active_checked(files, &requests, *decision));
        let mut requests = requests.iter().cycle();
        bencher.iter(|| requests.next().map(|request| black_box(decide(active, black_box(request), Detail::Decision))));
    });
}

fn active_checked(files: &[String], requests: &[AccessRequest<'_>], expected: Decision) -> Arc<Active> {
    let active = store::engine(files, 64 << 20).load_full();
    assert!(requests.iter().all(|request| decide(&active, request, Detail::Decision) == expected));
    active
}

/// What stands around a decision.
fn answers(criterion: &mut Criterion) {
    let limits = RequestLimits::default();
    let Scenario { files, requests, decision, .. } = policies(5, true, Fate::LastAllows);
    let message = requests.first().expect("one");
    let request = convert::access_request(message, &limits).expect("a request");
    let active = active_checked(&files, std::slice::from_ref(&request), decision);
    criterion.bench_function("decide and explain", |bencher| {
        bencher.iter(|| black_box(decide(&active, black_box(&request), Detail::Statements)));
    });
    criterion.bench_function("request from its message", |bencher| {
        bencher.iter(|| black_box(convert::access_request(black_box(message), &limits).is_ok()));
    });
}

criterion_group!(benches, decisions, answers);
criterion_main!(benches);
