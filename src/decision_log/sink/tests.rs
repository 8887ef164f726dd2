use std::os::unix::fs::symlink;

use super::*;

const NEVER: Rotation = Rotation { max_bytes: None, max_age: None, max_files: None };

fn sink(path: &Path) -> Sink {
    Sink::open(&LogTarget::File(path.to_owned()), NEVER).unwrap()
}

/// As if nobody had looked for a while.
fn find_again(sink: &mut Sink) -> io::Result<bool> {
    sink.found_at = None;
    sink.find_again()
}

#[test]
fn a_file_that_was_moved_away_or_deleted_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("d.log"), folder.path().join("moved"));
    let mut sink = sink(&path);
    sink.write(b"1\n").unwrap();
    assert!(!find_again(&mut sink).unwrap());
    std::fs::rename(&path, &moved).unwrap();
    assert!(find_again(&mut sink).unwrap());
    sink.write(b"2\n").unwrap();
    assert_eq!([&moved, &path].map(|path| std::fs::read(path).unwrap()), [b"1\n", b"2\n"]);

    // As logrotate's `create` leaves it.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "3\n").unwrap();
    assert!(find_again(&mut sink).unwrap());
    sink.write(b"4\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"3\n4\n");
    assert!(!find_again(&mut sink).unwrap());
}

#[test]
fn a_folder_that_is_gone_is_an_error_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/d.log");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let mut sink = sink(&path);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(sink.find_again().unwrap_err().kind(), io::ErrorKind::NotFound, "each time, not once a second");
    }
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    assert!(sink.find_again().unwrap());
}

#[test]
fn it_is_looked_for_now_and_then_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.log");
    let mut sink = sink(&path);
    // Nothing has passed since, however slow this test is.
    sink.found_at = Some(Instant::now() + Duration::from_secs(3600));
    std::fs::remove_file(&path).unwrap();
    assert!(!sink.find_again().unwrap());
    sink.found_at = Instant::now().checked_sub(LOOK_INTERVAL);
    assert!(sink.find_again().unwrap());
}

#[test]
fn what_is_no_file_is_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("null");
    symlink("/dev/null", &path).unwrap();
    let mut sink = sink(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(!find_again(&mut sink).unwrap());
    assert!(!path.exists(), "and none is made");
}

#[test]
fn the_file_just_moved_aside_is_kept_though_the_clock_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.log");
    for number in 1..=3 {
        std::fs::write(folder.path().join(format!("d.log.20990101T00000{number}.000000Z")), "older\n").unwrap();
    }
    let mut sink = sink(&path);
    sink.rotation = Rotation { max_bytes: Some(10), max_files: Some(3), ..NEVER };
    for line in ["first one\n", "second\n"] {
        assert_eq!(sink.make_ready(line.as_bytes()), line.len());
        sink.write(line.as_bytes()).unwrap();
    }
    let mut aside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    aside.sort();
    let texts: Vec<_> = aside.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts, ["second\n", "older\n", "older\n", "first one\n"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_one_processs() {
    let folder = tempfile::tempdir().unwrap();
    let [path, moved] = ["d.log", "moved"].map(|name| folder.path().join(name));
    let another = |path: &Path| Sink::open(&LogTarget::File(path.to_owned()), NEVER);
    let expected = |path: &Path| {
        let name = path.display();
        format!(
            "cannot open the decision log `{name}`: another process writes to it; hint: give each process a file of its own"
        )
    };
    let mut first = sink(&path);
    // Whoever copies and cuts sends the signal, too: it is the same file.
    first.reopen().unwrap();
    assert_eq!(another(&path).unwrap_err(), expected(&path));

    std::fs::rename(&path, &moved).unwrap();
    first.reopen().unwrap();
    assert_eq!(another(&path).unwrap_err(), expected(&path), "it goes on with the new file");
    drop(another(&moved).unwrap());

    first.rotation.max_bytes = Some(3);
    first.write(b"1\n").unwrap();
    assert_eq!(first.make_ready(b"2\n"), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    assert_eq!(another(&path).unwrap_err(), expected(&path), "as it does when files are rotated");
    drop(first);
    another(&path).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_another_process_has_made_meanwhile_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.log");
    let mut first = sink(&path);
    std::fs::remove_file(&path).unwrap();
    let second = sink(&path);
    assert_eq!(first.find_again().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    drop(second);
    assert!(first.find_again().unwrap());
}

#[test]
fn what_is_no_file_may_be_written_to_by_many() {
    let _first = sink(Path::new("/dev/null"));
    sink(Path::new("/dev/null"));
}

#[test]
fn lines_are_cut_where_a_file_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.log");
    // Cut off: its end takes a byte, too.
    std::fs::write(&path, "12").unwrap();
    let mut sink = sink(&path);
    sink.rotation.max_bytes = Some(10);
    assert_eq!(sink.make_ready(b"45\n78\nBC\n"), 6);
    sink.write(b"\n45\n78\n").unwrap();
    assert_eq!(sink.make_ready(b"A\nlarger than a file\nB\n"), 2, "in the next one");
    sink.write(b"A\n").unwrap();
    assert_eq!(sink.make_ready(b"larger than a file\nB\n"), 19, "alone");
    sink.write(b"larger than a file\n").unwrap();
    assert_eq!(sink.make_ready(b"B\n"), 2);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn what_cannot_be_moved_aside_takes_all_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.log");
    std::fs::write(&path, "1\n").unwrap();
    let mut sink = sink(&path);
    sink.rotation.max_bytes = Some(4);
    sink.not_before = Some(Instant::now() + ROTATION_PAUSE);
    assert_eq!(sink.make_ready(b"2\n3\n4\n"), 6);
}

#[test]
fn a_new_file_is_not_for_everybody_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.log");
    let _sink = sink(&path);
    let mode = std::fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}: the umask takes from 0640");
}
