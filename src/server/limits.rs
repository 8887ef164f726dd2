//! How much is taken in at a time, and for how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// Counts what is inside and lets nobody in past the limit.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    /// Relaxed throughout: the number guards no other memory.
    held: AtomicUsize,
}

impl Gate {
    /// A gate for this many.
    pub const fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0) }
    }

    /// Goes in; false if it is full. Who got in must [`Gate::leave`].
    #[must_use]
    pub fn enter(&self) -> bool {
        let full = self.held.fetch_add(1, Ordering::Relaxed) >= self.limit;
        if full {
            self.leave();
        }
        !full
    }

    /// Goes in even where it is full.
    pub fn enter_always(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// Goes out.
    pub fn leave(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many are inside.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many fit.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// The client's deadline, from the `grpc-timeout` header: at most 8 digits and a unit. None where there is none, or none
/// that the protocol allows.
pub fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
    let text = headers.get(&TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_full_at_its_limit_and_opens_again() {
        let gate = Gate::new(2);
        assert!(gate.enter() && gate.enter());
        assert!(!gate.enter());
        assert_eq!(gate.held(), 2);
        gate.leave();
        assert!(gate.enter());
    }

    #[test]
    fn deadlines_of_clients() {
        let timeout = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            client_timeout(&headers)
        };
        assert_eq!(timeout("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(timeout("1M"), Some(Duration::from_secs(60)));
        assert_eq!(timeout("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(timeout("15m"), Some(Duration::from_millis(15)));
        assert_eq!(timeout("15u"), Some(Duration::from_micros(15)));
        assert_eq!(timeout("15n"), Some(Duration::from_nanos(15)));
        for text in ["", "5", "S", "123456789S", "-1S", "+1S", "1 S", "1s", "1.5S"] {
            assert_eq!(timeout(text), None, "{text}");
        }
        assert_eq!(client_timeout(&HeaderMap::new()), None);
    }
}
