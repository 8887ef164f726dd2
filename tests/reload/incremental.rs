//! A store that is loaded change by change is what it would be if all of it were loaded at once.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use iamd::directory::{ChangedFile, Directory, Entity, EntityTags, Loader, StoreOptions};
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

const P: &str = "123456789012:policy/p";
const Q: &str = "123456789012:policy/q";
const AWS: &str = "aws:policy/IAMUserChangePassword";
const BOUNDARY: &str = r#", "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/q"}"#;

fn user(name: &str, rest: &str) -> String {
    format!(r#"{{"UserName": "{name}"{rest}}}"#)
}

fn inline(action: &str) -> String {
    let policy = |name: &str| policy(name, action);
    format!(r#", "UserPolicyList": [{}, {}]"#, policy("i"), policy("j"))
}

fn attached(arns: &[&str]) -> String {
    let arns: Vec<_> = arns.iter().map(|arn| format!(r#"{{"PolicyArn": "arn:aws:iam::{arn}"}}"#)).collect();
    format!(r#", "AttachedManagedPolicies": [{}]"#, arns.join(", "))
}

fn policy(name: &str, action: &str) -> String {
    format!(r#"{{"PolicyName": "{name}", "PolicyDocument": {}}}"#, OPEN.replace("s3:*", action))
}

fn tagged(key: &str, policy: &str) -> String {
    policy.replacen('{', &format!(r#"{{"Tags": [{{"Key": "{key}", "Value": "b"}}], "#), 1)
}

fn group(name: &str, rest: &str) -> String {
    format!(r#"{{"GroupName": "{name}"{rest}}}"#)
}

fn role(name: &str, principal: &str, rest: &str) -> String {
    format!(
        r#"{{"RoleName": "{name}", "AssumeRolePolicyDocument": {{"Statement":
            {{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "sts:AssumeRole"}}}}{rest}}}"#
    )
}

/// What may stand in one file after the other: most of it the same users, roles or resources as before.
fn versions() -> Vec<(&'static str, Vec<String>)> {
    let bucket = |name: &str, rest: &str| format!(r#"{{"ResourceArn": "arn:aws:s3:::{name}"{rest}}}"#);
    let pair = |rest: &str| format!("[{}, {}]", user("ben", rest), user("cid", &inline("sns:*")));
    let mut all = vec![
        ("ann.json", anns().iter().map(|rest| user("ann", rest)).collect()),
        ("pair.json", [String::new(), inline("s3:*"), attached(&[Q])].iter().map(|rest| pair(rest)).collect()),
        (
            "role.json",
            [("r", "*"), ("r", "123456789012"), ("rr", "*"), ("R", "*")]
                .map(|(name, who)| role(name, who, ""))
                .to_vec(),
        ),
        (
            "bucket.json",
            vec![
                bucket("b", r#", "Tags": [{"Key": "a", "Value": "b"}]"#),
                bucket("b", ""),
                bucket("b", r#", "AccountId": "123456789012""#),
                bucket("c", ""),
            ],
        ),
        ("p.json", vec![policy("p", "s3:*"), policy("p", "sqs:*"), policy("pp", "s3:*")]),
        // With tags it is a resource, too.
        ("q.json", vec![tagged("a", &policy("q", "s3:*")), tagged("a", &policy("q", "sqs:*")), policy("q", "s3:*")]),
        ("aws.json", vec![user("dan", &attached(&[AWS])), user("dan", "")]),
        ("g.json", vec![group("g", &attached(&[P])), group("g", ""), group("g", &attached(&[Q, P])), group("G", "")]),
        ("eve.json", vec![user("eve", r#", "GroupList": ["g"]"#)]),
        ("fay.json", vec![user("fay", &(attached(&[P]) + BOUNDARY))]),
        ("h.json", vec![group("h", "")]),
    ];
    all.extend(versions_of_many());
    all
}

/// What may be written about a user.
fn anns() -> Vec<String> {
    let unknown_version = |action: &str| inline(action).replace("2012-10-17", "2013-10-17");
    vec![
        String::new(),
        inline("s3:*"),
        inline("s3:GetObject"),
        // A version that AWS has never had, as a warning says.
        unknown_version("s3:*"),
        attached(&[P]),
        attached(&[Q, P]) + &inline("sqs:*"),
        attached(&[P]) + r#", "GroupList": ["g"]"#,
        r#", "GroupList": ["g", "h"], "Tags": [{"Key": "team", "Value": "red"}]"#.to_owned() + BOUNDARY,
        r#", "Tags": [{"Key": "team", "Value": "blue"}]"#.to_owned(),
        attached(&[AWS]),
        // What is wrong, and what others see.
        r#", "GroupList": ["nobody"]"#.to_owned(),
        attached(&["123456789012:policy/nothing"]),
        r#", "UserId": "AIDA1""#.to_owned(),
        inline("s3:*") + r#", "UserId": "AIDA1""#,
        attached(&[P]) + &unknown_version("s3:*"),
        unknown_version("sqs:*"),
        // A word is looked for among those that are known: that leaves less of the search for others.
        inline(r#"s3:*", "Condition": {"StringEquals": {"aws:SourceIpp": "1"}}, "Sid": "s"#),
    ]
}

/// Files with many things, or with things that other files have, too.
fn versions_of_many() -> Vec<(&'static str, Vec<String>)> {
    let of_others = |action: &str| {
        let inline = if action.is_empty() { String::new() } else { inline(action).replace("User", "Group") };
        group("g", &format!(r#", "Arn": "arn:aws:iam::210987654321:group/g"{inline}"#))
    };
    let other =
        |name: &str, rest: &str| user(name, &format!(r#", "Arn": "arn:aws:iam::210987654321:user/{name}"{rest}"#));
    let taken = format!(r#"[{}, {{"ResourceArn": "arn:aws:iam::123456789012:policy/t"}}]"#, policy("t", "s3:*"));
    let roles =
        |rest: &str| format!("[{}, {}]", role("one", "*", rest), role("another", "*", r#", "RoleId": "AROA1""#));
    let buckets = |account: &str, action: &str| {
        let document = OPEN.replace("s3:*", action).replace(r#""Action""#, r#""Principal": "*", "Action""#);
        format!(
            r#"[{{"AccountId": "{account}", "ResourceArn": "arn:aws:s3:::x", "ResourcePolicy": {document}}},
                {{"ResourceArn": "arn:aws:s3:::y", "AccountId": "123456789012"}}]"#
        )
    };
    vec![
        ("dump.json", dumps()),
        ("group-of-others.json", ["sqs:*", "", "sns:*"].map(of_others).to_vec()),
        (
            "others.json",
            vec![
                other("ann", r#", "GroupList": ["g"]"#),
                other("ann", r#", "GroupList": ["G"]"#),
                other("ann", ""),
                other("anne", ""),
            ],
        ),
        // What has tags is a resource; nothing else of its ARN may be one.
        (
            "t.json",
            vec![tagged("a", &policy("t", "s3:*")), tagged("b", &policy("t", "s3:*")), taken, policy("t", "s3:*")],
        ),
        // A policy of AWS that two dumps hold: of the tags of the two, the last ones count.
        (
            "aws-1.json",
            vec![tagged("a", &of_aws("s3:*")), tagged("b", &of_aws("s3:*")), of_aws("s3:*"), of_aws("sqs:*")],
        ),
        ("aws-2.json", vec![tagged("c", &of_aws("s3:*")), tagged("d", &of_aws("s3:*")), of_aws("s3:*")]),
        (
            "gus.json",
            [vec!["aws:policy/Mine"], vec!["aws:policy/Mine", P]].map(|arns| user("gus", &attached(&arns))).to_vec(),
        ),
        (
            "roles.json",
            [attached(&[P]) + BOUNDARY, attached(&[Q, P]), BOUNDARY.replace("policy/q", "policy/p"), String::new()]
                .map(|rest| roles(&rest))
                .to_vec(),
        ),
        (
            "buckets.json",
            [
                ("123456789012", "s3:GetObject"),
                ("123456789012", "s3:*"),
                ("210987654321", "s3:*"),
                ("333333333333", "s3:*"),
            ]
            .map(|(account, action)| buckets(account, action))
            .to_vec(),
        ),
    ]
}

fn of_aws(action: &str) -> String {
    policy("Mine", action).replacen('{', r#"{"Arn": "arn:aws:iam::aws:policy/Mine", "#, 1)
}

/// Account dumps of the same users, groups, roles and policies, in each of which one thing is another.
fn dumps() -> Vec<String> {
    let text = format!(
        r#"{{"UserDetailList": [
                {{"UserName": "kim", "UserId": "AIDAKIM", "GroupList": ["k", "g"],
                  "AttachedManagedPolicies": [{{"PolicyArn": "arn:aws:iam::123456789012:policy/k"}}]}},
                {{"UserName": "lee", "GroupList": ["l"], "Tags": [{{"Key": "a", "Value": "b"}}]}}],
             "GroupDetailList": [
                {{"GroupName": "k", "AttachedManagedPolicies": [{{"PolicyArn": "arn:aws:iam::123456789012:policy/p"}}]}},
                {{"GroupName": "l", "GroupPolicyList": [{{"PolicyName": "i", "PolicyDocument": {OPEN}}}]}}],
             "RoleDetailList": [
                {{"RoleName": "k", "AssumeRolePolicyDocument": {{"Statement": {{"Effect": "Allow",
                    "Principal": {{"AWS": "*"}}, "Action": "sts:AssumeRole"}}}},
                  "PermissionsBoundary": {{"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/k"}}}}],
             "Policies": [
                {{"PolicyName": "k", "PolicyVersionList": [
                    {{"VersionId": "v1", "IsDefaultVersion": true, "Document": {OPEN}}},
                    {{"VersionId": "v2", "IsDefaultVersion": false, "Document": {}}}]}}]}}"#,
        OPEN.replace("Allow", "Deny")
    );
    let others = [
        ("", ""),
        (r#"["l"]"#, r#"["l", "k"]"#),
        (r#"["k", "g"]"#, r#"["g"]"#),
        (r#"["k", "g"]"#, r#"["K", "g"]"#),
        ("AIDAKIM", "AIDALEE"),
        ("AIDAKIM", "AIDA1"),
        (r#""GroupName": "l""#, r#""GroupName": "L""#),
        ("v1\", \"IsDefaultVersion\": true", "v1\", \"IsDefaultVersion\": false"),
        (r#""PermissionsBoundary": {"#, r#""Tags": [], "PermissionsBoundary": {"#),
        ("policy/p", "policy/q"),
        ("policy/p", "policy/k"),
        ("s3:*", "s3:GetObject"),
        (r#""AWS": "*""#, r#""AWS": "123456789012""#),
    ];
    let switched = text.replace("true", "TRUE").replace("false", "true").replace("TRUE", "false");
    others.iter().map(|(old, new)| text.replace(old, new)).chain([switched]).collect()
}

/// A store that is loaded by what is told of it.
struct Told {
    options: StoreOptions,
    store: tempfile::TempDir,
    source: Source,
    active: Loaded,
}

impl Told {
    /// With the first version of each file.
    fn new() -> Self {
        Self::by(StoreOptions::default())
    }

    fn by(options: StoreOptions) -> Self {
        let store = tempfile::tempdir().unwrap();
        fs::create_dir(store.path().join("123456789012")).unwrap();
        for (name, texts) in versions() {
            fs::write(store.path().join("123456789012").join(name), texts.first().unwrap()).unwrap();
        }
        let mut source = Source::new(store.path());
        let active = load(&mut source, Trust::Nothing, Build::new(&options)).unwrap();
        source.mark();
        Self { options, store, source, active }
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
        let (directory, options) = (&self.active.directory, &self.options);
        let changes = self.source.changes(&told);
        let patched = changes.and_then(|changes| patch(directory, &self.active.warnings, &changes, options));
        let is_patched = patched.is_some();
        let built = patched.map(Ok).unwrap_or_else(|| {
            let mut build = Build::after(directory, options);
            let read = self.source.read_told(Trust::Events, Some(&told), &mut build);
            build.finish(&read)
        });
        (built, is_patched)
    }

    fn at_once(&self) -> Built {
        load(&mut Source::new(self.store.path()), Trust::Nothing, Build::new(&self.options))
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
        // Half are about files that others hardly see; many names of others are in the rest.
        steps in prop::collection::vec(prop::collection::vec((prop_oneof![0..4_usize, 0..20_usize], 0..17_usize), 1..3), 1..12),
        strict in any::<bool>(),
    ) {
        let mut told = Told::by(StoreOptions { strict, ..StoreOptions::default() });
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

#[test]
fn each_version_of_each_file_is_as_all_at_once() {
    for (strict, (file, (name, texts))) in
        [false, true].into_iter().flat_map(|strict| versions().into_iter().enumerate().map(move |file| (strict, file)))
    {
        let mut told = Told::by(StoreOptions { strict, ..StoreOptions::default() });
        for version in (1..texts.len()).chain(0..texts.len()) {
            let (built, is_patched) = told.write(&[(file, version)]);
            let at_once = told.at_once();
            assert!(shown(&built) == shown(&at_once), "{name} {version} {strict} {is_patched}: {:?}", at_once.err());
            told.install(built);
        }
    }
}

/// As long as something is to be said that is in no file alone: the place in it may be another.
#[test]
fn what_is_said_of_two_files_is_said_anew() {
    let all = versions();
    let number = |name: &str| all.iter().position(|(known, _)| *known == name).unwrap();
    let (ann, dump) = (number("ann.json"), number("dump.json"));
    let mut told = Told::new();
    for (step, warnings) in
        [(vec![(ann, 12), (dump, 5)], 1), (vec![(ann, 13)], 1), (vec![(ann, 12)], 1), (vec![(ann, 0)], 0)]
    {
        let (built, _) = told.write(&step);
        assert_eq!(shown(&built), shown(&told.at_once()), "{step:?}");
        told.install(built);
        assert_eq!(told.active.warnings.len(), warnings, "{step:?}");
    }
}

/// The place of a record has as few bits as will do: there may be no room for more.
#[test]
fn whoever_comes_after_what_grew_is_found() {
    let options = StoreOptions { account_id: iamd::arn::AccountId::parse("123456789012"), ..StoreOptions::default() };
    let grown = |rest: &str| format!(r#"[{{"UserName": "ann"{rest}}}, {{"UserName": "bea"}}]"#);
    let mut patched = 0;
    for length in 0..100 {
        let path = "x".repeat(length * 4);
        let arn = format!("arn:aws:iam::123456789012:user/{path}/zoe");
        let mut loader = Loader::new(&options);
        loader.read(&"a.json".into(), &grown(""), None);
        loader.read(&"g.json".into(), r#"[{"GroupName": "g"}, {"GroupName": "h"}]"#, None);
        loader.read(&"z.json".into(), &format!(r#"{{"UserName": "zoe", "Arn": "{arn}"}}"#), None);
        let (before, _) = loader.finish().unwrap();
        let text = grown(r#", "GroupList": ["g", "h"]"#);
        let file = ChangedFile { path: "a.json".into(), digest: [0; 32], text };
        let Some((directory, _)) = Loader::patch(&options, &before, &[], &[file]) else { continue };
        patched += 1;
        for arn in ["arn:aws:iam::123456789012:user/ann", "arn:aws:iam::123456789012:user/bea", &arn] {
            assert_eq!(directory.users.get(arn).map(|user| user.arn()), Some(arn), "{length}");
        }
        assert_eq!(directory.users.iter().count(), 3, "{length}");
    }
    assert!((90..100).contains(&patched), "{patched}");
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
fn more_resources_than_a_quarter_are_looked_at_with_all() {
    let text = |from: usize, key: &str| {
        let bucket =
            |n| format!(r#"{{"ResourceArn": "arn:aws:s3:::{n}", "Tags": [{{"Key": "{key}", "Value": "v"}}]}}"#);
        format!("[{}]", (from..from + 60).map(bucket).collect::<Vec<_>>().join(", "))
    };
    let options = StoreOptions::default();
    let mut loader = Loader::new(&options);
    for (path, from) in [("a.json", 0), ("b.json", 60)] {
        loader.read(&path.into(), &text(from, "before"), None);
    }
    let (mut directory, _) = loader.finish().unwrap();
    let file = |path: &str, text: String| ChangedFile { path: path.into(), digest: [0; 32], text };
    for key in ["1", "2"] {
        (directory, _) = Loader::patch(&options, &directory, &[], &[file("a.json", text(0, key))]).unwrap();
        let tags = |arn: &str| &directory.resources.get(arn).unwrap().tags;
        assert_eq!((tags("arn:aws:s3:::0").get(key), tags("arn:aws:s3:::60").get("before")), (Some("v"), Some("v")));
    }
    assert!(Loader::patch(&options, &directory, &[], &[file("b.json", text(60, "3"))]).is_none());
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
    // Whoever is there is found.
    for user in directory.users.iter() {
        let found = directory.users.get(user.arn()).map(show_entity);
        lines.extend([show_entity(user), format!("{found:?}")]);
    }
    for role in directory.roles.iter() {
        let found = directory.roles.get(role.entity.arn()).map(|role| show_entity(role.entity));
        lines.extend([show_entity(role.entity) + &show_policy(role.trust), format!("{found:?}")]);
    }
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
