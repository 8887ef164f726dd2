//! Cases in files: a line of what is written, then a line beginning with `>` for each finding.
//!
//! The first word says where a statement stands: `identity`, `trust`, `scp`, `rcp`, `endpoint`, `resource ARN`; or
//! `document` a whole policy, or `store` a whole file. Statements begin on line 2. `UPDATE_FINDINGS=1 cargo test --test findings`
//! writes what comes, to be read over.

use std::fmt::Write as _;

use super::{compare, data, findings};

/// An organization with one policy.
fn organization(kind: &str, content: &str) -> String {
    format!(
        "{{\"Organization\": {{\"Id\": \"o-exampleorgid\", \"MasterAccountId\": \"111111111111\"}}, \
         \"Roots\": [{{\"Id\": \"r-ab12\", \"AttachedPolicies\": [\"p-FullAWSAccess\"]}}], \"OrganizationPolicies\": \
         [{{\"Id\": \"p-scp00001\", \"Name\": \"S\", \"Type\": \"{kind}\", \"Content\": {content}}}]}}"
    )
}

/// The file that a line stands for: its path and text.
fn store(line: &str) -> (&'static str, String) {
    let (kind, rest) = line.split_once(' ').unwrap();
    let policy = |statement: &str| format!("{{\"Version\": \"2012-10-17\", \"Statement\":\n{statement}\n}}");
    let path = "123456789012/policies/P.json";
    let text = match kind {
        "identity" => policy(rest),
        "trust" => format!("{{\"RoleName\": \"R\", \"AssumeRolePolicyDocument\": {}}}", policy(rest)),
        "endpoint" => format!("{{\"VpcEndpointId\": \"vpce-1\", \"PolicyDocument\": {}}}", policy(rest)),
        "resource" => {
            let (arn, statement) = rest.split_once(' ').unwrap();
            format!("{{\"ResourceArn\": \"{arn}\", \"ResourcePolicy\": {}}}", policy(statement))
        }
        "scp" => organization("SERVICE_CONTROL_POLICY", &policy(rest)),
        "rcp" => organization("RESOURCE_CONTROL_POLICY", &policy(rest)),
        "document" | "store" => rest.to_owned(),
        other => panic!("a case begins with the place of its statement, not `{other}`"),
    };
    (path, text)
}

fn outcome(line: &str) -> String {
    let (path, text) = store(line);
    findings(path, &text).iter().fold(String::new(), |mut lines, finding| {
        let (at, severity) = (finding.position, finding.severity.as_str());
        write!(lines, "> {}:{} {severity} [{}] {}", at.line, at.column, finding.code, finding.message).unwrap();
        if let Some(hint) = &finding.hint {
            write!(lines, " | {hint}").unwrap();
        }
        lines + "\n"
    })
}

fn check(name: &str) {
    let path = data(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut came = String::new();
    for line in text.lines().filter(|line| !line.starts_with('>')) {
        came.push_str(line);
        came.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            came.push_str(&outcome(line));
        }
    }
    compare(&path, &came);
}

macro_rules! case_files {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"));
        })*
    };
}

case_files! { common actions resources operators missing values contradictions principals grants statements quotas }
