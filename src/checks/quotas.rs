//! AWS's quotas on how much somebody may have. That a policy is too long for any, loading says already.
//!
//! Source: IAM User Guide, `reference_iam-quotas`.

use std::collections::BTreeMap;

use crate::directory::Holder;
use crate::finding::Findings;
use crate::policy::{PolicyKind, WrittenPolicy};

use super::Subject;

/// Managed policies that a user, group or role has, unless AWS was asked to raise it.
const ATTACHED: usize = 10;
/// Groups that a user is in.
const GROUPS: usize = 10;
/// Characters of a trust policy, unless AWS was asked to raise it; past what it can be raised to, loading warns.
const TRUST: usize = 2_048;
const TRUST_AT_MOST: usize = 8_192;

/// What the inline policies of one user, group or role come to; a single one that is too long is told of already.
pub(super) fn inline_policies(policies: &[WrittenPolicy], findings: &mut Findings) {
    let mut sums: BTreeMap<&str, (usize, usize, &WrittenPolicy)> = BTreeMap::new();
    for policy in policies {
        let Some((holder, _)) = policy.name.reference.split_once("/inline/") else { continue };
        let (sum, largest, last) = sums.entry(holder).or_insert((0, 0, policy));
        *sum += policy.characters;
        *largest = policy.characters.max(*largest);
        *last = policy;
    }
    for (holder, (sum, largest, last)) in sums {
        let (quota, noun) = match holder.splitn(6, ':').last().and_then(|resource| resource.split('/').next()) {
            Some("user") => (2_048, "user"),
            Some("group") => (5_120, "group"),
            _ => (10_240, "role"),
        };
        if sum > quota && largest <= quota {
            let message =
                format!("the inline policies of `{holder}` have {sum} characters, AWS takes {quota} for a {noun}");
            findings
                .found(&last.name.file, last.position, "inline-quota", message)
                .hint("make managed policies of some of them");
        }
    }
}

/// How many policies and groups somebody has.
pub(super) fn holders(holders: &[Holder], findings: &mut Findings) {
    for holder in holders {
        if holder.attached > ATTACHED {
            let message = format!(
                "{} managed policies are attached to the {} `{}`, AWS takes {ATTACHED}",
                holder.attached, holder.kind, holder.arn
            );
            let at_most = match holder.kind {
                "user" => ", or have AWS raise the quota, to 20 at most",
                "role" => ", or have AWS raise the quota, to 25 at most",
                _ => "",
            };
            findings
                .found(&holder.file, holder.position, "attachment-quota", message)
                .hint(format!("put several into one{at_most}"));
        }
        if holder.groups > GROUPS {
            let message = format!("the user `{}` is in {} groups, AWS takes {GROUPS}", holder.arn, holder.groups);
            findings.found(&holder.file, holder.position, "group-quota", message);
        }
    }
}

/// A trust policy that fits only if AWS has raised the quota.
pub(super) fn trust_policy(subject: &mut Subject<'_>) {
    let policy = subject.policy;
    if policy.kind == PolicyKind::Trust && policy.characters > TRUST && policy.characters <= TRUST_AT_MOST {
        let message =
            format!("the trust policy has {} characters, AWS takes {TRUST} unless asked for more", policy.characters);
        subject.report(policy.position, "trust-policy-quota", message).hint("have AWS raise the quota, or shorten it");
    }
}
