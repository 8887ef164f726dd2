//! Names of older files, and which of them are kept.
#![expect(clippy::disallowed_methods, reason = "the files of the decision log are not the policy store")]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// `20261122T144452.000007Z`: sorts by time.
const STAMP: &str = "dddddddd.dddddd.ddddddZ";

/// A free name for a file that is moved aside now: its own, a dot, and the time.
pub(super) fn aside(path: &Path, now: jiff::Timestamp) -> PathBuf {
    let mut time = now;
    loop {
        let stamped = with_stamp(path, &stamp(time));
        if std::fs::symlink_metadata(&stamped).is_err() {
            return stamped;
        }
        time = time.checked_add(jiff::Span::new().microseconds(1)).unwrap_or(time);
    }
}

fn stamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%S.%6fZ").to_string()
}

fn with_stamp(path: &Path, stamp: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(stamp);
    name.into()
}

fn is_stamp(text: &str) -> bool {
    let fits = |(expected, found): (u8, u8)| match expected {
        b'd' => found.is_ascii_digit(),
        b'.' => matches!(found, b'.' | b'T'),
        other => found == other,
    };
    text.len() == STAMP.len() && STAMP.bytes().zip(text.bytes()).all(fits)
}

/// Removes the oldest files that were moved aside, so that so many are left.
pub(super) fn keep(path: &Path, files: usize) -> io::Result<()> {
    let older = older(path)?;
    let surplus = older.len().saturating_sub(files);
    older.iter().take(surplus).try_for_each(std::fs::remove_file)
}

/// The files that were moved aside, the oldest first. Files of other names are nobody's business.
fn older(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let other = entry.file_name();
        let stamp = other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
        if stamp.is_some_and(is_stamp) {
            found.push(folder.join(&other));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.log");
        let now: jiff::Timestamp = "2026-11-22T14:44:52.000007Z".parse().unwrap();
        let first = aside(&path, now);
        assert_eq!(first.file_name().unwrap(), "decisions.log.20261122T144452.000007Z");
        std::fs::write(&first, "").unwrap();
        assert_eq!(aside(&path, now).file_name().unwrap(), "decisions.log.20261122T144452.000008Z");
    }

    #[test]
    fn the_oldest_go_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.log");
        let others = ["d.log", "d.log.1", "d.log.20261122T144452Z", "d.log.20261122T144452.000007Z.gz", "e.log.x"];
        let rotated =
            ["d.log.20261122T144452.000009Z", "d.log.20261122T144452.000001Z", "d.log.20251122T144452.000001Z"];
        for name in others.iter().chain(&rotated) {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        keep(&path, 1).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [&others[..], &rotated[..1]].concat();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
