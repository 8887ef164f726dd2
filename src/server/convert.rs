//! Protobuf <-> access. The only maker of a [`Status`].

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::access::StatementRef;
use crate::access::{AccessRequest, Decision, Detail, Explanation, InvalidField, Outcome, PolicyType, RawRequest};
use crate::config::RequestLimits;
use crate::decision_log::Unlogged;
use crate::few::Few;
use crate::proto::codec::Malformed;
use crate::proto::v1;
use crate::proto::view::{Field, Fields};

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

/// How many requests a batch has, none of which is read yet.
pub fn batch_size(message: &[u8], limits: &RequestLimits) -> Result<usize, Refusal> {
    let (mut requests, mut all_are_messages) = (0, true);
    let mut fields = Fields::of(message);
    for (_, field) in fields.by_ref().filter(|(number, _)| *number == 1) {
        requests += 1;
        all_are_messages &= matches!(field, Field::Bytes(_));
    }
    if requests > limits.batch {
        return Err(too_many("requests", requests, "requests", limits.batch, "--max-batch").into());
    }
    let is_batch = fields.is_sound() && all_are_messages;
    is_batch.then_some(requests).ok_or(Malformed::NotA("BatchIsAuthorizedRequest").into())
}

/// The message of a request, or why there is none.
pub type Streamed<'m> = Result<Cow<'m, [u8]>, InvalidField>;

/// The id of a message of a stream, and the message of its request.
pub fn streamed(message: &[u8]) -> Result<(u64, Streamed<'_>), Malformed> {
    const MALFORMED: Malformed = Malformed::NotA("StreamIsAuthorizedRequest");
    let mut id = 0;
    let mut parts: Few<&[u8], 1> = Few::default();
    let mut fields = Fields::of(message);
    for field in fields.by_ref() {
        match field {
            (1, Field::Varint(number)) => id = number,
            (2, Field::Bytes(part)) => parts.push(part),
            (1..=2, _) => return Err(MALFORMED),
            _ => {}
        }
    }
    let request = match &*parts {
        _ if !fields.is_sound() => return Err(MALFORMED),
        [] => Err(InvalidField::new("request", "is missing")),
        [request] => Ok(Cow::Borrowed(*request)),
        // Protobuf merges what is given in parts, as if it were given in one.
        parts => Ok(Cow::Owned(parts.concat())),
    };
    Ok((id, request))
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

/// Why one request of a batch has no answer; an error if that ends the whole call.
pub fn batch_error(refusal: Refusal) -> Result<v1::BatchResult, Refusal> {
    let result = v1::batch_result::Result::Error(refusal.request_error()?);
    Ok(v1::BatchResult { result: Some(result) })
}

/// Why one request of a stream has no answer; an error if that ends the whole call.
pub fn stream_error(id: u64, refusal: Refusal) -> Result<v1::StreamIsAuthorizedResponse, Refusal> {
    let result = v1::stream_is_authorized_response::Result::Error(refusal.request_error()?);
    Ok(v1::StreamIsAuthorizedResponse { id, result: Some(result) })
}

// --- errors ---------------------------------------------------------------------------------------------------------

/// Why a request gets no decision.
#[derive(Debug)]
pub enum Refusal {
    /// INVALID_ARGUMENT: the field, what it is and what it should be.
    Invalid(InvalidField),
    /// Its bytes are no request. That ends the call, also one that has other requests.
    Malformed(Malformed),
    /// INTERNAL: a fault of ours.
    Internal,
    /// UNAVAILABLE: it was decided, but the decision could not be logged, and is not given then.
    Unlogged,
}

impl From<InvalidField> for Refusal {
    fn from(invalid: InvalidField) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Unlogged> for Refusal {
    fn from(_: Unlogged) -> Self {
        Self::Unlogged
    }
}

impl Refusal {
    /// As the end of a call.
    pub fn status(&self) -> Status {
        let details = match self {
            Self::Invalid(InvalidField { field, message }) => ErrorDetails::with_bad_request_violation(*field, message),
            Self::Unlogged => ErrorDetails::with_retry_info(Some(LOG_RETRY_DELAY)),
            Self::Malformed(_) | Self::Internal => ErrorDetails::new(),
        };
        Status::with_error_details(self.code(), self.message(), details)
    }

    /// As the answer to one request of a batch or a stream, if it is one.
    fn request_error(self) -> Result<v1::RequestError, Self> {
        match self {
            Self::Invalid(_) | Self::Internal | Self::Unlogged => {
                Ok(v1::RequestError { code: self.code().into(), message: self.message() })
            }
            Self::Malformed(_) => Err(self),
        }
    }

    /// The error's code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::Malformed(Malformed::Hollow { .. }) => Code::InvalidArgument,
            Self::Unlogged => Code::Unavailable,
            // As gRPC's libraries call it.
            Self::Malformed(Malformed::Undecodable(_) | Malformed::NotA(_)) | Self::Internal => Code::Internal,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Invalid(invalid) => invalid.to_string(),
            Self::Malformed(Malformed::Undecodable(error)) => error.to_string(),
            Self::Malformed(Malformed::NotA(name)) => {
                format!("failed to decode Protobuf message: these bytes are no {name}")
            }
            Self::Malformed(Malformed::Hollow { fields, bytes }) => {
                format!("{fields} fields in a message of {bytes} bytes: most of them are empty, or close to it")
            }
            Self::Unlogged => {
                "the decision log takes no more, and what cannot be logged is not answered (--decision-log-full error); \
                 try again later"
                    .to_owned()
            }
            Self::Internal => "a fault in the service, not in the request; its log says more".to_owned(),
        }
    }
}

