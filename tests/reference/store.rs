//! A policy store, read as policy-store.md says; documents stay as they are written.

use serde_json::Value;

use super::facts::FACTS;

#[derive(Default)]
pub(super) struct Store {
    pub users: Vec<Entity>,
    pub roles: Vec<Entity>,
    pub groups: Vec<Entity>,
    pub policies: Vec<ManagedPolicy>,
    pub resources: Vec<Resource>,
    /// Policies of VPC endpoints by id.
    pub endpoints: Vec<(String, Value)>,
    pub organization: Option<Value>,
}

/// A user, a role or a group.
pub(super) struct Entity {
    pub arn: String,
    pub name: String,
    pub id: Option<String>,
    pub tags: Vec<(String, String)>,
    /// By name.
    pub inline: Vec<(String, Value)>,
    pub attached: Vec<String>,
    pub boundary: Option<String>,
    pub groups: Vec<String>,
    /// The trust policy of a role.
    pub trust: Value,
}

pub(super) struct ManagedPolicy {
    pub arn: String,
    pub tags: Vec<(String, String)>,
    pub document: Value,
}

pub(super) struct Resource {
    pub arn: String,
    pub account: Option<String>,
    pub tags: Vec<(String, String)>,
    pub policy: Option<Value>,
}

impl Store {
    /// Reads objects, each with the path of its file.
    pub(super) fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut store = Self::default();
        files.into_iter().for_each(|(path, value)| store.add(path, value));
        store
    }

    fn add(&mut self, path: &str, value: &Value) {
        if let Some(list) = value.as_array() {
            return list.iter().for_each(|value| self.add(path, value));
        }
        let lists = ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"];
        if lists.iter().any(|list| value.get(list).is_some()) {
            return lists.iter().for_each(|list| self.add(path, value.get(list).unwrap_or(&Value::Array(Vec::new()))));
        }
        let has = |key: &str| value.get(key).is_some();
        if has("UserName") {
            self.users.push(entity(path, value, "User"));
        } else if has("RoleName") {
            self.roles.push(entity(path, value, "Role"));
        } else if has("GroupName") {
            self.groups.push(entity(path, value, "Group"));
        } else if has("PolicyName") {
            let arn = arn(path, value, "policy", &text(value, "PolicyName").unwrap());
            self.policies.push(ManagedPolicy { arn, tags: tags(value), document: managed_document(value) });
        } else if has("Statement") {
            let name = path.rsplit('/').next().unwrap().trim_end_matches(".json");
            let arn = arn(path, value, "policy", name);
            self.policies.push(ManagedPolicy { arn, tags: Vec::new(), document: value.clone() });
        } else if has("ResourceArn") {
            self.resources.push(resource(path, value));
        } else if has("Organization") {
            self.organization = Some(organization(value));
        } else if let Some(id) = text(value, "VpcEndpointId") {
            self.endpoints.push((id, document(&value["PolicyDocument"])));
        } else {
            panic!("{path}: what is this? {value}");
        }
    }

    /// A managed policy: the store's own, else AWS's. In another partition AWS's are the same.
    pub(super) fn managed(&self, arn: &str) -> &Value {
        let own = self.policies.iter().find(|policy| policy.arn == arn).map(|policy| &policy.document);
        let of_aws = || {
            let resource = arn.splitn(6, ':').nth(5)?;
            FACTS.managed(&format!("arn:aws:iam::aws:{resource}"))
        };
        own.or_else(of_aws).unwrap_or_else(|| panic!("no policy {arn}"))
    }

    /// The tags of what has this ARN, if the store describes it.
    pub(super) fn tags(&self, arn: &str) -> Option<&[(String, String)]> {
        let resources = self.resources.iter().map(|resource| (&resource.arn, &resource.tags));
        let entities = self.users.iter().chain(&self.roles).map(|entity| (&entity.arn, &entity.tags));
        let policies = self.policies.iter().map(|policy| (&policy.arn, &policy.tags));
        resources.chain(entities).chain(policies).find(|(known, _)| *known == arn).map(|(_, tags)| tags.as_slice())
    }

    /// Whether it holds a user, role, group, managed policy or resource of the account.
    pub(super) fn holds_account(&self, account: &str) -> bool {
        let entities = self.users.iter().chain(&self.roles).chain(&self.groups).map(|entity| entity.arn.as_str());
        let arns = entities.chain(self.policies.iter().map(|policy| policy.arn.as_str()));
        arns.filter_map(account_of).any(|known| known == account)
            || self.resources.iter().any(|resource| resource.account.as_deref() == Some(account))
    }
}

