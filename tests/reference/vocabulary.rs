//! Few words, so that stores and requests meet often.

pub(super) const HOME: &str = "111122223333";
pub(super) const NEAR: &str = "444455556666";
pub(super) const MANAGEMENT: &str = "999900001111";
/// In the store, but in no organization.
pub(super) const OUTSIDE: &str = "777788889999";
/// Nothing of it is in the store.
pub(super) const UNKNOWN: &str = "123123123123";

/// Account, path and name.
pub(super) const USERS: [(&str, &str, &str); 5] = [
    (HOME, "/", "alice"),
    (HOME, "/team/", "bob"),
    (NEAR, "/", "carol"),
    (MANAGEMENT, "/", "mia"),
    (OUTSIDE, "/", "dave"),
];
pub(super) const LINKED: (&str, &str, &str) = (HOME, "/aws-service-role/x.amazonaws.com/", "AWSServiceRoleForX");
pub(super) const ROLES: [(&str, &str, &str); 6] = [
    (HOME, "/", "app"),
    (HOME, "/team/", "ops"),
    LINKED,
    (NEAR, "/", "app"),
    (MANAGEMENT, "/", "app"),
    (OUTSIDE, "/", "app"),
];
pub(super) const GROUPS: [&str; 2] = ["readers", "writers"];
pub(super) const SESSIONS: [&str; 2] = ["one", "two"];
pub(super) const SERVICES: [&str; 2] = ["sns.amazonaws.com", "ec2.amazonaws.com"];
pub(super) const OIDC: &str = "arn:aws:iam::111122223333:oidc-provider/auth.example.com";
pub(super) const SAML: &str = "arn:aws:iam::111122223333:saml-provider/idp";

/// ARN and owner of what has policies and tags; S3's ARNs name no account.
pub(super) const RESOURCES: [(&str, &str); 14] = [
    ("arn:aws:s3:::data", HOME),
    ("arn:aws:s3:::data/alice/x", HOME),
    ("arn:aws:s3:::near", NEAR),
    ("arn:aws:s3:::main", MANAGEMENT),
    ("arn:aws:s3:::far", OUTSIDE),
    ("arn:aws:sqs:eu-west-1:111122223333:jobs", HOME),
    ("arn:aws:sqs:eu-west-1:777788889999:jobs", OUTSIDE),
    ("arn:aws:kms:eu-west-1:111122223333:key/k1", HOME),
    ("arn:aws:kms:eu-west-1:444455556666:key/k2", NEAR),
    ("arn:aws:dynamodb:eu-west-1:111122223333:table/t", HOME),
    ("arn:aws:secretsmanager:eu-west-1:444455556666:secret:s-AbCdEf", NEAR),
    ("arn:aws:ec2:eu-west-1:111122223333:instance/i-1", HOME),
    ("arn:aws-cn:s3:::cn", HOME),
    ("arn:aws:sqs:us-east-1:444455556666:jobs", NEAR),
];

