//! What comes of a kind of call.

use serde::{Deserialize, Serialize};

use super::slot::{Each, Slot};
use super::subjects::{P99_AIM, Subject};
use crate::tally::Latencies;

/// What was measured of one kind of call. Rates and ratios are medians over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was called.
    pub name: String,
    /// The suite's calls a second.
    pub ours: f64,
    /// E's.
    pub echo: f64,
    /// S's, where it is compared to one.
    pub statements: Option<f64>,
    /// Ours to E.
    pub of_echo: f64,
    /// Ours to S.
    pub of_statements: Option<f64>,
    /// Least ratio to E that is asked for; 0 for none.
    pub aim_of_echo: f64,
    /// Least ratio to S.
    pub aim_of_statements: f64,
    /// Median and 99th percentile of the suite's latencies, in milliseconds.
    pub ours_ms: (f64, f64),
    /// The same of E.
    pub echo_ms: (f64, f64),
    /// The same of S.
    pub statements_ms: Option<(f64, f64)>,
    /// At half of the rates above, each at half of its own; where that was asked for.
    pub at_half: Option<AtHalf>,
    /// What the floors leave out.
    pub leaves_out: String,
}

/// Latencies when calls arrive, whatever is answered, at half of the rate that was borne.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtHalf {
    /// Median and 99th percentile of the suite's latencies over all rounds, in milliseconds.
    pub ours_ms: (f64, f64),
    /// The same of E.
    pub echo_ms: (f64, f64),
    /// The same of S.
    pub statements_ms: Option<(f64, f64)>,
    /// Ours at the 99th percentile, in parts of the slower floor's.
    pub of_slower: f64,
    /// How many parts it may be.
    pub aim: f64,
}

impl AtHalf {
    fn of(rounds: &[Each<Slot>]) -> Self {
        let (ours_ms, echo_ms) = (
            percentiles(rounds, |round| Some(&round.ours)),
            percentiles(rounds, |round| Some(&round.echo)),
        );
        let statements_ms = compared(rounds).then(|| percentiles(rounds, |round| round.statements.as_ref()));
        let slower = statements_ms.map_or(echo_ms.1, |(_, p99)| echo_ms.1.max(p99));
        Self {
            ours_ms,
            echo_ms,
            statements_ms,
            of_slower: ours_ms.1 / slower,
            aim: P99_AIM,
        }
    }

    /// Whether it is what is asked for.
    pub fn reaches(&self) -> bool {
        self.of_slower <= self.aim
    }
}

impl Row {
    pub(super) fn of(subject: &Subject, full: &[Each<Slot>], half: Option<&[Each<Slot>]>) -> Self {
        let ratio = |to: fn(&Each<Slot>) -> Option<&Slot>| {
            let of_rounds = full.iter().filter_map(|round| Some((&round.ours, to(round)?)));
            median(of_rounds.map(|(own, floor)| own.per_second / floor.per_second))
        };
        let compared = compared(full);
        Self {
            name: subject.name.to_owned(),
            ours: rate(full, |round| Some(&round.ours)),
            echo: rate(full, |round| Some(&round.echo)),
            statements: compared.then(|| rate(full, |round| round.statements.as_ref())),
            of_echo: ratio(|round| Some(&round.echo)),
            of_statements: compared.then(|| ratio(|round| round.statements.as_ref())),
            aim_of_echo: subject.aims.0,
            aim_of_statements: subject.aims.1,
            ours_ms: percentiles(full, |round| Some(&round.ours)),
            echo_ms: percentiles(full, |round| Some(&round.echo)),
            statements_ms: compared.then(|| percentiles(full, |round| round.statements.as_ref())),
            at_half: half.map(AtHalf::of),
            leaves_out: subject.leaves_out.to_owned(),
        }
    }

    /// Whether it reaches what is asked for. A call that is asked to come near both floors is held to the slower one.
    pub fn reaches(&self) -> bool {
        let (echo, statements) = (self.aim_of_echo, self.aim_of_statements);
        let of_echo = self.of_echo >= echo;
        let of_statements = self.of_statements.is_none_or(|ratio| ratio >= statements);
        if echo > 0.0 && echo == statements {
            return of_echo || of_statements;
        }
        of_echo && of_statements
    }
}

/// Whether there are slots of statements.
fn compared(rounds: &[Each<Slot>]) -> bool {
    rounds.iter().all(|round| round.statements.is_some())
}

/// The median of a contender's calls a second.
pub(super) fn rate(rounds: &[Each<Slot>], of: fn(&Each<Slot>) -> Option<&Slot>) -> f64 {
    median(rounds.iter().filter_map(of).map(|slot| slot.per_second))
}

/// Median and 99th percentile of a contender's latencies in all rounds, in milliseconds.
fn percentiles(rounds: &[Each<Slot>], of: fn(&Each<Slot>) -> Option<&Slot>) -> (f64, f64) {
    let mut all = Latencies::default();
    let slots = rounds.iter().filter_map(of);
    slots.for_each(|slot| all.add(&slot.latencies));
    (all.milliseconds(50.0), all.milliseconds(99.0))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::ratios::subjects::SUBJECTS;
    use std::time::Duration;

    fn slot(per_second: f64, millis: u64) -> Slot {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_millis(millis));
        Slot {
            per_second,
            latencies,
            failed: None,
        }
    }

    /// Rounds of which each has the rates of ours, E and S.
    fn rounds(rates: &[(f64, f64, f64)]) -> Vec<Each<Slot>> {
        let round = |&(ours, echo, statements): &(f64, f64, f64)| Each {
            ours: slot(ours, 11),
            echo: slot(echo, 1),
            statements: Some(slot(statements, 4)),
        };
        rates.iter().map(round).collect()
    }

    pub(in super::super) fn row(name: &str, rates: &[(f64, f64, f64)]) -> Row {
        let subject = SUBJECTS.iter().find(|subject| subject.name == name).unwrap();
        Row::of(subject, &rounds(rates), Some(&rounds(rates)))
    }

    /// The ratio is the median of the rounds' ratios: one round that the machine disturbed does not move it.
    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let row = row(
            "list",
            &[(50.0, 1_000.0, 100.0), (5.0, 100.0, 10.0), (60.0, 200.0, 90.0)],
        );
        assert!((row.of_echo - 0.05).abs() < 1e-9, "{row:?}");
        assert!((row.of_statements.unwrap() - 0.5).abs() < 1e-9);
        assert!(!row.reaches());
    }

    #[test]
    fn a_call_that_has_two_like_floors_is_held_to_the_slower() {
        let reaches = |ours, echo, statements| row("resolve", &[(ours, echo, statements)]).reaches();
        assert!(reaches(80.0, 1_000.0, 100.0));
        assert!(reaches(80.0, 100.0, 1_000.0));
        assert!(!reaches(79.0, 100.0, 1_000.0));
    }

    /// 11 ms beside 1 ms of E and 4 ms of S: less than three times the slower floor.
    #[test]
    fn a_latency_is_held_to_the_slower_floor() {
        let at_half = row("send", &[(1.0, 1.0, 1.0)]).at_half.unwrap();
        assert!(
            (at_half.of_slower - 2.75).abs() < 0.01 && at_half.reaches(),
            "{at_half:?}"
        );
        assert_eq!(at_half.statements_ms.map(|(p50, _)| p50.round()), Some(4.0));
    }
}
