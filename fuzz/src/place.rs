//! A directory with one policy in the place that its kind belongs to.

use std::collections::HashSet;
use std::sync::Arc;

use iamd::arn::AccountId;
use iamd::directory::{Directory, Entity, EntityTags, Map, Membership, Organization, Resource, Role, VpcEndpoint};
use iamd::policy::{CompiledPolicy, PolicyKind, PolicySet};

/// The account that everything belongs to.
pub const ACCOUNT: &str = "123456789012";
/// A user with the identity policy, twice: as a policy and as a boundary.
pub const USER: &str = "arn:aws:iam::123456789012:user/a/alice";
/// A role with the trust policy.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/r";
/// A bucket with the resource policy.
pub const BUCKET: &str = "arn:aws:s3:::bucket";
/// An endpoint with its policy.
pub const ENDPOINT: &str = "vpce-1";

/// Everything that a policy of this kind needs to be asked.
pub fn directory(kind: PolicyKind, policy: CompiledPolicy, open: CompiledPolicy) -> Directory {
    let (policy, open) = (Arc::new(policy), Arc::new(open));
    let if_kind = |wanted| (kind == wanted).then(|| Arc::clone(&policy));
    let account = AccountId::parse(ACCOUNT).expect("an account");
    let entity = |arn: &str| Entity {
        arn: arn.into(),
        unique_id: None,
        tags: EntityTags::new(vec![("team".into(), "*".into())]),
        policies: Box::new([Arc::new(PolicySet::new(vec![
            if_kind(PolicyKind::Identity).unwrap_or_else(|| Arc::clone(&open)),
        ]))]),
        boundary: if_kind(PolicyKind::Identity).map(|policy| Arc::new(PolicySet::new(vec![policy]))),
    };
    let trust = if_kind(PolicyKind::Trust).unwrap_or_else(|| Arc::clone(&open));
    let role = Role { entity: entity(ROLE), trust, service_linked: false };
    let membership = Membership {
        path: Some("o-1/r-1/".into()),
        service_control: vec![vec![if_kind(PolicyKind::ServiceControl).unwrap_or_else(|| Arc::clone(&open))]],
        resource_control: vec![if_kind(PolicyKind::ResourceControl).into_iter().collect()],
    };
    let organization = Organization {
        id: "o-1".into(),
        management_account: AccountId::parse("999999999999").expect("an account"),
        accounts: Map::from_iter([(account, membership)]),
    };
    let tags = EntityTags::new(vec![("team".into(), "blue".into())]);
    let bucket = Resource { account: Some(account), tags, policy: if_kind(PolicyKind::Resource) };
    let endpoint = if_kind(PolicyKind::VpcEndpoint).unwrap_or_else(|| Arc::clone(&open));
    Directory {
        accounts: HashSet::from([account]),
        users: Map::from_iter([(USER.into(), entity(USER))]),
        roles: Map::from_iter([(account, Map::from_iter([("r".into(), role)]))]),
        resources: Map::from_iter([(BUCKET.into(), bucket)]).into(),
        vpc_endpoints: Map::from_iter([(ENDPOINT.into(), VpcEndpoint { owner: Some(account), policy: endpoint })]),
        organization: Some(organization),
        policy_count: 1,
        statement_count: 1,
        ..Directory::default()
    }
}
