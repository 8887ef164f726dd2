//! An answer, as text or as JSON.

use serde_json::{Value as Json, json};

use super::Format;
use crate::access::{Decision, Outcome, StatementRef};
use crate::cli::explain;
use crate::cli::report::{self, Exit, Terminal};
use crate::evaluate::Trace;

/// Prints a decision, with its trace if there is one.
pub(super) fn print(
    outcome: &Outcome,
    trace: Option<&Trace>,
    snapshot_version: u64,
    format: Format,
    terminal: &mut Terminal,
) -> Exit {
    match format {
        Format::Text => {
            print_text(outcome, terminal);
            trace.into_iter().for_each(|trace| explain::print(outcome, trace, &mut terminal.out));
        }
        Format::Json => {
            let mut answer = to_json(outcome, snapshot_version);
            if let (Some(trace), Some(fields)) = (trace, answer.as_object_mut()) {
                fields.insert("explanation".to_owned(), explain::document(outcome, trace));
            }
            terminal.out.line(format_args!("{answer:#}"));
        }
    }
    match outcome.decision {
        Decision::Allow => Exit::Success,
        Decision::ExplicitDeny | Decision::ImplicitDeny => Exit::Denied,
    }
}

fn print_text(outcome: &Outcome, terminal: &mut Terminal) {
    let out = &mut terminal.out;
    let decision = outcome.decision.as_str();
    let decision =
        if outcome.decision == Decision::Allow { out.paint.green(decision) } else { out.paint.red(decision) };
    out.line(format_args!("{decision}, decided by {}", outcome.decided_by.as_str()));
    let Some(explanation) = &outcome.explanation else { return };
    if !explanation.statements.is_empty() {
        out.line("statements:");
    }
    for statement in &explanation.statements {
        out.line(format_args!("  {}", report::statement(statement)));
    }
    if !explanation.missing_context_keys.is_empty() {
        out.line("missing context keys:");
    }
    for key in &explanation.missing_context_keys {
        out.line(format_args!("  {}", report::printable(key)));
    }
}

/// An IsAuthorizedResponse in protobuf's JSON form, fields with their default values included.
fn to_json(outcome: &Outcome, snapshot_version: u64) -> Json {
    let explanation = outcome.explanation.as_deref().cloned().unwrap_or_default();
    let statements: Vec<_> = explanation.statements.iter().map(statement_json).collect();
    json!({
        "decision": format!("DECISION_{}", outcome.decision.as_str()),
        "decidedBy": format!("POLICY_TYPE_{}", outcome.decided_by.as_str()),
        // A uint64 is a string in protobuf's JSON form.
        "snapshotVersion": snapshot_version.to_string(),
        "statements": statements,
        "missingContextKeys": explanation.missing_context_keys,
    })
}

/// A StatementRef in protobuf's JSON form.
pub(in crate::cli) fn statement_json(statement: &StatementRef) -> Json {
    json!({
        "policyType": format!("POLICY_TYPE_{}", statement.policy_type.as_str()),
        "policy": *statement.policy,
        "sid": *statement.sid,
        "index": statement.index,
        "file": *statement.file,
        "line": statement.line,
        "column": statement.column,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::{Explanation, PolicyType};

    #[test]
    fn json_is_the_message_of_the_wire() {
        let statement = StatementRef {
            policy_type: PolicyType::Identity,
            policy: "arn:aws:iam::123456789012:policy/P".into(),
            index: 0,
            sid: "".into(),
            file: "p.json".into(),
            line: 3,
            column: 5,
        };
        assert_eq!(report::statement(&statement), "IDENTITY arn:aws:iam::123456789012:policy/P #0 p.json:3:5");
        let explanation =
            Explanation { statements: vec![statement], missing_context_keys: vec!["aws:sourceip".into()] };
        let outcome = Outcome {
            decision: Decision::ExplicitDeny,
            decided_by: PolicyType::Identity,
            explanation: Some(Arc::new(explanation)),
        };
        let expected = json!({
            "decision": "DECISION_EXPLICIT_DENY",
            "decidedBy": "POLICY_TYPE_IDENTITY",
            "snapshotVersion": "7",
            "statements": [{
                "policyType": "POLICY_TYPE_IDENTITY", "policy": "arn:aws:iam::123456789012:policy/P", "sid": "", "index": 0,
                "file": "p.json", "line": 3, "column": 5,
            }],
            "missingContextKeys": ["aws:sourceip"],
        });
        assert_eq!(to_json(&outcome, 7), expected);
    }
}
