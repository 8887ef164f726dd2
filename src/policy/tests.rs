//! Cases of the policy language: what is refused, and with which words.

use super::*;
use crate::finding::Finding;

fn load_as(kind: PolicyKind, text: &str) -> Result<(CompiledPolicy, Vec<Finding>), Vec<String>> {
    let mut findings = Findings::new();
    let reference = "arn:aws:iam::123456789012:policy/p".into();
    let policy = load_text(text, kind, PolicyName { reference, file: "p.json".into() }, &mut findings);
    let findings = findings.into_sorted();
    match policy {
        Some(policy) => Ok((policy, findings)),
        None => Err(findings.iter().map(ToString::to_string).collect()),
    }
}

/// The policy of a user that has these statements; None if a store may not have them.
pub(crate) fn identity_policy(statements: &[serde_json::Value]) -> Option<CompiledPolicy> {
    let document = serde_json::json!({"Version": "2012-10-17", "Statement": statements});
    load_as(PolicyKind::Identity, &document.to_string()).ok().map(|(policy, _)| policy)
}

/// Checks what is said about a policy that has one statement with these elements. `@` marks, in order, the places of
/// the findings; one more finding than marks is at the start of the statement, and comes first.
fn check(kind: PolicyKind, marked: &str, expected: &[&str]) {
    let start = "{\"Version\":\"2012-10-17\",\"Statement\":";
    let mut columns: Vec<usize> =
        marked.match_indices('@').enumerate().map(|(n, (at, _))| start.len() + at - n + 2).collect();
    if columns.len() < expected.len() {
        columns.insert(0, start.len() + 1);
    }
    let text = format!("{start}{{{}}}}}", marked.replace('@', ""));
    let found = match load_as(kind, &text) {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => errors,
    };
    let expected: Vec<_> =
        expected.iter().zip(columns).map(|(text, column)| format!("p.json:1:{column}: {text}")).collect();
    assert_eq!(found, expected, "{marked}");
}

