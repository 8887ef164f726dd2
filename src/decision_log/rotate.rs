//! Names of older files, and which of them are kept.
#![expect(clippy::disallowed_methods, reason = "the files of the decision log are not the policy store")]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// `20261122T144452.000007Z`: sorts by time.
const STAMP: &str = "%Y%m%dT%H%M%S.%6fZ";
const STAMP_BYTES: usize = "20261122T144452.000007Z".len();

/// The name for a file that is moved aside now: its own, a dot, and the time. It sorts behind the names of all that were moved aside
/// before, wherever the clock was then: else this one might be removed as the oldest.
pub(super) fn aside(path: &Path, now: jiff::Timestamp) -> io::Result<PathBuf> {
    // Where the folder cannot be read, nothing is removed, either.
    let newest = stamped(path).unwrap_or_default().into_iter().map(|file| file.time).max();
    let mut time = newest.map_or(Ok(now), |newest| next(newest).map(|next| next.max(now)))?;
    loop {
        let name = with_stamp(path, &stamp(time));
        if std::fs::symlink_metadata(&name).is_err() {
            return Ok(name);
        }
        time = next(time)?;
    }
}

fn next(time: jiff::Timestamp) -> io::Result<jiff::Timestamp> {
    time.checked_add(jiff::Span::new().microseconds(1)).map_err(|_| io::Error::other("no later name can be given"))
}

fn stamp(time: jiff::Timestamp) -> String {
    time.strftime(STAMP).to_string()
}

fn with_stamp(path: &Path, stamp: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(stamp);
    name.into()
}

/// The time that a stamp tells; None of what we would not write.
fn time_of(text: &str) -> Option<jiff::Timestamp> {
    let time = jiff::civil::DateTime::strptime(STAMP, text).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    (stamp(time) == text).then_some(time)
}

/// Removes the oldest files that were moved aside, so that so many are left.
pub(super) fn keep(path: &Path, files: usize) -> io::Result<()> {
    let older = older(path)?;
    let surplus = older.len().saturating_sub(files);
    older.iter().take(surplus).try_for_each(std::fs::remove_file)
}

/// The files that were moved aside, the oldest first. Files of other names are nobody's business.
fn older(path: &Path) -> io::Result<Vec<PathBuf>> {
    let ours = stamped(path)?.into_iter().filter(|file| file.is_whole);
    let mut found: Vec<_> = ours.map(|file| file.path).collect();
    found.sort();
    Ok(found)
}

/// A file with a stamp behind the name.
struct Stamped {
    /// What the stamp says.
    time: jiff::Timestamp,
    /// Whether nothing follows it: somebody may have compressed the file since, and named it so.
    is_whole: bool,
    path: PathBuf,
}

fn stamped(path: &Path) -> io::Result<Vec<Stamped>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let other = entry?.file_name();
        let rest = other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
        let stamp = rest.and_then(|rest| rest.split_at_checked(STAMP_BYTES));
        if let Some((stamp, behind)) = stamp
            && let Some(time) = time_of(stamp)
        {
            found.push(Stamped { time, is_whole: behind.is_empty(), path: path.with_file_name(&other) });
        }
    }
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
        let first = aside(&path, now).unwrap();
        assert_eq!(first.file_name().unwrap(), "decisions.log.20261122T144452.000007Z");
        std::fs::write(&first, "").unwrap();
        assert_eq!(aside(&path, now).unwrap().file_name().unwrap(), "decisions.log.20261122T144452.000008Z");
    }

    #[test]
    fn the_newest_stays_though_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.log");
        for number in 1..=3 {
            std::fs::write(folder.path().join(format!("d.log.20400101T00000{number}.000000Z")), "").unwrap();
        }
        let now: jiff::Timestamp = "2026-11-22T14:44:52.000007Z".parse().unwrap();
        for expected in ["d.log.20400101T000003.000001Z", "d.log.20400101T000003.000002Z"] {
            let name = aside(&path, now).unwrap();
            assert_eq!(name.file_name().unwrap(), expected);
            std::fs::write(&name, "").unwrap();
            keep(&path, 3).unwrap();
            assert!(name.exists(), "the one that was written last");
        }
        // As somebody has compressed it.
        std::fs::rename(
            folder.path().join("d.log.20400101T000003.000002Z"),
            folder.path().join("d.log.20400101T000003.000002Z.gz"),
        )
        .unwrap();
        assert_eq!(aside(&path, now).unwrap().file_name().unwrap(), "d.log.20400101T000003.000003Z");
    }

    #[test]
    fn a_name_that_tells_no_time_is_nobodys_business() {
        for other in [
            "20261322T144452.000007Z",
            "20261122T144460.000007Z",
            "99991231T235959.999999Z",
            "20261122T144452.00000Z",
            "",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
        let time = "2026-11-22T14:44:52.000007Z".parse().unwrap();
        assert_eq!(time_of(&stamp(time)), Some(time));
    }

    #[test]
    fn the_oldest_go_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["d.log", "d.log.1", "d.log.20261122T144452Z", "d.log.20261122T144452.000007Z.gz", "e.log.x"];
        let rotated =
            ["d.log.20261122T144452.000009Z", "d.log.20261122T144452.000001Z", "d.log.20251122T144452.000001Z"];
        for name in others.iter().chain(&rotated) {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        keep(Path::new(&format!("{}//d.log", folder.path().display())), 1).unwrap();
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
