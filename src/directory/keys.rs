//! The objects that a policy store holds, with every key that AWS's tools print for them.

use super::schema::{Object, anything, date, document, flag, many, number, one, text, texts};

/// `aws iam get-account-authorization-details`
pub(super) const DUMP: Object = Object {
    what: "an account dump",
    keys: &[
        many("UserDetailList", &USER),
        many("GroupDetailList", &GROUP),
        many("RoleDetailList", &ROLE),
        many("Policies", &MANAGED_POLICY),
        flag("IsTruncated"),
        text("Marker"),
        // Added by the command line where it is told to stop early.
        text("NextToken"),
    ],
};

/// UserDetail, and what `aws iam get-user` prints besides.
pub(super) const USER: Object = Object {
    what: "a user",
    keys: &[
        text("UserName").required(),
        text("Path"),
        text("UserId"),
        text("Arn"),
        date("CreateDate"),
        date("PasswordLastUsed"),
        many("UserPolicyList", &INLINE_POLICY),
        texts("GroupList"),
        many("AttachedManagedPolicies", &ATTACHED_POLICY),
        one("PermissionsBoundary", &BOUNDARY),
        many("Tags", &TAG),
    ],
};

/// GroupDetail.
pub(super) const GROUP: Object = Object {
    what: "a group",
    keys: &[
        text("GroupName").required(),
        text("Path"),
        text("GroupId"),
        text("Arn"),
        date("CreateDate"),
        many("GroupPolicyList", &INLINE_POLICY),
        many("AttachedManagedPolicies", &ATTACHED_POLICY),
    ],
};

/// RoleDetail, and what `aws iam get-role` prints besides.
pub(super) const ROLE: Object = Object {
    what: "a role",
    keys: &[
        text("RoleName").required(),
        text("Path"),
        text("RoleId"),
        text("Arn"),
        date("CreateDate"),
        text("Description"),
        number("MaxSessionDuration"),
        document("AssumeRolePolicyDocument").required(),
        many("InstanceProfileList", &INSTANCE_PROFILE),
        many("RolePolicyList", &INLINE_POLICY),
        many("AttachedManagedPolicies", &ATTACHED_POLICY),
        one("PermissionsBoundary", &BOUNDARY),
        many("Tags", &TAG),
        one("RoleLastUsed", &ROLE_LAST_USED),
    ],
};

/// ManagedPolicyDetail, and what `aws iam get-policy` prints besides; `PolicyDocument` in the place of versions.
pub(super) const MANAGED_POLICY: Object = Object {
    what: "a managed policy",
    keys: &[
        text("PolicyName").required(),
        text("PolicyId"),
        text("Arn"),
        text("Path"),
        text("DefaultVersionId"),
        number("AttachmentCount"),
        number("PermissionsBoundaryUsageCount"),
        flag("IsAttachable"),
        text("Description"),
        date("CreateDate"),
        date("UpdateDate"),
        many("PolicyVersionList", &POLICY_VERSION),
        document("PolicyDocument"),
        many("Tags", &TAG),
    ],
};

const POLICY_VERSION: Object = Object {
    what: "a policy version",
    keys: &[document("Document").required(), text("VersionId"), flag("IsDefaultVersion"), date("CreateDate")],
};

const INLINE_POLICY: Object =
    Object { what: "an inline policy", keys: &[text("PolicyName").required(), document("PolicyDocument").required()] };

const ATTACHED_POLICY: Object =
    Object { what: "an attached policy", keys: &[text("PolicyName"), text("PolicyArn").required()] };

const BOUNDARY: Object = Object {
    what: "a permissions boundary",
    keys: &[text("PermissionsBoundaryType"), text("PermissionsBoundaryArn").required()],
};

const TAG: Object = Object { what: "a tag", keys: &[text("Key").required(), text("Value").required()] };

const INSTANCE_PROFILE: Object = Object {
    what: "an instance profile",
    keys: &[
        text("InstanceProfileName"),
        text("InstanceProfileId"),
        text("Path"),
        text("Arn"),
        date("CreateDate"),
        many("Roles", &PROFILE_ROLE),
        many("Tags", &TAG),
    ],
};

