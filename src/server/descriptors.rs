//! How many connections this process has file descriptors for.
#![expect(clippy::disallowed_methods, reason = "a file of the kernel, of a few lines")]

/// For what is not a call's connection: 64 of the admin port, the listeners, each thread's own, and the files of a reload.
const RESERVED: usize = 128;

/// The limit of connections, or fewer if that needs more file descriptors than there are: past those, the store could not be
/// read any more, nor a probe answered.
pub fn connections_that_fit(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(files) = open_files(&limits) else { return wanted };
    let fit = fitting(files);
    if fit < wanted {
        tracing::warn!(
            open_files = files,
            wanted,
            max_connections = fit,
            "fewer connections are taken than --max-connections says; hint: allow more open files (`ulimit -n`, systemd's \
             LimitNOFILE)"
        );
    }
    wanted.min(fit)
}

fn fitting(files: usize) -> usize {
    files.saturating_sub(RESERVED.min(files / 2)).max(1)
}

/// The soft limit; None if there is none, or none is known.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        for (files, connections) in [(1_024, 896), (200, 100), (64, 32), (1, 1), (0, 1)] {
            assert_eq!(fitting(files), connections, "{files}");
        }
    }

    #[test]
    fn the_kernel_says_how_many() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(text), Some(1_024));
        assert_eq!(open_files("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(open_files(""), None);
    }
}
