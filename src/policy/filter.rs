//! Which policies cannot be about a request, told without a look at their statements: a Bloom filter of one line of memory.
//!
//! Who has ten policies has one or two that are about a request. What a statement is about is put in as pairs of an action and a
//! resource, each exactly or as what it has in common with others: the action's service, or nothing; the name of the resource
//! without what is below it, or nothing. A request is looked for by all pairs that it may have been put in as.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::FixedState;

use super::compile::CompiledStatement;
use super::index::{Key, ResourceKey};
use crate::access::{Action, ResourceName};

/// What policies may be about, or a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Filter([u64; WORDS]);

/// A line of the processor's cache.
const WORDS: usize = 8;
const BITS: usize = WORDS * 64;

/// In how many ways a request may have been put in.
const WAYS: usize = 6;

/// Always the same: who chooses resources by it has a few policies looked into that are not about them.
const HASHES: FixedState = FixedState::with_seed(0);

/// Part of a pair: what stands for any action or any resource, or the hash of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Half(u64);

impl Half {
    const ANY: Self = Self(0);

    fn of(text: &str) -> Self {
        let mut hasher = HASHES.build_hasher();
        hasher.write(text.as_bytes());
        Self(hasher.finish())
    }
}

impl Filter {
    /// Lets everything through.
    pub(super) const ALL: Self = Self([u64::MAX; WORDS]);

    /// What these statements may be about. [`Filter::ALL`] where that is so much that it is not worth a look.
    pub(super) fn of(statements: &[CompiledStatement]) -> Self {
        let mut filter = Self::default();
        for (resources, actions) in statements.iter().map(CompiledStatement::keys) {
            let actions = distinct(actions.iter().map(action_half));
            let resources = distinct(resources.iter().flat_map(resource_halves));
            for action in &actions {
                resources.iter().for_each(|resource| filter.put(*action, *resource));
                if filter.passing() == Self::PARTS {
                    return Self::ALL;
                }
            }
        }
        filter
    }

    /// Whether it is [`Filter::ALL`], which a word tells: of what is not, a sixth of the bits is set at most.
    pub(super) fn lets_all_through(&self) -> bool {
        self.0.first() == Self::ALL.0.first()
    }

    /// All that a request may have been put in as.
    pub(super) fn for_request(action: &Action<'_>, resource: &ResourceName<'_>) -> Self {
        let mut filter = Self::default();
        let name = resource.arn().map(|arn| Half::of(name(arn.resource, separators(arn.account))));
        for action in &[Half::of(action.folded()), Half::of(action.service()), Half::ANY] {
            filter.put(*action, Half::ANY);
            if let Some(name) = name {
                filter.put(*action, name);
            }
        }
        filter
    }

    /// Whether statements that were put in may be about a request, given [`Filter::for_request`].
    pub(super) fn may_have(&self, request: &Self) -> bool {
        self.0.iter().zip(&request.0).fold(0, |both, (own, asked)| both | own & asked) != 0
    }

    /// Of how many requests in [`Filter::PARTS`] that are about something else it lets through: an estimate from above.
    pub(super) fn passing(&self) -> usize {
        let set: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        (set as usize * WAYS).min(Self::PARTS)
    }

    pub(super) const PARTS: usize = BITS;

    /// How many of these are about the same at most, such as all of one service: a request about that passes so many.
    pub(super) fn most_in_common<'f>(filters: impl Iterator<Item = &'f Self>) -> u8 {
        let mut counts = [[0_u8; 64]; WORDS];
        for filter in filters {
            for (counts, word) in counts.iter_mut().zip(filter.0) {
                let set = (0..64).map(|bit| u8::from(word >> bit & 1 == 1));
                counts.iter_mut().zip(set).for_each(|(count, set)| *count = count.saturating_add(set));
            }
        }
        counts.iter().flatten().copied().max().unwrap_or_default()
    }

    fn put(&mut self, Half(action): Half, Half(resource): Half) {
        // An odd factor, so that the two are told apart; the high bits of a product depend on all of it.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let [.., bit, word] =
            (action ^ resource.rotate_left(32).wrapping_add(FACTOR)).wrapping_mul(FACTOR).to_le_bytes();
        if let Some(word) = self.0.get_mut(usize::from(word) % WORDS) {
            *word |= 1 << (bit % 64);
        }
    }
}

fn distinct(halves: impl Iterator<Item = Half>) -> Vec<Half> {
    let mut halves: Vec<_> = halves.collect();
    halves.sort_unstable();
    halves.dedup();
    halves
}

/// The action, its service, or any.
fn action_half(key: &Key) -> Half {
    match key.text.split_once(':') {
        _ if key.whole => Half::of(&key.text),
        Some((service, _)) => Half::of(service),
        None => Half::ANY,
    }
}

/// How many separators end the name of a resource: what has an account has a type before its name, or no part below it.
fn separators(account: &str) -> usize {
    if account.is_empty() { 1 } else { 2 }
}

/// The name of a resource, or any: for each number of separators that it may end by.
fn resource_halves(key: &ResourceKey) -> Vec<Half> {
    let half = |last: &str, whole: bool, separators: usize| match name_in(last, separators) {
        Some(name) => Half::of(name),
        None if whole => Half::of(last),
        None => Half::ANY,
    };
    match key {
        ResourceKey::LastPart(Key { text, whole }) => [1, 2].map(|separators| half(text, *whole, separators)).into(),
        ResourceKey::Arn(Key { text, whole }) => {
            let mut parts = text.splitn(6, ':').skip(4);
            match (parts.next(), parts.next()) {
                (Some(account), Some(last)) => vec![half(last, *whole, separators(account))],
                _ => vec![Half::ANY],
            }
        }
    }
}

