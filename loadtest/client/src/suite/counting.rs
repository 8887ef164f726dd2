//! Which runs count, and how often one that does not is made again: the same for every service.

use std::path::Path;
use std::time::Duration;

use super::{Bench, faults, line, summary};
use crate::sample::{self, Sample};
use crate::speed::{self, Speed};

/// Of each service: runs for each that is to count, those aside for which its core was slow.
const ATTEMPTS: u32 = 2;

/// Runs for each that is to count, for which its core was slow: such times last for seconds to minutes.
const SLOW_ATTEMPTS: u32 = 5;

/// How long a core is looked at before anything is measured, how long at a time while it is waited for, and how long it is.
const CALIBRATION: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(600);
const PATIENCE_SECONDS: f64 = 30.0;

/// What came of a run, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Counts,
    Slow,
    Otherwise,
}

pub(super) fn outcome(sample: &Sample) -> Outcome {
    match &sample.discarded {
        None => Outcome::Counts,
        Some(_) if sample.was_slow() => Outcome::Slow,
        Some(_) => Outcome::Otherwise,
    }
}

/// Whether to run once more, after these.
pub(super) fn one_more(rounds: u32, outcomes: impl Iterator<Item = Outcome>) -> bool {
    let (mut counted, mut slow, mut otherwise) = (0, 0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::Counts => counted += 1,
            Outcome::Slow => slow += 1,
            Outcome::Otherwise => otherwise += 1,
        }
    }
    counted < rounds && counted + otherwise < ATTEMPTS * rounds && slow < SLOW_ATTEMPTS * rounds
}

impl Bench {
    /// What the server's core can do, before anything runs there.
    pub(super) fn calibrate(&self) -> Result<(), String> {
        let speed = speed::during(self.server_core, CALIBRATION)?;
        self.saw(speed);
        println!("core {}: {:.0} pieces of work a second", self.server_core, self.full_speed.get());
        Ok(())
    }

    /// Waits, though not for ever, until the server's core is at its full speed: better than a run that is thrown away.
    pub(super) fn wait_until_fast(&self) -> Result<(), String> {
        let wanted = self.full_speed.get() * self.min_speed / 100.0;
        self.saw(speed::wait_for(self.server_core, wanted, LOOK, PATIENCE_SECONDS)?);
        Ok(())
    }

    /// Full speed is the best that the core was seen at.
    pub(super) fn saw(&self, speed: Speed) {
        self.full_speed.set(speed.best.unwrap_or_default().max(self.full_speed.get()));
    }

    /// Why a run does not count, if so, by what is known now.
    pub(super) fn judge(&self, sample: &Sample, saturates: bool) -> Option<String> {
        faults(sample).or_else(|| self.slow(sample)).or_else(|| self.idle(sample, saturates))
    }

    /// Strikes out what was counted before the core was seen to be faster.
    pub(super) fn judge_again(&self, samples: &mut [Sample]) {
        for sample in samples.iter_mut().filter(|sample| sample.discarded.is_none()) {
            sample.discarded = self.slow(sample);
            if sample.discarded.is_some() {
                println!("{}", self.line(sample));
            }
        }
    }

    fn slow(&self, sample: &Sample) -> Option<String> {
        let share = self.share(sample)?;
        (share < self.min_speed).then(|| sample::slow(share))
    }

    /// The speed of the core, in per cent of its full one.
    fn share(&self, sample: &Sample) -> Option<f64> {
        Some(100.0 * sample.server.as_ref()?.speed?.mean / self.full_speed.get())
    }

    /// A run, for the terminal.
    pub(super) fn line(&self, sample: &Sample) -> String {
        line(sample, self.share(sample))
    }

    fn idle(&self, sample: &Sample, saturates: bool) -> Option<String> {
        let server = sample.server.as_ref()?;
        let idle = saturates && server.busy < self.min_busy;
        idle.then(|| format!("the server had {:.0} % of its core", server.busy))
    }

    /// Services in turn, until each has as many runs that count. Gives how many went wrong.
    pub(super) fn in_turn(
        &self,
        targets: &[&str],
        output: &Path,
        measure: impl FnMut(&str, u32) -> Result<Sample, String>,
    ) -> Result<u32, String> {
        let mut samples = Vec::new();
        let outcome = self.until_enough(targets, &mut samples, measure);
        // Not before: a later run may show that an earlier one was slow.
        samples.iter().try_for_each(|sample| sample::append(output, sample))?;
        outcome?;
        summary(targets, &samples);
        Ok(samples.iter().map(|sample| u32::from(faults(sample).is_some())).sum())
    }

