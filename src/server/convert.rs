//! Protobuf <-> access. The only maker of a [`Status`].

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::StatementRef;
use crate::access::{AccessRequest, Decision, Detail, Explanation, InvalidField, Outcome, PolicyType, RawRequest};
use crate::config::RequestLimits;
use crate::proto::v1;

// --- requests -------------------------------------------------------------------------------------------------------

/// Checks a request; it borrows from its message.
pub fn access_request<'a>(
    message: &'a v1::IsAuthorizedRequest,
    limits: &RequestLimits,
) -> Result<AccessRequest<'a>, InvalidField> {
    check_limits(message, limits)?;
    AccessRequest::new(&RawRequest {
        principal: &message.principal,
        action: &message.action,
        resource: &message.resource,
        context: message.context.iter().map(|(key, values)| (key.as_str(), values.values.as_slice())).collect(),
        resource_account: &message.resource_account,
        session_policies: &message.session_policies,
        session_tags: message.session_tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        federated_by: &message.federated_by,
    })
}

fn check_limits(message: &v1::IsAuthorizedRequest, limits: &RequestLimits) -> Result<(), InvalidField> {
    let keys = message.context.len();
    if keys > limits.context_keys {
        return Err(too_many("context", keys, "condition keys", limits.context_keys, "--max-context-keys"));
    }
    let values = message.context.values().map(|values| values.values.len()).sum();
    if values > limits.context_values {
        return Err(too_many("context", values, "values", limits.context_values, "--max-context-values"));
    }
    let policies = message.session_policies.len();
    if policies > limits.session_policies {
        let (limit, flag) = (limits.session_policies, "--max-session-policies");
        return Err(too_many("session_policies", policies, "session policies", limit, flag));
    }
    let bytes = message.session_policies.iter().map(String::len).sum();
    if bytes > limits.session_policy_bytes {
        let (limit, flag) = (limits.session_policy_bytes, "--max-session-policy-bytes");
        return Err(too_many("session_policies", bytes, "bytes", limit, flag));
    }
    Ok(())
}

/// Checks the size of a batch.
pub fn check_batch(message: &v1::BatchIsAuthorizedRequest, limits: &RequestLimits) -> Result<(), InvalidField> {
    let requests = message.requests.len();
    if requests > limits.batch {
        return Err(too_many("requests", requests, "requests", limits.batch, "--max-batch"));
    }
    Ok(())
}

/// The request of a message of a stream.
pub fn streamed(message: &v1::StreamIsAuthorizedRequest) -> Result<&v1::IsAuthorizedRequest, InvalidField> {
    message.request.as_ref().ok_or_else(|| InvalidField::new("request", "is missing"))
}

/// How much to say.
pub fn detail(message: &v1::IsAuthorizedRequest) -> Result<Detail, InvalidField> {
    match v1::Detail::try_from(message.detail) {
        Ok(v1::Detail::Unspecified) => Ok(Detail::Decision),
        Ok(v1::Detail::Statements) => Ok(Detail::Statements),
        Err(_) => Err(InvalidField::new("detail", format!("`{}` is not a detail of this version", message.detail))),
    }
}

fn too_many(field: &'static str, given: usize, what: &str, limit: usize, flag: &str) -> InvalidField {
    InvalidField::new(field, format!("{given} {what} are more than the limit of {limit} ({flag})"))
}

// --- answers --------------------------------------------------------------------------------------------------------

/// An outcome, and the version of the snapshot that it comes from.
pub fn response(outcome: &Outcome, snapshot_version: u64) -> v1::IsAuthorizedResponse {
    let explanation = outcome.explanation.as_deref();
    v1::IsAuthorizedResponse {
        decision: decision(outcome.decision).into(),
        decided_by: policy_type(outcome.decided_by).into(),
        snapshot_version,
        statements: explanation.map(statements).unwrap_or_default(),
        missing_context_keys: explanation.map(|e| e.missing_context_keys.clone()).unwrap_or_default(),
    }
}