#[test]
fn elements_of_a_statement_are_checked() {
    let action_hint = "\n  hint: write an action such as `s3:GetObject` or `s3:Get*`, or `*` for every action";
    let resource_hint = "\n  hint: write all six parts, `arn:partition:service:region:account:resource`, or end in `*`";
    let about_hint = "\n  hint: it is about whoever it is attached to";
    let cases: [(&str, &[&str]); 13] = [
        (r#""Effect":"Allow","Action":"s3:*","Resource":"*""#, &[]),
        (
            r#""Effect":@"allow","Action":"s3:*","Resource":"*""#,
            &["`Effect` is `Allow` or `Deny`, not `allow`\n  hint: did you mean `Allow`?"],
        ),
        (r#""Action":"s3:*","Resource":"*""#, &["a statement needs `Effect`"]),
        (r#""Effect":"Allow","Resource":"*""#, &["a statement needs `Action` or `NotAction`"]),
        (r#""Effect":"Allow","Action":"s3:*""#, &["a statement needs `Resource` or `NotResource`"]),
        (
            r#""Effect":"Allow","Action":"s3:*",@"NotAction":"s3:*","Resource":"*""#,
            &["a statement has `Action` or `NotAction`, not both"],
        ),
        (r#""Effect":"Allow","Action":@[],"Resource":"*""#, &["`Action` is an empty list"]),
        (
            r#""Effect":"Allow",@"Actions":"s3:*","Action":"s3:*","Resource":"*""#,
            &["`Actions` is not an element of a statement\n  hint: did you mean `Action`?"],
        ),
        (
            r#""Effect":"Allow","Action":@"GetObject","Resource":"*""#,
            &[&format!("the action `GetObject` is not `service:Name`{action_hint}")],
        ),
        (
            r#""Effect":"Allow","Action":@"s*:Get","Resource":"*""#,
            &[&format!("the action `s*:Get` has a wildcard in the service{action_hint}")],
        ),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":@"bucket""#,
            &[&format!("the resource `bucket` is not an ARN or `*`{resource_hint}")],
        ),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"*",@"Principal":"*""#,
            &[&format!("`Principal` has no place in a policy of a user, group or role{about_hint}")],
        ),
        (
            r#""Sid":@"a b","Effect":"Allow","Action":"s3:*","Resource":"*""#,
            &["the Sid `a b` has more than letters and digits\n  hint: only resource-based policies take others"],
        ),
    ];
    for (elements, expected) in cases {
        check(PolicyKind::Identity, elements, expected);
    }
}

#[test]
fn conditions_are_checked() {
    let cases: [(&str, &[&str]); 5] = [
        (
            r#"{@"StringEqual":{"aws:username":"a"}}"#,
            &["unknown operator `StringEqual`\n  hint: did you mean `StringEquals`?"],
        ),
        (r#"{"Bool":{"aws:SecureTransport":@"yes"}}"#, &["the value `yes` is not true or false"]),
        (
            r#"{"IpAddress":{"aws:SourceIp":@"10.0.0/8"}}"#,
            &["the value `10.0.0/8` is not an IP address or CIDR block, such as `203.0.113.0/24`"],
        ),
        (
            r#"{"Bool":{"aws:SecureTransport":@null}}"#,
            &["a value of `aws:SecureTransport` is a string, number or boolean, not null"],
        ),
        (r#"{"StringLike":{"aws:username":@[]}}"#, &["the values of `aws:username` are an empty list"]),
    ];
    for (condition, expected) in cases {
        let elements = format!(r#""Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{condition}"#);
        check(PolicyKind::Identity, &elements, expected);
    }
}

#[test]
fn variables_in_resources_are_checked() {
    let early = "the variable in `arn:*:kms:*:${aws:PrincipalAccount}:key/*` stands before the fifth colon, where none \
                 is substituted\n  hint: write `*` in its place, and a condition on the value";
    let pattern = r#""Action":"s3:*","Resource":@"arn:*:kms:*:${aws:PrincipalAccount}:key/*""#;
    check(PolicyKind::Identity, &format!(r#""Effect":"Allow",{pattern}"#), &[early]);
    check(
        PolicyKind::Identity,
        r#""Effect":"Allow","Action":"s3:*","Resource":@"arn:aws:s3:::${aws:username""#,
        &["the variable that starts at `${aws:username` is not closed"],
    );
}

/// What only AWS can mend is a warning, as long as it cannot do harm.
#[test]
fn policies_of_aws_are_read_leniently() {
    let load = |effect: &str, element: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"*",
                "{element}":"arn:*:kms:*:${{aws:PrincipalAccount}}:key/*"}}}}"#
        );
        let name = PolicyName { reference: "arn:aws:iam::aws:policy/P".into(), file: "p.json".into() };
        load_text(&text, PolicyKind::Identity, name, &mut Findings::new()).is_some()
    };
    assert!(load("Allow", "Resource"));
    assert!(!load("Deny", "Resource"));
    assert!(!load("Allow", "NotResource"));
}

#[test]
fn principals_are_checked() {
    let kinds_hint = "\n  hint: write `{\"AWS\": \"...\"}`, `{\"Service\": \"...\"}` or `{\"Federated\": \"...\"}`";
    let everyone_else = "\n  hint: with `Allow` it would grant to everyone else, anonymous callers included";
    let cases: [(&str, &[&str]); 7] = [
        (r#""Principal":"*""#, &[]),
        (r#""Principal":@"all""#, &[&format!("`Principal` is `\"*\"` or an object, not `all`{kinds_hint}")]),
        (r#""Principal":{@"Aws":"123456789012"}"#, &["`Aws` is not a kind of principal\n  hint: did you mean `AWS`?"]),
        (
            r#""Principal":{"AWS":@"arn:aws:iam::123456789012:user/*"}"#,
            &["`arn:aws:iam::123456789012:user/*` has a wildcard: a principal is `*` alone, or named in full"],
        ),
        (
            r#""Principal":{"AWS":@"arn:aws:iam::123456789012:group/g"}"#,
            &["`arn:aws:iam::123456789012:group/g` is a group, which cannot be a principal"],
        ),
        (
            r#"@"NotPrincipal":{"AWS":"123456789012"}"#,
            &[&format!("`NotPrincipal` goes with `Deny` only{everyone_else}")],
        ),
        (r#""Sid":"""#, &["a statement of a resource policy needs `Principal`"]),
    ];
    for (principal, expected) in cases {
        check(PolicyKind::Resource, &format!(r#"{principal},"Effect":"Allow","Action":"s3:*""#), expected);
    }
}

#[test]
fn versions() {
    let with = |version: &str| {
        let text = format!(r#"{{{version}"Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}}]}}"#);
        load_as(PolicyKind::Identity, &text).map(|(_, warnings)| warnings.len())
    };
    assert_eq!(with(""), Ok(0));
    assert_eq!(with(r#""Version":"2012-10-17","#), Ok(0));
    assert_eq!(with(r#""Version":"2008-10-17","#), Ok(0));
    assert_eq!(with(r#""Version":"2025-2-20","#), Ok(1));
    assert!(with(r#""Version":"1.0","#).is_err());
    assert!(with(r#""Version":"2025-13-20","#).is_err());
}

#[test]
fn documents_come_as_objects_strings_and_percent_encoded() {
    let object = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let encoded = percent_encoding::utf8_percent_encode(object, percent_encoding::NON_ALPHANUMERIC).to_string();
    for text in [object.to_owned(), format!("{object:?}"), format!("{encoded:?}")] {
        let node = json::parse(&text).unwrap();
        let mut findings = Findings::new();
        let name = PolicyName { reference: "p".into(), file: "f".into() };
        assert!(load(&node, PolicyKind::Identity, name, &mut findings).is_some(), "{text}");
    }
}

#[test]
fn limits_hold() {
    let long = format!(r#""Effect":"Allow","Action":@"s3:{}","Resource":"*""#, "a".repeat(2046));
    check(PolicyKind::Identity, &long, &["a value of `Action` is longer than 2048 characters"]);
    let deep = format!(r#"{{"Statement":{}{}}}"#, "[".repeat(70), "]".repeat(70));
    assert_eq!(
        load_as(PolicyKind::Identity, &deep).unwrap_err()[0],
        "p.json:1:1: a policy document is nested deeper than 64 levels"
    );
    let large = format!(r#"{{"Id":"{}","Statement":[]}}"#, "a".repeat(1 << 20));
    assert!(load_as(PolicyKind::Identity, &large).unwrap_err()[0].contains("is larger than 1 MiB"));
}
