//! A store that is loaded change by change is what it would be if all of it were loaded at once.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use iamd::directory::{Directory, Entity, EntityTags, StoreOptions};
use iamd::policy::CompiledPolicy;
use iamd::reload::source::{Source, Trust};
use iamd::reload::{Build, Built, patch};
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

// --- files in the places of others -----------------------------------------------------------------------------------

/// What may stand in one file after the other: each time the same users, roles or resources.
fn versions() -> Vec<(&'static str, Vec<String>)> {
    let inline = |action: &str| {
        let policy =
            |name: &str| format!(r#"{{"PolicyName": "{name}", "PolicyDocument": {}}}"#, OPEN.replace("s3:*", action));
        format!(r#", "UserPolicyList": [{}, {}]"#, policy("i"), policy("j"))
    };
    let attached = |arns: &[&str]| {
        let arns: Vec<_> = arns.iter().map(|arn| format!(r#"{{"PolicyArn": "arn:aws:iam::{arn}"}}"#)).collect();
        format!(r#", "AttachedManagedPolicies": [{}]"#, arns.join(", "))
    };
    let (p, q, aws) = ("123456789012:policy/p", "123456789012:policy/q", "aws:policy/ReadOnlyAccess");
    let boundary = r#", "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/q"}"#;
    let user = |name: &str, rest: &str| format!(r#"{{"UserName": "{name}"{rest}}}"#);
    let trust = |principal: &str| {
        format!(
            r#""AssumeRolePolicyDocument": {{"Statement":
                {{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "sts:AssumeRole"}}}}"#
        )
    };
    let bucket = |name: &str, rest: &str| format!(r#"{{"ResourceArn": "arn:aws:s3:::{name}"{rest}}}"#);
    let policy = |name: &str, action: &str| {
        format!(r#"{{"PolicyName": "{name}", "PolicyDocument": {}}}"#, OPEN.replace("s3:*", action))
    };
    let ann = [
        String::new(),
        inline("s3:*"),
        inline("s3:GetObject"),
        // A word that is no action of the service, as a warning says.
        inline("s3:GetObjekt"),
        attached(&[p]),
        attached(&[q, p]) + &inline("sqs:*"),
        attached(&[p]) + r#", "GroupList": ["g"]"#,
        r#", "GroupList": ["g", "h"], "Tags": [{"Key": "team", "Value": "red"}]"#.to_owned() + boundary,
        r#", "Tags": [{"Key": "team", "Value": "blue"}]"#.to_owned(),
        attached(&[aws]),
        // What is wrong, and what others see.
        r#", "GroupList": ["nobody"]"#.to_owned(),
        attached(&["123456789012:policy/nothing"]),
        r#", "UserId": "AIDA1""#.to_owned(),
    ];
    let pair = |rest: &str| format!("[{}, {}]", user("ben", rest), user("cid", &inline("sns:*")));
    vec![
        ("ann.json", ann.iter().map(|rest| user("ann", rest)).collect()),
        ("pair.json", [String::new(), inline("s3:*"), attached(&[q])].iter().map(|rest| pair(rest)).collect()),
        ("role.json", ["*", "123456789012"].map(|who| format!(r#"{{"RoleName": "r", {}}}"#, trust(who))).to_vec()),
        (
            "bucket.json",
            vec![
                bucket("b", r#", "Tags": [{"Key": "a", "Value": "b"}]"#),
                bucket("b", ""),
                bucket("b", r#", "AccountId": "123456789012""#),
                bucket("c", ""),
            ],
        ),
        ("p.json", ["s3:*", "sqs:*"].map(|action| policy("p", action)).to_vec()),
        // With tags it is a resource, too.
        (
            "q.json",
            ["s3:*", "sqs:*"]
                .map(|action| policy("q", action).replacen('{', r#"{"Tags": [{"Key": "a", "Value": "b"}], "#, 1))
                .into_iter()
                .chain([policy("q", "s3:*")])
                .collect(),
        ),
        ("aws.json", vec![user("dan", &attached(&[aws])), user("dan", "")]),
        (
            "g.json",
            [attached(&[p]), String::new(), attached(&[q, p])]
                .map(|rest| format!(r#"{{"GroupName": "g"{rest}}}"#))
                .into_iter()
                .chain([r#"{"GroupName": "G"}"#.to_owned()])
                .collect(),
        ),
        ("eve.json", vec![user("eve", r#", "GroupList": ["g"]"#)]),
        ("fay.json", vec![user("fay", &(attached(&[p]) + boundary))]),
        ("h.json", vec![r#"{"GroupName": "h"}"#.to_owned()]),
    ]
}

/// A store that is loaded by what is told of it.
struct Told {
    store: tempfile::TempDir,
    source: Source,
    active: Loaded,
}

impl Told {
    /// With the first version of each file.
    fn new() -> Self {
        let store = tempfile::tempdir().unwrap();
        fs::create_dir(store.path().join("123456789012")).unwrap();
        for (name, texts) in versions() {
            fs::write(store.path().join("123456789012").join(name), texts.first().unwrap()).unwrap();
        }
        let mut source = Source::new(store.path());
        let active = load(&mut source, Trust::Nothing, Build::new(&StoreOptions::default())).unwrap();
        source.mark();
        Self { store, source, active }
    }

    /// Writes these versions; what comes of them, and whether no other file was looked at for it.
    fn write(&mut self, files: &[(usize, usize)]) -> (Built, bool) {
        let folder = fs::canonicalize(self.store.path()).unwrap().join("123456789012");
        let mut told = std::collections::BTreeSet::new();
        for (file, version) in files {
            let (name, texts) = versions().swap_remove(*file);
            fs::write(folder.join(name), texts.iter().cycle().nth(*version).unwrap()).unwrap();
            told.insert(folder.join(name));
        }
        let (directory, options) = (&self.active.directory, StoreOptions::default());
        let changes = self.source.changes(&told);
        let patched = changes.and_then(|changes| patch(directory, &self.active.warnings, &changes, &options));
        let is_patched = patched.is_some();
        let built = patched.map(Ok).unwrap_or_else(|| {
            let mut build = Build::after(directory, &options);
            let read = self.source.read_told(Trust::Events, Some(&told), &mut build);
            build.finish(&read)
        });
        (built, is_patched)
    }

    fn at_once(&self) -> Built {
        load(&mut Source::new(self.store.path()), Trust::Nothing, Build::new(&StoreOptions::default()))
    }

    fn install(&mut self, built: Built) {
        if let Ok(loaded) = built {
            self.active = loaded;
            self.source.mark();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_in_the_place_of_another_is_as_all_at_once(
        // Most are about the first files: the others are seen by all.
        steps in prop::collection::vec(prop::collection::vec((prop_oneof![6 => 0..4_usize, 1 => 4..11_usize], 0..13_usize), 1..3), 1..12),
    ) {
        let mut told = Told::new();
        for step in steps {
            let (built, _) = told.write(&step);
            prop_assert_eq!(shown(&built), shown(&told.at_once()), "after {:?}", step);
            told.install(built);
        }
    }
}

#[test]
fn what_is_named_as_before_is_changed_without_a_look_at_all() {
    let all = versions();
    let number = |name: &str| all.iter().position(|(known, _)| *known == name).unwrap();
    let (ann, pair, role, bucket) =
        (number("ann.json"), number("pair.json"), number("role.json"), number("bucket.json"));
    let mut alone: Vec<Vec<(usize, usize)>> = (1..9).map(|version| vec![(ann, version)]).collect();
    alone.extend([vec![(pair, 1)], vec![(pair, 2)], vec![(role, 1)], vec![(bucket, 1)], vec![(bucket, 2)]]);
    alone.extend([vec![(pair, 0), (role, 0), (ann, 1)], vec![(ann, 0)]]);
    // And with a look at those alone who name them.
    let (p, q, group) = (number("p.json"), number("q.json"), number("g.json"));
    alone.extend([vec![(p, 1)], vec![(q, 1)], vec![(group, 1)], vec![(group, 2)], vec![(p, 0), (group, 0), (ann, 6)]]);
    alone.extend([vec![(p, 1), (ann, 7)], vec![(q, 0)]]);
    let mut told = Told::new();
    for step in alone {
        let (built, is_patched) = told.write(&step);
        assert!(is_patched, "{step:?}");
        assert_eq!(shown(&built), shown(&told.at_once()), "{step:?}");
        told.install(built);
    }
    let seen = [(ann, 9), (ann, 10), (ann, 11), (ann, 12), (bucket, 3), (q, 2), (number("aws.json"), 1), (group, 3)];
    for step in seen {
        assert!(!Told::new().write(&[step]).1, "{step:?}");
    }
}

/// What is left behind is kept until all is looked at; so that happens now and then.
#[test]
fn what_is_no_longer_wanted_is_let_go_in_the_end() {
    let mut told = Told::new();
    let patched = (0..200).filter(|step| {
        let (built, is_patched) = told.write(&[(0, 1 + step % 2)]);
        told.install(built);
        is_patched
    });
    assert_eq!(patched.count(), 200 - 200 / 65);
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
