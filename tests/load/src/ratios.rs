//! How near the suite is to its floors: each kind of call beside what it is compared to, in the same run, in short rounds
//! taken in turn, so that a noisy machine disturbs all alike.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use crate::LoadError;
use crate::call::Call;
use crate::dice::Dice;
use crate::floor::bases::{self, Floors};
use crate::floor::echo;
use crate::floor::supply::Floored;
use crate::operation::{Ending, Operation};
use crate::population::Population;
use crate::scenario::{DocumentSize, Scenario, Sizes};
use crate::tally::Latencies;
use crate::target::{Clients, Target};

/// Size of the documents that are deposited.
const DOCUMENT_BYTES: usize = 20_000;
const DEADLINE: Duration = Duration::from_secs(60);

const NO_FLOORS: &str = "nothing was to be compared to its statements";

/// How ratios are measured.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Calls under way at once.
    pub callers: usize,
    /// Connections to each service, and to the echo.
    pub connections: usize,
    /// Rounds, of which the median is told; one more before them warms up.
    pub rounds: usize,
    /// How long each contender has in each round.
    pub slot: Duration,
    /// Documents in each dossier.
    pub documents: usize,
    /// Only these kinds of calls, and beside E alone; `None` for those that have aims, beside E and S. Consents and
    /// withdrawals are one kind: who has consented withdraws.
    pub calls: Option<Vec<Operation>>,
    /// A PostgreSQL database for the statements alone, when the suite is on PostgreSQL; its schemas `load_…` are made anew.
    pub floor_database: Option<String>,
    /// Repeats the same population.
    pub seed: u64,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            callers: 64,
            connections: 4,
            rounds: 5,
            slot: Duration::from_millis(700),
            documents: 50,
            calls: None,
            floor_database: None,
            seed: 1,
        }
    }
}

/// A kind of call, what it must reach, and what its floors leave out.
struct Subject {
    name: &'static str,
    of: Floored,
    /// Whether it is compared to its statements.
    statements: bool,
    /// Least ratio to E and to S; 0 where none is asked for.
    aims: (f64, f64),
    leaves_out: &'static str,
}

impl Subject {
    /// A kind of call beside E alone.
    fn alone(operation: Operation) -> Self {
        Self {
            name: operation.name(),
            of: Floored::Call(operation),
            statements: false,
            aims: (0.0, 0.0),
            leaves_out: "E: everything but a call",
        }
    }
}

const SUBJECTS: [Subject; 7] = [
    Subject {
        name: "resolve",
        of: Floored::Call(Operation::Resolve),
        statements: true,
        aims: (0.8, 0.8),
        leaves_out: "S: the call, the token, the making of an answer from rows",
    },
    Subject {
        name: "authorize",
        of: Floored::Call(Operation::Authorize),
        statements: true,
        aims: (0.6, 0.0),
        leaves_out: "E: the token, the reading of facts, the decision. S: the call, the token, the decision",
    },
    Subject {
        name: "list",
        of: Floored::Call(Operation::List),
        statements: true,
        aims: (0.055, 0.6),
        leaves_out: "S: two calls and tokens, the decision, rendering, hashing and signing, and staging: its entry goes \
                     straight into the log, in one commit instead of two",
    },
    Subject {
        name: "submit",
        of: Floored::Call(Operation::Submit),
        statements: true,
        aims: (0.075, 0.6),
        leaves_out: "S: three calls and tokens, the decision, reading the CDA, encryption, hashing and signing, staging",
    },
    Subject {
        name: "send",
        of: Floored::Call(Operation::Send),
        statements: true,
        aims: (0.0, 0.6),
        leaves_out: "S: the call, the token, encryption, hashing and signing, staging, and telling the watchers",
    },
    Subject {
        name: "read",
        of: Floored::Call(Operation::Read),
        statements: false,
        aims: (0.14, 0.0),
        leaves_out: "E: everything but a call: consent, the journal's commit, decryption, 20 kB of answer",
    },
    Subject {
        name: "journal append",
        of: Floored::Append,
        statements: true,
        aims: (0.0, 0.7),
        leaves_out: "S: plain rows of the same shape, batched as well: the chain, the tree, hashing, the signed checkpoint",
    },
];

/// One contender: calls a second and latencies of one slot.
#[derive(Debug, Clone, Default)]
struct Slot {
    per_second: f64,
    latencies: Latencies,
    failed: Option<String>,
}

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
    /// What the floors leave out.
    pub leaves_out: String,
}

impl Row {
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

/// The ratios of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// What figures mean nothing without.
    pub conditions: String,
    /// By kind of call.
    pub rows: Vec<Row>,
}

