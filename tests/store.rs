//! The policy store: cases of files, and what comes of them.
//!
//! A case file holds cases that start with `=== NAME`, each with options (`--- options account=123456789012 strict`),
//! files (`--- PATH`) and what is expected (`--- expect`): the findings, then the directory if there is one. `$ALLOW` and
//! the like stand for policies, see [`POLICIES`]. `IAMD_UPDATE_CASES=1 cargo test --test store` writes what comes into the
//! case files, to be read over before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests read their own data")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use iamd::arn::{AccountId, Arn};
use iamd::directory::{Directory, Entity, EntityTags, Loader, Membership, StoreOptions};
use iamd::finding::{Finding, Position, Severity};
use iamd::json;
use iamd::policy::CompiledPolicy;

/// Policies that are beside the point of a case.
const POLICIES: [(&str, &str); 5] = [
    (
        "$ALLOW",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}"#,
    ),
    (
        "$TRUST",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#,
    ),
    (
        "$RESOURCE",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:GetObject", "Resource": "*"}]}"#,
    ),
    (
        "$SCP",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}]}"#,
    ),
    (
        "$RCP",
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}]}"#,
    ),
];

struct Case {
    name: String,
    options: StoreOptions,
    /// Whether something comes of the order of the files.
    in_order: bool,
    files: Vec<(String, String)>,
    expected: String,
}

#[test]
fn cases() {
    let mut failures = String::new();
    let mut count = 0;
    for path in case_files() {
        let text = read(&path);
        let cases = parse_cases(&text);
        count += cases.len();
        if std::env::var_os("IAMD_UPDATE_CASES").is_some() {
            fs::write(&path, updated(&text, &cases)).unwrap();
            continue;
        }
        for case in &cases {
            let actual = check(case);
            if actual != case.expected {
                let _ = writeln!(
                    failures,
                    "{}: {}\n--- expected\n{}--- actual\n{actual}",
                    path.display(),
                    case.name,
                    case.expected
                );
            }
        }
    }
    assert!(count >= 50, "only {count} cases were found");
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_articles_store_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/articles-store");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort();
    let result = load(&StoreOptions::default(), &files);
    let (directory, _) = result.unwrap_or_else(|findings| panic!("{}", render_findings(&findings)));
    assert_eq!(directory.users.len(), 10);
    assert_eq!(directory.roles.len(), 5);
    assert_eq!(directory.accounts.len(), 3);
    let mike = directory.users.get("arn:aws:iam::123456789012:user/mike-devops").unwrap();
    let policies: Vec<_> = mike.each_policy().map(|policy| &*policy.name.reference).collect();
    assert_eq!(policies, ["arn:aws:iam::123456789012:policy/DevOpsFullAccess"]);
}

