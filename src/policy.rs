//! Policies: text becomes a [`CompiledPolicy`]. As written -> validated -> compiled.

mod action;
mod compile;
mod condition;
mod document;
mod filter;
mod index;
mod key;
mod listener;
mod pattern;
mod principal;
mod quota;
mod resource;
mod set;
mod spelled;
mod validate;
mod variable;
mod written;

use std::sync::Arc;

pub use compile::{Circumstances, CompiledPolicy, CompiledStatement};
pub use condition::{Facts, Values, parse_date};
pub use document::{Condition, Effect, Element, PolicyDocument, PrincipalElement, Statement, Text};
pub use index::Seeker;
pub use key::{Cardinality, ConditionKey, KeySource};
pub use listener::{ElementName, Found, Listener, Nobody};
pub use principal::{GrantClass, PrincipalFacts};
pub use set::{PolicySet, Sought, are_told_apart, each_policy};
pub use spelled::{Spelled, SpelledCondition};
pub use variable::Resolve;
pub use written::{WrittenPolicy, written};

pub(crate) use condition::ip::parse as parse_network;
pub(crate) use condition::numeric::Decimal;
pub(crate) use condition::operator::{Family, Operator, Quantifier, Relation, StringMode};

use crate::finding::{Findings, Position};
use crate::json::{self, Node};
use document::Reader;

/// Largest policy document, in bytes (evaluation.md, rule 12).
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Deepest nesting of a policy document (evaluation.md, rule 12).
pub const MAX_DOCUMENT_DEPTH: usize = 64;

/// What a policy is attached to decides what it may say (evaluation.md, rules 7, 10, 11 and 20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Managed and inline policies of users, groups and roles, and permissions boundaries.
    Identity,
    /// The policy of a resource.
    Resource,
    /// The trust policy of a role.
    Trust,
    /// Passed when a session is created.
    Session,
    /// SCP of an organization.
    ServiceControl,
    /// RCP of an organization.
    ResourceControl,
    /// Policy of a VPC endpoint.
    VpcEndpoint,
}

/// What a policy is called in answers, and where it was read.
#[derive(Clone, Debug)]
pub struct PolicyName {
    /// The managed policy's ARN, `ENTITY_ARN/inline/NAME`, or the id of what the policy is attached to.
    pub reference: Arc<str>,
    /// Path of its file, relative to the policy store's root.
    pub file: Arc<str>,
}

/// Reads a policy document: a JSON object, a JSON string, or a percent-encoded JSON string (policy-store.md).
///
/// Everything that is wrong with it is added to `findings`; None if that includes an error.
pub fn load(
    document: &Node<'_>,
    kind: PolicyKind,
    name: PolicyName,
    findings: &mut Findings,
) -> Option<CompiledPolicy> {
    let Some(text) = document.as_str() else {
        return load_object(document, kind, name, findings);
    };
    let text = match percent_decoded(text) {
        Ok(text) => text,
        Err(message) => {
            findings.error(&name.file, document.position, "json-syntax", message);
            return None;
        }
    };
    load_embedded(&text, document.position, kind, name, findings)
}

/// Reads a policy document from its own text.
pub fn load_text(text: &str, kind: PolicyKind, name: PolicyName, findings: &mut Findings) -> Option<CompiledPolicy> {
    report_syntax(json::parse(text), &name, findings).and_then(|node| load_object(&node, kind, name, findings))
}

fn load_embedded(
    text: &str,
    at: Position,
    kind: PolicyKind,
    name: PolicyName,
    findings: &mut Findings,
) -> Option<CompiledPolicy> {
    let parsed = json::parse_embedded(text, at);
    report_syntax(parsed, &name, findings).and_then(|node| load_object(&node, kind, name, findings))
}

fn report_syntax<'a>(
    parsed: Result<Node<'a>, Vec<json::SyntaxError>>,
    name: &PolicyName,
    findings: &mut Findings,
) -> Option<Node<'a>> {
    let report = |errors: Vec<json::SyntaxError>| {
        for error in errors {
            findings.error(&name.file, error.position, error.code, error.message);
        }
    };
    parsed.map_err(report).ok()
}

fn load_object(node: &Node<'_>, kind: PolicyKind, name: PolicyName, findings: &mut Findings) -> Option<CompiledPolicy> {
    let before = findings.error_count();
    let file = Arc::clone(&name.file);
    let mut reader = Reader { file: &file, findings };
    if node.length > MAX_DOCUMENT_BYTES {
        let message = format!("a policy document of {} bytes is larger than 1 MiB", node.length);
        reader.error(node.position, "too-large", message);
        return None;
    }
    if node.depth > MAX_DOCUMENT_DEPTH {
        let message = format!("a policy document is nested deeper than {MAX_DOCUMENT_DEPTH} levels");
        reader.error(node.position, "too-deep", message);
        return None;
    }
    let document = reader.document(node)?;
    validate::validate(&document, kind, &mut reader);
    let policy = compile::compile(&document, kind, name, &mut reader);
    quota::warn(node, kind, &policy.name, &mut reader);
    (findings.error_count() == before).then_some(policy)
}

/// The AWS API gives documents percent-encoded (RFC 3986); what begins like JSON is not.
fn percent_decoded(text: &str) -> Result<String, String> {
    if text.trim_start().starts_with(['{', '[', '"']) {
        return Ok(text.to_owned());
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| "the percent-encoded policy document is not UTF-8".to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
