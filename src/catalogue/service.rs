//! What AWS's service reference says of one service.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A service: its actions, and how its resources are named.
#[derive(Debug, Deserialize)]
pub struct Service {
    /// E.g. `Amazon S3`.
    pub name: String,
    /// Its actions, by name in lower case.
    pub actions: BTreeMap<String, ActionFacts>,
    /// Its types of resources, by name.
    pub resources: BTreeMap<String, ResourceType>,
    /// How other services name resources of this one, by their ARNs.
    pub foreign: Vec<String>,
}

/// An action.
#[derive(Debug, Deserialize)]
pub struct ActionFacts {
    /// As AWS spells it.
    pub name: String,
    /// The types of resources that it takes, with `*` after those that it needs; none: it is asked for `*` only.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The condition keys that it gives, besides those of its resources and the global ones.
    #[serde(default)]
    pub keys: Vec<String>,
}

impl ActionFacts {
    /// The names of the types of resources that it takes.
    pub fn resource_types(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|name| name.trim_end_matches('*'))
    }

    /// What it makes, by its name and in lower case: `connection` for `CreateConnection`.
    pub fn makes(&self) -> Option<String> {
        self.name.strip_prefix("Create").map(str::to_lowercase)
    }

    /// Whether it takes whatever has tags: its name tells of tags and not whose, as `TagResource` and `AddTags` do, or it
    /// gives the tags of a resource and is said to take none.
    pub fn takes_what_has_tags(&self) -> bool {
        const OTHER_WORDS: &str =
            " Add Change Create Delete Describe For From Get List Of On Put Remove Resource Resources Set To ";
        let (mut tags, mut whose) = (false, false);
        for word in words(&self.name) {
            let is_tag = ["Tag", "Tags", "Untag"].contains(&word.as_str());
            tags |= is_tag;
            whose |= !is_tag && !OTHER_WORDS.contains(&format!(" {word} "));
        }
        tags && !whose || self.resources.is_empty() && self.keys.iter().any(|key| is_tag_of_resource(key))
    }
}

/// A type of resource.
#[derive(Debug, Deserialize)]
pub struct ResourceType {
    /// How its ARNs look, e.g. `arn:${Partition}:s3:::${BucketName}`.
    pub arn: String,
    /// The condition keys that it gives to the actions on it.
    #[serde(default)]
    pub keys: Vec<String>,
}

impl ResourceType {
    /// Whether its resources have tags that conditions can ask for.
    pub fn has_tags(&self) -> bool {
        self.keys.iter().any(|key| is_tag_of_resource(key))
    }
}

fn is_tag_of_resource(key: &str) -> bool {
    key.starts_with("aws:ResourceTag/")
}

/// The words of a name in camel case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in name.chars() {
        match words.last_mut().filter(|_| !character.is_uppercase()) {
            Some(word) => word.push(character),
            None => words.push(character.into()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes_what_has_tags(name: &str, resources: &[&str], keys: &[&str]) -> bool {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ActionFacts { name: name.to_owned(), resources: owned(resources), keys: owned(keys) }.takes_what_has_tags()
    }

    #[test]
    fn actions_about_the_tags_of_anything() {
        for name in
            ["TagResource", "UntagResource", "AddTags", "AddTagsToResource", "CreateTags", "ListTagsForResource"]
        {
            assert!(takes_what_has_tags(name, &["x"], &[]), "{name}");
        }
        for name in ["TagRole", "PutBucketTagging", "ListTagKeys", "CreateTagOption", "GetResources", "Resource", ""] {
            assert!(!takes_what_has_tags(name, &[], &[]), "{name}");
        }
        assert!(takes_what_has_tags("GetAccessPoint", &[], &["aws:ResourceTag/${TagKey}"]));
        assert!(!takes_what_has_tags("GetAccessPoint", &["accesspoint"], &["aws:ResourceTag/${TagKey}"]));
        assert!(!takes_what_has_tags("GetAccessPoint", &[], &["aws:TagKeys"]));
    }
}
