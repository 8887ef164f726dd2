//! The flags that say when the service has too much to do.

use std::time::Duration;

use super::parse::Checker;

const DEFAULT_MEMORY_HIGH: &str = "90";

/// When calls are refused because there is too much to do.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Overload")]
pub struct OverloadArgs {
    /// How long calls may wait for their turn; when that lasts, they are refused. 0s: any time
    #[arg(long, env = "IAMD_MAX_QUEUE_TIME", value_name = "DURATION", default_value = "100ms")]
    pub max_queue_time: String,

    /// Memory that the service may use: `auto` (what its cgroup allows), a size, or 0 for any
    #[arg(long, env = "IAMD_MEMORY_LIMIT", value_name = "SIZE", default_value = "auto")]
    pub memory_limit: String,

    /// Percentage of --memory-limit at which batches and streams are refused; half way from there to the limit, all calls
    #[arg(long, env = "IAMD_MEMORY_HIGH", value_name = "PERCENT", default_value = DEFAULT_MEMORY_HIGH)]
    pub memory_high: String,
}

/// When calls are refused because there is too much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// How long calls may wait for their turn; None: any time.
    pub queue_time: Option<Duration>,
    /// How much memory may be used.
    pub memory: MemoryLimit,
    /// At which percentage of it the first calls are refused.
    pub memory_high: u8,
}

impl Default for Overload {
    /// What holds for a service whose flags say nothing.
    fn default() -> Self {
        Self { queue_time: Some(Duration::from_millis(100)), memory: MemoryLimit::Auto, memory_high: 90 }
    }
}

/// How much memory may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// What the cgroup allows.
    Auto,
    /// So many bytes of this process.
    Bytes(u64),
    /// Any.
    None,
}

impl OverloadArgs {
    pub(super) fn check(&self, check: &mut Checker) -> Overload {
        if self.memory_limit == "0" && self.memory_high != DEFAULT_MEMORY_HIGH {
            check.problem(
                "--memory-high",
                "is a share of --memory-limit, and `0` means that there is none; leave one out",
            );
        }
        let queue_time = check.duration("--max-queue-time", &self.max_queue_time, Duration::ZERO);
        Overload {
            queue_time: (!queue_time.is_zero()).then_some(queue_time),
            memory: self.memory_limit(check),
            memory_high: check.number("--memory-high", &self.memory_high, 1..=99),
        }
    }

    fn memory_limit(&self, check: &mut Checker) -> MemoryLimit {
        match self.memory_limit.as_str() {
            "auto" => MemoryLimit::Auto,
            "0" => MemoryLimit::None,
            // Less than a mebibyte is used by nobody; more than 64 TiB, neither.
            text => MemoryLimit::Bytes(check.size("--memory-limit", text, 1 << 20..=1 << 46) as u64),
        }
    }
}
