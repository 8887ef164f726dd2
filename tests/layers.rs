//! The architecture's one rule: a module imports only from modules below it.
#![expect(clippy::disallowed_methods, reason = "reads the source tree, not policies")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read the source has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module with the level that it stands on; it may use modules of lower levels only.
const LEVELS: [(&str, u8); 26] = [
    ("arn", 0),
    ("few", 0),
    ("finding", 0),
    ("regular", 0),
    ("wildcard", 0),
    ("access", 1),
    ("json", 1),
    ("proto", 1),
    ("catalogue", 2),
    ("cache", 2),
    ("policy", 3),
    ("directory", 4),
    ("checks", 5),
    ("config", 5),
    ("snapshot", 5),
    ("evaluate", 6),
    ("telemetry", 6),
    ("engine", 7),
    ("decision_log", 8),
    ("reload", 8),
    ("metrics", 9),
    ("tls", 9),
    ("server", 10),
    ("cli", 11),
    ("lib", 12),
    ("main", 12),
];

fn level(module: &str) -> u8 {
    let found = LEVELS.iter().find(|(name, _)| *name == module);
    found.unwrap_or_else(|| panic!("`{module}` stands on no level: add it to the table")).1
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(files).filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

/// The modules that a source names as `crate::MODULE` or in `crate::{...}`, tests aside.
fn imports(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut modules = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => drop(modules.insert(name(after))),
            Some(group) => modules.extend(top_level(group).iter().map(|item| name(item))),
        }
    }
    modules
}

/// The items of a group of imports, up to its closing brace.
fn top_level(group: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0;
    for character in group.chars() {
        match (character, depth) {
            ('}', 0) => break,
            (',', 0) => items.push(String::new()),
            _ => items.last_mut().unwrap().push(character),
        }
        depth += i32::from(character == '{') - i32::from(character == '}');
    }
    items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

#[test]
fn modules_import_only_from_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let known = LEVELS.iter().any(|(name, _)| *name == import);
            if known && import != module && level(&import) >= level(&module) {
                faults.push(format!("{}: `{module}` must not use `{import}`", relative.display()));
            }
        }
        level(&module);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn imports_are_seen_in_every_form() {
    let source = "use crate::access::X;\nuse crate::{arn::Y, json::{A, B}, policy};\nfn f() { crate::cache::g() }";
    let expected = ["access", "arn", "cache", "json", "policy"];
    assert_eq!(imports(source), expected.iter().map(ToString::to_string).collect());
}
