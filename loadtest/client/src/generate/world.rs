//! Who exists, and what they may do: computed where it is needed, from numbers.

use serde_json::{Value, json};

use super::chance::Chance;
use super::{GenerateArgs, Kind};

pub(super) const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-central-1";

/// The network that conditions allow, and addresses of requests are from.
pub(super) const NETWORK: &str = "203.0.113.0/24";

/// The world that options describe.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) args: GenerateArgs,
}

/// A statement, by what a request for it has to be like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) denies: bool,
    /// As the policy has them.
    pub(super) action: String,
    pub(super) resource: String,
    /// The tag of the object that the condition wants.
    pub(super) tag: Option<String>,
    /// Whether it also asks for network and TLS.
    pub(super) conditional: bool,
    /// An action it covers, and what a resource that it covers begins with.
    pub(super) asked_action: String,
    pub(super) asked_resource: String,
}

/// Services whose resources need no policy of their own, the ARN of a resource up to its number, and actions on it.
const SERVICES: [(&str, &str, &str); 7] = [
    (
        "dynamodb",
        "table/t-",
        "BatchGetItem BatchWriteItem ConditionCheckItem CreateBackup CreateTable DeleteItem DeleteTable DescribeContinuousBackups DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive ExportTableToPointInTime GetItem ImportTable PartiQLDelete PartiQLInsert PartiQLUpdate PutItem RestoreTableToPointInTime UpdateContinuousBackups UpdateItem UpdateTable UpdateTimeToLive",
    ),
    (
        "sqs",
        "q-",
        "AddPermission CancelMessageMoveTask ChangeMessageVisibility CreateQueue DeleteMessage DeleteQueue GetQueueAttributes GetQueueUrl ListDeadLetterSourceQueues ListMessageMoveTasks ListQueueTags PurgeQueue ReceiveMessage RemovePermission SendMessage SetQueueAttributes StartMessageMoveTask TagQueue UntagQueue",
    ),
    (
        "sns",
        "topic-",
        "AddPermission ConfirmSubscription CreateTopic DeleteTopic GetDataProtectionPolicy GetSubscriptionAttributes GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource Publish PutDataProtectionPolicy RemovePermission SetSubscriptionAttributes SetTopicAttributes Subscribe TagResource Unsubscribe UntagResource",
    ),
    (
        "lambda",
        "function:f-",
        "AddPermission CreateAlias CreateFunction CreateFunctionUrlConfig DeleteAlias DeleteFunction DeleteFunctionCodeSigningConfig DeleteFunctionConcurrency DeleteFunctionEventInvokeConfig DeleteFunctionUrlConfig GetAlias GetFunction GetFunctionCodeSigningConfig GetFunctionConcurrency GetFunctionConfiguration GetFunctionEventInvokeConfig GetFunctionUrlConfig GetPolicy GetRuntimeManagementConfig InvokeFunction ListAliases ListFunctionEventInvokeConfigs ListFunctionUrlConfigs ListProvisionedConcurrencyConfigs ListVersionsByFunction PublishVersion PutFunctionConcurrency PutFunctionEventInvokeConfig PutRuntimeManagementConfig RemovePermission UpdateAlias UpdateFunctionCode UpdateFunctionConfiguration UpdateFunctionUrlConfig",
    ),
    (
        "kinesis",
        "stream/s-",
        "AddTagsToStream CreateStream DecreaseStreamRetentionPeriod DeleteStream DescribeStream DescribeStreamSummary GetRecords GetShardIterator IncreaseStreamRetentionPeriod ListShards ListStreamConsumers ListTagsForStream MergeShards PutRecord PutRecords RegisterStreamConsumer RemoveTagsFromStream SplitShard UpdateShardCount",
    ),
    (
        "secretsmanager",
        "secret:app-",
        "CancelRotateSecret CreateSecret DeleteResourcePolicy DeleteSecret DescribeSecret GetResourcePolicy GetSecretValue ListSecretVersionIds PutResourcePolicy PutSecretValue RemoveRegionsFromReplication ReplicateSecretToRegions RestoreSecret RotateSecret StopReplicationToReplica TagResource UntagResource UpdateSecret UpdateSecretVersionStage ValidateResourcePolicy",
    ),
    (
        "ecr",
        "repository/r-",
        "BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload CreateRepository DeleteLifecyclePolicy DeleteRepository DeleteRepositoryPolicy DescribeImageScanFindings DescribeImages DescribeRepositories GetDownloadUrlForLayer GetLifecyclePolicy GetLifecyclePolicyPreview GetRepositoryPolicy InitiateLayerUpload ListImages ListTagsForResource PutImage PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy SetRepositoryPolicy StartImageScan StartLifecyclePolicyPreview TagResource UntagResource UploadLayerPart",
    ),
];