/// INVALID_ARGUMENT: the message is longer than the limit.
pub fn too_large(limit: usize) -> Status {
    let what = format!("the message is larger than the limit of {limit} bytes (--max-request-bytes)");
    Refusal::Invalid(InvalidField::new("request", what)).status()
}

/// INTERNAL: the body ends within a message. In tonic's words, as the next three.
pub fn cut_off() -> Status {
    Status::internal("Unexpected EOF decoding stream.")
}

/// INTERNAL: a unary call without a message.
pub fn no_message() -> Status {
    Status::internal("Missing request message.")
}

/// INTERNAL: the flag in front of a message says that it is compressed, but nothing says how.
pub fn compressed(flag: u8) -> Status {
    Status::internal(if flag == 1 {
        "protocol error: received message with compressed-flag but no grpc-encoding was specified".to_owned()
    } else {
        format!("protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1)")
    })
}

/// UNIMPLEMENTED: messages are compressed in a way that the service does not know. It knows none.
pub fn unknown_encoding(encoding: &str) -> Status {
    let mut status = Status::unimplemented(format!("Content is compressed with `{encoding}` which isn't supported"));
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
    status
}

/// INTERNAL: a second message in a unary call.
pub fn second_message() -> Status {
    Status::internal("a unary call has one message, this one has more")
}

/// CANCELLED: the peer has broken the call off, or the connection is lost.
pub fn broken_body(error: &impl std::fmt::Display) -> Status {
    Status::cancelled(format!("the request did not arrive: {error}"))
}

/// How long a caller should wait before it tries again: calls in flight end within milliseconds.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long a caller should wait while decisions cannot be logged: a disk is not emptied at once.
const LOG_RETRY_DELAY: Duration = Duration::from_secs(1);

/// RESOURCE_EXHAUSTED: too many calls at a time.
pub fn overloaded(limit: usize) -> Status {
    exhausted(format!("{limit} calls are in flight, which is the limit (--max-in-flight); try again later"))
}

/// RESOURCE_EXHAUSTED: too little memory is left.
pub fn memory_is_tight() -> Status {
    exhausted("the service has too little memory left for this call (--memory-limit); try again later")
}

/// RESOURCE_EXHAUSTED: calls come faster than they can be answered. Made once: it is said where there is no time to lose.
pub fn queue_is_long() -> Status {
    static STATUS: LazyLock<Status> =
        LazyLock::new(|| exhausted("calls wait for longer than --max-queue-time; try again later"));
    STATUS.clone()
}

fn exhausted(message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// DEADLINE_EXCEEDED: the client's deadline or the service's own has passed.
pub fn deadline_exceeded(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("not answered within {}", humantime::format_duration(timeout)))
}

/// DEADLINE_EXCEEDED: the rest of a request of a stream does not come.
pub fn cut_short(timeout: Duration) -> Status {
    let timeout = humantime::format_duration(timeout);
    Status::deadline_exceeded(format!("the rest of a request has not come within {timeout} (--request-timeout)"))
}

/// UNAVAILABLE: the service is stopping.
pub fn stopping() -> Status {
    Status::unavailable("the service is stopping; connect again and resend what was not answered")
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn what_is_given_in_parts_is_merged() {
        let principal = v1::IsAuthorizedRequest { principal: "anonymous".to_owned(), ..Default::default() };
        let action = v1::IsAuthorizedRequest { action: "s3:GetObject".to_owned(), ..Default::default() };
        let part = |request: v1::IsAuthorizedRequest| {
            v1::StreamIsAuthorizedRequest { id: 7, request: Some(request) }.encode_to_vec()
        };
        let message = [part(principal), part(action)].concat();
        let merged = v1::StreamIsAuthorizedRequest::decode(&*message).unwrap();
        let (id, request) = streamed(&message).unwrap();
        assert_eq!(id, merged.id);
        assert_eq!(v1::IsAuthorizedRequest::decode(&*request.unwrap()).unwrap(), merged.request.unwrap());
    }

    #[test]
    fn what_is_no_batch_and_no_message_of_a_stream_says_so() {
        let limits = RequestLimits::default();
        for bytes in [&[0x08, 1][..], &[0x0a, 9], &[0x0b, 0x0c], &[0x7b]] {
            let status = batch_size(bytes, &limits).unwrap_err().status();
            let expected = "failed to decode Protobuf message: these bytes are no BatchIsAuthorizedRequest";
            assert_eq!((status.code(), status.message()), (Code::Internal, expected), "{bytes:?}");
        }
        for bytes in [&[0x0a, 0][..], &[0x12, 9], &[0x13, 0x14], &[0x7b]] {
            assert!(streamed(bytes).is_err(), "{bytes:?}");
        }
    }
}
