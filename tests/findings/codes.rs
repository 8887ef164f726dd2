//! The table of codes is that of the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use iamd::finding::codes::CODES;

/// Where findings about stores are made.
const MODULES: [&str; 7] = ["checks", "directory", "json", "policy", "reload", "finding", "access"];

/// What takes a code. Each is called with it as an argument of its own.
const TAKERS: [&str; 9] =
    ["error(", "warning(", "found(", "report(", "Problem::new(", "duplicate(", "syntax(", "code: ", "code = "];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(files).filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

/// The code of the modules, tests aside.
fn code() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut text = String::new();
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        if MODULES.contains(&module.as_str()) && relative != Path::new("finding/codes.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            text.push_str(source.split("#[cfg(test)]\nmod tests").next().unwrap());
        }
    }
    text
}

/// Whether a text looks like a code.
fn is_code(text: &str) -> bool {
    let words = text.split('-').collect::<Vec<_>>();
    words.len() > 1 && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

#[test]
fn every_code_of_the_sources_is_in_the_table() {
    let code = code();
    let mut used = BTreeSet::new();
    for taker in TAKERS {
        for after in code.split(taker).skip(1) {
            // The code is the first string among the arguments; messages have spaces.
            let argument: String = after.chars().take(160).collect();
            let first = argument.split('"').nth(1).unwrap_or_default();
            used.extend(is_code(first).then(|| first.to_owned()));
        }
    }
    assert!(used.len() > 60, "only {} codes were found", used.len());
    let known: BTreeSet<String> = CODES.iter().map(|code| code.name.to_owned()).collect();
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "not in src/finding/codes.rs: {unknown:?}");
}

#[test]
fn every_code_of_the_table_is_used() {
    let code = code();
    let unused: Vec<_> = CODES.iter().filter(|known| !code.contains(&format!("\"{}\"", known.name))).collect();
    assert!(unused.is_empty(), "{unused:?}");
}
