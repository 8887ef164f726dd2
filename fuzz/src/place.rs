//! A directory with one policy in the place that its kind belongs to.

use iamd::directory::{Directory, Loader, StoreOptions};
use iamd::policy::PolicyKind;

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

const OPEN: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
const OPEN_TRUST: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:*"}}"#;
const OPEN_ENDPOINT: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}"#;
const POLICY: &str = "arn:aws:iam::123456789012:policy/p";

/// Everything that a policy of this kind needs to be asked. None if the text is too deep to stand in a file.
pub fn directory(kind: PolicyKind, text: &str) -> Option<Directory> {
    let of = |wanted, open| if kind == wanted { text } else { open };
    let boundary = match kind {
        PolicyKind::Identity => format!(r#", "PermissionsBoundary": {{"PermissionsBoundaryArn": "{POLICY}"}}"#),
        _ => String::new(),
    };
    let entity = format!(
        r#""Tags": [{{"Key": "team", "Value": "*"}}],
            "AttachedManagedPolicies": [{{"PolicyArn": "{POLICY}"}}]{boundary}"#
    );
    let resource_policy =
        if kind == PolicyKind::Resource { format!(r#", "ResourcePolicy": {text}"#) } else { String::new() };
    let files = [
        format!(r#"{{"PolicyName": "p", "Arn": "{POLICY}", "PolicyDocument": {}}}"#, of(PolicyKind::Identity, OPEN)),
        format!(r#"{{"UserName": "alice", "Arn": "{USER}", {entity}}}"#),
        format!(
            r#"{{"RoleName": "r", "Arn": "{ROLE}", {entity}, "AssumeRolePolicyDocument": {}}}"#,
            of(PolicyKind::Trust, OPEN_TRUST)
        ),
        format!(
            r#"{{"ResourceArn": "{BUCKET}", "AccountId": "{ACCOUNT}",
                "Tags": [{{"Key": "team", "Value": "blue"}}]{resource_policy}}}"#
        ),
        format!(
            r#"{{"VpcEndpointId": "{ENDPOINT}", "OwnerId": "{ACCOUNT}", "PolicyDocument": {}}}"#,
            of(PolicyKind::VpcEndpoint, OPEN_ENDPOINT)
        ),
        organization(of(PolicyKind::ServiceControl, OPEN), (kind == PolicyKind::ResourceControl).then_some(text)),
    ];
    let mut loader = Loader::new(&StoreOptions::default());
    files.iter().enumerate().for_each(|(n, text)| loader.file(&format!("{n}.json"), text));
    loader.finish().ok().map(|(directory, _)| directory)
}

fn organization(service_control: &str, resource_control: Option<&str>) -> String {
    let attached = if resource_control.is_some() { r#""p-scp", "p-rcp""# } else { r#""p-scp""# };
    let resource_control = resource_control.map(|text| {
        format!(r#", {{"Id": "p-rcp", "Name": "r", "Type": "RESOURCE_CONTROL_POLICY", "Content": {text}}}"#)
    });
    format!(
        r#"{{"Organization": {{"Id": "o-1", "MasterAccountId": "999999999999"}},
            "Roots": [{{"Id": "r-1", "AttachedPolicies": ["p-FullAWSAccess"]}}],
            "OrganizationalUnits": [],
            "Accounts": [{{"Id": "{ACCOUNT}", "ParentId": "r-1", "AttachedPolicies": [{attached}]}}],
            "OrganizationPolicies": [
                {{"Id": "p-scp", "Name": "s", "Type": "SERVICE_CONTROL_POLICY", "Content": {service_control}}}{}
            ]}}"#,
        resource_control.unwrap_or_default()
    )
}
