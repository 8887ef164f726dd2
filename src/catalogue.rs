//! AWS's facts that are built in: managed policies, condition keys, services.
//!
//! The build script makes the tables of `data/`; all of them are sorted and none is read before it is asked.

mod service;

use std::io::Read;

use flate2::read::DeflateDecoder;

use crate::arn::Arn;

pub use service::{ActionFacts, ResourceType, Service};

/// How a condition key's values look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionKeyFacts {
    /// Whether the key holds several values (`ArrayOf...` in the service reference). Where services disagree on a key
    /// it is not: plain operators never match a multi-valued key, and a Deny would be slipped past.
    pub multivalued: bool,
    /// The type of each value: `String`, `ARN`, `Bool`, `Numeric`, `Date`, `IPAddress`, `Binary`.
    pub value_type: &'static str,
}

/// The document (JSON text) of an AWS managed policy, by ARN (`arn:aws:iam::aws:policy/...`; the partition does not
/// matter). Decompressed at each call.
pub fn managed_policy(arn: &str) -> Option<String> {
    let arn = Arn::parse(arn).filter(|arn| (arn.service, arn.region, arn.account) == ("iam", "", "aws"))?;
    let index = tables::MANAGED_POLICIES.binary_search_by(|policy| policy.resource().cmp(arn.resource)).ok()?;
    tables::MANAGED_POLICIES.get(index)?.document()
}

/// The ARNs of all AWS managed policies, sorted.
pub fn managed_policy_arns() -> impl Iterator<Item = &'static str> {
    tables::MANAGED_POLICIES.iter().map(|policy| policy.arn)
}

/// What is known of a condition key (in lower case, as `access::fold_key` gives it); None if AWS documents no such key.
pub fn condition_key(folded: &str) -> Option<ConditionKeyFacts> {
    match tables::CONDITION_KEYS.binary_search_by(|key| key.folded.cmp(folded)) {
        Ok(index) => tables::CONDITION_KEYS.get(index).map(|key| key.facts),
        Err(_) => tables::CONDITION_KEY_TEMPLATES.iter().find(|key| key.matches(folded)).map(|key| key.facts),
    }
}

/// All condition keys as AWS spells them, for hints.
pub fn condition_keys() -> impl Iterator<Item = &'static str> {
    let exact = tables::CONDITION_KEYS.iter().map(|key| key.spelling);
    exact.chain(tables::CONDITION_KEY_TEMPLATES.iter().map(|key| key.spelling))
}

/// Whether a condition key (in lower case) can be in requests of every service, whatever its prefix says.
pub fn is_global_condition_key(folded: &str) -> bool {
    tables::GLOBAL_CONDITION_KEYS.binary_search(&folded).is_ok()
}

/// Whether a service (its prefix in lower case, e.g. `s3`) supports resource control policies.
pub fn supports_resource_control_policies(service: &str) -> bool {
    tables::RESOURCE_CONTROL_SERVICES.binary_search(&service).is_ok()
}

/// What AWS's service reference says of a service (its prefix in lower case); None if it has no such service.
/// Decompressed and parsed at each call.
pub fn service(prefix: &str) -> Option<Service> {
    let index = tables::SERVICES.binary_search_by(|service| service.prefix.cmp(prefix)).ok()?;
    serde_json::from_str(&tables::SERVICES.get(index)?.json()?).ok()
}

/// The prefixes of all services, sorted.
pub fn service_prefixes() -> impl Iterator<Item = &'static str> {
    tables::SERVICES.iter().map(|service| service.prefix)
}

/// What may stand in the third part of an ARN, as far as AWS says how its resources are named; sorted.
pub fn arn_services() -> &'static [&'static str] {
    tables::ARN_SERVICES
}

/// Names by which services are known to ask, such as `ec2.amazonaws.com`; sorted, and not all there are.
pub fn service_principals() -> &'static [&'static str] {
    tables::SERVICE_PRINCIPALS
}

/// Where what is known of a service lies among [`tables::REFERENCE`].
struct PackedService {
    prefix: &'static str,
    offset: usize,
    length: usize,
    /// Length when decompressed.
    unpacked: usize,
}

impl PackedService {
    fn json(&self) -> Option<String> {
        unpacked(tables::REFERENCE, self.offset, self.length, self.unpacked)
    }
}

/// A stream of a blob, decompressed.
fn unpacked(blob: &[u8], offset: usize, length: usize, unpacked: usize) -> Option<String> {
    let packed = blob.get(offset..)?.get(..length)?;
    let mut text = String::with_capacity(unpacked);
    DeflateDecoder::new(packed).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Where the document of a managed policy lies among [`tables::DOCUMENTS`].
struct ManagedPolicy {
    arn: &'static str,
    offset: usize,
    length: usize,
    /// Length of the document when decompressed.
    unpacked: usize,
}

impl ManagedPolicy {
    /// What follows the account. All ARNs have the same parts before it, so that they are sorted by it, too.
    fn resource(&self) -> &'static str {
        Arn::parse(self.arn).map_or("", |arn| arn.resource)
    }

    fn document(&self) -> Option<String> {
        unpacked(tables::DOCUMENTS, self.offset, self.length, self.unpacked)
    }
}

/// A condition key that is written as it is.
struct ConditionKey {
    folded: &'static str,
    spelling: &'static str,
    facts: ConditionKeyFacts,
}

/// A condition key with a variable in it, such as `aws:ResourceTag/${TagKey}`. The longest stand first: they say most.
struct Template {
    prefix: &'static str,
    suffix: &'static str,
    spelling: &'static str,
    facts: ConditionKeyFacts,
}

impl Template {
    /// Whether the key is this one with something in the place of the variable.
    fn matches(&self, folded: &str) -> bool {
        let variable = folded.strip_prefix(self.prefix).and_then(|rest| rest.strip_suffix(self.suffix));
        variable.is_some_and(|variable| !variable.is_empty())
    }
}

