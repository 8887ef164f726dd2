//! Wildcards, ARNs and patterns of ARNs, beside their definitions. The first line is a pattern, the rest a text.
#![no_main]

use std::borrow::Cow;
use std::sync::Arc;

use iamd::access::{AccessRequest, Principal};
use iamd::arn::Arn;
use iamd::finding::Findings;
use iamd::policy::{
    self, Circumstances, CompiledPolicy, ConditionKey, Facts, Listener, Nobody, PolicyKind, PolicyName, PrincipalFacts,
    Resolve, Values,
};
use iamd::wildcard::{Token, Wildcard};
use iamd_fuzz::{ask, pattern};
use libfuzzer_sys::fuzz_target;

/// The definitions take quadratic time; beyond this iamd runs alone.
const LARGEST_PRODUCT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (pattern, text) = input.split_once('\n').unwrap_or((input, ""));
    let wildcard = Wildcard::new(pattern);
    let matched = wildcard.matches(text);
    // As text, a pattern matches itself alone.
    assert_eq!(Wildcard::from_tokens([Token::Text(pattern)]).matches(text), pattern == text);
    arns(text);
    arns(pattern);
    if pattern.len().saturating_mul(text.len()) > LARGEST_PRODUCT {
        return;
    }
    assert_eq!(matched, pattern::wildcard(pattern, text));
    if wildcard.is_any() {
        assert!(matched);
    }
    if Arn::parse(text).is_some() {
        resources(pattern, text);
    }
    substituted(pattern, text);
});

fn arns(text: &str) {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_arn = matches!(*parts, ["arn", partition, service, _, _, resource]
        if !partition.is_empty() && !service.is_empty() && !resource.is_empty());
    let parsed = Arn::parse(text);
    assert_eq!(parsed.is_some(), is_arn);
    if let Some(arn) = parsed {
        assert_eq!(arn.parts().join(":"), text);
        assert_eq!(arn.parts(), *parts);
        assert_eq!(arn.account_id().map(|id| id.to_string()), account(arn.account));
    }
}

fn account(text: &str) -> Option<String> {
    (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

/// A Resource element as in 2008, so that `${` is text.
fn resources(pattern: &str, arn: &str) {
    let loaded = statement("2008-10-17", pattern);
    let expected = if pattern == "*" { Some(true) } else { pattern::resource(pattern, arn) };
    assert_eq!(loaded.is_some(), expected.is_some(), "whether `{pattern}` is a pattern");
    if let (Some(policy), Some(expected)) = (loaded, expected) {
        assert_eq!(applies(&policy, arn, ""), expected, "{pattern} on {arn}");
    }
}

/// What stands in for a variable is text, whatever it holds (evaluation.md, rule 48).
fn substituted(value: &str, other: &str) {
    let policy = statement("2012-10-17", "arn:aws:s3:::a/${aws:PrincipalTag/t}/*").expect("a pattern");
    let arn = |value: &str| format!("arn:aws:s3:::a/{value}/x");
    assert_eq!(applies(&policy, &arn(value), value), !value.is_empty());
    let expected = !value.is_empty() && format!("{other}/x").starts_with(&format!("{value}/"));
    assert_eq!(applies(&policy, &arn(other), value), expected);
}

fn statement(version: &str, resource: &str) -> Option<CompiledPolicy> {
    let document = serde_json::json!({
        "Version": version,
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": resource}
    });
    let name = PolicyName { reference: Arc::from("p"), file: Arc::from("p.json") };
    policy::load_text(&document.to_string(), PolicyKind::Identity, name, &mut Findings::new())
}

fn applies(policy: &CompiledPolicy, arn: &str, value: &str) -> bool {
    let request = AccessRequest::new(&ask::raw("anonymous", "s3:GetObject", arn)).expect("a request");
    let principal =
        PrincipalFacts { principal: &Principal::Anonymous, unique_id: None, federated_by: None, has_boundary: false };
    let (action, resource) = (&request.action, &request.resource);
    let facts = &Constant { value, listener: Nobody };
    let plain = any_applies(policy, &Circumstances { principal, action, resource, facts });
    let facts = &Constant { value, listener: Everything };
    let exhaustive = any_applies(policy, &Circumstances { principal, action, resource, facts });
    assert_eq!(plain, exhaustive);
    plain
}

fn any_applies<F: Facts>(policy: &CompiledPolicy, circumstances: &Circumstances<'_, F>) -> bool {
    policy.statements.iter().any(|statement| statement.applies(circumstances).is_some())
}

/// Wants to hear everything.
struct Everything;

impl Listener for Everything {
    const EXHAUSTIVE: bool = true;
}

/// Every key has one value.
struct Constant<'a, L> {
    value: &'a str,
    listener: L,
}

impl<L: Listener> Resolve for Constant<'_, L> {
    type Listener = L;

    fn listener(&self) -> &L {
        &self.listener
    }

    fn resolve(&self, _: &ConditionKey) -> Option<Cow<'_, str>> {
        (!self.value.is_empty()).then_some(Cow::Borrowed(self.value))
    }
}

impl<L: Listener> Facts for Constant<'_, L> {
    fn values(&self, _: &ConditionKey) -> Values<'_> {
        Values::One(self.value.into())
    }
}
