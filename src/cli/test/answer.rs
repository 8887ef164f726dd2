//! Whether an answer is what a test expects, and both in words.

use std::collections::BTreeSet;

use super::judge::Mismatch;
use super::suite::ExpectedAnswer;
use crate::access::{Detail, Explanation, InvalidField, Outcome, StatementRef, fold_key};
use crate::cli::request::{decide_one, explain_one};
use crate::proto::v1::IsAuthorizedRequest;
use crate::snapshot::Snapshot;

type Answer = Result<Outcome, InvalidField>;

/// Asks, explained, traced and not, and compares.
pub(super) fn judge(request: &IsAuthorizedRequest, expected: &ExpectedAnswer, snapshot: &Snapshot) -> Option<Mismatch> {
    let now = jiff::Timestamp::now();
    let answer = decide_one(snapshot, request, now, Detail::Statements);
    let brief = decide_one(snapshot, request, now, Detail::Decision);
    let traced = explain_one(snapshot, request, now).map(|(outcome, _)| outcome);
    let explanation = explanation(&answer);
    let came = if agree(&answer, &brief) && answer == traced {
        if meets(expected, &answer, &explanation) {
            return None;
        }
        describe_answer(expected, &answer, &explanation)
    } else {
        // A fault of iamd, not of the policies: all ways must decide alike.
        let [explained, plain, traced] = [&answer, &brief, &traced].map(describe_decision);
        format!(
            "{explained} when explained, {plain} when not, {traced} when traced: please report this as a bug of iamd"
        )
    };
    Some(Mismatch { expected: describe_expected(expected), came, statements: explanation.statements })
}

fn explanation(answer: &Answer) -> Explanation {
    let explained = answer.as_ref().ok().and_then(|outcome| outcome.explanation.as_deref());
    explained.cloned().unwrap_or_default()
}