mod tables {
    use super::{ConditionKey, ConditionKeyFacts, ManagedPolicy, PackedService, Template};

    pub(super) static DOCUMENTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/managed-policies.bin"));

    pub(super) static REFERENCE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/service-reference.bin"));

    include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::fold_key;
    use crate::json;

    #[test]
    fn every_managed_policy_decompresses_and_parses() {
        let arns: Vec<_> = managed_policy_arns().collect();
        assert_eq!(arns.len(), 1582);
        assert!(arns.is_sorted());
        for arn in arns {
            let document = managed_policy(arn).expect(arn);
            let node = json::parse(&document).expect(arn);
            assert!(node.get("Statement").is_some(), "{arn}");
        }
    }

    #[test]
    fn a_managed_policy_is_the_same_in_every_partition() {
        let document = managed_policy("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess").unwrap();
        assert!(document.contains("s3:Get*"));
        for partition in ["aws-cn", "aws-us-gov"] {
            let arn = format!("arn:{partition}:iam::aws:policy/AmazonS3ReadOnlyAccess");
            assert_eq!(managed_policy(&arn), Some(document.clone()));
        }
        assert!(managed_policy("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole").is_some());
    }

    #[test]
    fn what_is_not_a_managed_policy_of_aws() {
        for arn in [
            "",
            "arn:aws:iam::aws:policy/Nope",
            "arn:aws:iam::aws:policy/amazons3readonlyaccess",
            "arn:aws:iam::aws:policy/AWSLambdaBasicExecutionRole",
            "arn:aws:iam::123456789012:policy/AmazonS3ReadOnlyAccess",
            "arn:aws:iam:us-east-1:aws:policy/AmazonS3ReadOnlyAccess",
            "arn:aws:sts::aws:policy/AmazonS3ReadOnlyAccess",
        ] {
            assert_eq!(managed_policy(arn), None, "{arn}");
        }
    }

    #[test]
    fn condition_keys_and_their_values() {
        for (key, multivalued, value_type) in [
            ("aws:TagKeys", true, "String"),
            ("aws:CalledVia", true, "String"),
            ("aws:PrincipalOrgPaths", true, "String"),
            ("aws:PrincipalServiceNamesList", true, "String"),
            ("aws:SourceIp", false, "IPAddress"),
            ("aws:SourceArn", false, "ARN"),
            ("aws:MultiFactorAuthPresent", false, "Bool"),
            ("aws:CurrentTime", false, "Date"),
            ("s3:max-keys", false, "Numeric"),
            ("s3:RequestObjectTagKeys", true, "String"),
            // A variable at the end, in its three spellings.
            ("aws:ResourceTag/Team", false, "String"),
            ("aws:PrincipalTag/a/b:c", false, "String"),
            ("s3:ExistingObjectTag/x", false, "String"),
            ("kms:EncryptionContext:purpose", false, "String"),
            // A variable elsewhere.
            ("agent.eu.buildkite.dev:cluster_id", false, "String"),
            ("token.actions.githubusercontent.com:repository", false, "String"),
            ("token.actions.githubusercontent.com/acme:repository", false, "String"),
            // Single-valued in one service, multi-valued in another: single, see `ConditionKeyFacts`.
            ("identitystore:UserId", false, "String"),
        ] {
            assert_eq!(condition_key(&fold_key(key)), Some(ConditionKeyFacts { multivalued, value_type }), "{key}");
        }
    }

    #[test]
    fn unknown_condition_keys() {
        for key in
            ["", "aws:sourceipaddress", "aws:resourcetag/", "aws:resourcetag", "aws:SourceIp", "agent.x:cluster_id"]
        {
            assert_eq!(condition_key(key), None, "{key}");
        }
    }

    #[test]
    fn condition_keys_are_listed_as_aws_spells_them() {
        let keys: Vec<_> = condition_keys().collect();
        for key in ["aws:SourceIp", "aws:ResourceTag/${TagKey}", "s3:ExistingObjectTag/<key>", "ec2:SourceInstanceArn"]
        {
            assert_eq!(keys.iter().filter(|known| **known == key).count(), 1, "{key}");
        }
        assert!(!keys.contains(&"aws:ResourceTag/tag-key"));
        assert!(tables::CONDITION_KEYS.is_sorted_by_key(|key| key.folded));
        assert!(tables::CONDITION_KEYS.iter().all(|key| key.folded == fold_key(key.spelling)));
    }

    #[test]
    fn every_service_decompresses_and_parses() {
        let prefixes: Vec<_> = service_prefixes().collect();
        assert_eq!(prefixes.len(), 456);
        assert!(prefixes.is_sorted() && arn_services().is_sorted() && service_principals().is_sorted());
        let services: Vec<_> = prefixes.iter().map(|prefix| service(prefix).expect(prefix)).collect();
        assert_eq!(services.iter().map(|service| service.actions.len()).sum::<usize>(), 22_091);
        let s3 = service("s3").unwrap();
        assert_eq!(s3.actions["getobject"].name, "GetObject");
        assert_eq!(s3.resources["bucket"].arn, "arn:${Partition}:s3:::${BucketName}");
        assert!(s3.actions["listallmybuckets"].resources.is_empty());
        assert!(service("S3").is_none() && service("nope").is_none());
    }

    #[test]
    fn services_with_resource_control_policies() {
        for service in ["s3", "sts", "sqs", "kms", "secretsmanager", "dynamodb"] {
            assert!(supports_resource_control_policies(service), "{service}");
        }
        for service in ["ec2", "iam", "S3", ""] {
            assert!(!supports_resource_control_policies(service), "{service}");
        }
    }
}
