//! Files become a directory, or a list of everything that is wrong with them: all or nothing.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::directory::{Digest, Directory, Fragment, Loader, StoreOptions, Written};
use crate::finding::{Finding, Position, Severity, WHOLE_STORE};
use crate::snapshot::Loaded;

use super::source::{Changes, Fingerprint, Source, Trust, Visitor};

/// A file that is being written is complete within moments; who writes longer is told what is wrong with it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// One second in all.
const LOOKS: usize = 10;

/// What comes of a store: something to decide by, or everything that is wrong.
pub type Built = Result<Loaded, Vec<Finding>>;

/// What these changes make of a directory, with what loading it had to say, without a look at any other file. None if that may not
/// do, or anything is wrong: then all of the store is to be built.
pub fn patch(before: &Directory, warnings: &[Finding], changes: &Changes, options: &StoreOptions) -> Option<Loaded> {
    let patched = || Loader::patch(options, before, warnings, &changes.files);
    // Whatever fails here is tried once more, and reported, by whoever builds all of it.
    let (directory, warnings) = catch_unwind(AssertUnwindSafe(patched)).ok()??;
    Some(Loaded { directory, revision: changes.read.revision, bytes: changes.read.bytes, warnings })
}

/// Takes in a store file by file; what has become of a file before is taken over, if the file is the same.
#[derive(Debug)]
pub struct Build<'d> {
    loader: Loader,
    /// The directory that is replaced, if there is one.
    before: Option<&'d Directory>,
    /// What it was made of, by path.
    fragments: HashMap<&'d str, &'d Arc<Fragment>>,
    /// Whether a fault of ours came up: then nothing comes of it.
    failed: bool,
}

impl<'d> Build<'d> {
    /// Of a store of which nothing is known.
    pub fn new(options: &StoreOptions) -> Self {
        Self::by(Loader::new(options))
    }

    /// Of a store that this directory was made of at another time, by the same options.
    pub fn after(before: &'d Directory, options: &StoreOptions) -> Self {
        let fragments = before.fragments().map(|fragment| (&**fragment.path(), fragment)).collect();
        Self { before: Some(before), fragments, ..Self::new(options) }
    }

    fn by(loader: Loader) -> Self {
        Self { loader, before: None, fragments: HashMap::new(), failed: false }
    }

    /// The directory that the files describe, with warnings; or everything that is wrong, sorted. Depends on nothing but the
    /// files and the options: what `validate` accepts, the service accepts.
    pub fn finish(self, read: &Fingerprint) -> Built {
        let Self { loader, before, failed, .. } = self;
        if failed {
            return Err(vec![internal_error()]);
        }
        let built = catch_unwind(AssertUnwindSafe(|| loader.finish_after(before)));
        let (directory, warnings) = built.unwrap_or_else(|_| Err(vec![internal_error()]))?;
        Ok(Loaded { directory, revision: read.revision, bytes: read.bytes, warnings })
    }

    /// A fault of ours in building refuses the files, as theirs do.
    fn guarded(&mut self, take: impl FnOnce(&mut Loader)) {
        if !self.failed {
            self.failed = catch_unwind(AssertUnwindSafe(|| take(&mut self.loader))).is_err();
        }
    }
}

impl Visitor for Build<'_> {
    fn knows(&mut self, path: &str, digest: &Digest) -> bool {
        let known = self.fragments.get(path).filter(|fragment| fragment.digest() == Some(*digest));
        known.is_some_and(|fragment| self.loader.reuse(fragment))
    }

    fn text(&mut self, path: &Arc<str>, digest: Digest, text: &str) {
        self.guarded(|loader| loader.read(path, text, Some(digest)));
        // Whoever serves on this core goes first.
        thread::yield_now();
    }

    fn unreadable(&mut self, finding: Finding) {
        self.loader.unreadable(finding);
    }
}

/// Reads and builds a store once: for the start of the service, and for commands.
///
/// A store that is wrong and changes meanwhile (a file caught half-written) is looked at again, for a second at most.
pub fn load_once(directory: &Path, options: &StoreOptions) -> Built {
    load_while_changing(directory, || Loader::new(options), || thread::sleep(LOOK_AGAIN)).0
}

/// Loads a store as [`load_once`] does, and keeps what is written in it for checks.
pub fn load_with_written(directory: &Path, options: &StoreOptions) -> (Built, Written) {
    load_while_changing(directory, || Loader::keeping_written(options), || thread::sleep(LOOK_AGAIN))
}

fn load_while_changing(directory: &Path, loader: impl Fn() -> Loader, mut wait: impl FnMut()) -> (Built, Written) {
    let mut source = Source::new(directory);
    let load = |source: &mut Source| {
        let mut build = Build::by(loader());
        let read = source.read(Trust::Nothing, &mut build);
        let written = build.loader.written();
        (read.revision, build.finish(&read), written)
    };
    let (mut revision, mut built, mut written) = load(&mut source);
    for _ in 0..LOOKS {
        if built.is_ok() {
            break;
        }
        wait();
        if source.fingerprint(Trust::Nothing).revision == revision {
            break;
        }
        (revision, built, written) = load(&mut source);
    }
    (built, written)
}

fn internal_error() -> Finding {
    store_finding(
        "internal-error",
        "the files cannot be loaded because of a fault in this program".to_owned(),
        "please report it, with the log's lines before this one",
    )
}

pub(super) fn store_finding(code: &'static str, message: String, hint: &str) -> Finding {
    let hint = Some(hint.to_owned());
    Finding { file: WHOLE_STORE.into(), position: Position::START, severity: Severity::Error, code, message, hint }
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
    fn a_panic_in_building_is_a_finding() {
        let mut build = Build::new(&StoreOptions::default());
        build.guarded(|_| panic!("a fault, on purpose"));
        build.text(&"a.json".into(), [0; 32], WHOLE);
        let read = Source::new(Path::new("nowhere")).fingerprint(Trust::Nothing);
        let errors = build.finish(&read).unwrap_err();
        assert_eq!(errors[0].message, "the files cannot be loaded because of a fault in this program");
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
