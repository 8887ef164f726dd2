//! Requests made of messages that are plain: read as they lie in their bytes.

use crate::access::{AccessRequest, Context, Detail, RawRequest};
use crate::config::RequestLimits;
use crate::proto::view::{ContextFields, RequestView, ValuesView};

/// Makes requests of messages that come together: in a batch most have the caller and the context of the one before, which then is
/// not made again.
#[derive(Debug)]
pub struct Maker<'l, 'm> {
    limits: &'l RequestLimits,
    /// The last one, or what is left of it.
    last: Option<AccessRequest<'m>>,
    /// What its context was made of, within the limits and without fault. Empty: that may be anything.
    context: ContextFields<'m>,
}

impl<'l, 'm> Maker<'l, 'm> {
    /// One that has made nothing yet.
    pub fn new(limits: &'l RequestLimits) -> Self {
        Self { limits, last: None, context: ContextFields::default() }
    }

    /// The context that need not be made again.
    pub fn context(&self) -> ContextFields<'m> {
        self.context
    }

    /// Gives the request of a plain message to `work`, and how much to say of it. None where only prost can say what it is, or
    /// what is wrong with it; and for session policies.
    pub fn with_request<T>(
        &mut self,
        message: &'m [u8],
        view: &RequestView<'m>,
        work: impl FnOnce(&AccessRequest<'m>, Detail) -> T,
    ) -> Option<T> {
        let detail = match view.detail {
            0 => Detail::Decision,
            1 => Detail::Statements,
            _ => return None,
        };
        if !view.session_policies.is_empty() {
            return None;
        }
        Some(work(self.make(message, view)?, detail))
    }

    fn make(&mut self, message: &'m [u8], view: &RequestView<'m>) -> Option<&AccessRequest<'m>> {
        // Until all of the new one is right, nothing is known of its context; nor if this is left in the middle.
        let known = std::mem::take(&mut self.context);
        let is_known = !known.is_empty() && known == view.context;
        let texts = Texts::of(if is_known { view.context.before_in(message) } else { message });
        let raw = RawRequest {
            principal: texts.get(view.principal)?,
            action: texts.get(view.action)?,
            resource: texts.get(view.resource)?,
            resource_account: texts.get(view.resource_account)?,
            federated_by: texts.get(view.federated_by)?,
            ..RawRequest::default()
        };
        let request = self.last.get_or_insert_with(AccessRequest::of_nobody);
        request.become_next(&raw).ok()?;
        for (key, value) in view.session_tags.iter() {
            request.session_tags.push(texts.get(key)?, texts.get(value)?);
        }
        if !is_known {
            request.context = Context::default();
            put_context(&mut request.context, &view.context, &texts, self.limits)?;
        }
        if !request.settle_tags() {
            return None;
        }
        self.context = view.context;
        Some(request)
    }
}

/// None if something of it is wrong, or too much.
fn put_context<'m>(
    context: &mut Context<'m>,
    fields: &ContextFields<'m>,
    texts: &Texts<'m>,
    limits: &RequestLimits,
) -> Option<()> {
    if fields.len() > limits.context_keys {
        return None;
    }
    let mut left = limits.context_values;
    for entry in fields.entries() {
        let (key, values) = entry?;
        left = left.checked_sub(values.len())?;
        let key = texts.get(key)?;
        match values {
            ValuesView::One(value) => context.push(key, texts.get(value)?),
            ValuesView::Many(..) => context.push_all(key, values.iter().map(|value| texts.get(value)))?,
        }
    }
    context.settle().then_some(())
}

/// The texts in a message.
struct Texts<'a> {
    /// The message, or the beginning of it.
    message: &'a [u8],
    /// The whole of that, if it is UTF-8, as it is where no length needs a second byte. Then its parts need not be looked at.
    whole: Option<&'a str>,
}