fn entity(path: &str, value: &Value, kind: &str) -> Entity {
    let name = text(value, &format!("{kind}Name")).unwrap();
    let list = |key: &str| value.get(key).and_then(Value::as_array).into_iter().flatten();
    let inline = list(&format!("{kind}PolicyList"))
        .map(|policy| (text(policy, "PolicyName").unwrap(), document(&policy["PolicyDocument"])));
    let attached = list("AttachedManagedPolicies").map(|policy| text(policy, "PolicyArn").unwrap());
    Entity {
        arn: arn(path, value, &kind.to_lowercase(), &name),
        id: text(value, &format!("{kind}Id")),
        tags: tags(value),
        inline: inline.collect(),
        attached: attached.collect(),
        boundary: value.get("PermissionsBoundary").and_then(|boundary| text(boundary, "PermissionsBoundaryArn")),
        groups: strings(&value["GroupList"]),
        trust: value.get("AssumeRolePolicyDocument").map(document).unwrap_or_default(),
        name,
    }
}

fn resource(path: &str, value: &Value) -> Resource {
    let arn = text(value, "ResourceArn").unwrap();
    let of_arn = account_of(&arn).map(str::to_owned);
    Resource {
        account: text(value, "AccountId").or(of_arn).or_else(|| folder_account(path)),
        tags: tags(value),
        policy: value.get("ResourcePolicy").filter(|policy| !policy.is_null()).map(document),
        arn,
    }
}

fn organization(value: &Value) -> Value {
    let mut organization = value.clone();
    for policy in organization["OrganizationPolicies"].as_array_mut().into_iter().flatten() {
        policy["Content"] = document(&policy["Content"]);
    }
    organization
}

fn managed_document(value: &Value) -> Value {
    let versions = value.get("PolicyVersionList").and_then(Value::as_array).into_iter().flatten();
    let default =
        versions.clone().find(|version| version["IsDefaultVersion"] == true).or_else(|| versions.clone().next());
    document(default.map_or(&value["PolicyDocument"], |version| &version["Document"]))
}

/// An object, JSON in a string, or percent-encoded JSON in a string.
fn document(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    let decoded = || percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::from_str(&decoded()).unwrap())
}

fn tags(value: &Value) -> Vec<(String, String)> {
    let list = value.get("Tags").and_then(Value::as_array).into_iter().flatten();
    list.map(|tag| (text(tag, "Key").unwrap(), text(tag, "Value").unwrap_or_default())).collect()
}

fn arn(path: &str, value: &Value, kind: &str, name: &str) -> String {
    let built = || {
        let account = folder_account(path).unwrap();
        format!("arn:aws:iam::{account}:{kind}{}{name}", text(value, "Path").unwrap_or_else(|| "/".to_owned()))
    };
    text(value, "Arn").unwrap_or_else(built)
}

/// The nearest folder that is named with twelve digits.
fn folder_account(path: &str) -> Option<String> {
    path.rsplit('/').skip(1).find(|folder| is_account(folder)).map(str::to_owned)
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The account that an ARN names.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| is_account(account))
}

pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// A list or a lone value (rule 2), each in its string form (rule 3).
pub(super) fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().flat_map(strings).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
