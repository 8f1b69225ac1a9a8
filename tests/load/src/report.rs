//! What a load says in the end: as JSON for machines, as text for people, as a page with plots.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::operation::Ending;
use crate::peak::Peak;
use crate::scenario::Scenario;
use crate::tally::{Counts, Second};
use crate::target::Target;
use crate::usage::Usage;

/// Version of the report's JSON.
pub(crate) const SCHEMA: u32 = 1;

/// What was measured, and how it was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub schema: u32,
    /// What it holds for.
    pub conditions: Conditions,
    /// From the first call due to the last one ended.
    pub elapsed_seconds: f64,
    /// By kind of call.
    pub operations: BTreeMap<String, Counts>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// By process, second by second; empty when the services do not run on this machine.
    pub usage: BTreeMap<String, Vec<Usage>>,
}

/// What figures mean nothing without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// When it began, in UTC.
    pub at: String,
    /// Whether the client was compiled with optimisation; a debug build measures nothing worth keeping.
    pub optimised: bool,
    /// Processors that the client's machine shows.
    pub processors: usize,
    /// Client processes that shared the load.
    pub processes: usize,
    /// Whether the services were called over TLS.
    pub tls: bool,
    /// By how much, at most, the client itself was late in sending. It is part of the latencies.
    pub send_lag_ms: f64,
    /// What was played.
    pub scenario: Scenario,
}

impl Conditions {
    pub(crate) fn of(target: &Target, scenario: &Scenario, processes: usize, lag: Duration) -> Self {
        Self {
            at: target.clock.now().to_string(),
            optimised: !cfg!(debug_assertions),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processes,
            tls: target.tls.is_some(),
            send_lag_ms: lag.as_secs_f64() * 1000.0,
            scenario: scenario.clone(),
        }
    }

    /// What somebody must know before looking at a number.
    pub(crate) fn sentence(&self) -> String {
        let build = if self.optimised {
            "release build"
        } else {
            "DEBUG BUILD: these figures say nothing about speed"
        };
        format!(
            "{}; {build}; {} processors shared by client and services when both run here; {} client process(es), {} \
             connections to each service, {}; the client sent at most {:.1} ms late",
            self.at,
            self.processors,
            self.processes,
            self.scenario.connections,
            if self.tls { "TLS" } else { "no TLS" },
            self.send_lag_ms
        )
    }
}

impl Report {
    /// Adds what another client process counted in the same load.
    pub fn add(&mut self, other: &Self) {
        self.elapsed_seconds = self.elapsed_seconds.max(other.elapsed_seconds);
        self.conditions.send_lag_ms = self.conditions.send_lag_ms.max(other.conditions.send_lag_ms);
        for (name, counts) in &other.operations {
            self.operations.entry(name.clone()).or_default().add(counts);
        }
        self.seconds
            .resize(self.seconds.len().max(other.seconds.len()), Second::default());
        for (second, others) in self.seconds.iter_mut().zip(&other.seconds) {
            second.add(others);
        }
        for (name, usage) in &other.usage {
            self.usage.entry(name.clone()).or_insert_with(|| usage.clone());
        }
    }

    /// Tries that ended in a way that no fault excuses.
    pub fn unclear(&self) -> u64 {
        self.operations.values().map(|counts| counts.unclear).sum()
    }

    /// Tries that outlived their deadline.
    pub fn outlived(&self) -> u64 {
        self.operations.values().map(|counts| counts.outlived).sum()
    }

    /// Tries that were made, repeated ones included.
    pub fn tries(&self) -> u64 {
        self.total().endings.values().sum()
    }