fn statements(explanation: &Explanation) -> Vec<v1::StatementRef> {
    explanation.statements.iter().map(statement).collect()
}

fn statement(statement: &StatementRef) -> v1::StatementRef {
    v1::StatementRef {
        policy_type: policy_type(statement.policy_type).into(),
        policy: statement.policy.to_string(),
        sid: statement.sid.to_string(),
        index: statement.index,
        file: statement.file.to_string(),
        line: statement.line,
        column: statement.column,
    }
}

fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Allow => v1::Decision::Allow,
        Decision::ExplicitDeny => v1::Decision::ExplicitDeny,
        Decision::ImplicitDeny => v1::Decision::ImplicitDeny,
    }
}

fn policy_type(kind: PolicyType) -> v1::PolicyType {
    match kind {
        PolicyType::ResourceControl => v1::PolicyType::ResourceControl,
        PolicyType::ServiceControl => v1::PolicyType::ServiceControl,
        PolicyType::VpcEndpoint => v1::PolicyType::VpcEndpoint,
        PolicyType::Resource => v1::PolicyType::Resource,
        PolicyType::Trust => v1::PolicyType::Trust,
        PolicyType::Identity => v1::PolicyType::Identity,
        PolicyType::PermissionsBoundary => v1::PolicyType::PermissionsBoundary,
        PolicyType::Session => v1::PolicyType::Session,
    }
}

/// An answer to one request of a batch.
pub fn batch_result(answer: Result<v1::IsAuthorizedResponse, Refusal>) -> v1::BatchResult {
    use v1::batch_result::Result::{Error, Response};
    let result = answer.map_or_else(|refusal| Error(refusal.request_error()), Response);
    v1::BatchResult { result: Some(result) }
}

/// An answer to one request of a stream.
pub fn stream_response(id: u64, answer: Result<v1::IsAuthorizedResponse, Refusal>) -> v1::StreamIsAuthorizedResponse {
    use v1::stream_is_authorized_response::Result::{Error, Response};
    let result = answer.map_or_else(|refusal| Error(refusal.request_error()), Response);
    v1::StreamIsAuthorizedResponse { id, result: Some(result) }
}

// --- errors ---------------------------------------------------------------------------------------------------------

/// Why a request gets no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// INVALID_ARGUMENT: the field, what it is and what it should be.
    Invalid(InvalidField),
    /// INTERNAL: a fault of ours.
    Internal,
}

impl Refusal {
    /// As the end of a call.
    pub fn status(&self) -> Status {
        let details = match self {
            Self::Invalid(InvalidField { field, message }) => ErrorDetails::with_bad_request_violation(*field, message),
            Self::Internal => ErrorDetails::new(),
        };
        Status::with_error_details(self.code(), self.message(), details)
    }

    /// As the answer to one request of a batch or a stream.
    fn request_error(&self) -> v1::RequestError {
        v1::RequestError { code: self.code().into(), message: self.message() }
    }

    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Internal => Code::Internal,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Invalid(invalid) => invalid.to_string(),
            Self::Internal => "a fault in the service, not in the request; its log says more".to_owned(),
        }
    }
}

/// INVALID_ARGUMENT: the message is longer than the limit. Tonic refuses it, as OUT_OF_RANGE and in its own words.
pub fn too_large(limit: usize) -> Status {
    let what = format!("the message is larger than the limit of {limit} bytes (--max-request-bytes)");
    Refusal::Invalid(InvalidField::new("request", what)).status()
}

/// How long a caller should wait before it tries again: calls in flight end within milliseconds.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// RESOURCE_EXHAUSTED: too many calls at a time.
pub fn overloaded(limit: usize) -> Status {
    let message = format!("{limit} calls are in flight, which is the limit (--max-in-flight); try again later");
    let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// DEADLINE_EXCEEDED: the client's deadline or the service's own has passed.
pub fn deadline_exceeded(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("not answered within {}", humantime::format_duration(timeout)))
}

/// UNAVAILABLE: the service is stopping.
pub fn stopping() -> Status {
    Status::unavailable("the service is stopping; connect again and resend what was not answered")
}
