//! One request: from protobuf's JSON form to its decision. `check` and `test` share it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::input::Reader;
use crate::access::{Detail, InvalidField, Outcome, shown};
use crate::config::RequestLimits;
use crate::evaluate::{self, SessionPolicies, Trace};
use crate::json::{Member, Node, Value};
use crate::proto::v1::{self, ContextValues, IsAuthorizedRequest};
use crate::server::convert;
use crate::snapshot::Snapshot;

/// The fields of the message, as protobuf's JSON form spells them by default.
const FIELDS: [&str; 9] = [
    "principal",
    "action",
    "resource",
    "context",
    "resourceAccount",
    "sessionPolicies",
    "sessionTags",
    "detail",
    "federatedBy",
];

/// Decides a request as the service does. An error is what the service answers with INVALID_ARGUMENT.
pub(super) fn decide_one(
    snapshot: &Snapshot,
    request: &IsAuthorizedRequest,
    now: jiff::Timestamp,
    detail: Detail,
) -> Result<Outcome, InvalidField> {
    let request = convert::access_request(request, &RequestLimits::default())?;
    let session = SessionPolicies::compile(request.session_policies)?;
    Ok(evaluate::decide(snapshot, &request, &session, &|| now, detail).outcome)
}

/// Decides a request that a service took, whatever its limits were, and says by what.
pub(super) fn decide_any(
    snapshot: &Snapshot,
    request: &IsAuthorizedRequest,
    now: jiff::Timestamp,
) -> Result<Outcome, InvalidField> {
    const ANY: usize = usize::MAX;
    let limits = RequestLimits {
        batch: ANY,
        context_keys: ANY,
        context_values: ANY,
        session_policies: ANY,
        session_policy_bytes: ANY,
    };
    let request = convert::access_request(request, &limits)?;
    let session = SessionPolicies::compile(request.session_policies)?;
    Ok(evaluate::decide(snapshot, &request, &session, &|| now, Detail::Statements).outcome)
}

/// Decides a request as [`decide_one`] does with [`Detail::Statements`], and tells how.
pub(super) fn explain_one(
    snapshot: &Snapshot,
    request: &IsAuthorizedRequest,
    now: jiff::Timestamp,
) -> Result<(Outcome, Trace), InvalidField> {
    let request = convert::access_request(request, &RequestLimits::default())?;
    let session = SessionPolicies::compile(request.session_policies)?;
    let (evaluation, trace) = evaluate::explain(snapshot, &request, &session, &|| now);
    Ok((evaluation.outcome, trace))
}

// --- protobuf JSON --------------------------------------------------------------------------------------------------

/// Reads an IsAuthorizedRequest: names in lowerCamelCase or as in the proto file, `null` as absent, nothing unknown.
pub(super) fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> IsAuthorizedRequest {
    let mut request = IsAuthorizedRequest::default();
    let mut seen: HashMap<Cow<'_, str>, &str> = HashMap::new();
    for member in reader.object(node, "a request") {
        let name = proto_name(&member.key);
        if let Some(first) = seen.insert(name.clone(), &member.key) {
            let message = format!("`{}` is given twice, first as `{first}`", member.key);
            reader.error(member.position, "duplicate-key", message);
        }
        if member.node.value != Value::Null || !FIELDS.iter().any(|field| proto_name(field) == name) {
            read_field(&mut request, &name, member, reader);
        }
    }
    request
}

fn read_field(request: &mut IsAuthorizedRequest, name: &str, member: &Member<'_>, reader: &mut Reader<'_>) {
    let node = &member.node;
    let what = format!("`{}`", member.key);
    match name {
        "principal" => request.principal = reader.string(node, &what),
        "action" => request.action = reader.string(node, &what),
        "resource" => request.resource = reader.string(node, &what),
        "context" => request.context = read_map(node, &what, reader, read_values),
        "resource_account" => request.resource_account = reader.string(node, &what),
        "session_policies" => request.session_policies = reader.strings(node, &what),
        "session_tags" => request.session_tags = read_map(node, &what, reader, read_tag),
        "detail" => request.detail = read_detail(node, reader).into(),
        "federated_by" => request.federated_by = reader.string(node, &what),
        _ => reader.unknown_key(member, "a request", &FIELDS),
    }
}

/// `sessionPolicies` and `session_policies` are the same field; protobuf's JSON form allows both.
fn proto_name(key: &str) -> Cow<'_, str> {
    if !key.bytes().any(|b| b.is_ascii_uppercase()) {
        return key.into();
    }
    let mut name = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name.into()
}

fn read_map<V>(
    node: &Node<'_>,
    what: &str,
    reader: &mut Reader<'_>,
    read: fn(&Member<'_>, &mut Reader<'_>) -> V,
) -> HashMap<String, V> {
    let members = reader.object(node, what);
    members.iter().map(|member| (member.key.clone().into_owned(), read(member, reader))).collect()
}

fn read_tag(member: &Member<'_>, reader: &mut Reader<'_>) -> String {
    reader.string(&member.node, &format!("the session tag `{}`", shown(&member.key)))
}

fn read_values(member: &Member<'_>, reader: &mut Reader<'_>) -> ContextValues {
    let key = shown(&member.key);
    let mut context = ContextValues::default();
    if member.node.as_object().is_none() {
        let message = format!("the context key `{key}` must be an object, found {}", member.node.kind());
        reader.error(member.node.position, "wrong-type", message).hint("write `{\"values\": [\"...\"]}`");
        return context;
    }
    for inner in reader.object(&member.node, &key) {
        match (inner.key.as_ref(), &inner.node.value) {
            ("values", Value::Null) => {}
            ("values", _) => context.values = reader.strings(&inner.node, &format!("the values of `{key}`")),
            _ => reader.unknown_key(inner, &format!("the context key `{key}`"), &["values"]),
        }
    }
    context
}