/// Many users share what they have in common, and loading them takes a time that grows with their number.
#[test]
fn many_users_share_their_policies() {
    let mut loader =
        Loader::new(&StoreOptions { account_id: AccountId::parse("123456789012"), ..StoreOptions::default() });
    loader.file("policies/p.json", POLICIES[0].1);
    let attached = r#""AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::123456789012:policy/p"}]"#;
    loader.file("groups.json", &format!(r#"[{{"GroupName": "g", {attached}}}, {{"GroupName": "h", {attached}}}]"#));
    let users: Vec<_> =
        (0..5_000).map(|n| format!(r#"{{"UserName": "u{n}", "GroupList": ["g", "h", "g"], {attached}}}"#)).collect();
    loader.file("users.json", &format!("[{}]", users.join(",\n")));
    let (directory, _) = loader.finish().unwrap();
    assert_eq!(directory.users.len(), 5_000);
    assert_eq!(directory.policy_count, 1);
    let first = directory.users.get("arn:aws:iam::123456789012:user/u0").unwrap().policies().next().unwrap();
    for user in directory.users.iter() {
        assert!(user.policies().all(|set| Arc::ptr_eq(set, first)), "both groups have what the user has");
        assert_eq!(user.each_policy().count(), 1);
    }
}

/// Every reference to nothing is reported, but hints do not make that slow.
#[test]
fn many_slips_are_all_reported() {
    let mut loader =
        Loader::new(&StoreOptions { account_id: AccountId::parse("123456789012"), ..StoreOptions::default() });
    let groups: Vec<_> = (0..2_000).map(|n| format!(r#"{{"GroupName": "group-number-{n}"}}"#)).collect();
    loader.file("groups.json", &format!("[{}]", groups.join(",\n")));
    let users: Vec<_> =
        (0..2_000).map(|n| format!(r#"{{"UserName": "u{n}", "GroupList": ["grp-number-{n}"]}}"#)).collect();
    loader.file("users.json", &format!("[{}]", users.join(",\n")));
    let findings = loader.finish().unwrap_err();
    assert_eq!(findings.len(), 2_000);
    assert!(findings[0].hint.is_some());
}

/// What a file that cannot be read may define is not called missing.
#[test]
fn an_unreadable_file_refuses_the_store() {
    let mut loader = Loader::new(&StoreOptions::default());
    loader.file("123456789012/bob.json", r#"{"UserName": "bob", "GroupList": ["g", "h"]}"#);
    loader.unreadable(Finding {
        file: "123456789012/secret.json".into(),
        position: Position::START,
        severity: Severity::Error,
        code: "unreadable-file",
        message: "cannot be read: permission denied".to_owned(),
        hint: None,
    });
    assert_eq!(
        render_findings(&loader.finish().unwrap_err()),
        "123456789012/secret.json:1:1: cannot be read: permission denied\n\
         123456789012/secret.json:1:1: warning: 2 unresolved references may lead here: reported when this can be read\n"
    );
}

// --- cases ----------------------------------------------------------------------------------------------------------

fn parse_cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for case in text.split("=== ").skip(1) {
        let mut sections = case.split("--- ");
        let name = sections.next().unwrap_or_default().trim().to_owned();
        let mut case = Case {
            name,
            options: StoreOptions::default(),
            in_order: false,
            files: Vec::new(),
            expected: String::new(),
        };
        for section in sections {
            let (head, body) = section.split_once('\n').unwrap_or((section, ""));
            match head.split_once(' ').unwrap_or((head, "")) {
                ("options", options) => parse_options(options, &mut case),
                ("expect", "") => case.expected = format!("{}\n", body.trim_end()),
                _ => case.files.push((head.to_owned(), expand(body))),
            }
        }
        cases.push(case);
    }
    cases
}

fn parse_options(text: &str, case: &mut Case) {
    for option in text.split(' ') {
        match option.split_once('=').unwrap_or((option, "")) {
            ("account", id) => case.options.account_id = Some(AccountId::parse(id).unwrap()),
            ("partition", partition) => case.options.partition = partition.to_owned(),
            ("strict", "") => case.options.strict = true,
            ("in-order", "") => case.in_order = true,
            _ => panic!("unknown option {option}"),
        }
    }
}

fn expand(text: &str) -> String {
    POLICIES.iter().fold(text.to_owned(), |text, (name, policy)| text.replace(name, policy))
}

fn updated(text: &str, cases: &[Case]) -> String {
    let mut result = text.split("=== ").next().unwrap_or_default().to_owned();
    for (text, case) in text.split("=== ").skip(1).zip(cases) {
        let input = text.split("--- expect").next().unwrap_or_default();
        let _ = write!(result, "=== {}\n--- expect\n{}\n", input.trim_end(), check(case));
    }
    format!("{}\n", result.trim_end())
}

// --- loading --------------------------------------------------------------------------------------------------------

type Loaded = Result<(Directory, Vec<Finding>), Vec<Finding>>;

/// Loads a case in every way that must come to the same, and tells what came.
fn check(case: &Case) -> String {
    let actual = render(&load(&case.options, &case.files));
    if case.files.iter().all(|(_, text)| json::parse(text).is_ok()) {
        assert_eq!(render(&load_nodes(case)), actual, "{}: parsed before", case.name);
    }
    if case.in_order || !actual.contains("directory:") {
        return actual;
    }
    let reversed: Vec<_> = case.files.iter().rev().cloned().collect();
    assert_eq!(render(&load(&case.options, &reversed)), actual, "{}: files in another order", case.name);
    actual
}

fn load(options: &StoreOptions, files: &[(String, String)]) -> Loaded {
    let mut loader = Loader::new(options);
    for (path, text) in files {
        loader.file(path, text);
    }
    loader.finish()
}

fn load_nodes(case: &Case) -> Loaded {
    let mut loader = Loader::new(&case.options);
    for (path, text) in &case.files {
        loader.node(&path.as_str().into(), &json::parse(text).unwrap());
    }
    loader.finish()
}

// --- what came ------------------------------------------------------------------------------------------------------

fn render(loaded: &Loaded) -> String {
    match loaded {
        Ok((directory, warnings)) => render_findings(warnings) + &render_directory(directory),
        Err(findings) => render_findings(findings),
    }
}

fn render_findings(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn render_directory(directory: &Directory) -> String {
    let mut lines: Vec<String> = directory.accounts.iter().map(|account| format!("account {account}\n")).collect();
    lines.extend(directory.users.iter().map(|user| render_entity("user", user)));
    for role in directory.roles.iter() {
        let linked = if role.service_linked { " service-linked" } else { "" };
        let account = Arn::parse(role.entity.arn()).unwrap().account;
        let entity = render_entity(&format!("role {account} {}{linked}", role.entity.name()), role.entity);
        lines.push(format!("{entity}  trust {}\n", policy(role.trust)));
    }
    for (arn, resource) in directory.resources.iter() {
        let account = resource.account.map_or("nobody".to_owned(), |account| account.to_string());
        let policy = resource.policy.as_ref().map(|found| format!("  policy {}\n", policy(found))).unwrap_or_default();
        lines.push(format!("resource {arn} of {account}{}\n{policy}", tags(&resource.tags)));
    }
    for (id, endpoint) in &directory.vpc_endpoints {
        let owner = endpoint.owner.map_or("nobody".to_owned(), |account| account.to_string());
        lines.push(format!("VPC endpoint {id} of {owner}\n  policy {}\n", policy(&endpoint.policy)));
    }
    lines.sort();
    if let Some(organization) = &directory.organization {
        lines.push(format!("organization {} managed by {}\n", organization.id, organization.management_account));
        let mut accounts: Vec<_> = organization.accounts.iter().collect();
        accounts.sort_by_key(|(account, _)| **account);
        lines.extend(accounts.into_iter().map(|(account, membership)| render_membership(*account, membership)));
    }
    format!("directory: {} policies\n{}", directory.policy_count, lines.concat())
}

fn render_entity(kind: &str, entity: Entity<'_>) -> String {
    let id = entity.unique_id().map(|id| format!(" id {id}")).unwrap_or_default();
    let mut text = format!("{kind} {}{id}{}\n", entity.arn(), tags(entity.tags()));
    for attached in entity.each_policy() {
        let _ = writeln!(text, "  policy {}", policy(attached));
    }
    for boundary in entity.boundary().iter().flat_map(|set| set.policies()) {
        let _ = writeln!(text, "  boundary {}", policy(boundary));
    }
    text
}

fn render_membership(account: AccountId, membership: &Membership) -> String {
    let path = membership.path.as_deref().unwrap_or("an unknown place");
    let mut text = format!("  {account} at {path}\n");
    for (service_control, resource_control) in membership.service_control.iter().zip(&membership.resource_control) {
        let names =
            |policies: &[Arc<CompiledPolicy>]| policies.iter().map(|it| policy(it)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "    SCPs [{}] RCPs [{}]", names(service_control), names(resource_control));
    }
    text
}

fn policy(policy: &CompiledPolicy) -> String {
    format!("{} from {}", policy.name.reference, policy.name.file)
}

fn tags(tags: &EntityTags) -> String {
    tags.iter().map(|(key, value)| format!(" {key}={value}")).collect()
}

// --- files ----------------------------------------------------------------------------------------------------------

fn case_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store");
    let mut paths: Vec<_> =
        list(&root).into_iter().filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    paths.sort();
    paths
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for path in list(folder) {
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((relative, read(&path)));
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
