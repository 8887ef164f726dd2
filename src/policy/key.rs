//! Condition keys: where the value of each comes from, and how many it has.

use crate::access::fold_key;
use crate::catalogue;

/// A condition key that a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionKey {
    /// As the policy spells it.
    pub spelled: Box<str>,
    /// In lower case.
    pub folded: Box<str>,
    /// Who says what its value is.
    pub source: KeySource,
    /// How many values it has (evaluation.md, rule 42).
    pub cardinality: Cardinality,
}

/// Whether a key has one value or several: it belongs to the key, not to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// AWS documents it with one value.
    Single,
    /// AWS documents it with several (`ArrayOf...`).
    Multi,
    /// AWS does not document it: as many as the request gives.
    Unknown,
}

/// Where a key's value comes from (evaluation.md, section 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `aws:PrincipalArn`
    PrincipalArn,
    /// `aws:PrincipalAccount`
    PrincipalAccount,
    /// `aws:PrincipalType`
    PrincipalType,
    /// `aws:userid`
    UserId,
    /// `aws:username`
    UserName,
    /// `aws:PrincipalTag/KEY`, KEY folded
    PrincipalTag(Box<str>),
    /// `aws:PrincipalOrgID`
    PrincipalOrgId,
    /// `aws:PrincipalOrgPaths`
    PrincipalOrgPaths,
    /// `aws:PrincipalIsAWSService`
    PrincipalIsAwsService,
    /// `aws:PrincipalServiceName`
    PrincipalServiceName,
    /// `aws:PrincipalServiceNamesList`
    PrincipalServiceNamesList,
    /// `aws:ResourceAccount`
    ResourceAccount,
    /// `aws:ResourceOrgID`
    ResourceOrgId,
    /// `aws:ResourceOrgPaths`
    ResourceOrgPaths,
    /// `aws:ResourceTag/KEY`, or `SERVICE:ResourceTag/KEY` of the resource's own service; both folded
    ResourceTag {
        /// The prefix before the colon, e.g. `aws` or `ec2`.
        service: Box<str>,
        /// The tag's key.
        tag: Box<str>,
    },
    /// `aws:CurrentTime`
    CurrentTime,
    /// `aws:EpochTime`
    EpochTime,
    /// Only the request can say.
    Request,
}

impl ConditionKey {
    /// A key as a policy spells it.
    pub fn new(spelled: &str) -> Self {
        let folded = fold_key(spelled);
        let cardinality = match catalogue::condition_key(&folded) {
            Some(facts) if facts.multivalued => Cardinality::Multi,
            Some(_) => Cardinality::Single,
            None => Cardinality::Unknown,
        };
        Self { spelled: spelled.into(), source: source_of(&folded), cardinality, folded: folded.into() }
    }

    /// Whether it is a claim of an identity provider: such keys begin with its host, as in `auth.example.com:aud`, so that AWS
    /// cannot list them all.
    pub fn is_claim(&self) -> bool {
        self.folded.split_once(':').is_some_and(|(prefix, _)| prefix.contains('.'))
    }

    /// Whether users set its value: an empty one is then null (evaluation.md, rule 33).
    pub fn is_tag(&self) -> bool {
        let (prefix, _) = self.folded.split_once('/').unwrap_or_default();
        let (_, name) = prefix.split_once(':').unwrap_or_default();
        !name.is_empty() && name.ends_with("tag")
    }
}

fn source_of(folded: &str) -> KeySource {
    match folded {
        "aws:principalarn" => KeySource::PrincipalArn,
        "aws:principalaccount" => KeySource::PrincipalAccount,
        "aws:principaltype" => KeySource::PrincipalType,
        "aws:userid" => KeySource::UserId,
        "aws:username" => KeySource::UserName,
        "aws:principalorgid" => KeySource::PrincipalOrgId,
        "aws:principalorgpaths" => KeySource::PrincipalOrgPaths,
        "aws:principalisawsservice" => KeySource::PrincipalIsAwsService,
        "aws:principalservicename" => KeySource::PrincipalServiceName,
        "aws:principalservicenameslist" => KeySource::PrincipalServiceNamesList,
        "aws:resourceaccount" => KeySource::ResourceAccount,
        "aws:resourceorgid" => KeySource::ResourceOrgId,
        "aws:resourceorgpaths" => KeySource::ResourceOrgPaths,
        "aws:currenttime" => KeySource::CurrentTime,
        "aws:epochtime" => KeySource::EpochTime,
        _ => tag_source_of(folded),
    }
}

fn tag_source_of(folded: &str) -> KeySource {
    let tagged = folded.split_once('/').and_then(|(prefix, tag)| Some((prefix.split_once(':')?, tag)));
    match tagged {
        Some((("aws", "principaltag"), tag)) => KeySource::PrincipalTag(tag.into()),
        Some(((service, "resourcetag"), tag)) => KeySource::ResourceTag { service: service.into(), tag: tag.into() },
        _ => KeySource::Request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_user_set() {
        for key in ["aws:RequestTag/a", "aws:PrincipalTag/a/b", "ec2:ResourceTag/x", "s3:ExistingObjectTag/k"] {
            assert!(ConditionKey::new(key).is_tag(), "{key}");
        }
        for key in ["aws:TagKeys", "aws:SourceIp", "apigateway:Request/Stage", "aws:PrincipalTag"] {
            assert!(!ConditionKey::new(key).is_tag(), "{key}");
        }
    }

    #[test]
    fn sources_ignore_case() {
        assert_eq!(ConditionKey::new("AWS:UserName").source, KeySource::UserName);
        assert_eq!(ConditionKey::new("aws:PrincipalTag/Team").source, KeySource::PrincipalTag("team".into()));
        let tag = KeySource::ResourceTag { service: "ec2".into(), tag: "env".into() };
        assert_eq!(ConditionKey::new("ec2:ResourceTag/Env").source, tag);
    }
}
