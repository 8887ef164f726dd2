//! The store and the requests, as files.

use std::fs::{self, File};
use std::io::{BufWriter, Result, Write};
use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use crate::load::answer::{Decision, write_varint};

use super::GenerateArgs;
use super::questions::Question;
use super::world::{ACCOUNT, World};

/// Users, groups or policies in a file.
const PER_FILE: u64 = 1000;

/// The store: pieces of what `aws iam get-account-authorization-details` prints.
pub(super) fn store(world: &World, directory: &Path) -> Result<()> {
    let account = directory.join(ACCOUNT);
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    pieces(&account.join("policies"), "Policies", world.args.policies, |policy| self::policy(world, policy, false))?;
    pieces(&account.join("groups"), "GroupDetailList", world.args.groups, |group| self::group(world, group))?;
    pieces(&account.join("users"), "UserDetailList", world.args.users, |user| self::user(world, user))
}

/// Files of so many entities each, one on a line.
fn pieces(directory: &Path, list: &str, count: u64, entity: impl Fn(u64) -> Value) -> Result<()> {
    if count > 0 {
        fs::create_dir_all(directory)?;
    }
    for (piece, first) in (0..count).step_by(PER_FILE as usize).enumerate() {
        let mut file = BufWriter::new(File::create(directory.join(format!("{piece:05}.json")))?);
        write!(file, "{{\"{list}\": [")?;
        for number in first..(first + PER_FILE).min(count) {
            file.write_all(if number == first { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut file, &entity(number))?;
        }
        file.write_all(b"\n]}\n")?;
        file.flush()?;
    }
    Ok(())
}

/// The first file of policies once more, with every tenth policy turned round: what it allowed it denies, and the other
/// way. For runs in which files change.
pub(super) fn changed(world: &World, directory: &Path, questions: &[Question]) -> Result<()> {
    let turned = |policy: u64| policy.is_multiple_of(10);
    let policies = world.args.policies.min(PER_FILE);
    pieces(&directory.join("changed"), "Policies", policies, |policy| self::policy(world, policy, turned(policy)))?;
    let either = |question: &Question| match (
        question.policy.filter(|policy| turned(*policy) && *policy < PER_FILE),
        question.decision,
    ) {
        (Some(_), Decision::Allow | Decision::ExplicitDeny) => "AD\n".to_owned(),
        (_, decision) => format!("{}\n", decision.letter()),
    };
    fs::write(directory.join("changed.decisions"), questions.iter().map(either).collect::<String>())
}

fn policy(world: &World, policy: u64, turned: bool) -> Value {
    let statement = |place| {
        let mut statement = world.statement(policy, place);
        statement.denies ^= turned;
        statement.json()
    };
    let statements: Vec<Value> = (0..world.args.statements_per_policy).map(statement).collect();
    json!({
        "PolicyName": World::policy_name(policy),
        "Arn": World::policy_arn(policy),
        "DefaultVersionId": "v1",
        "PolicyVersionList": [{
            "VersionId": "v1",
            "IsDefaultVersion": true,
            "Document": {"Version": "2012-10-17", "Statement": statements},
        }],
    })
}

fn attached(policies: Vec<u64>) -> Vec<Value> {
    let one = |policy| json!({"PolicyName": World::policy_name(policy), "PolicyArn": World::policy_arn(policy)});
    policies.into_iter().map(one).collect()
}

fn group(world: &World, group: u64) -> Value {
    json!({
        "GroupName": World::group_name(group),
        "AttachedManagedPolicies": attached(world.policies_of_group(group)),
    })
}

fn user(world: &World, user: u64) -> Value {
    let groups: Vec<String> = world.groups_of_user(user).into_iter().map(World::group_name).collect();
    json!({
        "UserName": World::user_name(user),
        "Arn": World::user_arn(user),
        "GroupList": groups,
        "AttachedManagedPolicies": attached(world.policies_of_user(user)),
    })
}

/// The requests: for `run`, for ghz, and as policy tests.
pub(super) fn requests(questions: &[Question], args: &GenerateArgs) -> Result<()> {
    let directory = &args.directory;
    fs::create_dir_all(directory)?;
    fs::write(directory.join("parameters.json"), format!("{}\n", serde_json::to_string_pretty(args)?))?;
    lengths_first(
        &directory.join("requests.bin"),
        questions.iter().map(|question| question.message().encode_to_vec()),
    )?;
    decisions(&directory.join("requests.decisions"), questions)?;
    if args.only_binary {
        return Ok(());
    }
    let mut file = BufWriter::new(File::create(directory.join("requests.json"))?);
    list(&mut file, questions.iter().map(request))?;
    file.write_all(b"\n")?;
    file.flush()?;
    let mut file = BufWriter::new(File::create(directory.join("tests.json"))?);
    file.write_all(b"{\"description\": \"what generated requests must get\", \"policies\": \"store\", \"tests\": ")?;
    let test = |(number, question): (usize, &Question)| {
        let expect = json!({"decision": question.decision.to_string()});
        json!({"name": format!("request {number}"), "request": request(question), "expect": expect})
    };
    list(&mut file, questions.iter().enumerate().map(test))?;
    file.write_all(b"}\n")?;
    file.flush()
}

/// One on a line.
fn list(file: &mut impl Write, values: impl Iterator<Item = Value>) -> Result<()> {
    file.write_all(b"[")?;
    for (number, value) in values.enumerate() {
        file.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *file, &value)?;
    }
    file.write_all(b"\n]")
}

pub(super) fn lengths_first(file: &Path, messages: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    let mut length = Vec::new();
    for message in messages {
        length.clear();
        write_varint(&mut length, message.len() as u64);
        file.write_all(&length)?;
        file.write_all(&message)?;
    }
    file.flush()
}

pub(super) fn decisions(file: &Path, questions: &[Question]) -> Result<()> {
    let letters: String = questions.iter().flat_map(|question| [question.decision.letter(), '\n']).collect();
    fs::write(file, letters)
}

/// In protobuf's JSON form.
fn request(question: &Question) -> Value {
    let context: serde_json::Map<String, Value> =
        question.context.iter().map(|(key, value)| (key.clone(), json!({"values": [value]}))).collect();
    json!({
        "principal": World::user_arn(question.user),
        "action": question.action,
        "resource": question.resource,
        "context": context,
    })
}
