//! AWS's own quotas on the size of policies: only warnings, since AWS's managed policies exceed them (evaluation.md,
//! rule 12).
//!
//! Source: IAM User Guide, `reference_iam-quotas`; Organizations User Guide, `orgs_reference_limits`.

use super::document::Reader;
use super::{PolicyKind, PolicyName};
use crate::json::{Node, Value};

/// Warns where AWS would not take a policy of this size. Like AWS, it does not count white space.
pub(super) fn warn(node: &Node<'_>, kind: PolicyKind, name: &PolicyName, reader: &mut Reader<'_>) {
    let Some((quota, of)) = quota(kind, &name.reference) else {
        return;
    };
    let size = characters(node);
    if size > quota {
        let message = format!("the policy has {size} characters, AWS takes {quota} in {of}");
        reader.findings.warning(reader.file, node.position, "quota", message);
    }
}

fn quota(kind: PolicyKind, reference: &str) -> Option<(usize, &'static str)> {
    match kind {
        PolicyKind::Identity => match reference.split_once("/inline/") {
            None => Some((6_144, "a managed policy")),
            Some((entity, _)) if entity.contains(":user/") => Some((2_048, "the inline policies of a user")),
            Some((entity, _)) if entity.contains(":group/") => Some((5_120, "the inline policies of a group")),
            Some(_) => Some((10_240, "the inline policies of a role")),
        },
        PolicyKind::Trust => Some((8_192, "a trust policy")),
        PolicyKind::Session => Some((2_048, "a session policy")),
        PolicyKind::ServiceControl => Some((10_240, "a service control policy")),
        PolicyKind::ResourceControl => Some((5_120, "a resource control policy")),
        PolicyKind::VpcEndpoint => Some((20_480, "the policy of a VPC endpoint")),
        // Each service has its own.
        PolicyKind::Resource => None,
    }
}

/// Characters of a value without white space between its tokens.
pub(super) fn characters(node: &Node<'_>) -> usize {
    let commas = |count: usize| count.saturating_sub(1);
    match &node.value {
        Value::Null => 4,
        Value::Bool(boolean) => 5 - usize::from(*boolean),
        Value::Number(number) => number.len(),
        Value::String(text) => text.chars().count() + 2,
        Value::Array(elements) => 2 + commas(elements.len()) + elements.iter().map(characters).sum::<usize>(),
        Value::Object(members) => {
            let member = |m: &crate::json::Member<'_>| m.key.chars().count() + 3 + characters(&m.node);
            2 + commas(members.len()) + members.iter().map(member).sum::<usize>()
        }
    }
}
