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
