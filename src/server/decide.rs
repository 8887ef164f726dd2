//! A request's message in, its answer out: past HTTP and metrics, no await on the way.

use super::convert::{self, Refusal};
use super::plain;
use crate::cache::Key;
use crate::config::RequestLimits;
use crate::engine::{Active, Answer};
use crate::proto::codec;
use crate::proto::view::RequestView;

/// What was decided for the message of this key is known by its bytes. Else, what is usual is read as it lies there; what is not, and
/// what is wrong, is read as prost does.
pub fn decide(active: &Active, limits: &RequestLimits, key: &Key<'_>) -> Result<Answer, Refusal> {
    let message = key.message();
    if let Some(answer) = active.remembered(key) {
        return Ok(answer);
    }
    let mut view = RequestView::default();
    if view.read(message).is_none() {
        return decide_unusual(active, limits, message, key);
    }
    decide_plain(active, limits, &view, key).unwrap_or_else(|| {
        let any_order = view.has_each_key_once();
        decide_unusual(active, limits, message, &if any_order { key.in_any_order() } else { *key })
    })
}

/// None if it is not plain.
fn decide_plain(
    active: &Active,
    limits: &RequestLimits,
    view: &RequestView<'_>,
    key: &Key<'_>,
) -> Option<Result<Answer, Refusal>> {
    if !convert::is_within(view, limits) {
        return None;
    }
    plain::with_request(key.message(), view, |request, detail| {
        // No field came twice, nor any key of a map.
        let key = key.in_any_order();
        active.decide_and_remember(request, detail, &key).map_err(Refusal::from)
    })
}

fn decide_unusual(active: &Active, limits: &RequestLimits, message: &[u8], key: &Key<'_>) -> Result<Answer, Refusal> {
    let read = codec::decode(message)?;
    let detail = convert::detail(&read)?;
    let request = convert::access_request(&read, limits)?;
    Ok(active.decide_and_remember(&request, detail, key)?)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::directory::{Loader, StoreOptions};
    use crate::engine::Engine;
    use crate::proto::v1;
    use crate::snapshot::{Loaded, Revision};

    const STORE: &str = r#"{"RoleName": "r", "Arn": "arn:aws:iam::123456789012:role/r", "AssumeRolePolicyDocument": {"Version": "2012-10-17",
        "Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}}, "RolePolicyList": [{"PolicyName": "p",
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"s3:prefix": "x"}}},
            {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/t": "x"}}},
            {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::b/secret"}]}}]}"#;

    fn active(cache_bytes: usize) -> std::sync::Arc<Active> {
        let mut loader = Loader::new(&StoreOptions::default());
        loader.file("role.json", STORE);
        let directory = loader.finish().unwrap().0;
        let loaded = Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() };
        Engine::new(loaded, cache_bytes).load_full()
    }

    /// Pieces of messages, of which some answer differently, contradict each other or are unusual.
    fn pieces() -> Vec<Vec<u8>> {
        let request = |fill: &dyn Fn(&mut v1::IsAuthorizedRequest)| {
            let mut request = v1::IsAuthorizedRequest::default();
            fill(&mut request);
            prost::Message::encode_to_vec(&request)
        };
        let context = |key: &str, value: &str| {
            let values = v1::ContextValues { values: vec![value.to_owned()] };
            request(&|it| drop(it.context.insert(key.to_owned(), values.clone())))
        };
        let tag = |value: &str| request(&|it| drop(it.session_tags.insert("t".to_owned(), value.to_owned())));
        let policy = |effect: &str| {
            let text = format!(r#"{{"Statement": {{"Effect": "{effect}", "Action": "*", "Resource": "*"}}}}"#);
            request(&|it| it.session_policies.push(text.clone()))
        };
        let mut pieces = vec![
            request(&|it| it.action = "s3:PutObject".to_owned()),
            request(&|it| it.resource = "arn:aws:s3:::b/secret".to_owned()),
            context("s3:prefix", "x"),
            context("s3:prefix", "y"),
            context("S3:Prefix", "x"),
            context("aws:é", "x"),
            tag("x"),
            tag("y"),
            policy("Allow"),
            policy("Deny"),
            // `detail`, and a field of a later version.
            vec![8 << 3, 1],
            vec![8 << 3, 0],
            vec![12 << 3 | 2, 1, b'a'],
        ];
        // The same with their numbers written in two bytes.
        let long: Vec<Vec<u8>> = pieces.iter().map(|piece| [&[piece[0] | 0x80, 0], &piece[1..]].concat()).collect();
        pieces.extend(long);
        pieces
    }

    fn asked(active: &Active, message: &[u8]) -> Option<crate::access::Outcome> {
        decide(active, &RequestLimits::default(), &active.cache.key(message)).ok().map(|answer| answer.outcome)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever was asked before: the same fields in other orders, above all.
        #[test]
        fn what_is_remembered_is_what_is_decided(
            turns in vec(any::<prop::sample::Index>(), 1..6).prop_flat_map(|chosen| vec(Just(chosen).prop_shuffle(), 2..5)),
            explained in any::<bool>(),
        ) {
            let basic = v1::IsAuthorizedRequest {
                principal: "arn:aws:sts::123456789012:assumed-role/r/s".to_owned(),
                action: "s3:GetObject".to_owned(),
                resource: "arn:aws:s3:::b/o".to_owned(),
                detail: explained.into(),
                ..Default::default()
            };
            let basic = prost::Message::encode_to_vec(&basic);
            let pool = pieces();
            let (remembers, forgets) = (active(1 << 20), active(0));
            for turn in turns {
                let pieces = turn.iter().flat_map(|index| index.get(&pool).iter().copied());
                let message: Vec<u8> = pieces.chain(basic.iter().copied()).collect();
                prop_assert_eq!(asked(&remembers, &message), asked(&forgets, &message), "{:?}", message);
            }
        }
    }
}