/// The name of the resource whose ARN ends so.
fn name(last_part: &str, separators: usize) -> &str {
    name_in(last_part, separators).unwrap_or(last_part)
}

/// What stands before so many separators, if that many are there.
fn name_in(last_part: &str, separators: usize) -> Option<&str> {
    let mut left = separators;
    let is_last = |byte: u8| {
        left -= usize::from(matches!(byte, b'/' | b':'));
        left == 0
    };
    last_part.get(..last_part.bytes().position(is_last)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CompiledPolicy;
    use crate::policy::tests::identity_policy;

    fn policy(action: &str, resource: &str) -> CompiledPolicy {
        identity_policy(&[serde_json::json!({"Effect": "Allow", "Action": action, "Resource": resource})]).unwrap()
    }

    fn passes(policy: &CompiledPolicy, action: &str, resource: &str) -> bool {
        let (action, resource) = (Action::parse(action).unwrap(), ResourceName::parse(resource).unwrap());
        policy.filter().may_have(&Filter::for_request(&action, &resource))
    }

    #[test]
    fn whatever_a_statement_is_about_passes() {
        let cases = [
            ("*", "*", "s3:GetObject", "*"),
            ("*", "*", "s3:GetObject", "arn:aws:s3:::b/o"),
            ("s3:*", "arn:aws:s3:::b", "s3:GetObject", "arn:aws:s3:::b"),
            ("s3:GetObject", "arn:aws:s3:::b*", "s3:GetObject", "arn:aws:s3:::bucket/o"),
            ("s3:getobject", "arn:aws:s3:::b/*", "s3:GetObject", "arn:aws:s3:::b/o/p"),
            ("s3:Get*", "arn:aws:s3:::b/home/${aws:username}/*", "s3:GetObject", "arn:aws:s3:::b/home/ann/x"),
            ("s3:Get*", "arn:aws:s3:::${aws:username}", "s3:GetObject", "arn:aws:s3:::ann/x"),
            ("s3:*Object", "arn:aws:s3:::b/o", "s3:GetObject", "arn:aws:s3:::b/o"),
            ("s3:*", "arn:*:s3:*:*:b/o", "s3:GetObject", "arn:aws:s3:::b/o"),
            ("sqs:*", "arn:aws:sqs:*:*:queue", "sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:queue"),
            ("iam:*", "arn:aws:iam::123456789012:role/app/*", "iam:GetRole", "arn:aws:iam::123456789012:role/app/x"),
            ("iam:*", "arn:aws:iam::*:role/*", "iam:GetRole", "arn:aws:iam::123456789012:role/app/x"),
            ("lambda:*", "arn:aws:lambda:*:*:function:f:*", "lambda:Get", "arn:aws:lambda:e:123456789012:function:f:1"),
            ("lambda:*", "arn:aws:lambda:*:123456789012:f*", "lambda:Get", "arn:aws:lambda:e:123456789012:function:f"),
            ("dynamodb:*", "arn:aws:dynamodb:*", "dynamodb:GetItem", "arn:aws:dynamodb:e:123456789012:table/t"),
            (
                "dynamodb:*",
                "arn:aws:dynamodb:e:123456789012:table/t",
                "dynamodb:Get",
                "arn:aws:dynamodb:e:123456789012:table/t",
            ),
            ("sns:*", "arn:aws:sns:e:1*:topic", "sns:Publish", "arn:aws:sns:e:123456789012:topic"),
        ];
        for (pattern, on, action, resource) in cases {
            assert!(passes(&policy(pattern, on), action, resource), "{pattern} on {on}: {action} on {resource}");
        }
    }

    #[test]
    fn little_else_passes() {
        let about = |n: usize| {
            let pairs = [
                ("s3:GetObject", format!("arn:aws:s3:::bucket-{n}/*")),
                ("sqs:*", format!("arn:aws:sqs:*:*:queue-{n}")),
                (&format!("app:Do{n}"), "*".to_owned()),
                ("dynamodb:*", format!("arn:aws:dynamodb:*:*:table/table-{n}/index/*")),
            ];
            pairs.map(|(action, resource)| policy(action, &resource))
        };
        let asked = [
            ("s3:GetObject", "arn:aws:s3:::bucket-0/o"),
            ("app:Do0", "arn:aws:s3:::bucket-0/o"),
            ("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:queue-0"),
            ("dynamodb:GetItem", "arn:aws:dynamodb:eu-west-1:123456789012:table/table-0"),
        ];
        let policies: Vec<_> = (0..100).flat_map(about).collect();
        for (action, resource) in asked {
            let passing = policies.iter().filter(|policy| passes(policy, action, resource)).count();
            assert!((1..40).contains(&passing), "{passing} of 400: {action} on {resource}");
        }
    }

    #[test]
    fn what_is_about_everything_or_nothing() {
        assert!(passes(&policy("*", "*"), "s3:GetObject", "*"));
        let all: Vec<_> = (0..200).map(|n| format!("app:Do{n}")).collect();
        let statement = serde_json::json!({"Effect": "Allow", "Action": all, "Resource": "*"});
        assert!(identity_policy(&[statement]).unwrap().filter().lets_all_through(), "too much to be worth a look");
        assert_eq!(Filter::default().passing(), 0);
        let of_a_service = |n: usize| policy(&format!("s3:Get{n}*"), "*");
        let policies: Vec<_> = (0..20).map(of_a_service).chain([policy("sqs:Send", "*")]).collect();
        assert_eq!(Filter::most_in_common(policies.iter().map(CompiledPolicy::filter)), 20);
        assert_eq!(Filter::most_in_common(policies.iter().skip(19).map(CompiledPolicy::filter)), 1);
        assert!(!Filter::default().may_have(&Filter::ALL));
    }
}
