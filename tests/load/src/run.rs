//! A load: settled, played, counted, told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::LoadError;
use crate::arrivals::Arrivals;
use crate::call::{Brought, Call};
use crate::deliveries::Deliveries;
use crate::dice::Dice;
use crate::dispatch::dispatch;
use crate::ledger::Ledger;
use crate::operation::{Ending, Operation};
use crate::population::Population;
use crate::report::{Conditions, Report, SCHEMA};
use crate::scenario::Scenario;
use crate::tally::{Second, Tally};
use crate::target::{Clients, Target};
use crate::usage::{Observer, Usage, Watched};

/// How long a call may outlive its deadline: the way there and back, and a busy client.
const GRACE: Duration = Duration::from_secs(2);

/// Pause before a refused write is repeated, doubled each time up to a limit; and before a watch is resumed.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);

const SECOND: Duration = Duration::from_secs(1);

/// Throws of the calls' dice are apart from those of the arrivals.
const CHOICES: u64 = 0x5EED;

/// How a scenario is played.
#[derive(Debug, Default)]
pub struct Play {
    /// Where acknowledged writes are entered; refused ones are then repeated until they are acknowledged.
    pub ledger: Option<PathBuf>,
    /// Which of how many client processes this one is, from 0.
    pub share: (usize, usize),
    /// Whose memory and processor time is looked at.
    pub watched: Vec<Watched>,
    /// Whether a line a second tells how it goes.
    pub progress: bool,
    /// Whether it goes on at the last rate until it is told to stop.
    pub endless: bool,
}

/// What a load's clock collected: its seconds, and the usage of processes in each.
type Ticked = (Vec<Second>, BTreeMap<String, Vec<Usage>>);

/// Everything that the calls of a load share.
struct Shared {
    scenario: Scenario,
    clients: Clients,
    population: Population,
    tally: Tally,
    ledger: Option<Ledger>,
    deliveries: Deliveries,
    /// Nothing new is to be sent.
    stop: AtomicBool,
    /// The last call has ended.
    over: AtomicBool,
}

