//! Work that is always the same: numbers written, strings copied.
//!
//! Where a neighbour costs iamd up to a half, it has to cost this much, too. Code as that of services does: 1.6 times as long, on the
//! processor on which it was chosen, and the same to 5 % otherwise. A chain of dependent multiplications took as long as ever, eight
//! independent ones 1.15 times as long, 20 KiB of straight code 1.2 to 1.3 times.

use std::fmt::Write;
use std::hint::black_box;

use crate::host;

/// Of a round; 25 us on a processor of 2024.
const NUMBERS: u64 = 1000;
const COPIES: usize = 20;
const NAMES: u64 = 64;

/// Rounds of a piece.
const ROUNDS: u32 = 3;

#[derive(Debug)]
pub(super) struct Work {
    names: Vec<String>,
    text: String,
}

impl Work {
    pub(super) fn new() -> Self {
        let names = (0..NAMES).map(|number| format!("arn:aws:iam::{number}:user/{number}")).collect();
        Self { names, text: String::new() }
    }

    /// How long the core takes for a piece. By this thread's own time: a server that is busy there makes it wait, not work.
    pub(super) fn seconds(&mut self) -> f64 {
        // Once before it counts: what it needs of the caches, the server has taken.
        self.round();
        let began = host::own_cpu_nanoseconds();
        (0..ROUNDS).for_each(|_| self.round());
        let took = host::own_cpu_nanoseconds() - began;
        took.max(1) as f64 / 1e9
    }

    fn round(&mut self) {
        for number in 0..NUMBERS {
            self.text.clear();
            // Into memory: it cannot fail.
            let _ = write!(self.text, "{}", black_box(number * 7919));
            black_box(&self.text);
        }
        for _ in 0..COPIES {
            self.names.iter_mut().for_each(|name| *name = black_box(name.as_str()).to_owned());
        }
    }
}