/// Measures every kind of call beside its floors.
///
/// # Errors
/// [`LoadError`] when something cannot be measured: a contender that fails is no contender.
pub async fn measure(target: &Target, asked: &Measure) -> Result<Ratios, LoadError> {
    let arena = Arc::new(Arena::open(target, asked).await?);
    let mut rows = Vec::new();
    match &asked.calls {
        None => {
            for subject in &SUBJECTS {
                rows.push(arena.compare(subject, asked).await?);
            }
        }
        Some(calls) => {
            for operation in calls {
                rows.push(arena.compare(&Subject::alone(*operation), asked).await?);
            }
        }
    }
    Ok(Ratios {
        conditions: conditions(target, asked),
        rows,
    })
}

fn conditions(target: &Target, asked: &Measure) -> String {
    let build = if cfg!(debug_assertions) {
        "DEBUG BUILD: these ratios say little about a release"
    } else {
        "release build"
    };
    let tls = if target.tls.is_some() {
        "TLS for the suite, none for E"
    } else {
        "no TLS"
    };
    let statements = match (&asked.calls, &asked.floor_database) {
        (Some(_), _) => "E alone",
        (None, Some(_)) => "S on PostgreSQL, in the client's process",
        (None, None) => "S on SQLite, in the client's process",
    };
    format!(
        "{}; {build}; {} callers on {} connections, closed loop; medians of {} rounds of {} ms each, in turn; {} documents \
         in a dossier at first; {statements}; {tls}",
        target.clock.now(),
        asked.callers,
        asked.connections,
        asked.rounds,
        asked.slot.as_millis(),
        asked.documents,
    )
}

/// Who contends.
struct Arena {
    clients: Clients,
    population: Population,
    scenario: Scenario,
    echo: echo::Floor,
    /// Only where something is compared to S.
    floors: Option<Box<dyn Floors>>,
    dice: Dice,
}

impl Arena {
    async fn open(target: &Target, asked: &Measure) -> Result<Self, LoadError> {
        let mut scenario = Scenario {
            seed: asked.seed,
            population: Sizes {
                beneficiaries: 1_000,
                dossiers: 64,
                documents: asked.documents,
                physicians: 64,
                zipf: 0.0,
            },
            documents: vec![DocumentSize {
                bytes: DOCUMENT_BYTES,
                weight: 1,
            }],
            ..Scenario::default()
        };
        if asked.calls.is_none() {
            scenario.mix.consent = 0;
            scenario.mix.withdraw = 0;
        }
        let clients = Clients::new(target, asked.connections, DEADLINE)?;
        let population = Population::settle(target, &clients, &scenario, (0, 1)).await?;
        let (clock, random) = (target.clock.clone(), target.random.clone());
        let floors = match asked.calls {
            None => Some(bases::open(asked.floor_database.as_deref(), asked.documents, clock, random).await?),
            Some(_) => None,
        };
        Ok(Self {
            population,
            floors,
            echo: echo::Floor::start(asked.connections).await?,
            dice: Dice::seeded(asked.seed),
            clients,
            scenario,
        })
    }

    async fn compare(self: &Arc<Self>, subject: &Subject, asked: &Measure) -> Result<Row, LoadError> {
        let (mut ours, mut echoes, mut statements) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=asked.rounds {
            let of = subject.of;
            let (arena, other, third) = (self.clone(), self.clone(), self.clone());
            let echo = slot(asked, move |caller| arena.clone().echo(caller)).await;
            let own = slot(asked, move |_| other.clone().ours(of)).await;
            let floor = match subject.statements {
                true => Some(slot(asked, move |_| third.clone().statements(of)).await),
                false => None,
            };
            for contender in [Some(&echo), Some(&own), floor.as_ref()].into_iter().flatten() {
                if let Some(failed) = &contender.failed {
                    return Err(LoadError::Measurement(format!("{}: {failed}", subject.name)));
                }
            }
            if round > 0 {
                echoes.push(echo);
                ours.push(own);
                statements.extend(floor);
            }
        }
        Ok(row(subject, &ours, &echoes, &statements))
    }

    fn echo(self: Arc<Self>, caller: usize) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move { self.echo.call(caller).await.map_err(|status| status.to_string()) })
    }

    fn statements(self: Arc<Self>, of: Floored) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move { self.floors.as_ref().ok_or(NO_FLOORS)?.statements(of).await })
    }

    fn ours(self: Arc<Self>, of: Floored) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let Floored::Call(operation) = of else {
                return self.floors.as_ref().ok_or(NO_FLOORS)?.append().await;
            };
            let dice = self.dice.another();
            let call = Call::choose(operation, &self.scenario, &self.population, &self.clients, &dice);
            let call = call.ok_or("nobody to call about")?;
            let ended = call.attempt(&self.clients).await;
            let told = ended.as_ref().map(|_| ()).map_err(Ending::to_string);
            call.remember(ended, &self.population);
            told
        })
    }
}