    fn until_enough(
        &self,
        targets: &[&str],
        samples: &mut Vec<Sample>,
        mut measure: impl FnMut(&str, u32) -> Result<Sample, String>,
    ) -> Result<(), String> {
        for round in 1.. {
            let before = samples.len();
            for target in targets {
                let so_far = samples.iter().filter(|sample| sample.target == *target).map(outcome);
                if one_more(self.rounds, so_far) {
                    let sample = measure(target, round)?;
                    println!("{}", self.line(&sample));
                    samples.push(sample);
                    self.judge_again(samples);
                }
            }
            if samples.len() == before {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Outcome::{Counts, Otherwise, Slow};
    use super::*;
    use crate::load::drive::Plan;
    use crate::sample::Server;
    use crate::suite::rows::ROWS;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        bench: Bench,
    }

    /// A session that has seen its core at 10,000 pieces a second.
    fn bench(arguments: &[&str]) -> Bench {
        let bench = Arguments::parse_from([&["test"], arguments].concat()).bench;
        bench.saw(Speed { mean: 8_000.0, best: Some(10_000.0) });
        bench
    }

    fn sample(speed: Option<f64>, busy: f64) -> Sample {
        let address = "127.0.0.1:1".parse().unwrap();
        let plan: Plan = ROWS[0].plan(&address, 1.0);
        let speed = speed.map(|mean| Speed { mean, best: None });
        Sample {
            row: "row".to_owned(),
            target: "iamd".to_owned(),
            round: 1,
            began: String::new(),
            size: [].into(),
            plan,
            measured: Default::default(),
            server: Some(Server { speed, busy, ..Server::default() }),
            discarded: None,
            reloads: Vec::new(),
        }
    }

    #[test]
    fn a_run_counts_at_nine_tenths_of_full_speed() {
        let cases = [
            (Some(9_000.0), 95.0, true, None),
            (Some(8_990.0), 95.0, true, Some("the core had 89.9 % of its full speed")),
            // Saturated or not.
            (Some(5_000.0), 40.0, false, Some("the core had 50.0 % of its full speed")),
            (Some(9_000.0), 40.0, false, None),
            (Some(9_000.0), 40.0, true, Some("the server had 40 % of its core")),
            (None, 95.0, true, None),
        ];
        for (speed, busy, saturates, expected) in cases {
            let reason = bench(&[]).judge(&sample(speed, busy), saturates);
            assert_eq!(reason.as_deref(), expected, "{speed:?}, busy {busy}");
        }
        assert_eq!(bench(&["--min-speed=50"]).judge(&sample(Some(5_000.0), 95.0), true), None);
    }

    #[test]
    fn a_faster_core_strikes_out_what_was_counted() {
        let bench = bench(&[]);
        let mut samples = [sample(Some(9_500.0), 95.0), sample(Some(12_000.0), 95.0)];
        bench.judge_again(&mut samples);
        assert_eq!(samples.each_ref().map(outcome), [Counts, Counts]);
        bench.saw(Speed { mean: 12_000.0, best: Some(12_500.0) });
        bench.judge_again(&mut samples);
        assert_eq!(samples.each_ref().map(outcome), [Slow, Counts]);
        // What is not so good takes nothing back, nor does what was too short.
        bench.saw(Speed { mean: 11_000.0, best: Some(11_000.0) });
        bench.saw(Speed { mean: 90_000.0, best: None });
        assert_eq!(bench.share(&samples[1]), Some(96.0));
    }

    #[test]
    fn runs_are_made_again_a_limited_number_of_times() {
        let cases = [
            (vec![], true),
            (vec![Counts; 2], true),
            (vec![Counts; 3], false),
            (vec![Otherwise; 5], true),
            (vec![Otherwise; 6], false),
            (vec![Slow; 14], true),
            (vec![Slow; 15], false),
            ([vec![Slow; 14], vec![Otherwise; 3], vec![Counts; 2]].concat(), true),
            ([vec![Slow; 14], vec![Otherwise; 4], vec![Counts; 2]].concat(), false),
        ];
        for (outcomes, expected) in cases {
            assert_eq!(one_more(3, outcomes.iter().copied()), expected, "{outcomes:?}");
        }
    }

    /// Of two servers, one is never fast; the other's first run is struck out.
    #[test]
    fn services_go_on_in_turn_until_each_has_enough() {
        let bench = bench(&["--rounds=2"]);
        let mut samples = Vec::new();
        let made = bench.until_enough(&["iamd", "null"], &mut samples, |target, round| {
            if round == 2 {
                bench.saw(Speed { mean: 12_000.0, best: Some(12_000.0) });
            }
            let speed = match (target, round) {
                ("null", _) => 5_000.0,
                (_, 1) => 10_000.0,
                (_, _) => 12_000.0,
            };
            let sample = sample(Some(speed), 99.0);
            Ok(Sample { target: target.to_owned(), round, discarded: bench.judge(&sample, true), ..sample })
        });
        assert_eq!(made, Ok(()));
        let of = |target: &str| -> Vec<Outcome> {
            samples.iter().filter(|sample| sample.target == target).map(outcome).collect()
        };
        assert_eq!(of("iamd"), [Slow, Counts, Counts]);
        assert_eq!(of("null"), [Slow; 10]);
    }

    #[test]
    fn a_pair_is_as_its_worse_run() {
        assert!(Counts < Slow && Slow < Otherwise);
    }
}
