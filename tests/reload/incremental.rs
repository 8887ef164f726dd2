//! A store that is loaded change by change is what it would be if all of it were loaded at once.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use iamd::directory::{Directory, Entity, EntityTags, StoreOptions};
use iamd::policy::CompiledPolicy;
use iamd::reload::source::{Source, Trust};
use iamd::reload::{Build, Built};
use iamd::snapshot::Loaded;
use proptest::prelude::*;

/// Where files may be; the folders are accounts.
const PATHS: [&str; 8] = [
    "123456789012/a.json",
    "123456789012/b.json",
    "123456789012/c.json",
    "123456789012/p.json",
    "210987654321/a.json",
    "210987654321/p.json",
    "org.json",
    "z.json",
];

const OPEN: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;

/// What may be in them. Together they hold every kind of thing, references that lead from file to file, and what can be wrong.
fn contents() -> Vec<String> {
    let user = |name: &str, rest: &str| format!(r#"{{"UserName": "{name}"{rest}}}"#);
    let attached = |arn: &str| format!(r#", "AttachedManagedPolicies": [{{"PolicyArn": "{arn}"}}]"#);
    let own = "arn:aws:iam::123456789012:policy/p";
    let aws = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let of_aws = |version: &str| {
        format!(
            r#"{{"PolicyName": "Mine", "Arn": "arn:aws:iam::aws:policy/Mine", "PolicyDocument": {}}}"#,
            OPEN.replace("2012-10-17", version)
        )
    };
    let inline = format!(r#", "UserPolicyList": [{{"PolicyName": "i", "PolicyDocument": {OPEN}}}]"#);
    let trust = r#""AssumeRolePolicyDocument":
        {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}"#;
    let organization = |account: &str| {
        format!(
            r#"{{"Organization": {{"Id": "o-1", "MasterAccountId": "999999999999"}},
            "Roots": [{{"Id": "r-1", "AttachedPolicies": ["p-FullAWSAccess"]}}],
            "Accounts": [{{"Id": "{account}", "ParentId": "r-1", "AttachedPolicies": ["p-FullAWSAccess"]}}]}}"#
        )
    };
    vec![
        OPEN.to_owned(),
        OPEN.replace("s3:*", "sqs:*"),
        OPEN.replace("s3:*", "s4:*").replace("Effect", "Efect"),
        user("bob", ""),
        user("bob", r#", "GroupList": ["g"], "UserId": "AIDA1", "Tags": [{"Key": "a", "Value": "b"}]"#),
        user("Bob", r#", "GroupList": ["g", "G"], "UserId": "AIDA1""#),
        user("eve", &(attached(own) + r#", "GroupList": ["g"]"#)),
        user("eve", &(attached(aws) + &inline)),
        user("mallory", r#", "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/p"}"#),
        user("carol", &attached("arn:aws:iam::aws:policy/Mine")),
        format!(r#"{{"GroupName": "g"{}}}"#, attached(own)),
        format!(r#"{{"GroupName": "g"{}}}"#, attached(aws)),
        format!(
            r#"{{"GroupDetailList": [{{"GroupName": "g"}}, {{"GroupName": "gg"}}], "UserDetailList": [{}, {}]}}"#,
            user("u1", r#", "GroupList": ["gg"]"#),
            user("u2", r#", "GroupList": ["gg"]"#)
        ),
        format!(r#"{{"UserDetailList": [{}, "no user"]}}"#, user("u1", r#", "Grouplist": []"#)),
        format!(r#"{{"UserDetailList": [{}, "#, user("bob", "")),
        format!(r#"{{"UserDetailList": [{}], "UserDetailList": []}}"#, user("bob", "")),
        format!("[{}, {}]", user("l1", ""), user("l2", &attached(own))),
        format!(r#"{{"RoleName": "r", {trust}}}"#),
        format!(r#"{{"RoleName": "r", "RoleId": "AIDA1", {trust}{}}}"#, attached("arn:aws:iam::aws:policy/Min")),
        of_aws("2012-10-17"),
        of_aws("2008-10-17"),
        format!("[{}, {}]", of_aws("2012-10-17"), user("carol", &attached("arn:aws:iam::aws:policy/Mine"))),
        format!(
            r#"{{"ResourceArn": "arn:aws:s3:::b", "ResourcePolicy": {}}}"#,
            OPEN.replace(r#""Action""#, r#""Principal": "*", "Action""#)
        ),
        r#"{"ResourceArn": "arn:aws:s3:::b", "AccountId": "123456789012"}"#.to_owned(),
        r#"{"ResourceArn": "arn:aws:iam::123456789012:user/bob"}"#.to_owned(),
        format!(
            r#"{{"VpcEndpointId": "vpce-1", "PolicyDocument": {}}}"#,
            OPEN.replace(r#""Action""#, r#""Principal": "*", "Action""#)
        ),
        organization("123456789012"),
        organization("210987654321"),
        r#"{"nothing": "known"}"#.to_owned(),
        String::new(),
    ]
}

/// A change of one file.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, usize),
    Remove(usize),
    Move(usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let path = || 0..PATHS.len();
    let change = prop_oneof![
        6 => (path(), 0..contents().len()).prop_map(|(path, content)| Change::Write(path, content)),
        2 => path().prop_map(Change::Remove),
        1 => (path(), path()).prop_map(|(from, to)| Change::Move(from, to)),
    ];
    prop::collection::vec(prop::collection::vec(change, 1..3), 1..12)
}

fn apply(store: &Path, change: &Change) {
    let at = |path: &usize| store.join(PATHS.get(*path).unwrap());
    match change {
        Change::Write(path, content) => fs::write(at(path), contents().get(*content).unwrap()).unwrap(),
        // What is not there cannot be removed.
        Change::Remove(path) => drop(fs::remove_file(at(path))),
        Change::Move(from, to) => drop(fs::rename(at(from), at(to))),
    }
}

fn load(source: &mut Source, trust: Trust, mut build: Build<'_>) -> Built {
    let read = source.read(trust, &mut build);
    build.finish(&read)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn change_by_change_is_as_at_once(steps in changes()) {
        let store = tempfile::tempdir().unwrap();
        for path in PATHS {
            fs::create_dir_all(store.path().join(path).parent().unwrap()).unwrap();
        }
        let options = StoreOptions::default();
        let mut source = Source::new(store.path());
        let mut active: Option<Loaded> = None;
        for step in steps {
            step.iter().for_each(|change| apply(store.path(), change));
            let at_once = load(&mut Source::new(store.path()), Trust::Nothing, Build::new(&options));
            let build = match &active {
                Some(loaded) => Build::after(&loaded.directory, &options),
                None => Build::new(&options),
            };
            let by_change = load(&mut source, Trust::Stamps, build);
            prop_assert_eq!(shown(&by_change), shown(&at_once), "after {:?}", step);
            if let Ok(loaded) = by_change {
                active = Some(loaded);
            }
        }
    }
}

#[test]
fn what_did_not_change_is_shared() {
    let store = tempfile::tempdir().unwrap();
    fs::create_dir(store.path().join("123456789012")).unwrap();
    let at = |name: &str| store.path().join("123456789012").join(name);
    let attached = r#""AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]"#;
    fs::write(at("g.json"), format!(r#"{{"GroupName": "g", {attached}}}"#)).unwrap();
    fs::write(at("u.json"), r#"{"UserName": "u", "GroupList": ["g"]}"#).unwrap();
    let (options, mut source) = (StoreOptions::default(), Source::new(store.path()));
    let first = load(&mut source, Trust::Nothing, Build::new(&options)).unwrap().directory;
    fs::write(at("v.json"), r#"{"UserName": "v", "GroupList": ["g"]}"#).unwrap();
    let second = load(&mut source, Trust::Nothing, Build::after(&first, &options)).unwrap().directory;
    let fragments = |directory: &Directory| directory.fragments().map(Arc::as_ptr).collect::<Vec<_>>();
    assert!(fragments(&second).starts_with(&fragments(&first)));
    let set = |directory: &Directory, name: &str| {
        let user = directory.users.get(&format!("arn:aws:iam::123456789012:user/{name}")).unwrap();
        Arc::as_ptr(user.policies().next().unwrap())
    };
    assert_eq!(set(&first, "u"), set(&second, "u"));
    assert_eq!(set(&second, "u"), set(&second, "v"));
}

// --- what came ------------------------------------------------------------------------------------------------------

fn shown(built: &Built) -> String {
    let mut text = String::new();
    match built {
        Err(findings) => findings.iter().for_each(|finding| writeln!(text, "{finding}").unwrap()),
        Ok(loaded) => {
            writeln!(text, "{} {} bytes {:?}", loaded.revision, loaded.bytes, loaded.warnings).unwrap();
            show_directory(&loaded.directory, &mut text);
        }
    }
    text
}

fn show_directory(directory: &Directory, text: &mut String) {
    let mut lines = vec![format!("{} policies, {} statements", directory.policy_count, directory.statement_count)];
    lines.extend(directory.accounts.iter().map(|account| format!("account {account}")));
    lines.extend(directory.users.iter().map(show_entity));
    lines.extend(directory.roles.iter().map(|role| show_entity(role.entity) + &show_policy(role.trust)));
    lines.extend(directory.resources.iter().map(|(arn, resource)| {
        let policy = resource.policy.as_deref().map(show_policy);
        format!("{arn} {:?} {:?} {policy:?}", resource.account, resource.tags)
    }));
    let endpoint = |(id, endpoint): (&Arc<str>, &Arc<iamd::directory::VpcEndpoint>)| {
        format!("{id} {:?} {}", endpoint.owner, show_policy(&endpoint.policy))
    };
    lines.extend(directory.vpc_endpoints.iter().map(endpoint));
    if let Some(organization) = &directory.organization {
        let accounts = organization.accounts.iter().map(|(account, membership)| (account, &membership.path));
        let sorted: std::collections::BTreeMap<_, _> = accounts.collect();
        lines.push(format!("{} {sorted:?}", organization.id));
    }
    lines.sort();
    text.push_str(&lines.join("\n"));
}

fn show_entity(entity: Entity<'_>) -> String {
    let policies: Vec<_> = entity.each_policy().map(show_policy).collect();
    let boundary: Vec<_> = entity.boundary().into_iter().flat_map(|set| set.policies()).collect();
    let tags: &EntityTags = entity.tags();
    format!("{} {:?} {tags:?} {policies:?} {boundary:?}", entity.arn(), entity.unique_id())
}

/// All of it, with where its statements stand.
fn show_policy(policy: &CompiledPolicy) -> String {
    format!("{policy:?}")
}
