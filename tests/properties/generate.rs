//! Random scenes. Everything is drawn from small pools, so that policies and questions meet: each decision is frequent.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::scene::{
    Condition, Entity, Entries, Group, Level, Organization, Policy, Principals, Question, Resource, Scene, Statement,
};

const ALICE: &str = "arn:aws:iam::123456789012:user/alice";
pub(super) const WORKER: &str = "arn:aws:iam::123456789012:role/worker";
pub(super) const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/worker/s1";
const FEDERATED: &str = "arn:aws:sts::123456789012:federated-user/fay";
const PROVIDER: &str = "accounts.google.com";

const CALLERS: [&str; 11] = [
    ALICE,
    ALICE,
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::210987654321:user/carol",
    SESSION,
    WORKER,
    FEDERATED,
    "arn:aws:iam::123456789012:root",
    "s3.amazonaws.com",
    "anonymous",
];
const ASKED: [(&str, &str); 8] = [
    ("s3:GetObject", "arn:aws:s3:::shared/alice/x"),
    ("s3:PutObject", "arn:aws:s3:::shared/a"),
    ("s3:ListBucket", "arn:aws:s3:::shared"),
    ("s3:GetObject", "arn:aws:s3:::other/a"),
    ("kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/k1"),
    ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:210987654321:jobs"),
    ("sts:AssumeRole", WORKER),
    ("ec2:DescribeInstances", "*"),
];
const ACTIONS: [&str; 10] = [
    "*",
    "s3:*",
    "s3:Get*",
    "s3:?utObject",
    "s3:ListBucket",
    "sqs:*",
    "kms:Decrypt",
    "sts:AssumeRole*",
    "ec2:Describe*",
    "iam:*",
];
const RESOURCES: [&str; 9] = [
    "*",
    "arn:aws:s3:::shared",
    "arn:aws:s3:::shared/*",
    "arn:aws:s3:::shared/${aws:username}/*",
    "arn:aws:s3:::*/a",
    "arn:aws:kms:*:123456789012:key/*",
    "arn:aws:sqs*",
    "arn:aws:iam::*:role/*",
    "arn:aws:s3:::other/${aws:PrincipalTag/Team, 'a'}",
];
const PRINCIPALS: [(&str, &str); 9] = [
    ("AWS", "123456789012"),
    ("AWS", "arn:aws:iam::210987654321:root"),
    ("AWS", ALICE),
    ("AWS", "arn:aws:iam::210987654321:user/carol"),
    ("AWS", WORKER),
    ("AWS", SESSION),
    ("AWS", FEDERATED),
    ("Service", "s3.amazonaws.com"),
    ("AWS", "*"),
];

