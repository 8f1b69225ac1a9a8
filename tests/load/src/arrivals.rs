//! When calls arrive: computed ahead, whatever the services answer.

use std::time::Duration;

use crate::dice::Dice;
use crate::scenario::{Phase, Process, Scenario};

/// The moments of arrival, from the beginning of the load, rising. Open-loop: no answer moves them.
///
/// The n-th call arrives when as many were due, by the rates of the phases: exactly n for equal distances, the sum of n
/// exponentials for a Poisson process.
#[derive(Debug)]
pub(crate) struct Arrivals {
    phases: std::vec::IntoIter<Phase>,
    process: Process,
    dice: Dice,
    /// One of how many processes that share the rate.
    shares: f64,
    /// The phase under way, with when it began, in seconds.
    now: Option<(Phase, f64)>,
    /// What of the phase's expected calls is used up.
    due: f64,
}

impl Arrivals {
    /// Those of one of `shares` processes. `endless` stays in the last phase.
    pub(crate) fn new(scenario: &Scenario, share: usize, shares: usize, endless: bool) -> Self {
        let mut phases = scenario.phases.clone();
        if let (true, Some(last)) = (endless, phases.last().cloned()) {
            let rate = last.to.unwrap_or(last.rate);
            phases.push(Phase {
                seconds: f64::INFINITY,
                rate,
                to: None,
            });
        }
        let mut phases = phases.into_iter();
        Self {
            now: phases.next().map(|phase| (phase, 0.0)),
            phases,
            process: scenario.arrivals,
            dice: Dice::seeded(scenario.seed.wrapping_add(1 + share as u64)),
            shares: shares.max(1) as f64,
            due: 0.0,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.due += match self.process {
            Process::Constant => 1.0,
            Process::Poisson => self.dice.exponential(),
        };
        loop {
            let (phase, begun) = self.now.clone()?;
            if let Some(after) = reached(&phase, self.due * self.shares) {
                return Duration::try_from_secs_f64(begun + after).ok();
            }
            self.due -= expected(&phase) / self.shares;
            self.now = self.phases.next().map(|next| (next, begun + phase.seconds));
        }
    }
}

/// Calls expected of a phase.
fn expected(phase: &Phase) -> f64 {
    (phase.rate + phase.to.unwrap_or(phase.rate)) / 2.0 * phase.seconds
}

/// After how many seconds of a phase `calls` were due; `None` when it ends before.
fn reached(phase: &Phase, calls: f64) -> Option<f64> {
    let slope = phase.to.map_or(0.0, |to| (to - phase.rate) / phase.seconds);
    let after = if slope == 0.0 {
        calls / phase.rate
    } else {
        // rate·t + slope·t²/2 = calls, solved so that neither sign of the slope loses digits.
        let root = phase.rate * phase.rate + 2.0 * slope * calls;
        2.0 * calls / (phase.rate + root.max(0.0).sqrt())
    };
    (after.is_finite() && after <= phase.seconds && calls <= expected(phase)).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(process: Process, phases: &[(f64, f64, Option<f64>)]) -> Scenario {
        let phase = |&(seconds, rate, to)| Phase { seconds, rate, to };
        Scenario {
            arrivals: process,
            phases: phases.iter().map(phase).collect(),
            ..Scenario::default()
        }
    }

    fn seconds(scenario: &Scenario) -> Vec<f64> {
        Arrivals::new(scenario, 0, 1, false)
            .map(|at| at.as_secs_f64())
            .collect()
    }

    #[test]
    fn equal_distances_are_equal() {
        let at = seconds(&scenario(Process::Constant, &[(2.0, 10.0, None)]));
        assert_eq!(at.len(), 20);
        assert!(
            at.iter()
                .zip(1..)
                .all(|(at, n)| (at - f64::from(n) / 10.0).abs() < 1e-9)
        );
    }

    /// From 0 to 20 a second within 10 seconds: 100 calls, of which a quarter in the first half; steps follow each other.
    #[test]
    fn a_ramp_rises_and_the_next_phase_goes_on_from_its_end() {
        let at = seconds(&scenario(
            Process::Constant,
            &[(10.0, 0.0, Some(20.0)), (1.0, 20.0, None)],
        ));
        assert_eq!(at.len(), 120);
        assert_eq!(at.iter().filter(|at| **at <= 5.0 + 1e-9).count(), 25);
        assert!(at.windows(2).all(|pair| pair.first() < pair.last()));
        let falling = seconds(&scenario(Process::Constant, &[(10.0, 20.0, Some(0.0))]));
        assert_eq!(falling.iter().filter(|at| **at <= 5.0 + 1e-9).count(), 75);
    }

    /// As many as the rate says, within four standard deviations, and unevenly: gaps vary as much as their mean.
    #[test]
    fn a_poisson_process_has_its_rate_and_its_unevenness() {
        let at = seconds(&scenario(Process::Poisson, &[(100.0, 100.0, None)]));
        assert!((9_600..10_400).contains(&at.len()), "{}", at.len());
        let gaps: Vec<f64> = at
            .windows(2)
            .filter_map(|pair| Some(pair.last()? - pair.first()?))
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.9..1.1).contains(&(variance.sqrt() / mean)));
    }

    #[test]
    fn processes_share_the_rate_and_differ() {
        let scenario = scenario(Process::Poisson, &[(50.0, 100.0, None)]);
        let shares: Vec<Vec<Duration>> = (0..2)
            .map(|share| Arrivals::new(&scenario, share, 2, false).collect())
            .collect();
        let total: usize = shares.iter().map(Vec::len).sum();
        assert!((4_700..5_300).contains(&total), "{total}");
        assert_ne!(shares.first(), shares.last());
    }

    #[test]
    fn an_endless_load_stays_at_its_last_rate() {
        let scenario = scenario(Process::Constant, &[(1.0, 0.0, Some(10.0))]);
        let last = Arrivals::new(&scenario, 0, 1, true).take(1_005).last();
        assert!(
            last.is_some_and(|at| (100.0..102.0).contains(&at.as_secs_f64())),
            "{last:?}"
        );
    }
}
