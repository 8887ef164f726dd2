use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use proptest::prelude::*;

use super::*;

/// A directory with these files, each containing its own path.
fn store(paths: &[&str]) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    for path in paths {
        let file = store.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, path).unwrap();
    }
    store
}

fn fingerprint(directory: &Path) -> Fingerprint {
    Source::new(directory).fingerprint(Trust::Nothing)
}

fn paths(files: &SourceFiles) -> Vec<&str> {
    files.files.iter().map(|file| file.path.as_ref()).collect()
}

/// The findings, with the store's own path cut out.
fn findings(store: &Path, limits: Limits) -> Vec<String> {
    let found = SourceFiles::of(&mut Source::within(store, limits)).findings;
    found.iter().map(|finding| finding.to_string().replace(&store.display().to_string(), "STORE")).collect()
}

#[test]
fn every_json_file_is_read_in_the_order_of_paths() {
    let store = store(&["z.json", "a-b.json", "a/x.json", "a/b/c/d.json", "notes.txt", "dir.json/x.json", "a/json"]);
    let files = SourceFiles::read(store.path());
    assert_eq!(paths(&files), ["a-b.json", "a/b/c/d.json", "a/x.json", "dir.json/x.json", "z.json"]);
    assert!(files.files.iter().all(|file| file.text == *file.path));
    assert!(files.findings.is_empty());
    assert_eq!(fingerprint(store.path()).bytes, 8 + 12 + 8 + 15 + 6);
}

#[test]
fn names_that_start_with_a_dot_are_skipped() {
    let store = store(&["a.json", ".b.json", ".git/c.json", "..data/d.json", "x/.y/e.json"]);
    symlink("nowhere", store.path().join(".#a.json")).unwrap();
    let files = SourceFiles::read(store.path());
    assert_eq!(paths(&files), ["a.json"]);
    assert!(files.findings.is_empty());
}

#[test]
fn links_are_followed_the_store_s_own_too() {
    let store = store(&["real/a.json", "elsewhere/b.json", "elsewhere/c.txt"]);
    symlink("real", store.path().join("current")).unwrap();
    symlink("../elsewhere", store.path().join("real/folder")).unwrap();
    symlink("../elsewhere/c.txt", store.path().join("real/link.json")).unwrap();
    let files = SourceFiles::read(&store.path().join("current"));
    assert_eq!(paths(&files), ["a.json", "folder/b.json", "link.json"]);
    assert!(files.findings.is_empty());
}

#[test]
fn what_cannot_be_read_is_a_finding() {
    let store = store(&["good.json", "real/x.json"]);
    let at = |name: &str| store.path().join(name);
    symlink("../nowhere.json", at("dangling.json")).unwrap();
    symlink("nowhere", at("folder")).unwrap();
    symlink("itself.json", at("itself.json")).unwrap();
    symlink("..", at("real/up")).unwrap();
    // A regular file whose first byte cannot be read, whoever reads it.
    symlink("/proc/self/mem", at("broken.json")).unwrap();
    fs::write(at("latin1.json"), b"{\"a\": \"\xe9\"}").unwrap();
    fs::write(store.path().join(std::ffi::OsStr::from_bytes(b"\xe9.json")), "{}").unwrap();
    let _socket = UnixListener::bind(at("socket.json")).unwrap();
    let restore = "\n  hint: restore it, or remove what refers to it";
    assert_eq!(
        findings(store.path(), Limits::DEFAULT),
        [
            "broken.json:1:1: cannot read the file: input/output error",
            &format!(
                "dangling.json:1:1: cannot read `../nowhere.json`, which this links to: no such file or \
                 directory{restore}"
            ),
            &format!("folder:1:1: cannot read `nowhere`, which this links to: no such file or directory{restore}"),
            "itself.json:1:1: cannot read `itself.json`, which this links to: too many levels of symbolic links",
            "latin1.json:1:1: the file is not UTF-8: byte 7 is wrong\n  hint: save it as UTF-8",
            "real/up:1:1: the link leads back to a folder that contains it\n  hint: remove the link",
            "socket.json:1:1: this is neither a file nor a folder\n  hint: remove it, or give it another name",
            "\u{fffd}.json:1:1: the name is not UTF-8\n  hint: rename it",
        ]
    );
    assert_eq!(paths(&SourceFiles::read(store.path())), ["good.json", "real/x.json"]);
}

