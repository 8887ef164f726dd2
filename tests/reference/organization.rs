//! Where accounts stand in an organization.

use serde_json::Value;

/// Whether an account belongs to it, the management account included.
pub(super) fn has(organization: &Value, account: &str) -> bool {
    is_management(organization, account) || node(organization, "Accounts", account).is_some()
}

pub(super) fn is_management(organization: &Value, account: &str) -> bool {
    organization["Organization"]["MasterAccountId"] == account
}

/// Root, units and account, from the root on; None if the organization does not say where the account stands.
pub(super) fn levels<'a>(organization: &'a Value, account: &str) -> Option<Vec<&'a Value>> {
    let mut levels = vec![node(organization, "Accounts", account)?];
    loop {
        let Some(parent) = levels[0]["ParentId"].as_str() else { return Some(levels) };
        let above = node(organization, "OrganizationalUnits", parent).or_else(|| node(organization, "Roots", parent));
        levels.insert(0, above.unwrap());
    }
}

/// The policies of a type that are attached to a node.
pub(super) fn attached<'a>(organization: &'a Value, node: &'a Value, kind: &str) -> Vec<&'a Value> {
    let ids = node["AttachedPolicies"].as_array().into_iter().flatten();
    let policies = || organization["OrganizationPolicies"].as_array().into_iter().flatten();
    ids.filter_map(|id| policies().find(|policy| policy["Id"] == *id && policy["Type"] == kind)).collect()
}

/// Whether AWS's own policy is attached; one of that name in the store counts instead.
pub(super) fn has_full_access(organization: &Value, level: &Value) -> bool {
    let name = "p-FullAWSAccess";
    let own = node(organization, "OrganizationPolicies", name).is_some();
    !own && level["AttachedPolicies"].as_array().is_some_and(|ids| ids.iter().any(|id| id == name))
}

fn node<'a>(organization: &'a Value, list: &str, id: &str) -> Option<&'a Value> {
    organization[list].as_array()?.iter().find(|node| node["Id"] == id)
}