impl<'a> Texts<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self { message, whole: simdutf8::basic::from_utf8(message).ok() }
    }

    /// A part of the message as text; None if it is none.
    #[inline]
    fn get(&self, part: &'a [u8]) -> Option<&'a str> {
        // Of what is no part of it there is no such range.
        let start = part.as_ptr().addr().wrapping_sub(self.message.as_ptr().addr());
        let within = |whole: &'a str| whole.get(start..start.checked_add(part.len())?);
        match self.whole.filter(|_| !part.is_empty()).and_then(within) {
            Some(text) => Some(text),
            None => std::str::from_utf8(part).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::{hash_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::proto::v1;
    use crate::proto::view::{CONTEXT, Fields};
    use crate::server::convert;

    /// A message that is right more often than not.
    fn message() -> impl Strategy<Value = v1::IsAuthorizedRequest> {
        let principal = prop_oneof![
            6 => Just("arn:aws:sts::123456789012:assumed-role/R/S"),
            2 => Just("arn:aws:sts::123456789012:federated-user/F"),
            1 => Just("anonymous"),
            1 => Just("nobody"),
        ];
        let resource = prop_oneof![Just("*".to_owned()), "arn:aws:s3:::[a-zA-Zé/*]{1,300}"];
        let value = || "[a-zA-Zé]{0,3}";
        let values = prop_oneof![3 => vec(value(), 1), 1 => vec(value(), 0..3)];
        let values = values.prop_map(|values| v1::ContextValues { values });
        let context = prop_oneof![
            9 => hash_map("[a-dA][bBéÉ]{0,2}", values.clone(), 0..4),
            1 => hash_map("[a-dA][bBc]{0,4}", values, 5..12),
        ];
        let tags = prop_oneof![2 => Just(HashMap::new()), 1 => hash_map("[a-dA][bBéÉ]{0,2}", value(), 0..3)];
        let account = prop_oneof![6 => Just(""), 3 => Just("123456789012"), 1 => Just("12")];
        let user = prop_oneof![9 => Just(""), 1 => Just("arn:aws:iam::123456789012:user/u")];
        let policies = prop_oneof![9 => Just(Vec::new()), 1 => vec("[{}]{0,2}", 1)];
        let rest = (policies, prop_oneof![9 => 0..2, 1 => Just(2)], account, user);
        (principal, prop_oneof![9 => "[sS]3:[gG]et", 1 => Just("s3:éet".to_owned())], resource, context, tags, rest)
            .prop_map(|(principal, action, resource, context, session_tags, rest)| {
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
            })
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

        /// What is read plainly is what prost reads, whatever was read before it; what is wrong is not read.
        #[test]
        fn a_plain_request_is_the_one_that_prost_reads(messages in vec((message(), any::<[bool; 4]>()), 1..5)) {
            let mut before: Option<v1::IsAuthorizedRequest> = None;
            let mut asked = Vec::new();
            for (mut message, [same_caller, same_context, is_longer, comes_late]) in messages {
                if let Some(before) = before.filter(|_| same_caller || same_context) {
                    let v1::IsAuthorizedRequest { principal, context, .. } = before;
                    message.principal = if same_caller { principal } else { message.principal };
                    message.context = if same_context { context } else { message.context };
                }
                let late = v1::ContextValues { values: vec!["late".to_owned()] };
                let context = [("z".to_owned(), late)].into();
                let more = v1::IsAuthorizedRequest { context, ..v1::IsAuthorizedRequest::default() };
                let mut bytes = prost::Message::encode_to_vec(&message);
                if is_longer && !message.context.contains_key("z") {
                    // Behind the other entries, or beyond other fields; then, `detail` is there already.
                    bytes.extend((message.detail == 0 && comes_late).then_some([0x40, 0]).iter().flatten());
                    bytes.extend(prost::Message::encode_to_vec(&more));
                    message.context.extend(more.context);
                }
                before = Some(message.clone());
                asked.push((bytes, message));
            }
            let limits = RequestLimits { context_keys: 3, context_values: 3, ..RequestLimits::default() };
            let mut maker = Maker::new(&limits);
            for (bytes, message) in &asked {
                let mut view = RequestView::default();
                let read = view.read(bytes, maker.context()).and_then(|()| maker.with_request(bytes, &view, told));
                let expected = convert::access_request(message, &limits).ok().zip(convert::detail(message).ok());
                let expected = expected.filter(|_| message.session_policies.is_empty() && !is_split(bytes));
                let expected = expected.map(|(request, detail)| told(&request, detail));
                prop_assert_eq!(read, expected);
            }
        }
    }

    /// Whether the fields of the context do not lie side by side, which is left to prost.
    fn is_split(message: &[u8]) -> bool {
        let numbers: Vec<u32> = Fields::of(message).map(|(number, _)| number).collect();
        numbers.chunk_by(|a, b| (*a == CONTEXT) == (*b == CONTEXT)).filter(|run| run[0] == CONTEXT).count() > 1
    }

    /// A request of a user from an address.
    fn from(address: &[u8], tag: Option<&str>) -> Vec<u8> {
        let tag = tag.map(|tag| (tag.to_owned(), String::new()));
        let message = v1::IsAuthorizedRequest {
            principal: "arn:aws:iam::123456789012:user/u".to_owned(),
            action: "s3:GetObject".to_owned(),
            resource: "arn:aws:s3:::b/o".to_owned(),
            session_tags: tag.into_iter().collect(),
            ..v1::IsAuthorizedRequest::default()
        };
        let value = [&[0x0a, u8::try_from(address.len()).unwrap()], address].concat();
        let entry = [&[0x0a, 1, b'a', 0x12, u8::try_from(value.len()).unwrap()], &value[..]].concat();
        let context = [&[0x22, u8::try_from(entry.len()).unwrap()], &entry[..]].concat();
        [prost::Message::encode_to_vec(&message), context].concat()
    }

    /// What a maker says of requests in a row: their context, or None.
    fn contexts<const N: usize>(asked: &[Vec<u8>; N]) -> [Option<String>; N] {
        let limits = RequestLimits::default();
        let mut maker = Maker::new(&limits);
        asked.each_ref().map(|bytes| {
            let mut view = RequestView::default();
            view.read(bytes, maker.context()).unwrap();
            maker.with_request(bytes, &view, |request, _| request.context.get("a").unwrap()[0].to_owned())
        })
    }

    #[test]
    fn what_was_refused_leaves_no_context_behind() {
        let is = |address: &str| Some(address.to_owned());
        // A user has no session tags; what is no text is no value.
        for wrong in [from(b"2", Some("tag")), from(&[0xff], None)] {
            let asked = [from(b"1", None), wrong, from(b"1", None), from(b"2", None), from(b"2", None)];
            assert_eq!(contexts(&asked), [is("1"), None, is("1"), is("2"), is("2")]);
        }
        assert_eq!(contexts(&[from(b"1", None), from(b"1", Some("tag")), from(b"1", None)]), [is("1"), None, is("1")]);
    }

    #[test]
    fn a_request_that_makes_its_reader_panic_leaves_the_next_one_alone() {
        let asked = [from(b"1", None), from(b"2", None), from(b"1", None), from(b"2", None)];
        let limits = RequestLimits::default();
        let mut maker = Maker::new(&limits);
        for (n, bytes) in asked.iter().enumerate() {
            let mut view = RequestView::default();
            view.read(bytes, maker.context()).unwrap();
            let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                maker.with_request(bytes, &view, |request, _| {
                    assert!(n != 1, "a fault, on purpose");
                    request.context.get("a").unwrap()[0].to_owned()
                })
            }));
            assert_eq!(read.ok().flatten().as_deref(), [Some("1"), None, Some("1"), Some("2")][n]);
        }
    }
}