/// What is asked for, with the actions that go with it.
pub(super) const TARGETS: [(&str, &[&str]); 27] = [
    ("arn:aws:s3:::data", &["s3:ListBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucket"]),
    ("arn:aws:s3:::data/alice/x", &["s3:GetObject", "s3:PutObject", "S3:getobject"]),
    ("arn:aws:s3:::data/red/x", &["s3:GetObject", "s3:PutObject"]),
    ("arn:aws:s3:::data/*", &["s3:GetObject"]),
    ("arn:aws:s3:::data//alice/x:1", &["s3:GetObject", "s3:PutObject"]),
    ("arn:aws:s3:::database", &["s3:ListBucket"]),
    ("arn:aws:S3:::data/alice/x", &["s3:GetObject"]),
    ("arn:aws:s3:::near/alice/x", &["s3:GetObject", "s3:PutObject"]),
    ("arn:aws:s3:::main/red/x", &["s3:GetObject", "s3:PutObject"]),
    ("arn:aws:s3:::far/alice/x", &["s3:GetObject", "s3:PutObject"]),
    ("arn:aws:s3:::nobody/x", &["s3:GetObject"]),
    ("arn:aws-cn:s3:::cn/x", &["s3:GetObject"]),
    ("arn:aws:sqs:eu-west-1:111122223333:jobs", &["sqs:SendMessage", "sqs:ReceiveMessage"]),
    ("arn:aws:sqs:eu-west-1:777788889999:jobs", &["sqs:SendMessage"]),
    ("arn:aws:sqs:us-east-1:444455556666:jobs", &["sqs:SendMessage"]),
    ("arn:aws:kms:eu-west-1:111122223333:key/k1", &["kms:Decrypt", "kms:Encrypt"]),
    ("arn:aws:kms:eu-west-1:444455556666:key/k2", &["kms:Decrypt"]),
    ("arn:aws:kms:eu-west-1:111122223333:key/none", &["kms:Decrypt"]),
    ("arn:aws:kms:eu-west-1:111122223333:alias/a", &["kms:Decrypt", "kms:CreateAlias"]),
    ("arn:aws:dynamodb:eu-west-1:111122223333:table/t", &["dynamodb:GetItem"]),
    ("arn:aws:dynamodb:eu-west-1:111122223333:table/t/index/i", &["dynamodb:Query"]),
    ("arn:aws:secretsmanager:eu-west-1:444455556666:secret:s-AbCdEf", &["secretsmanager:GetSecretValue"]),
    ("arn:aws:ec2:eu-west-1:111122223333:instance/i-1", &["ec2:StartInstances"]),
    ("*", &["s3:ListAllMyBuckets", "ec2:DescribeInstances", "sts:GetCallerIdentity", "kms:ListKeys", "sts:AssumeRole"]),
    ("arn:aws:iam::111122223333:user/alice", &["iam:GetUser"]),
    ("arn:aws:sts::111122223333:federated-user/fay", &["sts:GetFederationToken", "sts:TagSession"]),
    ("arn:aws:iam::123123123123:role/app", &["sts:AssumeRole"]),
];
pub(super) const ROLE_ACTIONS: [&str; 6] =
    ["sts:AssumeRole", "sts:AssumeRole", "STS:assumerole", "sts:TagSession", "sts:SetSourceIdentity", "iam:GetRole"];

pub(super) const ACTION_PATTERNS: [&str; 22] = [
    "s3:*",
    "s3:Get*",
    "S3:GETOBJECT",
    "s3:?utObject",
    "s3:List*",
    "s3:*BucketPolicy",
    "sqs:*",
    "sqs:SendMessage",
    "kms:*",
    "kms:Decrypt",
    "dynamodb:GetItem",
    "dynamodb:*",
    "secretsmanager:Get*",
    "ec2:*",
    "ec2:StartInstances",
    "iam:*",
    "sts:*",
    "sts:AssumeRole",
    "sts:AssumeRole*",
    "sts:TagSession",
    "sts:Get*",
    "*",
];

pub(super) const RESOURCE_PATTERNS: [&str; 26] = [
    "*",
    "arn:*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::data*",
    "arn:aws:s3:::data/*",
    "arn:aws:s3:::*/${aws:username}/*",
    "arn:aws:s3:::data/${aws:PrincipalTag/team}/x",
    "arn:aws:s3:::data/${aws:PrincipalTag/team, 'red'}/*",
    "arn:aws:s3:::${aws:PrincipalTag/other}/*",
    "arn:aws:s3:::data/${*}",
    "arn:aws:s3:::????/alice/x",
    "arn:*:s3:::*",
    "arn:aws:sqs:*:*:jobs",
    "arn:aws:sqs:eu-*",
    "arn:aws:sqs:eu-west-1:111122223333:*",
    "arn:aws:s3:::*/${custom:thing}/x",
    "arn:aws:kms:*:*:key/*",
    "arn:aws:kms:eu-west-1:111122223333:key/k1",
    "arn:aws:dynamodb:*:*:table/*",
    "arn:aws:dynamodb:eu-west-1:111122223333:table/t",
    "arn:aws:secretsmanager:*:*:secret:s-*",
    "arn:aws:ec2:*:111122223333:instance/*",
    "arn:aws:iam::*:role/*",
    "arn:aws:iam::111122223333:role/app",
    "arn:aws:iam::*:*/${aws:username}",
    "arn:aws:sts::*:federated-user/*",
];

