//! Requests as their messages, asked as callers do.

use iamd::access::{AccessRequest, Detail};
use iamd::config::RequestLimits;
use iamd::engine::{Active, Answer};
use iamd::proto::v1;
use iamd::server::decide;
use prost::Message as _;

/// The message of a request.
pub(super) fn message(request: &AccessRequest<'_>, detail: Detail) -> Vec<u8> {
    let context = request.context.iter().map(|(key, values)| {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        (key.to_owned(), v1::ContextValues { values })
    });
    let message = v1::IsAuthorizedRequest {
        principal: request.principal.text().to_owned(),
        action: request.action.folded().to_owned(),
        resource: request.resource.text().to_owned(),
        context: context.collect(),
        resource_account: request.resource_account.map(|account| account.to_string()).unwrap_or_default(),
        session_policies: request.session_policies.to_vec(),
        session_tags: request.session_tags.iter().map(|(key, tag)| (key.to_owned(), (*tag).to_owned())).collect(),
        detail: i32::from(detail == Detail::Statements),
        federated_by: request.federated_by.unwrap_or_default().to_owned(),
    };
    message.encode_to_vec()
}

/// The answer to a request, remembered or decided; None if it is refused.
pub(super) fn ask(active: &Active, request: &AccessRequest<'_>, detail: Detail) -> Option<Answer> {
    let message = message(request, detail);
    decide::decide(active, &RequestLimits::default(), &active.cache.key(&message)).ok()
}
