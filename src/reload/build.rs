//! Files become a directory, or a list of everything that is wrong with them: all or nothing.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::directory::{Directory, Loader, StoreOptions, Written};
use crate::finding::Finding;
use crate::snapshot::Loaded;

use super::source::SourceFiles;

/// A file that is being written is complete within moments; who writes longer is told what is wrong with it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// One second in all.
const LOOKS: usize = 10;

/// A directory with warnings, or everything that is wrong.
type Built = Result<(Directory, Vec<Finding>), Vec<Finding>>;

/// Builds the directory that the files describe, with warnings; or says everything that is wrong, sorted. Depends on
/// nothing but its arguments: what `validate` accepts, the service accepts.
pub fn build(files: &SourceFiles, options: &StoreOptions) -> Built {
    built_by(Loader::new(options), files).0
}

/// What comes of the files, and what a loader that keeps it has kept of what is written in them.
fn built_by(mut loader: Loader, files: &SourceFiles) -> (Built, Written) {
    files.findings.iter().for_each(|finding| loader.unreadable(finding.clone()));
    files.files.iter().for_each(|file| loader.file(&file.path, &file.text));
    let written = loader.written();
    (loader.finish(), written)
}

/// Reads and builds a store once: for the start of the service, and for commands.
///
/// A store that is wrong and changes meanwhile (a file caught half-written) is looked at again, for a second at most.
pub fn load_once(directory: &Path, options: &StoreOptions) -> Result<Loaded, Vec<Finding>> {
    load_while_changing(directory, || Loader::new(options), || thread::sleep(LOOK_AGAIN)).0
}

/// Loads a store as [`load_once`] does, and keeps what is written in it for checks.
pub fn load_with_written(directory: &Path, options: &StoreOptions) -> (Result<Loaded, Vec<Finding>>, Written) {
    load_while_changing(directory, || Loader::keeping_written(options), || thread::sleep(LOOK_AGAIN))
}

fn load_while_changing(
    directory: &Path,
    loader: impl Fn() -> Loader,
    mut wait: impl FnMut(),
) -> (Result<Loaded, Vec<Finding>>, Written) {
    let mut files = SourceFiles::read(directory);
    let mut built = built_by(loader(), &files);
    for _ in 0..LOOKS {
        if built.0.is_ok() {
            break;
        }
        wait();
        if SourceFiles::fingerprint(directory).revision == files.revision {
            break;
        }
        files = SourceFiles::read(directory);
        built = built_by(loader(), &files);
    }
    let (built, written) = built;
    (built.map(|built| loaded(&files, built)), written)
}

/// What was built, with what it was built from.
pub(super) fn loaded(files: &SourceFiles, (directory, warnings): (Directory, Vec<Finding>)) -> Loaded {
    Loaded { directory, revision: files.revision, bytes: files.bytes, warnings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const WHOLE: &str = r#"{"ResourceArn": "arn:aws:sqs:us-east-1:123456789012:jobs"}"#;

    /// Loads a store that is written to while it is looked at: the looks, and the messages of what was found.
    fn load_during(writes: &[&str]) -> (usize, Vec<String>) {
        let store = tempfile::tempdir().unwrap();
        let file = store.path().join("a.json");
        fs::write(&file, "{").unwrap();
        let mut looks = 0;
        let loaded = load_while_changing(
            store.path(),
            || Loader::new(&StoreOptions::default()),
            || {
                if let Some(text) = writes.get(looks) {
                    fs::write(&file, text).unwrap();
                }
                looks += 1;
            },
        );
        let errors = loaded.0.err().unwrap_or_default();
        (looks, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_file_caught_half_written_is_looked_at_until_it_rests() {
        let wrong = vec!["a.json:1:2: expected a key in double quotes, but the file ends here".to_owned()];
        let changing: Vec<String> = (1..50).map(|n| format!("{{{}", " ".repeat(n))).collect();
        let changing: Vec<&str> = changing.iter().map(String::as_str).collect();
        assert_eq!(load_during(&[WHOLE]), (1, vec![]));
        assert_eq!(load_during(&["{ ", "{  ", WHOLE]), (3, vec![]));
        assert_eq!(load_during(&[]), (1, wrong));
        assert_eq!(load_during(&changing).0, LOOKS);
    }

    #[test]
    fn what_cannot_be_read_is_reported_with_what_is_wrong() {
        let store = tempfile::tempdir().unwrap();
        fs::write(store.path().join("b.json"), "").unwrap();
        fs::write(store.path().join("c.json"), WHOLE).unwrap();
        std::os::unix::fs::symlink("nowhere", store.path().join("a.json")).unwrap();
        let errors = load_once(store.path(), &StoreOptions::default()).unwrap_err();
        let places: Vec<_> = errors.iter().map(|error| (error.file.as_ref(), error.code)).collect();
        assert_eq!(places, [("a.json", "unreadable-file"), ("b.json", "json-syntax")]);
    }

    #[test]
    fn what_an_unreadable_file_may_define_is_not_called_missing() {
        let store = tempfile::tempdir().unwrap();
        let user = r#"{"UserName": "bob", "Arn": "arn:aws:iam::123456789012:user/bob", "GroupList": ["g"]}"#;
        fs::write(store.path().join("b.json"), user).unwrap();
        std::os::unix::fs::symlink("nowhere", store.path().join("a.json")).unwrap();
        let errors = load_once(store.path(), &StoreOptions::default()).unwrap_err();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let expected = [
            "a.json:1:1: cannot read `nowhere`, which this links to: no such file or directory\n  hint: restore it, or \
             remove what refers to it",
            "a.json:1:1: warning: 1 unresolved reference may lead here: reported when this can be read",
        ];
        assert_eq!(texts, expected);
    }
}