fn agree(explained: &Answer, plain: &Answer) -> bool {
    match (explained, plain) {
        (Ok(a), Ok(b)) => (a.decision, a.decided_by) == (b.decision, b.decided_by),
        (Err(a), Err(b)) => a == b,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

fn meets(expected: &ExpectedAnswer, answer: &Answer, explanation: &Explanation) -> bool {
    let Ok(outcome) = answer else { return expected.decision.is_none() };
    expected.decision == Some(outcome.decision)
        && expected.decided_by.is_none_or(|decided_by| decided_by == outcome.decided_by)
        && expected.statements.as_ref().is_none_or(|names| same_statements(names, &explanation.statements))
        && expected
            .missing_context_keys
            .as_ref()
            .is_none_or(|keys| folded(keys) == folded(&explanation.missing_context_keys))
}

/// Every statement is named, and every name is a statement's.
fn same_statements(names: &[String], statements: &[StatementRef]) -> bool {
    names.iter().all(|name| statements.iter().any(|statement| is_named(statement, name)))
        && statements.iter().all(|statement| names.iter().any(|name| is_named(statement, name)))
}

/// By its Sid, or as `POLICY#INDEX`.
fn is_named(statement: &StatementRef, name: &str) -> bool {
    *statement.sid == *name && !name.is_empty() || format!("{}#{}", statement.policy, statement.index) == name
}

fn folded(keys: &[String]) -> BTreeSet<String> {
    keys.iter().map(|key| fold_key(key)).collect()
}

// --- words ----------------------------------------------------------------------------------------------------------

/// What should come, as far as the test says.
pub(super) fn describe_expected(expected: &ExpectedAnswer) -> String {
    let mut text = expected.decision.map_or("INVALID", |decision| decision.as_str()).to_owned();
    if let Some(decided_by) = expected.decided_by {
        text += &format!(", decided by {}", decided_by.as_str());
    }
    if let Some(names) = &expected.statements {
        text += &format!(", statements [{}]", names.join(", "));
    }
    if let Some(keys) = &expected.missing_context_keys {
        text += &format!(", missing context keys [{}]", keys.join(", "));
    }
    text
}

/// What came, as far as the test looks at it; statements are told where they stand.
fn describe_answer(expected: &ExpectedAnswer, answer: &Answer, explanation: &Explanation) -> String {
    let mut text = describe_decision(answer);
    if answer.is_ok() && expected.statements.is_some() {
        let names: Vec<_> = explanation.statements.iter().map(name_of).collect();
        text += &format!(", statements [{}]", names.join(", "));
    }
    if answer.is_ok() && expected.missing_context_keys.is_some() {
        text += &format!(", missing context keys [{}]", explanation.missing_context_keys.join(", "));
    }
    text
}

fn name_of(statement: &StatementRef) -> String {
    match &*statement.sid {
        "" => format!("{}#{}", statement.policy, statement.index),
        sid => sid.to_owned(),
    }
}

fn describe_decision(answer: &Answer) -> String {
    match answer {
        Ok(outcome) => format!("{}, decided by {}", outcome.decision.as_str(), outcome.decided_by.as_str()),
        Err(invalid) => format!("INVALID ({invalid})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Decision, PolicyType};

    fn statements() -> Vec<StatementRef> {
        let statement = |sid: &str, index| StatementRef {
            policy_type: PolicyType::Identity,
            policy: "arn:aws:iam::123456789012:policy/P".into(),
            index,
            sid: sid.into(),
            file: "p.json".into(),
            line: 1,
            column: 1,
        };
        vec![statement("Read", 0), statement("", 1)]
    }

    fn named(names: &[&str]) -> bool {
        same_statements(&names.iter().map(ToString::to_string).collect::<Vec<_>>(), &statements())
    }

    #[test]
    fn statements_are_compared_as_sets_of_names() {
        assert!(named(&["arn:aws:iam::123456789012:policy/P#1", "Read"]));
        assert!(named(&["arn:aws:iam::123456789012:policy/P#0", "arn:aws:iam::123456789012:policy/P#1"]));
        for names in [&["Read"][..], &["Read", ""], &["Read", "arn:aws:iam::123456789012:policy/P#1", "Write"], &[]] {
            assert!(!named(names), "{names:?}");
        }
    }

    fn outcome(decision: Decision) -> Answer {
        Ok(Outcome { decision, decided_by: PolicyType::Identity, explanation: None })
    }

    fn expected(decision: Option<Decision>) -> ExpectedAnswer {
        ExpectedAnswer { decision, decided_by: None, statements: None, missing_context_keys: None }
    }

    #[test]
    fn only_what_the_test_names_is_compared() {
        let explanation = Explanation { statements: statements(), missing_context_keys: vec!["aws:sourceip".into()] };
        let allow = outcome(Decision::Allow);
        assert!(meets(&expected(Some(Decision::Allow)), &allow, &explanation));
        assert!(!meets(&expected(Some(Decision::ImplicitDeny)), &allow, &explanation));
        assert!(!meets(&expected(None), &allow, &explanation));
        let by = |decided_by| ExpectedAnswer { decided_by: Some(decided_by), ..expected(Some(Decision::Allow)) };
        assert!(meets(&by(PolicyType::Identity), &allow, &explanation));
        assert!(!meets(&by(PolicyType::Resource), &allow, &explanation));
        let missing = |key: &str| ExpectedAnswer {
            missing_context_keys: Some(vec![key.to_owned()]),
            ..expected(Some(Decision::Allow))
        };
        assert!(meets(&missing("aws:SourceIp"), &allow, &explanation));
        assert!(!meets(&missing("aws:SourceVpce"), &allow, &explanation));
    }

    #[test]
    fn invalid_is_an_answer_of_its_own() {
        let invalid: Answer = Err(InvalidField::new("principal", "no"));
        assert!(meets(&expected(None), &invalid, &Explanation::default()));
        assert!(!meets(&expected(Some(Decision::ImplicitDeny)), &invalid, &Explanation::default()));
        assert_eq!(describe_decision(&invalid), "INVALID (principal: no)");
    }

    #[test]
    fn both_ways_to_decide_must_agree() {
        assert!(agree(&outcome(Decision::Allow), &outcome(Decision::Allow)));
        assert!(!agree(&outcome(Decision::Allow), &outcome(Decision::ImplicitDeny)));
        assert!(!agree(&outcome(Decision::Allow), &Err(InvalidField::new("principal", "no"))));
    }
}
