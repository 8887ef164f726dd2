//! A request, as it is written in a suite: IsAuthorizedRequest in protobuf's JSON form.

use serde_json::Value;

use super::store::strings;

#[derive(Clone, Default)]
pub(super) struct Request {
    pub principal: String,
    pub action: String,
    pub resource: String,
    pub context: Vec<(String, Vec<String>)>,
    pub resource_account: String,
    pub session_policies: Vec<String>,
    pub session_tags: Vec<(String, String)>,
    pub federated_by: String,
}

impl Request {
    pub(super) fn read(json: &Value) -> Self {
        let field = |camel: &str, snake: &str| json.get(camel).or_else(|| json.get(snake)).cloned().unwrap_or_default();
        let text = |camel, snake| field(camel, snake).as_str().unwrap_or_default().to_owned();
        let context = json["context"].as_object().into_iter().flatten();
        let tags = field("sessionTags", "session_tags");
        Self {
            principal: text("principal", "principal"),
            action: text("action", "action"),
            resource: text("resource", "resource"),
            context: context.map(|(key, values)| (key.clone(), strings(&values["values"]))).collect(),
            resource_account: text("resourceAccount", "resource_account"),
            session_policies: strings(&field("sessionPolicies", "session_policies")),
            session_tags: tags
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
                .collect(),
            federated_by: text("federatedBy", "federated_by"),
        }
    }
}