#[test]
fn without_the_right_to_read_there_is_a_finding() {
    use std::os::unix::fs::PermissionsExt;
    let store = store(&["file.json", "folder/x.json"]);
    for name in ["file.json", "folder"] {
        fs::set_permissions(store.path().join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    // The superuser may read everything: then there is nothing to find.
    let may_read_all = fs::File::options().read(true).open(store.path().join("file.json")).is_ok();
    let hint = "\n  hint: let the user that the service runs as read it";
    let expected = [
        format!("file.json:1:1: cannot read the file: permission denied{hint}"),
        format!("folder:1:1: cannot read the folder: permission denied{hint}"),
    ];
    assert_eq!(findings(store.path(), Limits::DEFAULT), if may_read_all { &[][..] } else { &expected[..] });
    fs::set_permissions(store.path().join("folder"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_store_that_is_not_there_or_empty_is_a_finding() {
    let store = store(&["empty/x.txt", "file.json"]);
    let (missing, empty) = (store.path().join("missing"), store.path().join("empty"));
    let mounted = "is the volume mounted, and are the names such as `users.json`?";
    assert_eq!(
        findings(&missing, Limits::DEFAULT),
        [
            ".:1:1: cannot read `STORE`, expected the policy store: no such file or directory\n  hint: is the path right, and \
          the volume mounted?"
        ]
    );
    assert_eq!(
        findings(&empty, Limits::DEFAULT),
        [format!(".:1:1: no `*.json` files under `STORE`, expected the policy store\n  hint: {mounted}")]
    );
    assert_eq!(
        findings(&store.path().join("file.json"), Limits::DEFAULT),
        [
            ".:1:1: `STORE` is not a directory, expected the policy store\n  hint: name the directory that holds the files"
        ]
    );
}

#[test]
fn every_limit_is_a_finding() {
    let hint = "\n  hint: is this the policy store's directory?";
    let check = |limits, expected: &str| {
        let store = store(&["a.json", "b/c/d.json", "e.json", "f.json"]);
        assert_eq!(findings(store.path(), limits), [format!("{expected}{hint}")]);
    };
    let limits = Limits::DEFAULT;
    check(Limits { depth: 1, ..limits }, "b/c:1:1: folders are nested deeper than 1 levels");
    check(Limits { files: 3, ..limits }, ".:1:1: more than 3 files or folders");
    check(Limits { store_bytes: 20, ..limits }, ".:1:1: the files together are larger than 20 bytes");
    let store = store(&["a.json", "b/c/d.json"]);
    let large =
        "b/c/d.json:1:1: the file is larger than 9 bytes\n  hint: split it: every `*.json` of the store is read";
    assert_eq!(findings(store.path(), Limits { file_bytes: 9, ..limits }), [large]);
}

#[test]
fn the_revision_is_that_of_all_paths_and_contents() {
    let base: &[(&str, &str)] = &[("a.json", "1"), ("b.json", "2")];
    let revision = |files: &[(&str, &str)]| {
        let store = store(&[]);
        for (path, text) in files {
            fs::write(store.path().join(path), text).unwrap();
        }
        fingerprint(store.path()).revision
    };
    assert_eq!(revision(base), revision(&[("b.json", "2"), ("a.json", "1"), ("c.txt", "3")]));
    let others: &[&[(&str, &str)]] = &[
        &[],
        &[("a.json", "1")],
        &[("a.json", "2"), ("b.json", "1")],
        &[("a.json", "1"), ("c.json", "2")],
        &[("a.json", "12"), ("b.json", "")],
        &[("a.json", ""), ("b.json", "12")],
    ];
    for other in others {
        assert_ne!(revision(base), revision(other), "{other:?}");
    }
}

#[test]
fn a_reason_is_part_of_the_revision_and_no_content() {
    let store = store(&["b.json"]);
    let revision = || fingerprint(store.path()).revision;
    let link = store.path().join("a.json");
    symlink("x", &link).unwrap();
    let dangling = revision();
    let message = SourceFiles::read(store.path()).findings[0].message.clone();
    fs::remove_file(&link).unwrap();
    fs::write(&link, message).unwrap();
    assert_ne!(dangling, revision());
}

#[test]
fn changes_show_wherever_links_lead() {
    let base = store(&["v1/a.json", "elsewhere/x/b.json"]);
    let base = fs::canonicalize(base.path()).map(|path| (path, base)).unwrap();
    let at = |name: &str| base.0.join(name);
    symlink("v1", at("current")).unwrap();
    symlink("current", at("store")).unwrap();
    symlink(at("elsewhere/x/b.json"), at("v1/b.json")).unwrap();
    let reach = fingerprint(&at("store")).reach;
    let watched: Vec<_> = reach.watched().into_iter().collect();
    assert_eq!(watched, [base.0.clone(), at("elsewhere/x"), at("v1")]);
    for name in ["store", "current", "v1", "v1/a.json", "v1/new.json", "elsewhere/x/b.json"] {
        assert!(reach.concerns(&at(name)), "{name}");
    }
    for name in ["elsewhere", "elsewhere/x/c.json", "other", "v2/a.json"] {
        assert!(!reach.concerns(&at(name)), "{name}");
    }
}

#[test]
fn a_store_that_does_not_exist_is_awaited() {
    let base = store(&[]);
    let real = fs::canonicalize(base.path()).unwrap();
    let reach = fingerprint(&base.path().join("a/b")).reach;
    assert!(reach.watched().contains(real.as_path()));
    assert!(reach.concerns(&real.join("a")));
}

/// A digest that no file has: who is told it was not told of what is in the file.
const REMEMBERED: Digest = [7; 32];

/// A store of one file that was read an hour after it was written, as far as the file system can tell.
fn rested() -> (tempfile::TempDir, Source) {
    let store = store(&["a.json"]);
    let mut source = Source::new(store.path());
    source.now = || SystemTime::now() + Duration::from_secs(3600);
    source.fingerprint(Trust::Stamps);
    source.known[0].digest = REMEMBERED;
    (store, source)
}

fn is_read_again(source: &mut Source, trust: Trust) -> bool {
    source.fingerprint(trust);
    source.known[0].digest != REMEMBERED
}

#[test]
fn a_file_that_looks_unchanged_is_not_read_again() {
    let (_store, mut source) = rested();
    assert!(!is_read_again(&mut source, Trust::Stamps));
    assert!(!is_read_again(&mut source, Trust::Stamps));
    assert!(is_read_again(&mut source, Trust::Nothing));
}

#[test]
fn a_file_that_was_written_just_before_it_was_read_is_read_again() {
    let store = store(&["a.json"]);
    let mut source = Source::new(store.path());
    source.now = || SystemTime::UNIX_EPOCH;
    source.fingerprint(Trust::Stamps);
    source.known[0].digest = REMEMBERED;
    assert!(is_read_again(&mut source, Trust::Stamps));
}

#[test]
fn a_file_that_was_written_is_read_again_whatever_its_size_and_time() {
    let (store, mut source) = rested();
    let file = store.path().join("a.json");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "A.JSON").unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert!(is_read_again(&mut source, Trust::Stamps));
    let (store, mut source) = rested();
    fs::write(store.path().join("b"), "a.json").unwrap();
    fs::rename(store.path().join("b"), store.path().join("a.json")).unwrap();
    assert!(is_read_again(&mut source, Trust::Stamps));
}

#[test]
fn a_file_is_read_once_a_minute_however_it_looks() {
    let (_store, mut source) = rested();
    source.known[0].read_at = Instant::now().checked_sub(LONGEST_TRUST).unwrap();
    assert!(is_read_again(&mut source, Trust::Stamps));
}

#[test]
fn what_comes_and_goes_is_told_from_what_stays() {
    let store = store(&["b.json", "d.json", "f.json"]);
    let mut source = Source::new(store.path());
    source.now = || SystemTime::now() + Duration::from_secs(3600);
    for (gone, new) in [("b.json", "a.json"), ("d.json", "e.json"), ("f.json", "z.json")] {
        source.fingerprint(Trust::Stamps);
        fs::remove_file(store.path().join(gone)).unwrap();
        fs::write(store.path().join(new), new).unwrap();
        assert_eq!(source.fingerprint(Trust::Stamps).revision, fingerprint(store.path()).revision);
    }
}

/// A store with links, and a source that has read it an hour after it was written.
fn watched() -> (tempfile::TempDir, PathBuf, Source) {
    let base = store(&["real/a.json", "real/x/b.json", "elsewhere/c.json", "shared/d.json"]);
    let root = fs::canonicalize(base.path()).unwrap();
    symlink("../elsewhere", root.join("real/link")).unwrap();
    symlink("../shared/d.json", root.join("real/d.json")).unwrap();
    let mut source = Source::new(&root.join("real"));
    source.now = || SystemTime::now() + Duration::from_secs(3600);
    source.fingerprint(Trust::Events);
    (base, root, source)
}

/// Reads what the file system has told of; whether all was looked at for it, and whether what was found is what there is.
fn told(source: &mut Source, paths: &[PathBuf]) -> (bool, bool) {
    let told = paths.iter().cloned().collect();
    let found = source.read_told(Trust::Events, Some(&told), &mut Nobody);
    (found.walked, found.revision == fingerprint(&source.directory).revision)
}

#[test]
fn only_what_was_told_of_is_looked_at() {
    let (_base, root, mut source) = watched();
    for name in ["real/a.json", "real/new.json", "real/x/b.json", "real/link/c.json"] {
        fs::write(root.join(name), "another").unwrap();
        let real = fs::canonicalize(root.join(name)).unwrap();
        assert_eq!(told(&mut source, &[root.join("real/other.txt")]), (false, false), "{name}");
        assert_eq!(told(&mut source, &[real]), (false, true), "{name}");
    }
    fs::write(root.join("real/.hidden.json"), "{}").unwrap();
    assert_eq!(told(&mut source, &[root.join("real/.hidden.json"), root.join("real/notes.txt")]), (false, true));
    fs::remove_file(root.join("real/a.json")).unwrap();
    fs::rename(root.join("real/new.json"), root.join("real/x/moved.json")).unwrap();
    let all = ["real/a.json", "real/new.json", "real/x/moved.json"].map(|name| root.join(name));
    assert_eq!(told(&mut source, &all), (false, true));
}

#[test]
fn where_more_than_files_may_have_changed_all_is_looked_at() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("real/x", |root| fs::remove_dir_all(root.join("real/x")).unwrap()),
        ("real/y", |root| fs::rename(root.join("elsewhere"), root.join("real/y")).unwrap()),
        ("real/dir.json", |root| fs::create_dir(root.join("real/dir.json")).unwrap()),
        ("real/e.json", |root| symlink("../shared/d.json", root.join("real/e.json")).unwrap()),
        ("shared/d.json", |root| fs::write(root.join("shared/d.json"), "another").unwrap()),
        ("real/link", |root| fs::remove_file(root.join("real/link")).unwrap()),
        ("real/socket.json", |root| drop(UnixListener::bind(root.join("real/socket.json")).unwrap())),
    ];
    for (name, change) in changes {
        let (_base, root, mut source) = watched();
        change(&root);
        assert_eq!(told(&mut source, &[root.join(name)]), (true, true), "{name}");
    }
    let (_base, root, mut source) = watched();
    fs::create_dir(root.join("real/z")).unwrap();
    symlink("../../elsewhere", root.join("real/z/again")).unwrap();
    source.fingerprint(Trust::Events);
    fs::write(root.join("elsewhere/c.json"), "another").unwrap();
    assert_eq!(told(&mut source, &[root.join("elsewhere/c.json")]), (true, true), "a folder that is there twice");
}

#[test]
fn after_something_that_cannot_be_read_all_is_looked_at() {
    let (_base, root, mut source) = watched();
    symlink("nowhere", root.join("real/broken.json")).unwrap();
    source.fingerprint(Trust::Events);
    assert_eq!(told(&mut source, &[root.join("real/a.json")]), (true, true));
}

/// What changed since the mark by what is told, as paths and texts; None if all is to be read.
fn changed(source: &mut Source, paths: &[PathBuf]) -> Option<Vec<(String, String)>> {
    let changes = source.changes(&paths.iter().cloned().collect())?;
    assert_eq!(changes.read.revision, fingerprint(&source.directory).revision);
    assert_eq!(changes.read.bytes, fingerprint(&source.directory).bytes);
    Some(changes.files.into_iter().map(|file| (file.path.to_string(), file.text)).collect())
}

#[test]
fn what_changed_since_the_mark_is_told_with_its_content() {
    let (_base, root, mut source) = watched();
    let at = |name: &str| root.join(name);
    let pair = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    assert_eq!(changed(&mut source, &[]), None, "there is no mark");
    source.mark();
    assert_eq!(changed(&mut source, &[at("real/notes.txt")]), Some(vec![]));
    fs::write(at("real/x/b.json"), "b").unwrap();
    assert_eq!(changed(&mut source, &[at("real/x/b.json")]), Some(vec![pair("x/b.json", "b")]));
    fs::write(at("real/a.json"), "a").unwrap();
    let both = Some(vec![pair("a.json", "a"), pair("x/b.json", "b")]);
    assert_eq!(changed(&mut source, &[at("real/a.json")]), both, "also of before, since nobody has marked that");
    assert_eq!(changed(&mut source, &[]), both);
    source.mark();
    fs::write(at("real/x/b.json"), "c").unwrap();
    source.fingerprint(Trust::Nothing);
    assert_eq!(changed(&mut source, &[]), Some(vec![pair("x/b.json", "c")]), "whoever noticed it");
    fs::write(at("elsewhere/c.json"), "c").unwrap();
    source.mark();
    assert_eq!(changed(&mut source, &[at("elsewhere/c.json")]), Some(vec![pair("link/c.json", "c")]));
}

#[test]
fn where_a_change_is_more_than_other_content_the_store_is_to_be_read() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("real/new.json", |file| fs::write(file, "{}").unwrap()),
        ("real/a.json", |file| fs::remove_file(file).unwrap()),
        ("real/a.json", |file| fs::write(file, b"\xe9").unwrap()),
        ("real/a.json", |file| fs::write(file, "x".repeat((1 << 20) + 1)).unwrap()),
        ("real/x", |folder| fs::remove_dir_all(folder).unwrap()),
        ("real/link", |link| fs::remove_file(link).unwrap()),
    ];
    for (name, change) in changes {
        let (_base, root, mut source) = watched();
        source.mark();
        change(&root.join(name));
        assert_eq!(changed(&mut source, &[root.join(name)]), None, "{name}");
        // Whatever was noted meanwhile, reading the store finds all of it.
        let told = [root.join(name)].into();
        let read = source.read_told(Trust::Events, Some(&told), &mut Nobody);
        assert_eq!(read.revision, fingerprint(&source.directory).revision, "{name}");
    }
    let (_base, root, mut source) = watched();
    source.mark();
    fs::write(root.join("real/a.json"), "one").unwrap();
    changed(&mut source, &[root.join("real/a.json")]).unwrap();
    fs::write(root.join("real/a.json"), "two").unwrap();
    assert!(source.changes(&BTreeSet::new()).is_none(), "written again since, and not told of yet");
}

