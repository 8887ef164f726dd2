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
        sink.make_ready(line.len());
        sink.write(line.as_bytes()).unwrap();
    }
    let mut aside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    aside.sort();
    let texts: Vec<_> = aside.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts, ["second\n", "older\n", "older\n", "first one\n"]);
}