impl World {
    pub(super) fn new(args: &GenerateArgs) -> Self {
        Self { args: args.clone() }
    }

    pub(super) fn user_name(user: u64) -> String {
        format!("user-{user:07}")
    }

    pub(super) fn user_arn(user: u64) -> String {
        format!("arn:aws:iam::{ACCOUNT}:user/{}", Self::user_name(user))
    }

    pub(super) fn policy_name(policy: u64) -> String {
        format!("policy-{policy:06}")
    }

    pub(super) fn policy_arn(policy: u64) -> String {
        format!("arn:aws:iam::{ACCOUNT}:policy/{}", Self::policy_name(policy))
    }

    pub(super) fn group_name(group: u64) -> String {
        format!("group-{group:05}")
    }

    pub(super) fn policies_of_user(&self, user: u64) -> Vec<u64> {
        Chance::of(self.args.seed, 1, user).several(self.args.policies_per_user, self.args.policies)
    }

    pub(super) fn groups_of_user(&self, user: u64) -> Vec<u64> {
        Chance::of(self.args.seed, 2, user).several(self.args.groups_per_user, self.args.groups)
    }

    pub(super) fn policies_of_group(&self, group: u64) -> Vec<u64> {
        Chance::of(self.args.seed, 3, group).several(self.args.policies_per_group, self.args.policies)
    }

    /// All that apply to a user, each once.
    pub(super) fn policies_for(&self, user: u64) -> Vec<u64> {
        let mut policies = self.policies_of_user(user);
        for policy in self.groups_of_user(user).into_iter().flat_map(|group| self.policies_of_group(group)) {
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
        policies
    }

    /// Whether a policy's statement of that number is a Deny.
    pub(super) fn denies(&self, place: u64) -> bool {
        self.args.deny_every > 0 && place % self.args.deny_every == self.args.deny_every - 1
    }

    pub(super) fn statement(&self, policy: u64, place: u64) -> Statement {
        let number = policy * self.args.statements_per_policy + place;
        // Spread evenly, and not along with what is denied.
        let conditional = number.wrapping_mul(7919) % 100 < self.args.conditions;
        let statement = |action: &str, resource: String, asked_resource: String| Statement {
            denies: self.denies(place),
            action: action.to_owned(),
            resource,
            tag: None,
            conditional,
            asked_action: action.to_owned(),
            asked_resource,
        };
        match self.args.kind {
            Kind::Resources => {
                let bucket = format!("arn:aws:s3:::data-{number:07}/");
                statement("s3:GetObject", format!("{bucket}*"), bucket)
            }
            Kind::Actions => {
                let (action, resource) = action(number);
                statement(&action, format!("{resource}*"), format!("{resource}x"))
            }
            Kind::Worst => {
                let everything = "arn:aws:s3:::*".to_owned();
                let of_tag = statement("s3:Get*", everything, "arn:aws:s3:::data-shared/".to_owned());
                Statement { tag: Some(format!("app-{number:07}")), asked_action: "s3:GetObject".to_owned(), ..of_tag }
            }
        }
    }
}

/// The action of a statement, and what its resource's ARN begins with: resources grow in number only once all actions are
/// taken.
fn action(number: u64) -> (String, String) {
    let count: usize = SERVICES.iter().map(|(.., actions)| actions.split(' ').count()).sum();
    let mut place = (number % count as u64) as usize;
    let round = number / count as u64;
    for (service, resource, actions) in SERVICES {
        match actions.split(' ').nth(place) {
            Some(action) => {
                let resource = match service {
                    "sqs" | "sns" | "lambda" | "kinesis" | "dynamodb" | "secretsmanager" | "ecr" => resource,
                    _ => "",
                };
                let arn = format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}{round:05}-");
                return (format!("{service}:{action}"), arn);
            }
            None => place -= actions.split(' ').count(),
        }
    }
    // There are `count` of them, and `place` is below that.
    (String::new(), String::new())
}

impl Statement {
    /// As a policy has it.
    pub(super) fn json(&self) -> Value {
        let mut condition = serde_json::Map::new();
        if self.conditional {
            condition.insert("Bool".to_owned(), json!({"aws:SecureTransport": "true"}));
            condition.insert("IpAddress".to_owned(), json!({"aws:SourceIp": NETWORK}));
        }
        if let Some(tag) = &self.tag {
            condition.insert("StringLike".to_owned(), json!({"s3:ExistingObjectTag/app": format!("*{tag}")}));
        }
        let mut statement = json!({
            "Effect": if self.denies { "Deny" } else { "Allow" },
            "Action": self.action,
            "Resource": self.resource,
        });
        if !condition.is_empty() {
            statement["Condition"] = condition.into();
        }
        statement
    }
}