/// A store that has been read within these limits, and marked; and what to write a file of it by.
fn marked(limits: Limits, paths: &[&str]) -> (tempfile::TempDir, PathBuf, Source) {
    let base = store(paths);
    let root = fs::canonicalize(base.path()).unwrap();
    let mut source = Source::within(&root, limits);
    source.fingerprint(Trust::Events);
    source.mark();
    (base, root, source)
}

/// What is told is read, however that is to be done.
fn hear(source: &mut Source, path: PathBuf) {
    let told = [path].into();
    if source.changes(&told).is_none() {
        source.read_told(Trust::Events, Some(&told), &mut Nobody);
    }
}

/// It may hold what denies: as long as it is there, no change of another file says what the store is.
#[test]
fn what_came_and_cannot_be_read_is_not_passed_over() {
    let (_base, root, mut source) = marked(Limits { file_bytes: 9, ..Limits::DEFAULT }, &["a.json", "b.json"]);
    fs::write(root.join("large.json"), "x".repeat(10)).unwrap();
    hear(&mut source, root.join("large.json"));
    fs::write(root.join("a.json"), "a").unwrap();
    assert!(source.changes(&[root.join("a.json")].into()).is_none());
    fs::write(root.join("large.json"), "small").unwrap();
    assert!(source.changes(&[root.join("large.json")].into()).is_none(), "it was not there before");
}

