//! Which decisions are logged; asked before they are queued.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use crate::access::{Decision, fold_key};
use crate::config::LogFilter;
use crate::proto::view::{Field, Fields};
use crate::wildcard::Wildcard;

/// Which decisions are logged.
#[derive(Debug)]
pub(super) struct Filter {
    denials_only: bool,
    /// In lower case: actions are case-insensitive.
    actions: Vec<Wildcard>,
    /// Of 2^32 that are allowed, so many are logged; None: all.
    sample: Option<u64>,
}

thread_local! {
    /// Where this thread's dice stand; 0 before they are first thrown.
    static DICE: Cell<u64> = const { Cell::new(0) };
}

impl Filter {
    pub(super) fn new(options: &LogFilter) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio times 2^32 fits")]
        let share = (options.sample * 2_f64.powi(32)) as u64;
        Self {
            denials_only: options.denials_only,
            actions: options.actions.iter().map(|pattern| Wildcard::new(&fold_key(pattern))).collect(),
            sample: (options.sample < 1.0).then_some(share),
        }
    }

    /// Whether this decision about this request is logged.
    pub(super) fn wants(&self, decision: Decision, message: &[u8]) -> bool {
        if decision == Decision::Allow {
            let sampled_out = |share: u64| throw() >> 32 >= share;
            if self.denials_only || self.sample.is_some_and(sampled_out) {
                return false;
            }
        }
        self.actions.is_empty() || self.wants_action(message)
    }

    fn wants_action(&self, message: &[u8]) -> bool {
        let actions = Fields::of(message).filter_map(|field| match field {
            (2, Field::Bytes(text)) => Some(text),
            _ => None,
        });
        // As in protobuf: the last one counts. INVARIANT: it was decided, so that it is a text.
        let action = fold_key(std::str::from_utf8(actions.last().unwrap_or_default()).unwrap_or_default());
        self.actions.iter().any(|pattern| pattern.matches(&action))
    }
}

/// A number that nobody could foretell; xorshift64*, since nothing is kept secret by it.
fn throw() -> u64 {
    DICE.with(|dice| {
        let mut state = dice.get();
        if state == 0 {
            state = RandomState::new().hash_one(0_u8) | 1;
        }
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        dice.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::v1::IsAuthorizedRequest;

    fn filter(denials_only: bool, actions: &[&str], sample: f64) -> Filter {
        Filter::new(&LogFilter { denials_only, actions: actions.iter().map(ToString::to_string).collect(), sample })
    }

    fn message(action: &str) -> Vec<u8> {
        IsAuthorizedRequest { action: action.to_owned(), ..IsAuthorizedRequest::default() }.encode_to_vec()
    }

    fn logged(filter: &Filter, decision: Decision, times: usize) -> usize {
        (0..times).filter(|_| filter.wants(decision, &message("s3:GetObject"))).count()
    }

    #[test]
    fn denials_are_always_wanted() {
        for filter in [filter(true, &[], 1.0), filter(false, &[], 0.0), filter(false, &[], 0.25)] {
            assert_eq!(logged(&filter, Decision::ExplicitDeny, 100), 100);
            assert_eq!(logged(&filter, Decision::ImplicitDeny, 100), 100);
        }
        assert_eq!(logged(&filter(true, &[], 1.0), Decision::Allow, 100), 0);
    }

    #[test]
    fn a_sample_is_about_as_large_as_it_should_be() {
        assert_eq!(logged(&filter(false, &[], 1.0), Decision::Allow, 1_000), 1_000);
        assert_eq!(logged(&filter(false, &[], 0.0), Decision::Allow, 1_000), 0);
        let quarter = logged(&filter(false, &[], 0.25), Decision::Allow, 20_000);
        assert!((4_500..5_500).contains(&quarter), "{quarter}");
    }

    #[test]
    fn actions_are_matched_in_any_case() {
        let some = filter(false, &["S3:get*", "iam:PassRole"], 1.0);
        for (action, wanted) in [
            ("s3:GetObject", true),
            ("S3:GETOBJECT", true),
            ("s3:PutObject", false),
            ("IAM:passrole", true),
            ("iam:PassRoles", false),
        ] {
            assert_eq!(some.wants(Decision::ExplicitDeny, &message(action)), wanted, "{action}");
        }
        let twice = [message("s3:GetObject"), message("s3:PutObject")].concat();
        assert!(!some.wants(Decision::Allow, &twice), "the last one counts");
    }
}