fn read_detail(node: &Node<'_>, reader: &mut Reader<'_>) -> v1::Detail {
    const NAMES: [&str; 2] = ["DETAIL_UNSPECIFIED", "DETAIL_STATEMENTS"];
    let (written, detail) = match &node.value {
        Value::String(name) => (name.as_ref(), v1::Detail::from_str_name(name)),
        Value::Number(number) => {
            (*number, number.parse::<i32>().ok().and_then(|number| v1::Detail::try_from(number).ok()))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => (node.kind(), None),
    };
    detail.unwrap_or_else(|| {
        let message = format!("`{}` is not a detail: `{}` or `{}`", shown(written), NAMES[0], NAMES[1]);
        reader.error(node.position, "unknown-detail", message).hint_near_miss(written, NAMES);
        v1::Detail::Unspecified
    })
}

/// The request in protobuf's JSON form; keys sorted, so that equal requests read equally.
pub(super) fn to_json(request: &IsAuthorizedRequest) -> Json {
    let context: Map<_, _> =
        request.context.iter().map(|(key, context)| (key.clone(), json!({"values": context.values}))).collect();
    let detail = v1::Detail::try_from(request.detail).unwrap_or_default();
    let fields = [
        ("principal", json!(request.principal)),
        ("action", json!(request.action)),
        ("resource", json!(request.resource)),
        ("context", Json::Object(context)),
        ("resourceAccount", json!(request.resource_account)),
        ("sessionPolicies", json!(request.session_policies)),
        ("sessionTags", json!(request.session_tags)),
        ("detail", json!(if detail == v1::Detail::Unspecified { "" } else { detail.as_str_name() })),
        ("federatedBy", json!(request.federated_by)),
    ];
    let given = fields.into_iter().filter(|(_, value)| !is_default(value));
    Json::Object(given.map(|(name, value)| (name.to_owned(), value)).collect())
}

fn is_default(value: &Json) -> bool {
    value.as_str() == Some("")
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Findings;
    use crate::json;

    fn read_text(text: &str) -> Result<IsAuthorizedRequest, Vec<String>> {
        let mut findings = Findings::new();
        let mut reader = Reader { file: &"r.json".into(), findings: &mut findings };
        let request = read(&json::parse(text).unwrap(), &mut reader);
        let texts: Vec<_> = findings.into_sorted().iter().map(ToString::to_string).collect();
        if texts.is_empty() { Ok(request) } else { Err(texts) }
    }

    #[test]
    fn both_spellings_of_a_field_are_read() {
        let camel = r#"{"principal": "p", "sessionPolicies": ["{}"], "resourceAccount": "1", "federatedBy": "f",
            "sessionTags": {"K": ""}, "context": {"a:B": {"values": ["1", "2"]}}, "detail": "DETAIL_STATEMENTS"}"#;
        let snake = r#"{"principal": "p", "session_policies": ["{}"], "resource_account": "1", "federated_by": "f",
            "session_tags": {"K": ""}, "context": {"a:B": {"values": ["1", "2"]}}, "detail": 1, "action": null}"#;
        let request = read_text(camel).unwrap();
        assert_eq!(request, read_text(snake).unwrap());
        assert_eq!(request.context["a:B"].values, ["1", "2"]);
        assert_eq!(request.detail(), v1::Detail::Statements);
        assert_eq!(read_text(&to_json(&request).to_string()).unwrap(), request);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for (text, expected) in [
            ("[]", "r.json:1:1: a request must be an object, found a list"),
            (
                "{\"principal\": 1}",
                "r.json:1:15: `principal` must be a string, found a number\n  hint: put it in double quotes",
            ),
            (
                "{\"sessionTag\": {}}",
                "r.json:1:2: unknown key `sessionTag` in a request\n  hint: did you mean `sessionTags`?",
            ),
            (
                "{\"SessionTags\": {}}",
                "r.json:1:2: unknown key `SessionTags` in a request\n  hint: did you mean `sessionTags`?",
            ),
            (
                "{\"x\": null}",
                "r.json:1:2: unknown key `x` in a request\n  hint: it may have `principal`, `action`, `resource`, `context`, `resourceAccount`, `sessionPolicies`, `sessionTags`, `detail` and `federatedBy`",
            ),
            (
                "{\"sessionTags\": {}, \"session_tags\": {}}",
                "r.json:1:21: `session_tags` is given twice, first as `sessionTags`",
            ),
            (
                "{\"context\": {\"k\": [\"v\"]}}",
                "r.json:1:19: the context key `k` must be an object, found a list\n  hint: write `{\"values\": [\"...\"]}`",
            ),
            (
                "{\"context\": {\"k\": {\"value\": []}}}",
                "r.json:1:20: unknown key `value` in the context key `k`\n  hint: did you mean `values`?",
            ),
            (
                "{\"context\": {\"k\": {\"values\": \"v\"}}}",
                "r.json:1:30: the values of `k` must be a list, found a string",
            ),
            ("{\"sessionPolicies\": [{}]}", "r.json:1:22: each of `sessionPolicies` must be a string, found an object"),
            (
                "{\"detail\": \"DETAIL_STATEMENT\"}",
                "r.json:1:12: `DETAIL_STATEMENT` is not a detail: `DETAIL_UNSPECIFIED` or `DETAIL_STATEMENTS`\n  hint: did you mean `DETAIL_STATEMENTS`?",
            ),
            ("{\"detail\": 7}", "r.json:1:12: `7` is not a detail: `DETAIL_UNSPECIFIED` or `DETAIL_STATEMENTS`"),
        ] {
            assert_eq!(read_text(text), Err(vec![expected.to_owned()]), "{text}");
        }
    }
}
