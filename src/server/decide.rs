//! A request's message in, its answer out: past HTTP and metrics, no await on the way.

use super::convert::{self, Refusal};
use super::plain::Maker;
use crate::cache::Key;
use crate::config::RequestLimits;
use crate::engine::{Active, Answer};
use crate::evaluate::LastCaller;
use crate::proto::codec;
use crate::proto::view::RequestView;

/// Decides requests that come together, by one snapshot: what they have in common is read and looked up once.
#[derive(Debug)]
pub struct Decider<'s, 'm> {
    active: &'s Active,
    limits: &'s RequestLimits,
    maker: Maker<'s, 'm>,
    caller: LastCaller<'s, 'm>,
}

/// Answers one request, see [`Decider::answer`].
pub fn decide(active: &Active, limits: &RequestLimits, key: &Key<'_>) -> Result<Answer, Refusal> {
    Decider::new(active, limits).answer(key)
}

impl<'s, 'm> Decider<'s, 'm> {
    /// One that has decided nothing yet.
    pub fn new(active: &'s Active, limits: &'s RequestLimits) -> Self {
        Self { active, limits, maker: Maker::new(limits), caller: LastCaller::default() }
    }

    /// What it decides by.
    pub fn active(&self) -> &'s Active {
        self.active
    }

    /// How large requests may be.
    pub fn limits(&self) -> &'s RequestLimits {
        self.limits
    }

    /// What was decided for the message of this key is known by its bytes; else it is decided.
    pub fn answer(&mut self, key: &Key<'m>) -> Result<Answer, Refusal> {
        let known = self.active.cache.get(key);
        known.map_or_else(|| self.decide(key), |outcome| Ok(Answer::remembered(outcome)))
    }

    /// What the cache does not know is decided, and remembered. What is usual is read as it lies in the message; what is not, and
    /// what is wrong, is read as prost does.
    pub fn decide(&mut self, key: &Key<'m>) -> Result<Answer, Refusal> {
        let mut view = RequestView::default();
        if view.read(key.message(), self.maker.context()).is_none() {
            return self.decide_unusual(key, None);
        }
        self.decide_plain(&view, key).unwrap_or_else(|| self.decide_unusual(key, Some(&view)))
    }

    /// None if it is not plain.
    fn decide_plain(&mut self, view: &RequestView<'m>, key: &Key<'m>) -> Option<Result<Answer, Refusal>> {
        let (active, caller) = (self.active, &mut self.caller);
        self.maker.with_request(key.message(), view, |request, detail| {
            // No field came twice, nor any key of a map.
            let key = key.in_any_order();
            active.decide_and_remember(request, detail, &key, caller).map_err(Refusal::from)
        })
    }

    fn decide_unusual(&self, key: &Key<'_>, view: Option<&RequestView<'_>>) -> Result<Answer, Refusal> {
        let read = codec::decode(key.message())?;
        let detail = convert::detail(&read)?;
        let request = convert::access_request(&read, self.limits)?;
        // A key of a map that came twice is there once now.
        let had_each_key_once = |view: &RequestView<'_>| {
            view.context.len() == read.context.len() && view.session_tags.len() == read.session_tags.len()
        };
        let key = if view.is_some_and(had_each_key_once) { key.in_any_order() } else { *key };
        Ok(self.active.decide_and_remember(&request, detail, &key, &mut LastCaller::default())?)
    }
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

    /// What is asked by all, so that limits are met.
    fn limits() -> RequestLimits {
        RequestLimits { context_keys: 2, context_values: 2, ..RequestLimits::default() }
    }

    fn asked(active: &Active, message: &[u8]) -> Option<crate::access::Outcome> {
        decide(active, &limits(), &active.cache.key(message)).ok().map(|answer| answer.outcome)
    }

    /// Which of the pieces a message has, or those of the one before in another order; whether they are sorted; and who asks.
    fn turn() -> impl Strategy<Value = (Option<Vec<prop::sample::Index>>, bool, &'static str)> {
        let chosen = prop_oneof![Just(None), vec(any::<prop::sample::Index>(), 0..5).prop_map(Some)];
        (chosen, any::<bool>(), prop_oneof![4 => Just("r"), 1 => Just("R"), 1 => Just("nobody")])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever was asked before: the same fields in other orders, above all. And whatever it comes with.
        #[test]
        fn what_is_remembered_is_what_is_decided(turns in vec(turn(), 2..6), explained in any::<bool>()) {
            let pool = pieces();
            let mut chosen: Vec<&Vec<u8>> = Vec::new();
            let message = |(indexes, sorted, role): (Option<Vec<prop::sample::Index>>, bool, &str)| -> Vec<u8> {
                match indexes {
                    Some(indexes) => chosen = indexes.iter().map(|index| index.get(&pool)).collect(),
                    None => chosen.reverse(),
                }
                let mut pieces = chosen.clone();
                if sorted {
                    pieces.sort();
                }
                let basic = v1::IsAuthorizedRequest {
                    principal: format!("arn:aws:sts::123456789012:assumed-role/{role}/s"),
                    action: "s3:GetObject".to_owned(),
                    resource: "arn:aws:s3:::b/o".to_owned(),
                    detail: explained.into(),
                    ..Default::default()
                };
                pieces.into_iter().flatten().copied().chain(prost::Message::encode_to_vec(&basic)).collect()
            };
            let messages: Vec<_> = turns.into_iter().map(message).collect();
            let (remembers, forgets, together) = (active(1 << 20), active(0), active(1 << 20));
            let limits = limits();
            let mut deciders = [&forgets, &together].map(|it| (it.cache.keys(), Decider::new(it, &limits)));
            for message in &messages {
                let alone = asked(&forgets, message);
                prop_assert_eq!(asked(&remembers, message), alone.clone(), "{:?}", message);
                for (keys, decider) in &mut deciders {
                    let answer = decider.answer(&keys.of(message)).ok();
                    prop_assert_eq!(answer.map(|it| it.outcome), alone.clone(), "together: {:?}", message);
                }
            }
        }
    }
}
