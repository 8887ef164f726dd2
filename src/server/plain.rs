//! Requests made of messages that are plain: read as they lie in their bytes.

use crate::access::{AccessRequest, Checked, Detail, RawRequest};
use crate::proto::view::{RequestView, ValuesView};

/// Gives the request of a plain message to `work`, and how much to say of it. None where only prost can say what it is, or what
/// is wrong with it; and for session policies.
pub fn with_request<T>(
    message: &[u8],
    view: &RequestView<'_>,
    work: impl FnOnce(&AccessRequest<'_>, Detail) -> T,
) -> Option<T> {
    let detail = match view.detail {
        0 => Detail::Decision,
        1 => Detail::Statements,
        _ => return None,
    };
    if !view.session_policies.is_empty() {
        return None;
    }
    let texts = Texts::of(message);
    let raw = RawRequest {
        principal: texts.get(view.principal)?,
        action: texts.get(view.action)?,
        resource: texts.get(view.resource)?,
        resource_account: texts.get(view.resource_account)?,
        federated_by: texts.get(view.federated_by)?,
        ..RawRequest::default()
    };
    let mut request = AccessRequest::bare(Checked::new(&raw).ok()?);
    for (key, value) in view.session_tags.iter() {
        request.session_tags.push(texts.get(key)?, texts.get(value)?);
    }
    for (key, values) in view.context.iter() {
        let key = texts.get(key)?;
        match values {
            ValuesView::One(value) => request.context.push(key, texts.get(value)?),
            ValuesView::Many(..) => request.context.push_all(key, values.iter().map(|value| texts.get(value)))?,
        }
    }
    request.settle().then(|| work(&request, detail))
}

/// The texts in a message.
struct Texts<'a> {
    message: &'a [u8],
    /// The whole of it, if that is UTF-8, as it is where no length needs a second byte. Then its parts need not be looked at.
    whole: Option<&'a str>,
}

impl<'a> Texts<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self { message, whole: std::str::from_utf8(message).ok() }
    }

    /// A part of the message as text; None if it is none.
    #[inline]
    fn get(&self, part: &'a [u8]) -> Option<&'a str> {
        // Of what is no part of it, which nobody asks for, there is no such range.
        let start = part.as_ptr().addr().wrapping_sub(self.message.as_ptr().addr());
        match self.whole {
            Some(whole) if !part.is_empty() => whole.get(start..start.checked_add(part.len())?),
            _ => std::str::from_utf8(part).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{hash_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::config::RequestLimits;
    use crate::proto::v1;
    use crate::server::convert;

    /// A message that is right more often than not.
    fn message() -> impl Strategy<Value = v1::IsAuthorizedRequest> {
        let principal = prop_oneof![
            3 => Just("arn:aws:sts::123456789012:assumed-role/R/S"),
            1 => Just("arn:aws:sts::123456789012:federated-user/F"),
            1 => Just("anonymous"),
            1 => Just("nobody"),
        ];
        let resource = prop_oneof![Just("*".to_owned()), "arn:aws:s3:::[a-zA-Zé/*]{1,300}"];
        let value = || "[a-zA-Zé]{0,3}";
        let values = vec(value(), 0..3).prop_map(|values| v1::ContextValues { values });
        let context = prop_oneof![
            9 => hash_map("[aA][bBéÉ]{0,2}", values.clone(), 0..4),
            1 => hash_map("[aA][bBc]{0,4}", values, 5..12),
        ];
        let tags = hash_map("[aA][bBéÉ]{0,2}", value(), 0..3);
        let account = prop_oneof![3 => Just(""), 1 => Just("123456789012"), 1 => Just("12")];
        let user = prop_oneof![3 => Just(""), 1 => Just("arn:aws:iam::123456789012:user/u")];
        let rest = (vec("[{}]{0,2}", 0..2), 0..3, account, user);
        (principal, "[sS]3:[gGé]et", resource, context, tags, rest).prop_map(
            |(principal, action, resource, context, session_tags, rest)| {
                let (session_policies, detail, account, user) = rest;
                v1::IsAuthorizedRequest {
                    principal: principal.to_owned(),
                    action,
                    resource,
                    context,
                    resource_account: account.to_owned(),
                    session_policies,
                    session_tags,
                    detail,
                    federated_by: user.to_owned(),
                }
            },
        )
    }

    /// All of a request, in one order.
    fn told(request: &AccessRequest<'_>, detail: Detail) -> String {
        let AccessRequest { principal, action, resource, resource_account, federated_by, .. } = request;
        let mut context: Vec<_> = request.context.iter().collect();
        let mut tags: Vec<_> = request.session_tags.iter().collect();
        context.sort_unstable();
        tags.sort_unstable();
        let action = action.folded();
        format!(
            "{detail:?} {principal:?} {action} {resource:?} {resource_account:?} {federated_by:?} {context:?} {tags:?}"
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// What is read plainly is what prost reads; what is wrong is not read.
        #[test]
        fn a_plain_request_is_the_one_that_prost_reads(message in message()) {
            let bytes = prost::Message::encode_to_vec(&message);
            let view = RequestView::of(&bytes).unwrap();
            let read = with_request(&bytes, &view, told);
            let limits = RequestLimits::default();
            let expected = convert::access_request(&message, &limits).ok().zip(convert::detail(&message).ok());
            let expected = expected.filter(|_| message.session_policies.is_empty());
            let expected = expected.map(|(request, detail)| told(&request, detail));
            prop_assert_eq!(read, expected);
        }
    }
}
