//! Stores made of links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::running::{however_noticed, one_file, write};

/// What the kubelet does for the next generation of a volume (AtomicWriter): the files in a folder of their own, then
/// `..data` swapped by a rename, then links for new files, none for those that went, and the old folder removed.
fn kubelet_writes(volume: &Path, generation: &str, files: &[(&str, &str)]) {
    let folder = format!("..2026_01_01_00_00_00.{generation}");
    fs::create_dir(volume.join(&folder)).unwrap();
    for (name, queue) in files {
        write(volume.join(&folder).join(name), queue);
    }
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(&folder, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        if !volume.join(name).is_symlink() {
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
    }
    for link in links(volume) {
        if !files.iter().any(|(name, _)| link.ends_with(name)) {
            fs::remove_file(link).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

/// The links that users of the volume see.
fn links(volume: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(volume).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_symlink() && !path.ends_with("..data")).collect()
}

#[test]
fn a_volume_of_kubernetes() {
    let first = |root: &Path| {
        fs::create_dir(root.join("store")).unwrap();
        kubelet_writes(&root.join("store"), "1", &[("a.json", "a1"), ("b.json", "b1")]);
    };
    however_noticed(first, |running| {
        assert_eq!(running.queues(), ["a1", "b1"]);
        kubelet_writes(&running.store, "2", &[("a.json", "a2"), ("b.json", "b2")]);
        running.becomes(&["a2", "b2"]);
        kubelet_writes(&running.store, "3", &[("b.json", "b3"), ("c.json", "c3")]);
        running.becomes(&["b3", "c3"]);
    });
}

#[test]
fn a_store_that_is_a_link_to_the_current_release() {
    let releases = |root: &Path| {
        for name in ["v1", "v2"] {
            fs::create_dir(root.join(name)).unwrap();
            write(root.join(name).join("a.json"), name);
        }
        symlink("v1", root.join("current")).unwrap();
        symlink("current", root.join("store")).unwrap();
    };
    however_noticed(releases, |running| {
        assert_eq!(running.queues(), ["v1"]);
        symlink("v2", running.root.join("next")).unwrap();
        fs::rename(running.root.join("next"), running.root.join("current")).unwrap();
        running.becomes(&["v2"]);
        write(running.root.join("v2/a.json"), "v2-mended");
        running.becomes(&["v2-mended"]);
    });
}

#[test]
fn a_file_elsewhere_that_a_link_leads_to() {
    let linked = |root: &Path| {
        one_file(root);
        fs::create_dir(root.join("shared")).unwrap();
        write(root.join("shared/b.json"), "b1");
        symlink("../shared/b.json", root.join("store/b.json")).unwrap();
    };
    however_noticed(linked, |running| {
        write(running.root.join("shared/b.json"), "b2");
        running.becomes(&["a1", "b2"]);
    });
}