#[test]
fn what_a_store_that_was_too_large_left_out_is_not_passed_over() {
    let limits = Limits { store_bytes: 20, ..Limits::DEFAULT };
    let (_base, root, mut source) = marked(limits, &["a.json", "b.json"]);
    for text in ["larger", "larger, and larger"] {
        fs::write(root.join("a.json"), text).unwrap();
        hear(&mut source, root.join("a.json"));
    }
    fs::write(root.join("a.json"), "a").unwrap();
    let told = [root.join("a.json")].into();
    if let Some(changes) = source.changes(&told) {
        assert_eq!(changes.read.revision, fingerprint(&root).revision);
    }
    let read = source.read_told(Trust::Events, Some(&told), &mut Nobody);
    assert_eq!(read.revision, fingerprint(&root).revision);
}

#[test]
fn many_changes_are_left_to_who_reads_one_file_at_a_time() {
    let (_base, root, mut source) = marked(Limits::DEFAULT, &["a.json", "b.json"]);
    for name in ["a.json", "b.json"] {
        assert!(source.changes(&BTreeSet::new()).is_some(), "{name}");
        fs::write(root.join(name), "x".repeat(600 << 10)).unwrap();
        hear(&mut source, root.join(name));
    }
    assert!(source.changes(&BTreeSet::new()).is_none());
}

