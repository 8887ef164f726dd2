//! What the kernel says of memory: of the process, and of its cgroup (version 2 or 1).
#![expect(clippy::disallowed_methods, reason = "files of the kernel, of a few bytes each")]

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Version 1 writes the largest number of pages where there is no limit; nothing has an exbibyte.
const NO_LIMIT: u64 = 1 << 60;

/// Where what is used is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What is resident of this process.
    Process { limit: u64 },
    /// What the cgroup is charged with.
    Cgroup { limit: u64, used: PathBuf, stat: PathBuf, reclaimable: &'static str },
}

impl Source {
    pub(super) fn process(limit: u64) -> Self {
        Self::Process { limit }
    }

    /// The cgroup of this process; None without a limit.
    pub(super) fn cgroup() -> Option<Self> {
        Self::in_cgroups(&read_to_string("/proc/self/cgroup").ok()?, Path::new("/sys/fs/cgroup"))
    }

    /// Of those that this process is in, and of those above, the one with the lowest limit.
    fn in_cgroups(memberships: &str, root: &Path) -> Option<Self> {
        let of_line = |line: &str| -> Option<Self> {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let (root, version) = match controllers {
                "" => (root.to_owned(), &VERSIONS[1]),
                _ if controllers.split(',').any(|controller| controller == "memory") => {
                    (root.join("memory"), &VERSIONS[0])
                }
                _ => return None,
            };
            // In a container its own cgroup is mounted as the root, whatever the path says.
            let folder = root.join(path.trim_start_matches('/'));
            let lowest = folder.ancestors().take_while(|folder| folder.starts_with(&root));
            lowest.filter_map(|folder| version.source(folder)).min_by_key(Self::limit)
        };
        memberships.lines().filter_map(of_line).min_by_key(Self::limit)
    }

    pub(super) fn limit(&self) -> u64 {
        match self {
            Self::Process { limit } | Self::Cgroup { limit, .. } => *limit,
        }
    }

    /// Bytes that cannot be had back for the asking.
    pub(super) fn used(&self) -> Option<u64> {
        match self {
            Self::Process { .. } => resident(),
            Self::Cgroup { used, stat, reclaimable, .. } => {
                let files = read_to_string(stat).ok().and_then(|text| value(&text, reclaimable)).unwrap_or(0);
                Some(number(&read_to_string(used).ok()?)?.saturating_sub(files))
            }
        }
    }
}

struct Version {
    limit: &'static str,
    used: &'static str,
    /// In `memory.stat`: pages of files that nobody used lately. The kernel takes them back before it kills anybody.
    reclaimable: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", reclaimable: "total_inactive_file" },
    Version { limit: "memory.max", used: "memory.current", reclaimable: "inactive_file" },
];

impl Version {
    fn source(&self, folder: &Path) -> Option<Source> {
        // "max" is no number.
        let limit = number(&read_to_string(folder.join(self.limit)).ok()?)?;
        let (used, stat) = (folder.join(self.used), folder.join("memory.stat"));
        (limit < NO_LIMIT).then_some(Source::Cgroup { limit, used, stat, reclaimable: self.reclaimable })
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of a line `NAME VALUE`.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(name)?.strip_prefix(' ')?))
}

fn resident() -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| number(line.strip_prefix("VmRSS:")?.strip_suffix("kB")?))?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn found(memberships: &str, files: &[(&str, &str)]) -> Option<(u64, Option<u64>)> {
        let root = folder(files);
        let source = Source::in_cgroups(memberships, root.path())?;
        Some((source.limit(), source.used()))
    }

    #[test]
    fn version_2_with_and_without_a_name_space() {
        let pod = [
            ("memory.max", "max\n"),
            ("pod/memory.max", "1000\n"),
            ("pod/memory.current", "900\n"),
            ("pod/memory.stat", "anon 1\ninactive_file 300\n"),
            ("pod/app/memory.max", "max\n"),
        ];
        assert_eq!(found("0::/pod/app\n", &pod), Some((1_000, Some(600))));
        let own = [("memory.max", "5000\n"), ("memory.current", "70\n")];
        assert_eq!(found("0::/\n", &own), Some((5_000, Some(70))));
        // The path is the host's, and not to be seen from here.
        assert_eq!(found("0::/kubepods/pod1/app\n", &own), Some((5_000, Some(70))));
        assert_eq!(found("0::/\n", &[("memory.max", "max\n")]), None);
        assert_eq!(found("0::/\n", &[]), None);
    }

    #[test]
    fn version_1() {
        let memberships = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n";
        let files = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/a/memory.limit_in_bytes", "2000\n"),
            ("memory/a/memory.usage_in_bytes", "1500\n"),
            ("memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n"),
        ];
        assert_eq!(found(memberships, &files), Some((2_000, Some(1_000))));
        assert_eq!(found(memberships, &files[..1]), None);
    }
}
