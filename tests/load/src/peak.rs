//! How a suite comes through more than it can bear: what it refuses, what it holds in memory, and how soon it is well again.

use std::collections::BTreeMap;

use crate::report::Report;
use crate::scenario::Phase;
use crate::tally::Second;
use crate::usage::Usage;

/// Good seconds in a row that make a suite well again: one alone may be luck.
const GOOD_SECONDS: usize = 3;

/// What is said of a load that rose above what it began with, and fell again.
#[derive(Debug, PartialEq)]
pub(crate) struct Peak {
    /// The worst 99th percentile of a second in the first phase, its first second left out: there, connections are made.
    usual_ms: f64,
    /// The worst of a second after that.
    worst_ms: f64,
    /// Seconds from the end of the highest rate until latencies were usual again, and nothing failed; `None` for never.
    well_after: Option<usize>,
    /// Tries that did not succeed, by how they ended.
    refused: BTreeMap<String, u64>,
    /// By process.
    memory: BTreeMap<String, Memory>,
}

/// Least and most resident memory of a process, in bytes.
#[derive(Debug, PartialEq)]
struct Memory {
    /// While the first phase lasted.
    before: (u64, u64),
    most: u64,
    /// While the last phase lasted.
    after: (u64, u64),
}

impl Peak {
    /// `None` for a load that has no peak between its first phase and its last.
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let phases = &report.conditions.scenario.phases;
        let ends = ends(phases);
        let highest = phases.iter().map(top).max_by(f64::total_cmp)?;
        let last_high = phases.iter().rposition(|phase| top(phase) >= highest)?;
        let first_end = *ends.first()?;
        if last_high == 0 || phases.first().is_none_or(|first| first.to.is_some()) {
            return None;
        }
        // What follows the peak, if anything does.
        let peak_end = *ends.get(last_high)?;
        phases.get(last_high + 1)?;
        let last_begin = ends.iter().rev().nth(1).copied()?;
        let p99 = |seconds: &[Second]| seconds.iter().map(|second| second.p99_ms).fold(0.0, f64::max);
        let usual_ms = p99(report.seconds.get(1..first_end)?);
        Some(Self {
            usual_ms,
            worst_ms: p99(report.seconds.get(first_end..)?),
            well_after: well_after(report.seconds.get(peak_end..)?, usual_ms),
            refused: report.refused(),
            memory: report
                .usage
                .iter()
                .filter_map(|(name, usage)| Some((name.clone(), Memory::of(usage, first_end, last_begin)?)))
                .collect(),
        })
    }

    /// For people.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let well = match self.well_after {
            Some(seconds) => format!("{seconds} s after the end of the peak it was back at that, and refused nothing"),
            None => "it was not back at that before the load ended".to_owned(),
        };
        let refused = self.refused.iter().map(|(ending, count)| format!("{count} {ending}"));
        let refused: Vec<String> = refused.collect();
        let refused = if refused.is_empty() {
            "Everything was answered: this was no peak.".to_owned()
        } else {
            format!("Refused, or not answered in time: {}.", refused.join(", "))
        };
        let latency = format!(
            "A second's p99 was at most {:.1} ms before the peak and {:.1} ms since; {well}.",
            self.usual_ms, self.worst_ms
        );
        let memory = self.memory.iter().map(|(name, memory)| memory.sentence(name));
        [refused, latency].into_iter().chain(memory).collect()
    }
}

impl Memory {
    fn of(usage: &[Usage], first_end: usize, last_begin: usize) -> Option<Self> {
        let range = |usage: &[Usage]| {
            let bytes = || usage.iter().map(|look| look.memory_bytes);
            Some((bytes().min()?, bytes().max()?))
        };
        Some(Self {
            before: range(usage.get(..first_end)?)?,
            most: range(usage)?.1,
            after: range(usage.get(last_begin..)?)?,
        })
    }

    fn sentence(&self, name: &str) -> String {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let range = |(least, most)| format!("{:.0} to {:.0} MiB", mebibytes(least), mebibytes(most));
        format!(
            "Memory of {name}: {} before the peak, {:.0} MiB at most, {} in the last phase.",
            range(self.before),
            mebibytes(self.most),
            range(self.after)
        )
    }
}

/// The highest rate of a phase.
fn top(phase: &Phase) -> f64 {
    phase.to.map_or(phase.rate, |to| to.max(phase.rate))
}

/// When each phase ends, in whole seconds.
fn ends(phases: &[Phase]) -> Vec<usize> {
    let mut end = 0.0;
    let ends = phases.iter().map(|phase| {
        end += phase.seconds;
        end as usize
    });
    ends.collect()
}

/// How many seconds pass before there are enough good ones in a row.
fn well_after(seconds: &[Second], usual_ms: f64) -> Option<usize> {
    let good = |second: &Second| second.done > 0 && second.p99_ms <= usual_ms && second.failed + second.not_sent == 0;
    seconds.windows(GOOD_SECONDS).position(|window| window.iter().all(good))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::report::tests::report;

    fn phase(seconds: f64, rate: f64, to: Option<f64>) -> Phase {
        Phase { seconds, rate, to }
    }

    /// Ten seconds at ease, ten up, ten down: bad until the fourth second after the peak, then as before.
    fn through_a_peak() -> Report {
        let mut report = report(10, 1, 30);
        report.conditions.scenario.phases = vec![
            phase(10.0, 5.0, None),
            phase(10.0, 5.0, Some(500.0)),
            phase(10.0, 5.0, None),
        ];
        let mut usage = Vec::new();
        for (second, at) in report.seconds.iter_mut().zip(0_u64..) {
            second.done = 5;
            second.p99_ms = if (10..24).contains(&at) { 900.0 } else { 9.0 };
            usage.push(Usage {
                memory_bytes: (50 + at) << 20,
                ..Usage::default()
            });
        }
        report.usage.insert("suite".to_owned(), usage);
        report
    }

    #[test]
    fn a_peak_is_told_in_figures() {
        let peak = Peak::of(&through_a_peak()).unwrap();
        assert_eq!(peak.well_after, Some(4));
        let said = peak.sentences().join("\n");
        for told in [
            "Refused, or not answered in time: 1 INTERNAL.",
            "at most 9.0 ms before the peak and 900.0 ms since; 4 s after",
            "50 to 59 MiB before the peak, 79 MiB at most, 70 to 79 MiB in the last phase",
        ] {
            assert!(said.contains(told), "{told} is missing in {said}");
        }
    }

    /// Two good seconds are luck, and refusals are no recovery.
    #[test]
    fn it_is_not_well_before_it_stays_well() {
        let mut report = through_a_peak();
        for (second, at) in report.seconds.iter_mut().zip(0_usize..) {
            second.failed = u64::from(at % 3 == 2);
        }
        assert_eq!(Peak::of(&report).unwrap().well_after, None);
    }

    #[test]
    fn a_load_that_only_rises_has_no_peak() {
        let mut report = through_a_peak();
        report.conditions.scenario.phases = vec![phase(10.0, 0.0, Some(60.0)), phase(20.0, 60.0, None)];
        assert_eq!(Peak::of(&report), None);
    }
}