/// What a store of a few files becomes, how that is noticed, and whether it is taken over.
type Step = (Vec<(usize, Option<&'static str>)>, Notice, bool);

#[derive(Clone, Copy, Debug)]
enum Notice {
    Told,
    Polled,
    Asked,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = prop::option::weighted(0.8, prop::sample::select(vec!["1", "22", "seven 77", "too large!"]));
    let notice = prop_oneof![4 => Just(Notice::Told), 1 => Just(Notice::Polled), 1 => Just(Notice::Asked)];
    prop::collection::vec((prop::collection::vec((0..3_usize, text), 0..3), notice, any::<bool>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However it came to that: what is not among the changes is as it was when it was marked, and can be read.
    #[test]
    fn changes_are_all_that_changed_since_the_mark(steps in steps()) {
        let limits = Limits { file_bytes: 9, store_bytes: 17, ..Limits::DEFAULT };
        let names = ["a.json", "b.json", "c.json"];
        let (_base, root, mut source) = marked(limits, &[]);
        let mut now: BTreeMap<&str, &str> = names.into_iter().zip(["1", "22", "333"]).collect();
        now.iter().for_each(|(name, text)| fs::write(root.join(name), text).unwrap());
        source.fingerprint(Trust::Nothing);
        source.mark();
        let mut marked = now.clone();
        for (writes, notice, is_taken) in steps {
            let mut told = BTreeSet::new();
            for (name, text) in writes.into_iter().filter_map(|(name, text)| Some((*names.get(name)?, text))) {
                match text {
                    Some(text) => fs::write(root.join(name), text).unwrap(),
                    // It may be gone already.
                    None => drop(fs::remove_file(root.join(name))),
                }
                now.remove(name);
                now.extend(text.map(|text| (name, text)));
                told.insert(root.join(name));
            }
            let fresh = Source::within(&root, limits).fingerprint(Trust::Nothing);
            let changes = matches!(notice, Notice::Told).then(|| source.changes(&told)).flatten();
            let lengths = || now.values().map(|text| length(text.len()));
            let is_whole = !now.is_empty() && lengths().all(|size| size <= 9) && lengths().sum::<u64>() <= 17;
            let read = match changes {
                Some(Changes { files, read }) => {
                    prop_assert!(is_whole);
                    let mut seen = marked.clone();
                    seen.extend(files.iter().map(|file| (&*file.path, &*file.text)));
                    prop_assert_eq!(&seen, &now);
                    prop_assert_eq!(read.bytes, fresh.bytes);
                    read
                }
                None => match notice {
                    Notice::Told => source.read_told(Trust::Events, Some(&told), &mut Nobody),
                    Notice::Polled => source.fingerprint(Trust::Stamps),
                    Notice::Asked => source.fingerprint(Trust::Nothing),
                },
            };
            prop_assert_eq!(read.revision, fresh.revision);
            if is_whole && (is_taken || now == marked) {
                source.mark();
                marked.clone_from(&now);
            }
        }
    }
}

/// As after a write by a way of which the file system does not tell.
#[test]
fn what_was_written_just_before_it_was_read_is_read_again_untold() {
    let (_base, root, mut source) = watched();
    source.now = || SystemTime::UNIX_EPOCH;
    source.fingerprint(Trust::Nothing);
    source.mark();
    fs::write(root.join("real/a.json"), "a").unwrap();
    assert_eq!(changed(&mut source, &[]), Some(vec![("a.json".to_owned(), "a".to_owned())]));
}