    /// Tries that did not succeed, by how they ended.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let mut endings = self.total().endings;
        endings.remove(Ending::DONE);
        endings
    }

    /// All kinds of calls together.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        let calls = self.operations.iter().filter(|(name, _)| *name != "delivery");
        calls.for_each(|(_, counts)| total.add(counts));
        total
    }

    /// For a browser: one page that needs nothing else.
    pub fn page(&self) -> String {
        crate::page::page(self)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.conditions.sentence());
        let _infallible = writeln!(
            text,
            "{:<10} {:>8} {:>8} {:>7} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "due", "done", "failed", "not sent", "done/s", "p50 ms", "p90 ms", "p99 ms", "max ms"
        );
        for (name, counts) in &self.operations {
            text.push_str(&self.row(name, counts));
        }
        text.push_str(&self.row("all", &self.total()));
        let refused = self.operations.iter().flat_map(|(name, counts)| {
            let endings = counts.endings.iter().filter(|(ending, _)| *ending != Ending::DONE);
            endings.map(move |(ending, count)| format!("  {name} {ending}: {count}\n"))
        });
        let refused: String = refused.collect();
        if !refused.is_empty() {
            let _infallible = write!(text, "\ntries that did not succeed:\n{refused}");
        }
        for (name, usage) in &self.usage {
            text.push_str(&usage_line(name, usage));
        }
        for sentence in Peak::of(self).iter().flat_map(Peak::sentences) {
            let _infallible = write!(text, "\n{sentence}");
        }
        let _infallible = writeln!(
            text,
            "\nunclear: {}, outlived their deadline: {}",
            self.unclear(),
            self.outlived()
        );
        text
    }

    fn row(&self, name: &str, counts: &Counts) -> String {
        let Counts {
            intended,
            not_sent,
            latency,
            ..
        } = counts;
        format!(
            "{name:<10} {intended:>8} {:>8} {:>7} {not_sent:>8} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1}\n",
            counts.done(),
            counts.failures(),
            counts.done() as f64 / self.elapsed_seconds.max(f64::EPSILON),
            latency.milliseconds(50.0),
            latency.milliseconds(90.0),
            latency.milliseconds(99.0),
            latency.longest(),
        )
    }
}

fn usage_line(name: &str, usage: &[Usage]) -> String {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let cpu = usage.iter().map(|look| look.cpu_percent).sum::<f64>() / usage.len().max(1) as f64;
    let memory = || usage.iter().map(|look| look.memory_bytes);
    format!(
        "\n{name}: {cpu:.0} % of a processor on average; memory {:.0} MiB at first, {:.0} at last, {:.0} at most\n",
        mebibytes(memory().next().unwrap_or_default()),
        mebibytes(memory().next_back().unwrap_or_default()),
        mebibytes(memory().max().unwrap_or_default()),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    pub(crate) fn report(done: u64, failed: u64, seconds: usize) -> Report {
        let mut counts = Counts {
            intended: done + failed + 1,
            not_sent: 1,
            unclear: failed,
            ..Counts::default()
        };
        (0..done).for_each(|_| counts.latency.record(Duration::from_millis(5)));
        (0..failed).for_each(|_| counts.failed.record(Duration::from_millis(1)));
        counts.endings = BTreeMap::from([("OK".to_owned(), done), ("INTERNAL".to_owned(), failed)]);
        let second = Second {
            intended: done,
            ..Second::default()
        };
        Report {
            schema: SCHEMA,
            conditions: Conditions {
                at: "2025-03-10T09:00:00Z".to_owned(),
                optimised: false,
                processors: 2,
                processes: 2,
                tls: false,
                send_lag_ms: 0.5,
                scenario: Scenario::default(),
            },
            elapsed_seconds: seconds as f64,
            operations: BTreeMap::from([("list".to_owned(), counts.clone()), ("delivery".to_owned(), counts)]),
            seconds: vec![second; seconds],
            usage: BTreeMap::new(),
        }
    }

    /// Two processes of different length: counts add up, seconds are laid side by side, the longer time holds.
    #[test]
    fn processes_are_added() {
        let mut sum = report(10, 1, 2);
        sum.add(&report(20, 2, 3));
        let counts = sum.operations.get("list").unwrap();
        assert_eq!(
            (counts.done(), counts.failures(), counts.intended, counts.not_sent),
            (30, 3, 35, 2)
        );
        assert_eq!(counts.endings.get("OK"), Some(&30));
        assert_eq!(
            sum.seconds.iter().map(|second| second.intended).collect::<Vec<_>>(),
            [30, 30, 20]
        );
        assert!((sum.elapsed_seconds - 3.0).abs() < 1e-9);
        assert_eq!(sum.total().done(), 30, "a delivery is no call");
    }

    #[test]
    fn the_text_tells_rates_failures_and_conditions() {
        let text = report(10, 1, 2).text();
        for told in ["DEBUG BUILD", "5.0", "list INTERNAL: 1", "unclear: 2"] {
            assert!(text.contains(told), "{told} is missing in {text}");
        }
    }

    #[test]
    fn json_loses_nothing() {
        let report = report(10, 1, 2);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
