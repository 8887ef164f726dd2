//! How fast a core is. Where cores are halves of others (hyperthreads), one gives less while somebody works on the other half,
//! another machine perhaps, and nothing is told of it: only work that is always the same shows it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::host;

mod work;

use work::Work;

/// Arguments of `speed`.
#[derive(Debug, Args)]
pub struct SpeedArgs {
    #[arg(long, default_value_t = 0, value_name = "N")]
    core: usize,
    /// How long it is looked at
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    seconds: f64,
    /// Look again until it is so fast
    #[arg(long, value_name = "SPEED")]
    wait_for: Option<f64>,
    /// Longest wait
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    patience: f64,
}

/// A core's speed over some time, in pieces of work for each second that they had of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    pub mean: f64,
    /// The mean of the best half second; none if it was watched for less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
}

/// Often enough for phases of seconds. With 0.1 ms of work each time it takes 0.5 % of the core.
const EVERY: Duration = Duration::from_millis(20);

/// Pieces in half a second: a single short one is no full speed.
const WINDOW: usize = 25;

/// A thread that stays on a core, and works a little now and then.
#[derive(Debug)]
pub struct Watch {
    /// It ends when this is gone.
    stop: Option<Sender<()>>,
    thread: JoinHandle<Result<Vec<f64>, String>>,
}

pub fn run(args: &SpeedArgs) -> Result<(), String> {
    let look = Duration::try_from_secs_f64(args.seconds).map_err(|error| format!("`--seconds`: {error}"))?;
    let speed = match args.wait_for {
        Some(wanted) => wait_for(args.core, wanted, look, args.patience)?,
        None => during(args.core, look)?,
    };
    let best = speed.best.map_or_else(String::new, |best| format!(", {best:.0} in the best half second"));
    println!("{:.0} pieces of work a second on core {}{best}", speed.mean, args.core);
    Ok(())
}

/// Looks again and again until a core is fast, or patience is at its end; gives what was seen last.
pub fn wait_for(core: usize, wanted: f64, look: Duration, patience_seconds: f64) -> Result<Speed, String> {
    let began = Instant::now();
    loop {
        let speed = during(core, look)?;
        if speed.mean >= wanted || began.elapsed().as_secs_f64() >= patience_seconds {
            return Ok(speed);
        }
    }
}

/// What a core is like for a while.
pub fn during(core: usize, look: Duration) -> Result<Speed, String> {
    let watch = Watch::start(core);
    std::thread::sleep(look);
    watch.speed()
}

impl Watch {
    pub fn start(core: usize) -> Self {
        let (stop, stopped) = channel();
        Self { stop: Some(stop), thread: std::thread::spawn(move || look(core, &stopped)) }
    }

    /// No more work; does not wait.
    pub fn end(&mut self) {
        self.stop = None;
    }

    pub fn speed(mut self) -> Result<Speed, String> {
        self.end();
        let speeds = self.thread.join().map_err(|_| "the thread that watches a core panicked".to_owned())??;
        Ok(Speed::of(&speeds))
    }
}

fn look(core: usize, stopped: &Receiver<()>) -> Result<Vec<f64>, String> {
    host::stay_on(core)?;
    let mut work = Work::new();
    let mut speeds = Vec::new();
    loop {
        speeds.push(1.0 / work.seconds());
        if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
            return Ok(speeds);
        }
    }
}

impl Speed {
    /// The mean of speeds, not of times: a server that is half as fast for half of the time loses a quarter, and a piece that
    /// somebody interrupted is one slow piece, however long it took.
    fn of(speeds: &[f64]) -> Self {
        let best = speeds.windows(WINDOW).map(mean).max_by(f64::total_cmp);
        Self { mean: mean(speeds), best }
    }
}

fn mean(speeds: &[f64]) -> f64 {
    speeds.iter().sum::<f64>() / speeds.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_is_half_as_fast_for_half_of_the_time_gives_three_quarters() {
        let speeds = [[10_000.0; WINDOW], [5_000.0; WINDOW]].concat();
        assert_eq!(Speed::of(&speeds), Speed { mean: 7_500.0, best: Some(10_000.0) });
    }

    #[test]
    fn a_single_fast_piece_is_no_full_speed() {
        let mut speeds = [1_000.0; 2 * WINDOW];
        speeds[WINDOW] = 1_000.0 * (WINDOW + 1) as f64;
        assert_eq!(Speed::of(&speeds).best, Some(2_000.0));
        assert_eq!(Speed::of(&speeds[..WINDOW - 1]), Speed { mean: 1_000.0, best: None });
    }
}