/// Settles the population and plays the scenario until its end, or until `stop` completes.
///
/// # Errors
/// [`LoadError`] when the population cannot be settled or a file cannot be written. What calls say is in the report.
pub async fn run(
    target: &Target,
    scenario: Scenario,
    play: Play,
    stop: impl Future<Output = ()>,
) -> Result<Report, LoadError> {
    let (share, shares) = (play.share.0, play.share.1.max(1));
    let clients = Clients::new(target, scenario.connections, scenario.deadline())?;
    if play.progress {
        eprintln!("settling {} people…", scenario.population.beneficiaries);
    }
    let population = Population::settle(target, &clients, &scenario, (share, shares)).await?;
    let shared = Arc::new(Shared {
        clients,
        population,
        tally: Tally::default(),
        ledger: play.ledger.as_deref().map(Ledger::open).transpose()?,
        deliveries: Deliveries::default(),
        stop: AtomicBool::new(false),
        over: AtomicBool::new(false),
        scenario,
    });
    let watching = watch(&shared);
    let begun = Instant::now();
    let label = if shares > 1 {
        format!("{}/{shares} ", share + 1)
    } else {
        String::new()
    };
    let ticking = tokio::spawn(tick(
        shared.clone(),
        begun,
        Observer::new(play.watched),
        label,
        play.progress,
    ));
    let arrivals = Arrivals::new(&shared.scenario, share, shares, play.endless);
    let mut sending = send(shared.clone(), arrivals, begun, share);
    let lag = tokio::select! {
        lag = &mut sending => lag,
        () = stop => {
            shared.stop.store(true, Ordering::Relaxed);
            sending.await
        }
    };
    let lag = lag.ok().flatten().ok_or(LoadError::Panicked)?;
    shared.over.store(true, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    drop(watching);
    let (seconds, usage) = ticking.await.map_err(|_| LoadError::Panicked)?;
    Ok(Report {
        schema: SCHEMA,
        conditions: Conditions::of(target, &shared.scenario, shares, lag),
        elapsed_seconds: elapsed.as_secs_f64(),
        operations: shared.tally.operations(),
        seconds,
        usage,
    })
}

/// Sends what is due; completes after the last call has ended. Answers by how much the client itself was late, at most;
/// `None` when it broke.
fn send(shared: Arc<Shared>, arrivals: Arrivals, begun: Instant, share: usize) -> JoinHandle<Option<Duration>> {
    let places = Arc::new(Semaphore::new(shared.scenario.in_flight));
    let dice = Dice::seeded(shared.scenario.seed ^ CHOICES.wrapping_add(share as u64) << 16);
    let weights = shared.scenario.mix.weights();
    tokio::spawn(async move {
        let (all, for_calls) = (places.clone(), shared.clone());
        let handle = tokio::runtime::Handle::current();
        let dispatched = tokio::task::spawn_blocking(move || {
            dispatch(arrivals, begun, &for_calls.stop, |due| {
                let Some(operation) = dice.weighted(&weights) else {
                    return;
                };
                let Ok(place) = places.clone().try_acquire_owned() else {
                    return for_calls.tally.due(operation, false);
                };
                let (shared, own_dice) = (for_calls.clone(), dice.another());
                handle.spawn(async move {
                    shared.choose_and_make(operation, &own_dice, due).await;
                    drop(place);
                });
            })
        });
        let lag = dispatched.await.ok();
        let places = u32::try_from(shared.scenario.in_flight).unwrap_or(u32::MAX);
        let _never_closed = all.acquire_many(places).await;
        lag
    })
}

impl Shared {
    async fn choose_and_make(&self, operation: Operation, dice: &Dice, due: Instant) {
        match Call::choose(operation, &self.scenario, &self.population, &self.clients, dice) {
            Some(call) => {
                self.tally.due(call.operation(), true);
                self.make(call, due).await;
            }
            None => self.tally.due(operation, false),
        }
    }

    /// Makes a call, and with a ledger repeats a write until it is acknowledged or the load ends.
    async fn make(&self, call: Call, due: Instant) {
        let operation = call.operation();
        let repeat = self.ledger.is_some() && call.writes();
        let sent = Instant::now();
        let mut pause = PAUSE;
        let ended = loop {
            let ended = self.try_once(&call).await;
            let again = repeat && ended.as_ref().err().is_some_and(Ending::is_clear);
            if !again || self.stop.load(Ordering::Relaxed) {
                break ended;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
        let latency = due.elapsed();
        let bytes = ended.as_ref().map_or(0, |brought| brought.bytes);
        if let (Call::Send { recipient, .. }, Ok(brought)) = (&call, &ended)
            && *recipient < self.scenario.watchers
        {
            self.deliveries.sent(brought.message_id.as_deref(), sent, &self.tally);
        }
        self.tally.ended(operation, ended.is_ok(), bytes, latency);
        call.remember(ended, &self.population);
    }

    async fn try_once(&self, call: &Call) -> Result<Brought, Ending> {
        let begun = Instant::now();
        let limit = self.scenario.deadline() + GRACE;
        let ended = timeout(limit, call.attempt(&self.clients))
            .await
            .unwrap_or(Err(Ending::Late));
        let ended = ended.and_then(|brought| self.enter(brought));
        let ending = ended.as_ref().err().unwrap_or(&Ending::Done);
        self.tally.tried(call.operation(), ending, begun.elapsed() >= limit);
        ended
    }

    /// Enters what was acknowledged into the ledger.
    fn enter(&self, brought: Brought) -> Result<Brought, Ending> {
        match (&self.ledger, &brought.acknowledged) {
            (Some(ledger), Some(entry)) => match ledger.enter(entry) {
                Ok(()) => Ok(brought),
                Err(_) => Err(Ending::Wrong("ledger")),
            },
            _ => Ok(brought),
        }
    }
}

/// Keeps a mailbox watch open for each of the first physicians, as long as the set lives.
fn watch(shared: &Arc<Shared>) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    for mailbox in shared.population.mailboxes.iter().take(shared.scenario.watchers) {
        let (shared, mailbox) = (shared.clone(), mailbox.clone());
        watching.spawn(async move {
            let mut resume_token = String::new();
            loop {
                let ended = shared
                    .deliveries
                    .follow(&shared.clients, &mailbox, &mut resume_token, &shared.tally)
                    .await;
                shared.tally.broke_off(&ended);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    watching
}

/// Ends each second of the load, looks at the processes, and tells how it goes.
async fn tick(shared: Arc<Shared>, begun: Instant, mut observer: Observer, label: String, progress: bool) -> Ticked {
    let (mut seconds, mut usage) = (Vec::new(), BTreeMap::<String, Vec<Usage>>::new());
    let mut ticks = interval_at((begun + SECOND).into(), SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let last = shared.over.load(Ordering::Relaxed);
        let second = shared.tally.cut();
        if progress {
            eprintln!("{label}{}", line(begun.elapsed(), &second));
        }
        seconds.push(second);
        for (name, look) in observer.look() {
            usage.entry(name).or_default().push(look);
        }
        if last {
            return (seconds, usage);
        }
    }
}

/// How a second went.
fn line(elapsed: Duration, second: &Second) -> String {
    format!(
        "{:>5} s  due {:>5}  done {:>5}  failed {:>4}  not sent {:>4}  in flight {:>4}  p50 {:>8.1} ms  p99 {:>8.1} ms",
        elapsed.as_secs(),
        second.intended,
        second.done,
        second.failed,
        second.not_sent,
        second.in_flight,
        second.p50_ms,
        second.p99_ms,
    )
}