/// The role as an instance profile repeats it; the role itself stands in its own place.
const PROFILE_ROLE: Object = Object {
    what: "the role of an instance profile",
    keys: &[
        text("RoleName"),
        text("Path"),
        text("RoleId"),
        text("Arn"),
        date("CreateDate"),
        text("Description"),
        number("MaxSessionDuration"),
        document("AssumeRolePolicyDocument"),
        one("PermissionsBoundary", &BOUNDARY),
        many("Tags", &TAG),
        one("RoleLastUsed", &ROLE_LAST_USED),
    ],
};

const ROLE_LAST_USED: Object = Object { what: "`RoleLastUsed`", keys: &[date("LastUsedDate"), text("Region")] };

/// A resource.
pub(super) const RESOURCE: Object = Object {
    what: "a resource",
    keys: &[text("ResourceArn").required(), text("AccountId"), many("Tags", &TAG), document("ResourcePolicy")],
};

/// An element of what `aws ec2 describe-vpc-endpoints` prints.
pub(super) const VPC_ENDPOINT: Object = Object {
    what: "a VPC endpoint",
    keys: &[
        text("VpcEndpointId").required(),
        text("OwnerId"),
        document("PolicyDocument").required(),
        many("Tags", &TAG),
        anything("VpcEndpointType"),
        anything("VpcId"),
        anything("ServiceName"),
        anything("ServiceRegion"),
        anything("State"),
        anything("RouteTableIds"),
        anything("SubnetIds"),
        anything("Groups"),
        anything("IpAddressType"),
        anything("DnsOptions"),
        anything("PrivateDnsEnabled"),
        anything("RequesterManaged"),
        anything("NetworkInterfaceIds"),
        anything("DnsEntries"),
        anything("CreationTimestamp"),
        anything("LastError"),
        anything("FailureReason"),
        anything("Ipv4Prefixes"),
        anything("Ipv6Prefixes"),
        anything("ServiceNetworkArn"),
        anything("ResourceConfigurationArn"),
    ],
};

/// The organization: what `aws organizations` prints in pieces, in one object.
pub(super) const ORGANIZATION_FILE: Object = Object {
    what: "an organization's file",
    keys: &[
        one("Organization", &ORGANIZATION).required(),
        many("Roots", &ROOT).required(),
        many("OrganizationalUnits", &ORGANIZATIONAL_UNIT),
        many("Accounts", &ACCOUNT),
        many("OrganizationPolicies", &ORGANIZATION_POLICY),
    ],
};

const ORGANIZATION: Object = Object {
    what: "an organization",
    keys: &[
        text("Id").required(),
        text("MasterAccountId").required(),
        text("Arn"),
        text("FeatureSet"),
        text("MasterAccountArn"),
        text("MasterAccountEmail"),
        many("AvailablePolicyTypes", &POLICY_TYPE),
    ],
};

const ROOT: Object = Object {
    what: "a root",
    keys: &[
        text("Id").required(),
        text("Arn"),
        text("Name"),
        many("PolicyTypes", &POLICY_TYPE),
        texts("AttachedPolicies"),
    ],
};

const POLICY_TYPE: Object = Object { what: "a policy type", keys: &[text("Type"), text("Status")] };

const ORGANIZATIONAL_UNIT: Object = Object {
    what: "an organizational unit",
    keys: &[
        text("Id").required(),
        text("ParentId").required(),
        text("Arn"),
        text("Name"),
        text("Path"),
        texts("AttachedPolicies"),
    ],
};

const ACCOUNT: Object = Object {
    what: "an account",
    keys: &[
        text("Id").required(),
        text("ParentId").required(),
        text("Arn"),
        text("Name"),
        text("Email"),
        text("Status"),
        text("State"),
        text("JoinedMethod"),
        date("JoinedTimestamp"),
        texts("Paths"),
        texts("AttachedPolicies"),
    ],
};

/// What `aws organizations describe-policy` prints, its summary flat or as it is.
const ORGANIZATION_POLICY: Object = Object {
    what: "an organization policy",
    keys: &[
        text("Id"),
        text("Type"),
        text("Arn"),
        text("Name"),
        text("Description"),
        flag("AwsManaged"),
        document("Content"),
        one("PolicySummary", &POLICY_SUMMARY),
    ],
};

const POLICY_SUMMARY: Object = Object {
    what: "a policy summary",
    keys: &[
        text("Id").required(),
        text("Type").required(),
        text("Arn"),
        text("Name"),
        text("Description"),
        flag("AwsManaged"),
    ],
};
