//! A policy store that changes under a running engine: in every way in which people and Kubernetes change it.
//!
//! A store is written as one queue per file; which queues the active snapshot knows tells which store it was built of.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot prepare its store has failed")]
#![expect(clippy::disallowed_methods, reason = "the tests write the store, and look at what they wrote")]

mod faults;
mod incremental;
mod links;
mod running;
mod wakes;

use std::fs;

use running::{however_noticed, one_file, write};

#[test]
fn a_file_written_in_place() {
    however_noticed(one_file, |running| {
        for (version, name) in (2..).zip(["a2", "a3", "a4"]) {
            write(running.at("a.json"), name);
            running.becomes(&[name]);
            running.eventually("one version more", || running.version() == version);
        }
    });
}

#[test]
fn a_file_renamed_over_another() {
    however_noticed(one_file, |running| {
        for name in ["a2", "a3"] {
            write(running.at(".a.json.new"), name);
            fs::rename(running.at(".a.json.new"), running.at("a.json")).unwrap();
            running.becomes(&[name]);
        }
    });
}

#[test]
fn files_and_folders_that_come_and_go() {
    however_noticed(one_file, |running| {
        fs::create_dir_all(running.at("x/y")).unwrap();
        write(running.at("x/y/b.json"), "b1");
        running.becomes(&["a1", "b1"]);
        fs::remove_dir_all(running.at("x")).unwrap();
        running.becomes(&["a1"]);
        fs::create_dir_all(running.at("x/y")).unwrap();
        write(running.at("x/y/b.json"), "b2");
        running.becomes(&["a1", "b2"]);
        write(running.at("x/y/b.json"), "b3");
        running.becomes(&["a1", "b3"]);
    });
}

#[test]
fn a_folder_replaced_by_another_of_the_same_name() {
    however_noticed(one_file, |running| {
        for name in ["a2", "a3"] {
            let [new, old] = ["new", "old"].map(|suffix| running.root.join(format!("{name}-{suffix}")));
            fs::create_dir(&new).unwrap();
            write(new.join("a.json"), name);
            fs::rename(&running.store, old).unwrap();
            fs::rename(new, &running.store).unwrap();
            running.becomes(&[name]);
            write(running.at("a.json"), "mended");
            running.becomes(&["mended"]);
        }
    });
}
