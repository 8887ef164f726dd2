//! A line, read again: what was asked, and what was decided.

use std::collections::HashMap;

use serde::Deserialize;

use super::mask::SESSION_POLICIES;
use crate::access::fold_key;
use crate::proto::v1::{ContextValues, IsAuthorizedRequest};

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A decision.
    Decision(Box<Logged>),
    /// So many decisions are missing here.
    Dropped(u64),
    /// The log begins or ends.
    Mark,
}

/// A decision that was logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// When it was made.
    pub time: jiff::Timestamp,
    /// The request, without what is masked.
    pub request: IsAuthorizedRequest,
    /// Condition keys that are masked, in lower case.
    pub masked_keys: Vec<String>,
    /// What else is masked, by the names that masks go by: session tags, as the condition keys that they become, and session policies.
    pub masked_session: Vec<String>,
    /// `ALLOW`, `EXPLICIT_DENY` or `IMPLICIT_DENY`.
    pub decision: String,
    /// The kind of policy that decided.
    pub decided_by: String,
}

/// As written; fields of later versions are passed over.
#[derive(Deserialize)]
struct Written {
    v: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    dropped: HashMap<String, u64>,
    #[serde(default)]
    principal: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    resource_account: String,
    #[serde(default)]
    federated_by: String,
    #[serde(default)]
    context: HashMap<String, Values<Vec<String>>>,
    #[serde(default)]
    session_tags: HashMap<String, Values<String>>,
    session_policies: Option<Values<Vec<String>>>,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    decided_by: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values<V> {
    Shown(V),
    Masked(#[expect(dead_code, reason = "only its form is of interest")] Masked),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Masked {
    #[serde(rename = "hashed")]
    Hashed(#[expect(dead_code, reason = "only its form is of interest")] Vec<String>),
    #[serde(rename = "dropped")]
    Dropped(#[expect(dead_code, reason = "only its form is of interest")] u64),
}

/// Reads a line. The error says what is wrong with it.
pub fn line(text: &[u8]) -> Result<Line, String> {
    let written: Written =
        serde_json::from_slice(text).map_err(|error| format!("is no line of a decision log: {error}"))?;
    if written.v != 1 {
        return Err(format!("has version {} of the form, this program knows 1", written.v));
    }
    match written.kind.as_str() {
        "decision" => logged(written).map(|logged| Line::Decision(Box::new(logged))),
        "dropped" => Ok(Line::Dropped(written.dropped.values().fold(0, |sum, count| sum.saturating_add(*count)))),
        _ => Ok(Line::Mark),
    }
}

fn logged(written: Written) -> Result<Logged, String> {
    let time = written.time.parse().map_err(|_| format!("has no time: `{}`", crate::access::shown(&written.time)))?;
    if !["ALLOW", "EXPLICIT_DENY", "IMPLICIT_DENY"].contains(&written.decision.as_str()) {
        return Err(format!("has no decision: `{}`", crate::access::shown(&written.decision)));
    }
    let mut request = IsAuthorizedRequest {
        principal: written.principal,
        action: written.action,
        resource: written.resource,
        resource_account: written.resource_account,
        federated_by: written.federated_by,
        ..IsAuthorizedRequest::default()
    };
    let (mut masked_keys, mut masked_session) = (Vec::new(), Vec::new());
    for (key, values) in written.context {
        match values {
            Values::Shown(values) => drop(request.context.insert(key, ContextValues { values })),
            Values::Masked(_) => masked_keys.push(fold_key(&key)),
        }
    }
    for (key, value) in written.session_tags {
        match value {
            Values::Shown(value) => drop(request.session_tags.insert(key, value)),
            Values::Masked(_) => masked_session.push(fold_key(&format!("aws:PrincipalTag/{key}"))),
        }
    }
    match written.session_policies {
        None => {}
        Some(Values::Shown(policies)) => request.session_policies = policies,
        Some(Values::Masked(_)) => masked_session.push(SESSION_POLICIES.to_owned()),
    }
    let (decision, decided_by) = (written.decision, written.decided_by);
    Ok(Logged { time, request, masked_keys, masked_session, decision, decided_by })
}
