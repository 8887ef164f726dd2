//! Random policies that load: what may stand in them depends on what they are attached to.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::vocabulary::{
    ACTION_PATTERNS, HOME, KEYS, NEAR, OIDC, OUTSIDE, RESOURCE_PATTERNS, ROLES, SAML, SERVICES, SESSIONS, TARGETS,
    UNKNOWN, USERS, role_arn, unique_id, user_arn,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Identity,
    Boundary,
    Session,
    ServiceControl,
    ResourceControl,
    Endpoint,
    Resource,
    Trust,
}

/// Operators with the values that they take, by family.
const OPERATORS: [(&[&str], &[&str]); 7] = [
    (
        &[
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
        ],
        &[
            "red",
            "re?",
            "*",
            "",
            "a*",
            "RED",
            "${aws:username}",
            "${aws:PrincipalTag/team}",
            "${aws:ResourceTag/team, 'red'}",
        ],
    ),
    (
        &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        &[
            "arn:aws:iam::*:user/*",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:*:*:*:*",
            "arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}",
            "${aws:PrincipalArn}",
            "arn:aws:s3:::dat?",
            "arn:aws:sns:*:111122223333:topic",
        ],
    ),
    (
        &[
            "NumericEquals",
            "NumericNotEquals",
            "NumericLessThan",
            "NumericLessThanEquals",
            "NumericGreaterThan",
            "NumericGreaterThanEquals",
        ],
        &["5", "10", "10.00", "-1", "9007199254740992", "0.5"],
    ),
    (
        &[
            "DateEquals",
            "DateNotEquals",
            "DateLessThan",
            "DateLessThanEquals",
            "DateGreaterThan",
            "DateGreaterThanEquals",
        ],
        &["2020-01-01T00:00:00Z", "2099-12-31", "1577836800", "2030", "2019-06", "2026-11-22T08:00:00+02:00"],
    ),
    (&["Bool"], &["true", "false", "True", "${aws:PrincipalIsAWSService}"]),
    (
        &["IpAddress", "NotIpAddress"],
        &["10.0.0.0/8", "203.0.113.7", "2001:db8::/32", "::ffff:10.1.2.3", "0.0.0.0/0", "::/0", "10.1.2.3/31"],
    ),
    (&["BinaryEquals"], &["aGVsbG8=", "AAEC", ""]),
];

