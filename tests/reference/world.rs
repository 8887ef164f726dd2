//! Random policy stores: a list of what policy-store.md knows as files, each whole in itself.

use serde_json::{Value, json};

use super::dice::Dice;
use super::policies::{Kind, document};
use super::vocabulary::{
    AWS_MANAGED, GROUPS, HOME, LINKED, MANAGEMENT, NEAR, OUTSIDE, RESOURCES, ROLES, USERS, role_arn, unique_id,
    user_arn,
};

const ACCOUNTS: [&str; 4] = [HOME, NEAR, MANAGEMENT, OUTSIDE];

pub(super) fn world(dice: &mut Dice) -> Vec<Value> {
    let mut files = Vec::new();
    for account in ACCOUNTS {
        files.extend((0..3).map(|n| {
            let kind = if n == 2 { Kind::Boundary } else { Kind::Identity };
            json!({"PolicyName": format!("m{n}"), "Arn": managed_arn(account, n), "PolicyDocument": document(dice, kind)})
        }));
    }
    for (name, arn) in GROUPS.map(|name| (name, format!("arn:aws:iam::{HOME}:group/{name}"))) {
        let (inline, attached) = (inline(dice, 2), attached(dice, HOME));
        files.push(json!({
            "GroupName": name, "Arn": arn, "GroupPolicyList": inline, "AttachedManagedPolicies": attached
        }));
    }
    // Now and then somebody is not in the store.
    files.extend(USERS.map(|user| entity(dice, "User", user)).into_iter().filter(|_| dice.chance(96)));
    files.extend(ROLES.map(|role| entity(dice, "Role", role)).into_iter().filter(|_| dice.chance(96)));
    for resource in RESOURCES {
        if dice.chance(85) {
            files.push(described(dice, resource));
        }
    }
    for id in ["vpce-1", "vpce-2"] {
        files.push(json!({"VpcEndpointId": id, "OwnerId": HOME, "PolicyDocument": document(dice, Kind::Endpoint)}));
    }
    if dice.chance(85) {
        files.push(organization(dice));
    }
    // In no order: none must matter.
    dice.shuffle(&mut files);
    files
}

fn managed_arn(account: &str, n: usize) -> String {
    format!("arn:aws:iam::{account}:policy/m{n}")
}

fn entity(dice: &mut Dice, kind: &str, who: (&str, &str, &str)) -> Value {
    let (account, path, name) = who;
    let arn = if kind == "User" { user_arn(who) } else { role_arn(who) };
    let mut value = json!({
        (format!("{kind}Name")): name,
        "Path": path,
        "Arn": arn,
        (format!("{kind}PolicyList")): inline(dice, 2),
        "AttachedManagedPolicies": attached(dice, account),
    });
    if dice.chance(80) {
        let prefix = if kind == "User" { "AIDA" } else { "AROA" };
        value[format!("{kind}Id")] = unique_id(prefix, account, name).into();
    }
    if dice.chance(60) {
        value["Tags"] = tags(dice);
    }
    if kind == "Role" {
        value["AssumeRolePolicyDocument"] = written(dice, Kind::Trust);
    } else if account == HOME && dice.chance(60) {
        value["GroupList"] = json!(dice.some(&GROUPS, 1));
    }
    // Service-linked roles may have no boundary (rule 70).
    if who != LINKED && dice.chance(30) {
        let boundary = if dice.chance(15) { dice.pick(&AWS_MANAGED).to_owned() } else { managed_arn(account, 2) };
        value["PermissionsBoundary"] = json!({"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": boundary});
    }
    value
}

/// A document as JSON, or as JSON in a string.
fn written(dice: &mut Dice, kind: Kind) -> Value {
    let document = document(dice, kind);
    if dice.chance(10) { document.to_string().into() } else { document }
}

fn inline(dice: &mut Dice, most: usize) -> Vec<Value> {
    let count = dice.below(most + 1);
    let policy = |n| json!({"PolicyName": format!("p{n}"), "PolicyDocument": written(dice, Kind::Identity)});
    (0..count).map(policy).collect()
}

fn attached(dice: &mut Dice, account: &str) -> Vec<Value> {
    let mut arns = Vec::new();
    for n in 0..2 {
        if dice.chance(30) {
            arns.push(managed_arn(account, n));
        }
    }
    if dice.chance(15) {
        arns.push(dice.pick(&AWS_MANAGED).to_owned());
    }
    let name = |arn: &String| arn.rsplit('/').next().unwrap().to_owned();
    arns.iter().map(|arn| json!({"PolicyName": name(arn), "PolicyArn": arn})).collect()
}

fn tags(dice: &mut Dice) -> Value {
    let team = ["team", "Team"];
    let mut tags = vec![json!({"Key": dice.pick(&team), "Value": dice.pick(&["red", "blue", ""])})];
    if dice.chance(40) {
        tags.push(json!({"Key": "other", "Value": dice.pick(&["data", "*", "near/${aws:username}"])}));
    }
    Value::Array(tags)
}

fn described(dice: &mut Dice, (arn, account): (&str, &str)) -> Value {
    let mut value = json!({"ResourceArn": arn, "AccountId": account});
    if dice.chance(50) {
        value["Tags"] = tags(dice);
    }
    // What lies under a bucket has mostly the bucket's policy.
    if dice.chance(if arn.contains('/') && arn.contains(":s3:") { 30 } else { 85 }) {
        value["ResourcePolicy"] = written(dice, Kind::Resource);
    }
    value
}

// --- the organization -------------------------------------------------------------------------------------------------

fn organization(dice: &mut Dice) -> Value {
    let mut policies = Vec::new();
    let mut node = |id: &str, parent: Option<&str>| {
        let mut node = json!({"Id": id, "AttachedPolicies": attached_controls(dice, id, &mut policies)});
        if let Some(parent) = parent {
            node["ParentId"] = parent.into();
        }
        node
    };
    let (outer, inner) = ("ou-ab12-11111111", "ou-ab12-22222222");
    let roots = [node("r-ab12", None)];
    let units = [node(outer, Some("r-ab12")), node(inner, Some(outer))];
    let mut accounts = vec![node(HOME, Some(inner)), node(NEAR, Some("r-ab12")), node(MANAGEMENT, Some("r-ab12"))];
    // The management account belongs to it, listed or not; others only if they are.
    accounts.truncate(dice.pick(&[1, 2, 2, 2, 3, 3, 3, 3]));
    json!({
        "Organization": {"Id": "o-example001", "MasterAccountId": MANAGEMENT},
        "Roots": roots,
        "OrganizationalUnits": units,
        "Accounts": accounts,
        "OrganizationPolicies": policies,
    })
}

/// What is attached to a node; its own policies join the others.
fn attached_controls(dice: &mut Dice, node: &str, policies: &mut Vec<Value>) -> Vec<String> {
    let mut ids = Vec::new();
    if dice.chance(90) {
        ids.push("p-FullAWSAccess".to_owned());
    }
    // Two SCPs at one level unite (rule 64).
    let kinds = [
        ("scp", "SERVICE_CONTROL_POLICY", Kind::ServiceControl, 20),
        ("more", "SERVICE_CONTROL_POLICY", Kind::ServiceControl, 10),
        ("rcp", "RESOURCE_CONTROL_POLICY", Kind::ResourceControl, 15),
    ];
    for (prefix, name, kind, percent) in kinds {
        if dice.chance(percent) {
            let id = format!("p-{prefix}{node}");
            policies.push(json!({"Id": id, "Name": id, "Type": name, "Content": written(dice, kind)}));
            ids.push(id);
        }
    }
    ids
}
