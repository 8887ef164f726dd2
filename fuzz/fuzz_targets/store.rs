//! Policy stores of several files; what loads is asked.
#![no_main]

use iamd::access::AccessRequest;
use iamd::directory::Directory;
use iamd::finding::Severity;
use iamd_fuzz::{ask, store};
use libfuzzer_sys::fuzz_target;

const MOST_FILES: usize = 16;
/// Of users, of roles, and of resources.
const MOST_ASKED: usize = 4;
const ACTIONS: [&str; 4] = ["s3:GetObject", "sts:AssumeRole", "kms:Decrypt", "ec2:TerminateInstances"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let files = store::files(text);
    if files.len() > MOST_FILES {
        return;
    }
    let lenient = store::load(&files, false);
    let strict = store::load(&files, true);
    let findings = match &lenient {
        Ok((_, warnings)) => {
            assert_eq!(strict.is_ok(), warnings.is_empty(), "strict refuses warnings, and nothing else");
            warnings
        }
        Err(findings) => {
            assert_eq!(strict.as_ref().err(), Some(findings), "strict has the same to say");
            assert!(!findings.is_empty());
            findings
        }
    };
    assert!(findings.is_sorted());
    for finding in findings {
        assert!(store::is_readable(finding), "{finding:?}");
    }
    let checked = store::check(&files);
    assert!(checked.is_sorted());
    for finding in &checked {
        assert!(store::is_readable(finding) && finding.severity != Severity::Error, "{finding:?}");
    }
    if let Ok((directory, _)) = lenient {
        question(directory);
    }
});

fn question(directory: Directory) {
    let roles = directory.roles.iter().map(|role| role.entity.arn());
    let mut principals: Vec<String> = roles.take(MOST_ASKED).map(str::to_owned).collect();
    principals.extend(directory.users.iter().take(MOST_ASKED).map(|user| user.arn().to_owned()));
    principals.push("anonymous".to_owned());
    let mut resources: Vec<String> =
        directory.resources.iter().take(MOST_ASKED).map(|(arn, _)| format!("{arn}/x")).collect();
    resources.extend(principals.iter().filter(|arn| arn.contains(":role/")).cloned());
    resources.push("*".to_owned());
    let endpoints: Vec<String> = directory.vpc_endpoints.keys().take(2).map(|id| id.to_string()).collect();
    let snapshot = ask::snapshot(directory);
    for principal in &principals {
        for (action, resource) in ACTIONS.iter().flat_map(|action| resources.iter().map(move |r| (action, r))) {
            let mut raw = ask::raw(principal, action, resource);
            raw.context = vec![("aws:SourceVpce", &endpoints)];
            // A name of the store need not be one that a request may have.
            if let Ok(request) = AccessRequest::new(&raw) {
                assert!(ask::decide(&snapshot, &request).is_some());
            }
        }
    }
}