pub(super) fn document(dice: &mut Dice, kind: Kind) -> Value {
    let count = 1 + dice.below(4);
    let mut statements: Vec<Value> = (0..count).map(|n| statement(dice, kind, n)).collect();
    let statements = if count == 1 && dice.chance(50) { statements.remove(0) } else { Value::Array(statements) };
    let mut document = json!({"Statement": statements});
    // Without variables, one that stands alone is no ARN and no truth.
    let needs_variables = document.to_string().contains(r#""${aws:Principal"#);
    match dice.below(20) {
        // Without a version there are no variables.
        0..=1 if needs_variables => document["Version"] = "2012-10-17".into(),
        0 => {}
        1 => document["Version"] = "2008-10-17".into(),
        _ => document["Version"] = "2012-10-17".into(),
    }
    document
}

fn statement(dice: &mut Dice, kind: Kind, n: usize) -> Value {
    // RCPs only deny; other Denies are rarer than what they deny.
    let deny = kind == Kind::ResourceControl
        || dice.chance(match kind {
            Kind::ServiceControl => 35,
            Kind::Endpoint | Kind::Boundary | Kind::Resource => 28,
            _ => 18,
        });
    let mut statement = Map::new();
    let mut put = |key: &str, value| drop(statement.insert(key.to_owned(), value));
    put("Effect", if deny { "Deny" } else { "Allow" }.into());
    if dice.chance(30) {
        put("Sid", format!("S{n}").into());
    }
    match kind {
        Kind::ResourceControl => put("Principal", "*".into()),
        Kind::Endpoint | Kind::Resource if deny && dice.chance(25) => put("NotPrincipal", principal(dice, kind, deny)),
        Kind::Endpoint | Kind::Resource | Kind::Trust => put("Principal", principal(dice, kind, deny)),
        _ => {}
    }
    let negated = kind != Kind::ResourceControl && dice.chance(8);
    put(if negated { "NotAction" } else { "Action" }, actions(dice, kind, deny));
    if kind != Kind::Trust && !(kind == Kind::Resource && dice.chance(10)) {
        put(if dice.chance(8) { "NotResource" } else { "Resource" }, resources(dice, deny));
    }
    if dice.chance(if deny { 70 } else { 30 }) {
        put("Condition", conditions(dice));
    }
    Value::Object(statement)
}

fn actions(dice: &mut Dice, kind: Kind, deny: bool) -> Value {
    if kind == Kind::Trust {
        let all = [
            "sts:*",
            "sts:AssumeRole",
            "sts:AssumeRole",
            "sts:TagSession",
            "sts:AssumeRoleWith*",
            "sts:AssumeRoleWithWebIdentity",
            "sts:AssumeRoleWithSAML",
            "sts:SetSourceIdentity",
        ];
        return listed(dice.some(&all, 3));
    }
    // A Deny of everything would leave little to decide.
    if dice.chance(if deny { 5 } else { 50 }) {
        // RCPs name their services.
        return if kind == Kind::ResourceControl { json!(["s3:*", "sqs:*", "sts:*", "sns:*"]) } else { "*".into() };
    }
    let patterns = dice.some(&ACTION_PATTERNS[..if deny { 21 } else { 22 }], 3);
    let written = |pattern: &str| if dice.chance(30) { blurred_action(dice) } else { pattern.to_owned() };
    listed(patterns.into_iter().map(written).collect())
}

/// The name of an action in any case, with wildcards anywhere.
fn blurred_action(dice: &mut Dice) -> String {
    let (_, actions) = dice.pick(&TARGETS);
    let action = dice.pick(actions);
    let (service, name) = action.split_once(':').unwrap();
    let name = if dice.chance(30) { dice.respell(name) } else { name.to_owned() };
    format!("{service}:{}", dice.blur(&name))
}

fn resources(dice: &mut Dice, deny: bool) -> Value {
    if dice.chance(if deny { 40 } else { 60 }) {
        return "*".into();
    }
    let patterns = dice.some(&RESOURCE_PATTERNS, 3);
    let written = |pattern: &str| if dice.chance(40) { blurred_arn(dice) } else { pattern.to_owned() };
    listed(patterns.into_iter().map(written).collect())
}

/// What is asked for, with wildcards anywhere behind the service.
fn blurred_arn(dice: &mut Dice) -> String {
    let parts: Vec<&str> = dice.pick(&TARGETS).0.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = parts[..] else { return "*".to_owned() };
    let mut some = |part: &str, percent| if dice.chance(percent) { dice.blur(part) } else { part.to_owned() };
    let (region, account, resource) = (some(region, 20), some(account, 20), some(resource, 80));
    format!("arn:{partition}:{service}:{region}:{account}:{resource}")
}

/// A lone value or a list of one: they mean the same.
fn listed<T: Into<Value>>(mut list: Vec<T>) -> Value {
    if list.len() == 1 { list.remove(0).into() } else { Value::Array(list.into_iter().map(Into::into).collect()) }
}

// --- principals -------------------------------------------------------------------------------------------------------

fn principal(dice: &mut Dice, kind: Kind, deny: bool) -> Value {
    let everyone = match kind {
        Kind::Endpoint => 70,
        _ if deny => 40,
        _ => 18,
    };
    if dice.chance(everyone) {
        return if dice.chance(50) { "*".into() } else { json!({"AWS": "*"}) };
    }
    let mut map = Map::new();
    let rest = dice.below(100);
    if rest < 85 {
        let names = (0..=dice.below(5)).map(|_| aws_principal(dice)).collect();
        map.insert("AWS".to_owned(), listed::<String>(names));
    }
    if rest >= 70 && kind == Kind::Trust {
        let providers = ["accounts.google.com", "www.amazon.com", OIDC, SAML, "cognito-identity.amazonaws.com"];
        map.insert("Federated".to_owned(), listed(dice.some(&providers, 3)));
    }
    if (75..95).contains(&rest) || map.is_empty() {
        map.insert("Service".to_owned(), listed(dice.some(&SERVICES, 2)));
    }
    // Outside of S3 nobody knows canonical users.
    if rest >= 97 && kind == Kind::Endpoint {
        map.insert("CanonicalUser".to_owned(), "0123456789abcdef".repeat(4).into());
    }
    Value::Object(map)
}

fn aws_principal(dice: &mut Dice) -> String {
    let user = dice.pick(&USERS);
    let role = dice.pick(&ROLES);
    let account = dice.weighted(&[(60, HOME), (15, NEAR), (15, OUTSIDE), (10, UNKNOWN)]);
    match dice.below(20) {
        0..=1 => account.to_owned(),
        2..=3 => format!("arn:aws:iam::{account}:root"),
        4 => format!("arn:aws-cn:iam::{account}:root"),
        5..=9 => user_arn(user),
        10..=12 => role_arn(role),
        13..=15 => format!("arn:aws:sts::{}:assumed-role/{}/{}", role.0, role.2, dice.pick(&SESSIONS)),
        16..=17 => format!("arn:aws:sts::{account}:federated-user/fay"),
        18 => unique_id("AIDA", user.0, user.2),
        _ => unique_id("AROA", role.0, role.2),
    }
}

// --- conditions -------------------------------------------------------------------------------------------------------

fn conditions(dice: &mut Dice) -> Value {
    let mut all = Map::new();
    for _ in 0..=dice.below(3) {
        let (operator, key, values) = condition(dice);
        let keys = all.entry(operator).or_insert_with(|| json!({})).as_object_mut().unwrap();
        let folded = key.to_lowercase();
        // A key twice in one object, in whatever case, is refused.
        if !keys.keys().any(|known| known.to_lowercase() == folded) {
            keys.insert(key, values);
        }
    }
    Value::Object(all)
}

fn condition(dice: &mut Dice) -> (String, String, Value) {
    let (key, shared) = dice.pick(&KEYS);
    let multivalued = ["aws:TagKeys", "aws:CalledVia", "aws:PrincipalOrgPaths", "aws:ResourceOrgPaths"].contains(&key);
    let key = if dice.chance(15) { dice.respell(key) } else { key.to_owned() };
    if dice.chance(6) {
        return ("Null".to_owned(), key, listed(dice.some(&["true", "false"], 2)));
    }
    let family = if dice.chance(30) { dice.below(OPERATORS.len()) } else { family_of(shared) };
    // As texts, the two clocks would be read at different moments.
    let is_clock = ["aws:currenttime", "aws:epochtime"].contains(&key.to_lowercase().as_str());
    let family = if is_clock && family == 0 { 3 } else { family };
    let (operators, own) = OPERATORS[family];
    // Values of the key are of this family if it is the key's own; strings take them all.
    let shared = if family == family_of(shared) || family == 0 { shared } else { own };
    let values =
        (0..=dice.below(2)).map(|_| if dice.chance(60) { dice.pick(shared) } else { dice.pick(own) }).collect();
    let quantifier = match dice.below(100) {
        n if multivalued && n < 80 || n < 30 => dice.pick(&["ForAllValues:", "ForAnyValue:"]),
        _ => "",
    };
    let if_exists = if dice.chance(20) { "IfExists" } else { "" };
    (format!("{quantifier}{}{if_exists}", dice.pick(operators)), key, values_of(dice, family, values))
}

/// Numbers and truths may stand without quotes (rule 3).
fn values_of(dice: &mut Dice, family: usize, values: Vec<&str>) -> Value {
    let bare = (family == 2 || family == 4) && dice.chance(30);
    let mut value = |text: &str| match text.parse::<i64>() {
        Ok(number) if bare => Value::from(number),
        _ if bare && (text == "true" || text == "false") => Value::from(text == "true"),
        // A wildcard in a variable would be no variable.
        _ if family < 2 && !text.contains('$') && dice.chance(25) => {
            let (before, last) = text.rsplit_once(':').filter(|_| family == 1).unwrap_or(("", text));
            let colon = if family == 1 { ":" } else { "" };
            format!("{before}{colon}{}", dice.blur(last)).into()
        }
        _ => Value::from(text),
    };
    listed(values.into_iter().map(&mut value).collect::<Vec<_>>())
}

/// Whether a value is one for a family.
type Readable = fn(&str) -> bool;

/// The operators that can read all of a key's values.
fn family_of(values: &[&str]) -> usize {
    let all = |test: Readable| values.iter().all(|value| test(value));
    let tests: [(usize, Readable); 6] = [
        (1, |value| value.starts_with("arn:")),
        (4, |value| super::values::truth(value).is_some()),
        (2, |value| super::values::Number::read(value).is_some() && value.len() != 12),
        (3, |value| super::values::date(value).is_some() && value.len() != 12),
        (5, |value| super::values::address(value).is_some()),
        (6, |value| ["aGVsbG8=", "AAEC"].contains(&value)),
    ];
    tests.into_iter().find(|(_, test)| all(*test)).map_or(0, |(family, _)| family)
}
