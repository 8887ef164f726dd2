//! One line on the terminal, rewritten while a run goes on.

use std::io::{IsTerminal, Write};

use super::record::Interval;

/// The line; silent where stderr is no terminal.
#[derive(Debug)]
pub struct Progress {
    name: String,
    seconds: f64,
    shown: bool,
    begun: bool,
}

const WIDTH: usize = 20;

impl Progress {
    /// `seconds` is how long it will take at most.
    pub fn new(name: &str, seconds: f64) -> Self {
        Self { name: name.to_owned(), seconds, shown: std::io::stderr().is_terminal(), begun: false }
    }

    /// After each interval.
    pub fn show(&mut self, interval: &Interval, length: f64, errors: u64) {
        if self.shown {
            self.begun = true;
            self.write(&format!("\r\x1b[2K{}", line(&self.name, self.seconds, interval, length, errors)));
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.begun {
            self.write("\r\x1b[2K");
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Nothing depends on it.
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }
}

fn line(name: &str, seconds: f64, interval: &Interval, length: f64, errors: u64) -> String {
    let done = (interval.at / seconds.max(1e-9)).clamp(0.0, 1.0);
    let filled = (done * WIDTH as f64).round() as usize;
    format!(
        "{name} [{}{}] {:.0} of {seconds:.0} s  {:.0} calls/s  p50 {}  p99 {}  max {}  {errors} errors",
        "=".repeat(filled),
        " ".repeat(WIDTH - filled),
        interval.at,
        interval.calls as f64 / length,
        short(interval.p50_us),
        short(interval.p99_us),
        short(interval.max_us),
    )
}

/// A time in the unit that suits it.
pub fn short(us: f64) -> String {
    match us {
        ..10.0 => format!("{us:.1} us"),
        ..1000.0 => format!("{us:.0} us"),
        ..10_000.0 => format!("{:.2} ms", us / 1e3),
        ..100_000.0 => format!("{:.1} ms", us / 1e3),
        ..1_000_000.0 => format!("{:.0} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_fast() {
        let interval =
            Interval { at: 5.0, calls: 60_000, p50_us: 812.3, p99_us: 2345.0, max_us: 12_345.0, ..Interval::default() };
        assert_eq!(
            line("unary", 10.0, &interval, 0.5, 3),
            "unary [==========          ] 5 of 10 s  120000 calls/s  p50 812 us  p99 2.35 ms  max 12.3 ms  3 errors"
        );
    }
}