/// Keys of conditions, with values that policies and requests share.
pub(super) const KEYS: [(&str, &[&str]); 37] = [
    ("aws:PrincipalTag/team", &["red", "blue", ""]),
    ("aws:PrincipalTag/Other", &["data", "*", "${aws:username}"]),
    ("aws:ResourceTag/team", &["red", "blue", ""]),
    ("aws:RequestTag/team", &["red", "blue", ""]),
    ("sqs:ResourceTag/team", &["red", "blue"]),
    ("s3:ExistingObjectTag/team", &["red", "blue", ""]),
    ("aws:username", &["alice", "bob", "Alice"]),
    ("aws:userid", &["AIDAALICE000000000001", "AROAAPP00000000000001:one", "777788889999"]),
    ("s3:prefix", &["alice/", "red/", "ALICE/", ""]),
    ("aws:PrincipalArn", &["arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:role/team/ops"]),
    ("aws:SourceArn", &["arn:aws:sns:eu-west-1:111122223333:topic", "arn:aws:s3:::data"]),
    ("aws:PrincipalAccount", &[HOME, NEAR, OUTSIDE]),
    ("aws:ResourceAccount", &[HOME, NEAR, OUTSIDE]),
    ("aws:PrincipalOrgID", &["o-example001", "o-other00001"]),
    ("aws:ResourceOrgID", &["o-example001", "o-other00001"]),
    ("aws:PrincipalType", &["User", "AssumedRole", "Anonymous", "Account"]),
    ("aws:PrincipalOrgPaths", &["o-example001/r-ab12/ou-ab12-11111111/", "o-example001/r-ab12/"]),
    ("aws:ResourceOrgPaths", &["o-example001/r-ab12/ou-ab12-11111111/ou-ab12-22222222/", "o-example001/r-ab12/"]),
    ("aws:TagKeys", &["team", "Team", "cost"]),
    ("aws:CalledVia", &["athena.amazonaws.com", "glue.amazonaws.com"]),
    ("aws:SourceIp", &["203.0.113.7", "10.1.2.3", "2001:db8::5", "::ffff:10.1.2.3"]),
    ("aws:VpcSourceIp", &["10.1.2.3", "192.168.0.9"]),
    ("aws:SecureTransport", &["true", "false"]),
    ("aws:MultiFactorAuthPresent", &["true", "FALSE"]),
    ("aws:PrincipalIsAWSService", &["true", "false"]),
    ("aws:PrincipalServiceName", &["sns.amazonaws.com", "ec2.amazonaws.com"]),
    ("aws:MultiFactorAuthAge", &["5", "10", "10.0", "300"]),
    ("s3:max-keys", &["5", "10", "-1", "9007199254740993"]),
    ("s3:signatureAge", &["5", "0.5", "10"]),
    ("aws:CurrentTime", &["2026-11-22T06:00:00Z", "2019-12-31", "1600000000"]),
    ("aws:EpochTime", &["1795327200", "1500000000", "2026-11-22T06:00:00+01:00"]),
    ("aws:TokenIssueTime", &["2026-11-22T05:00:00Z", "2019-06", "2026-11-22T05:00:00.5-03:00"]),
    ("custom:thing", &["red", "eu-west-1", HOME]),
    ("custom:data", &["aGVsbG8=", "AAEC"]),
    ("aws:SourceVpce", &["vpce-1", "vpce-2", "vpce-9"]),
    ("accounts.google.com:aud", &["web", "other"]),
    ("sts:ExternalId", &["secret", "other"]),
];

/// What is a value for no operator but those of strings.
pub(super) const GARBAGE: [&str; 6] = ["soon", "1e3", "10.0.0.0.1", "arn:aws:s3", "@@@", " "];

pub(super) const AWS_MANAGED: [&str; 5] = [
    "arn:aws:iam::aws:policy/AdministratorAccess",
    "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    "arn:aws:iam::aws:policy/AmazonSQSFullAccess",
    "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
    "arn:aws:iam::aws:policy/SecretsManagerReadWrite",
];

pub(super) fn user_arn((account, path, name): (&str, &str, &str)) -> String {
    format!("arn:aws:iam::{account}:user{path}{name}")
}

pub(super) fn role_arn((account, path, name): (&str, &str, &str)) -> String {
    format!("arn:aws:iam::{account}:role{path}{name}")
}

/// 21 characters, as AWS's unique ids have.
pub(super) fn unique_id(prefix: &str, account: &str, name: &str) -> String {
    let owner = if account == HOME { "" } else { account.get(..4).unwrap_or_default() };
    let base = format!("{prefix}{}{owner}", name.to_uppercase());
    format!("{base:0<20.20}1")
}