/// Lets all callers call, each again as soon as it is answered, until the slot is over.
async fn slot<C>(asked: &Measure, call: C) -> Slot
where
    C: Fn(usize) -> BoxFuture<'static, Result<(), String>> + Clone + Send + 'static,
{
    let begun = Instant::now();
    let until = begun + asked.slot;
    let mut callers = JoinSet::new();
    for caller in 0..asked.callers {
        let call = call.clone();
        callers.spawn(async move {
            let (mut latencies, mut failed) = (Latencies::default(), None);
            while Instant::now() < until && failed.is_none() {
                let sent = Instant::now();
                match call(caller).await {
                    Ok(()) => latencies.record(sent.elapsed()),
                    Err(error) => failed = Some(error),
                }
            }
            (latencies, failed)
        });
    }
    let mut slot = Slot::default();
    while let Some(ended) = callers.join_next().await {
        let (latencies, failed) =
            ended.unwrap_or_else(|_| (Latencies::default(), Some("a caller panicked".to_owned())));
        slot.latencies.add(&latencies);
        slot.failed = slot.failed.or(failed);
    }
    slot.per_second = slot.latencies.count() as f64 / begun.elapsed().as_secs_f64();
    slot
}

fn row(subject: &Subject, ours: &[Slot], echoes: &[Slot], statements: &[Slot]) -> Row {
    let rate = |slots: &[Slot]| median(slots.iter().map(|slot| slot.per_second));
    let ratio = |to: &[Slot]| {
        median(
            ours.iter()
                .zip(to)
                .map(|(own, floor)| own.per_second / floor.per_second),
        )
    };
    let compared = subject.statements;
    Row {
        name: subject.name.to_owned(),
        ours: rate(ours),
        echo: rate(echoes),
        statements: compared.then(|| rate(statements)),
        of_echo: ratio(echoes),
        of_statements: compared.then(|| ratio(statements)),
        aim_of_echo: subject.aims.0,
        aim_of_statements: subject.aims.1,
        ours_ms: percentiles(ours),
        echo_ms: percentiles(echoes),
        statements_ms: compared.then(|| percentiles(statements)),
        leaves_out: subject.leaves_out.to_owned(),
    }
}

fn percentiles(slots: &[Slot]) -> (f64, f64) {
    let mut all = Latencies::default();
    slots.iter().for_each(|slot| all.add(&slot.latencies));
    (all.milliseconds(50.0), all.milliseconds(99.0))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Ratios {
    /// For a terminal: ratios first.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n\n{:<15} {:>7} {:>6} {:>7} {:>6} {:>4}  {:>9} {:>9} {:>9}  {:>16} {:>16} {:>16}\n",
            self.conditions,
            "",
            "of E",
            "aim",
            "of S",
            "aim",
            "",
            "ours/s",
            "E/s",
            "S/s",
            "ours p50/p99 ms",
            "E p50/p99 ms",
            "S p50/p99 ms"
        );
        for row in &self.rows {
            let aim = |aim: f64| if aim > 0.0 { format!("{aim}") } else { String::new() };
            let known = |number: Option<f64>, digits: usize| {
                number.map_or(String::new(), |number| format!("{number:.digits$}"))
            };
            let pair = |(p50, p99): (f64, f64)| format!("{p50:.1}/{p99:.1}");
            let _infallible = writeln!(
                text,
                "{:<15} {:>7.3} {:>6} {:>7} {:>6} {:>4}  {:>9.0} {:>9.0} {:>9}  {:>16} {:>16} {:>16}",
                row.name,
                row.of_echo,
                aim(row.aim_of_echo),
                known(row.of_statements, 3),
                aim(row.aim_of_statements),
                if row.reaches() { "yes" } else { "no" },
                row.ours,
                row.echo,
                known(row.statements, 0),
                pair(row.ours_ms),
                pair(row.echo_ms),
                row.statements_ms.map_or(String::new(), pair),
            );
        }
        text.push_str("\nwhat the floors leave out:\n");
        for row in &self.rows {
            let _infallible = writeln!(text, "  {}: {}", row.name, row.leaves_out);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn slots(rates: &[f64]) -> Vec<Slot> {
        let slot = |rate: &f64| Slot {
            per_second: *rate,
            ..Slot::default()
        };
        rates.iter().map(slot).collect()
    }

    /// The ratio is the median of the rounds' ratios: one round that the machine disturbed does not move it.
    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let subject = SUBJECTS.iter().find(|subject| subject.name == "list").unwrap();
        let row = row(
            subject,
            &slots(&[50.0, 5.0, 60.0]),
            &slots(&[1_000.0, 100.0, 200.0]),
            &slots(&[100.0, 10.0, 90.0]),
        );
        assert!((row.of_echo - 0.05).abs() < 1e-9, "{row:?}");
        assert!((row.of_statements.unwrap() - 0.5).abs() < 1e-9);
        assert!(!row.reaches());
    }

    #[test]
    fn a_call_that_has_two_like_floors_is_held_to_the_slower() {
        let subject = SUBJECTS.first().unwrap();
        let reaches = |own, echo, floor| row(subject, &slots(&[own]), &slots(&[echo]), &slots(&[floor])).reaches();
        assert!(reaches(80.0, 1_000.0, 100.0));
        assert!(reaches(80.0, 100.0, 1_000.0));
        assert!(!reaches(79.0, 100.0, 1_000.0));
    }
}
