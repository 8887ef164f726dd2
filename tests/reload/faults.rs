//! Stores that are wrong for a while: the last good snapshot is kept.

use std::fs;
use std::os::unix::fs::symlink;

use iamd::reload::ReloadResult::{Rejected, Unchanged};

use crate::running::{however_noticed, one_file, put_bad_file, queue, write};

#[test]
fn a_half_written_file_is_completed() {
    however_noticed(one_file, |running| {
        fs::write(running.at("a.json"), queue("a2").get(..20).unwrap()).unwrap();
        running.is_rejected("a.json:1:");
        let since = running.handle.status.load().stale_since;
        fs::write(running.at("a.json"), queue("a2").get(..30).unwrap()).unwrap();
        running.eventually("rejected again", || running.reloads().len() == 2);
        assert_eq!(running.handle.status.load().stale_since, since, "stale since the first");
        write(running.at("a.json"), "a2");
        running.becomes(&["a2"]);
        assert_eq!(running.version(), 2);
    });
}

#[test]
fn a_bad_change_that_is_taken_back() {
    however_noticed(one_file, |running| {
        put_bad_file(running);
        running.is_rejected("b.json:1:2: ");
        fs::remove_file(running.at("b.json")).unwrap();
        running.becomes(&["a1"]);
        running.eventually("both are reported", || running.reloads().len() == 2);
        let results: Vec<_> = running.reloads().into_iter().map(|(result, _)| result).collect();
        assert_eq!(results, [Rejected, Unchanged]);
        assert_eq!(running.version(), 1);
    });
}

#[test]
fn an_emptied_directory() {
    however_noticed(one_file, |running| {
        fs::remove_file(running.at("a.json")).unwrap();
        running.is_rejected("no `*.json` files under `");
        write(running.at("a.json"), "a2");
        running.becomes(&["a2"]);
    });
}

#[test]
fn a_deleted_directory_that_comes_back() {
    however_noticed(one_file, |running| {
        for name in ["a2", "a3"] {
            fs::remove_dir_all(&running.store).unwrap();
            running.is_rejected("no such file or directory");
            fs::create_dir(&running.store).unwrap();
            running.is_rejected("no `*.json` files under `");
            write(running.at("a.json"), name);
            running.becomes(&[name]);
        }
    });
}

#[test]
fn a_file_that_cannot_be_read() {
    however_noticed(one_file, |running| {
        symlink("nowhere", running.at("b.json")).unwrap();
        running.is_rejected("b.json:1:1: cannot read `nowhere`, which this links to");
        write(running.at("nowhere"), "b1");
        running.becomes(&["a1", "b1"]);
        fs::remove_file(running.at("b.json")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(running.at("b.json")).unwrap();
        running.is_rejected("b.json:1:1: this is neither a file nor a folder");
        fs::remove_file(running.at("b.json")).unwrap();
        fs::create_dir(running.at("b.json")).unwrap();
        running.becomes(&["a1"]);
    });
}

#[test]
fn a_file_without_the_right_to_read_it() {
    use std::os::unix::fs::PermissionsExt;
    however_noticed(one_file, |running| {
        let may = |mode| fs::set_permissions(running.at("a.json"), fs::Permissions::from_mode(mode)).unwrap();
        may(0o000);
        if fs::File::options().read(true).open(running.at("a.json")).is_ok() {
            // The superuser may read everything.
            return;
        }
        running.is_rejected("a.json:1:1: cannot read the file: permission denied");
        may(0o600);
        running.becomes(&["a1"]);
        assert_eq!(running.version(), 1);
    });
}
