//! The same decisions for peers, each in its own natural form.
//!
//! | iamd | Cerbos | OPA | Cedar |
//! |---|---|---|---|
//! | managed policy | role | entry of `data.store.policies` | group (`Role`) |
//! | attachment | `roles` of the request | `data.store.users` | parents of the user |
//! | statement | rule of the bucket's resource policy | object in a list, tried one after the other | policy |
//! | `Resource` bucket/* | resource kind | prefix of the ARN | the bucket, by `==` |
//! | `Condition` | CEL | rego | `when` |
//!
//! Cerbos keeps no users: a request to it brings the user's roles along.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Result, Write};
use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use super::files::{decisions, lengths_first};
use super::questions::Question;
use super::world::{NETWORK, World};
use crate::proto::cerbos;

const ACTION: &str = "GetObject";

pub(super) fn write(world: &World, questions: &[Question], directory: &Path) -> Result<()> {
    cerbos_policies(world, &directory.join("cerbos/policies"))?;
    lengths_first(&directory.join("cerbos/requests.bin"), questions.iter().map(|one| cerbos_request(world, one)))?;
    decisions(&directory.join("cerbos/requests.decisions"), questions)?;
    opa_data(world, &directory.join("opa"))?;
    lengths_first(&directory.join("opa/requests.bin"), questions.iter().map(opa_request))?;
    decisions(&directory.join("opa/requests.decisions"), questions)?;
    cedar(world, questions, &directory.join("cedar"))
}

/// What lies between `arn:aws:s3:::` and the object.
fn bucket(resource: &str) -> &str {
    resource.strip_prefix("arn:aws:s3:::").unwrap_or(resource).split('/').next().unwrap_or_default()
}

fn statements(world: &World) -> impl Iterator<Item = (u64, super::world::Statement)> {
    let per_policy = world.args.statements_per_policy;
    (0..world.args.policies)
        .flat_map(move |policy| (0..per_policy).map(move |place| (policy, place)))
        .map(|(policy, place)| (policy, world.statement(policy, place)))
}

fn cerbos_policies(world: &World, directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    for (policy, statement) in statements(world) {
        let kind = bucket(&statement.resource).to_owned();
        let mut rule = json!({
            "actions": [ACTION],
            "effect": if statement.denies { "EFFECT_DENY" } else { "EFFECT_ALLOW" },
            "roles": [World::policy_name(policy)],
        });
        if statement.conditional {
            let expression = format!("P.attr.tls && P.attr.ip.inIPAddrRange(\"{NETWORK}\")");
            rule["condition"] = json!({"match": {"expr": expression}});
        }
        let document = json!({
            "apiVersion": "api.cerbos.dev/v1",
            "resourcePolicy": {"resource": kind, "version": "default", "rules": [rule]},
        });
        fs::write(directory.join(format!("{kind}.json")), document.to_string())?;
    }
    Ok(())
}

fn cerbos_request(world: &World, question: &Question) -> Vec<u8> {
    use cerbos::value::Kind;
    let value = |kind| cerbos::Value { kind: Some(kind) };
    let address = question.context.get("aws:SourceIp").cloned().unwrap_or_default();
    let attr = BTreeMap::from([
        ("ip".to_owned(), value(Kind::StringValue(address))),
        ("tls".to_owned(), value(Kind::BoolValue(true))),
    ]);
    let roles = world.policies_for(question.user).into_iter().map(World::policy_name).collect();
    let resource = cerbos::Resource { kind: bucket(&question.resource).to_owned(), id: question.resource.clone() };
    cerbos::CheckResourcesRequest {
        request_id: String::new(),
        principal: Some(cerbos::Principal { id: World::user_name(question.user), roles, attr }),
        resources: vec![cerbos::ResourceEntry { actions: vec![ACTION.to_owned()], resource: Some(resource) }],
    }
    .encode_to_vec()
}

const REGO: &str = r#"package iam

default decision := "implicit_deny"

decision := "explicit_deny" if {
	applies("Deny")
} else := "allow" if {
	applies("Allow")
}

applies(effect) if {
	some policy in data.store.users[input.principal]
	some statement in data.store.policies[policy]
	statement.effect == effect
	statement.action == input.action
	startswith(input.resource, statement.prefix)
	fits(statement)
}

fits(statement) if not statement.network

fits(statement) if {
	input.tls
	net.cidr_contains(statement.network, input.ip)
}
"#;

fn opa_data(world: &World, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let users: serde_json::Map<String, Value> = (0..world.args.users)
        .map(|user| {
            let policies: Vec<String> = world.policies_for(user).into_iter().map(World::policy_name).collect();
            (World::user_arn(user), json!(policies))
        })
        .collect();
    let mut policies = serde_json::Map::new();
    for (policy, statement) in statements(world) {
        let mut entry = json!({
            "effect": if statement.denies { "Deny" } else { "Allow" },
            "action": statement.action,
            "prefix": statement.asked_resource,
        });
        if statement.conditional {
            entry["network"] = json!(NETWORK);
        }
        let list = policies.entry(World::policy_name(policy)).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(entry);
        }
    }
    fs::write(directory.join("policy.rego"), REGO)?;
    fs::write(directory.join("data.json"), json!({"store": {"users": users, "policies": policies}}).to_string())
}

fn opa_request(question: &Question) -> Vec<u8> {
    let input = json!({
        "principal": World::user_arn(question.user),
        "action": question.action,
        "resource": question.resource,
        "ip": question.context.get("aws:SourceIp"),
        "tls": true,
    });
    json!({ "input": input }).to_string().into_bytes()
}

/// Policies in Cedar's language, entities in its JSON, and requests as lines of principal, bucket, address and decision.
fn cedar(world: &World, questions: &[Question], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = BufWriter::new(File::create(directory.join("policies.cedar"))?);
    for (policy, statement) in statements(world) {
        let effect = if statement.denies { "forbid" } else { "permit" };
        let (role, bucket) = (World::policy_name(policy), bucket(&statement.resource));
        write!(
            file,
            "{effect}(principal in Role::\"{role}\", action == Action::\"{ACTION}\", resource == Bucket::\"{bucket}\")"
        )?;
        if statement.conditional {
            write!(file, " when {{ context.tls && context.ip.isInRange(ip(\"{NETWORK}\")) }}")?;
        }
        file.write_all(b";\n")?;
    }
    file.flush()?;
    let entities: Vec<Value> = (0..world.args.users)
        .map(|user| {
            let role = |policy| json!({"type": "Role", "id": World::policy_name(policy)});
            let roles: Vec<Value> = world.policies_for(user).into_iter().map(role).collect();
            json!({"uid": {"type": "User", "id": World::user_name(user)}, "attrs": {}, "parents": roles})
        })
        .collect();
    fs::write(directory.join("entities.json"), Value::from(entities).to_string())?;
    let line = |question: &Question| {
        let address = question.context.get("aws:SourceIp").cloned().unwrap_or_default();
        let (user, bucket) = (World::user_name(question.user), bucket(&question.resource));
        format!("{user}\t{bucket}\t{address}\t{}\n", question.decision.letter())
    };
    fs::write(directory.join("requests.tsv"), questions.iter().map(line).collect::<String>())
}