/// Operators, a key, and its values: those of policies and of requests are drawn from the same.
type Test = (&'static [&'static str], &'static str, &'static [&'static str]);

const STRINGS: &[&str] = &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase"];
const SETS: &[&str] = &[
    "ForAllValues:StringEquals",
    "ForAnyValue:StringEquals",
    "ForAllValues:StringNotLike",
    "ForAnyValue:StringNotLike",
    "StringEquals",
];
const ORDERS: &[&str] = &["NumericLessThan", "NumericEquals", "NumericNotEquals", "NumericGreaterThanEquals"];
const ARNS: &[&str] = &["ArnLike", "ArnNotEquals"];
const TESTS: [Test; 12] = [
    (STRINGS, "s3:prefix", &["a/", "B/", "*", "${aws:username}"]),
    (STRINGS, "aws:PrincipalTag/Team", &["blue", "red", "b*"]),
    (STRINGS, "aws:ResourceTag/Stage", &["prod", "test", ""]),
    (STRINGS, "aws:username", &["alice", "bob", "?lice"]),
    (STRINGS, "aws:PrincipalOrgID", &["o-1", "o-2"]),
    (SETS, "aws:TagKeys", &["team", "stage", "*"]),
    (&["Bool"], "aws:SecureTransport", &["true", "false"]),
    (ORDERS, "s3:max-keys", &["10", "99.5", "1000"]),
    (&["DateLessThan", "DateGreaterThan"], "aws:CurrentTime", &["2026-01-01", "2030-01-01T00:00:00Z", "1800000000"]),
    (&["IpAddress", "NotIpAddress"], "aws:SourceIp", &["203.0.113.0/24", "2001:db8::/32", "198.51.100.1"]),
    (ARNS, "aws:PrincipalArn", &["arn:aws:iam::*:user/*", "arn:aws:iam::123456789012:role/w?rker"]),
    (STRINGS, "auth.example.com:aud", &["1", "2"]),
];
/// Keys of requests, and what their values may be.
const GIVEN: [(&str, &[&str]); 9] = [
    ("s3:prefix", &["a/", "b/", "alice"]),
    ("aws:ResourceTag/Stage", &["prod", "test", ""]),
    ("aws:TagKeys", &["team", "stage", "other"]),
    ("aws:SecureTransport", &["true", "false"]),
    ("s3:max-keys", &["10", "100", "many"]),
    ("aws:CurrentTime", &["2025-06-01", "2026-11-22T06:00:00Z"]),
    ("aws:SourceIp", &["203.0.113.7", "198.51.100.1", "2001:db8::1"]),
    ("aws:SourceVpce", &["vpce-1", "vpce-2"]),
    ("auth.example.com:aud", &["1", "3"]),
];

pub(super) fn scene() -> impl Strategy<Value = Scene> {
    let users = (entity("alice", 0), entity("bob", 0), entity("carol", 1)).prop_map(|(a, b, c)| vec![a, b, c]);
    let roles = entity("worker", 0).prop_flat_map(|role| {
        policy(0.7).prop_map(move |trust| vec![Entity { trust: Some(trust), groups: Vec::new(), ..role.clone() }])
    });
    let groups = (group("g0"), group("g1")).prop_map(|(a, b)| vec![a, b]);
    let managed = (managed(), managed()).prop_map(|(a, b)| [a, b]);
    let questions = vec(question(), 8);
    (users, roles, groups, managed, resources(), policy(0.9), weighted(0.4, organization()), questions).prop_map(
        |(users, roles, groups, managed, resources, endpoint, organization, questions)| {
            Scene { users, roles, groups, managed, resources, endpoint, organization, questions }.named()
        },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    let deny = prop::bool::weighted(0.25);
    let conditions = prop_oneof![4 => Just(Vec::new()), 3 => vec(condition(), 1..=2)];
    (deny, principals(), entries(&ACTIONS, 2), entries(&RESOURCES, 2), conditions).prop_map(
        |(deny, principals, actions, resources, mut conditions)| {
            conditions.sort_by(|a, b| (&a.operator, &a.key).cmp(&(&b.operator, &b.key)));
            conditions.dedup_by(|a, b| (&a.operator, &a.key) == (&b.operator, &b.key));
            Statement { sid: String::new(), deny, principals, actions, resources, conditions }
        },
    )
}

/// A policy; `broad` is how often it begins by allowing everything.
fn policy(broad: f64) -> impl Strategy<Value = Policy> {
    (prop::bool::weighted(broad), vec(statement(), 1..=3)).prop_map(|(broad, mut statements)| {
        if broad {
            statements.insert(0, everything());
        }
        Policy { name: String::new(), statements }
    })
}

/// Allows everything to everyone.
pub(super) fn everything() -> Statement {
    let all = Entries { negated: false, entries: vec!["*"] };
    let principals = Principals { negated: false, entries: Vec::new() };
    let (sid, resources) = (String::new(), all.clone());
    Statement { sid, deny: false, principals, actions: all, resources, conditions: Vec::new() }
}

fn principals() -> impl Strategy<Value = Principals> {
    let some = vec(select(&PRINCIPALS[..]), 1..=3).prop_map(|mut entries| {
        entries.sort_unstable();
        entries.dedup();
        entries
    });
    let entries = prop_oneof![1 => Just(Vec::new()), 4 => some];
    (prop::bool::weighted(0.1), entries).prop_map(|(negated, entries)| Principals { negated, entries })
}

fn entries(pool: &'static [&'static str], most: usize) -> impl Strategy<Value = Entries> {
    let entries = prop_oneof![1 => Just(vec!["*"]), 4 => subsequence(pool.to_vec(), 1..=most)];
    (prop::bool::weighted(0.08), entries).prop_map(|(negated, entries)| Entries { negated, entries })
}

fn condition() -> impl Strategy<Value = Condition> {
    select(&TESTS[..]).prop_flat_map(|(operators, key, values)| {
        let suffix = prop_oneof![3 => Just(""), 1 => Just("IfExists")];
        let operator = (select(operators), suffix).prop_map(|(name, suffix)| format!("{name}{suffix}"));
        let test = (operator, subsequence(values, 1..=2)).prop_map(move |(operator, values)| Condition {
            operator,
            key: key.to_owned(),
            values: values.into_iter().map(str::to_owned).collect(),
        });
        let null = prop::bool::ANY.prop_map(move |absent| Condition {
            operator: "Null".to_owned(),
            key: key.to_owned(),
            values: vec![absent.to_string()],
        });
        prop_oneof![8 => test, 1 => null]
    })
}

fn entity(name: &'static str, account: usize) -> impl Strategy<Value = Entity> {
    let groups = subsequence(if account == 0 { vec!["g0", "g1"] } else { Vec::new() }, 0..=2 * (1 - account));
    let boundary = weighted(0.15, select(&["m0", "m1", "m2"][..]));
    (vec(policy(0.3), 0..=2), attached(), boundary, groups, tags()).prop_map(
        move |(inline, attached, boundary, groups, tags)| Entity {
            name,
            account,
            inline,
            attached,
            boundary: boundary.map(str::to_owned),
            groups: groups.into_iter().map(str::to_owned).collect(),
            tags,
            trust: None,
        },
    )
}

fn group(name: &'static str) -> impl Strategy<Value = Group> {
    (vec(policy(0.2), 0..=1), attached()).prop_map(move |(inline, attached)| Group {
        name: name.to_owned(),
        inline,
        attached,
    })
}

fn attached() -> impl Strategy<Value = Vec<String>> {
    subsequence(vec!["m0", "m1", "m2"], 0..=2).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn managed() -> impl Strategy<Value = Vec<Policy>> {
    vec(policy(0.5), 3).prop_map(|mut policies| {
        for (n, policy) in policies.iter_mut().enumerate() {
            policy.name = format!("m{n}");
        }
        policies
    })
}

fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    let tags = vec![("Team".to_owned(), "blue".to_owned()), ("Stage".to_owned(), "prod".to_owned())];
    subsequence(tags, 0..=2)
}

fn resources() -> impl Strategy<Value = Vec<Resource>> {
    let resource = |arn, account, often, broad| {
        (tags(), weighted(often, policy(broad))).prop_map(move |(tags, policy)| Resource { arn, account, tags, policy })
    };
    let bucket = resource("arn:aws:s3:::shared", 0, 0.7, 0.1);
    let key = resource("arn:aws:kms:eu-west-1:123456789012:key/k1", 0, 0.9, 0.5);
    let queue = resource("arn:aws:sqs:eu-west-1:210987654321:jobs", 1, 0.9, 0.5);
    (bucket, key, queue).prop_map(|(bucket, key, queue)| vec![bucket, key, queue])
}

fn organization() -> impl Strategy<Value = Organization> {
    let level = || {
        (prop::bool::weighted(0.95), vec(policy(0.5), 0..=1), weighted(0.1, policy(0.0))).prop_map(
            |(full_access, service_control, resource_control)| Level {
                full_access,
                service_control,
                resource_control: resource_control.into_iter().collect(),
            },
        )
    };
    [level(), level(), level(), level()].prop_map(|levels| Organization { levels })
}

fn question() -> impl Strategy<Value = Question> {
    let anyone = (select(&CALLERS[..]), select(&ASKED[..]));
    let provider = Just((PROVIDER, ("sts:AssumeRoleWithWebIdentity", WORKER)));
    let asked = prop_oneof![20 => anyone, 1 => provider];
    let session = prop_oneof![2 => Just(Vec::new()), 1 => vec(policy(0.6), 1..=2)];
    (asked, context(), session, tags()).prop_map(|((principal, (action, resource)), context, session, mut tags)| {
        let is_session = [SESSION, WORKER, FEDERATED].contains(&principal);
        tags.truncate(if is_session { 1 } else { 0 });
        let session = if is_session { session } else { Vec::new() };
        Question { principal, action: action.to_owned(), resource, context, session, tags }
    })
}

fn context() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    let several =
        |values: &'static [&'static str]| prop_oneof![5 => subsequence(values, 1), 1 => subsequence(values, 2)];
    subsequence(GIVEN.to_vec(), 0..=5)
        .prop_flat_map(move |keys| {
            keys.into_iter().map(|(key, values)| (Just(key.to_owned()), several(values))).collect::<Vec<_>>()
        })
        .prop_map(|keys| {
            let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
            keys.into_iter().map(|(key, values)| (key, owned(values))).collect()
        })
}
