//! Who contends, and how they take turns.

use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

use super::Measure;
use super::row::{Row, rate};
use super::slot::{self, Contender, Each, Slot};
use super::subjects::Subject;
use crate::LoadError;
use crate::call::Call;
use crate::dice::Dice;
use crate::floor::bases::{self, Floors};
use crate::floor::echo;
use crate::floor::supply::Floored;
use crate::operation::Ending;
use crate::population::Population;
use crate::scenario::{DocumentSize, Scenario, Sizes};
use crate::target::{Clients, Target};

/// Size of the documents that are deposited.
const DOCUMENT_BYTES: usize = 20_000;
const DEADLINE: Duration = Duration::from_secs(60);

const NO_FLOORS: &str = "nothing was to be compared to its statements";

/// Who contends.
pub(super) struct Arena {
    clients: Clients,
    population: Population,
    scenario: Scenario,
    echo: echo::Floor,
    /// Only where something is compared to S.
    floors: Option<Box<dyn Floors>>,
    dice: Dice,
}

impl Arena {
    pub(super) async fn open(target: &Target, asked: &Measure) -> Result<Self, LoadError> {
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
        let tls = target.tls.as_ref().filter(|_| !asked.clear_echo);
        let tls = tls.map(|_| target.clock.clone());
        let echo = if asked.echo_apart {
            echo::Floor::apart(asked.connections, tls, &target.folder).await?
        } else {
            echo::Floor::here(asked.connections, tls).await?
        };
        Ok(Self {
            population,
            floors,
            echo,
            dice: Dice::seeded(asked.seed),
            clients,
            scenario,
        })
    }

    /// Compares one kind of call to its floors: first at full speed, then at half of what each of them bore.
    pub(super) async fn compare(self: &Arc<Self>, subject: &Subject, asked: &Measure) -> Result<Row, LoadError> {
        let failed = |failed: String| LoadError::Measurement(format!("{}: {failed}", subject.name));
        let entrants = self.contenders(subject).map(|call| Entrant {
            call: call.clone(),
            rate: None,
        });
        let full = rounds(asked, &entrants).await.map_err(failed)?;
        if asked.calls.is_some() {
            return Ok(Row::of(subject, &full, None));
        }
        let entrants = Each {
            ours: entrants.ours.at(rate(&full, |round| Some(&round.ours)) / 2.0),
            echo: entrants.echo.at(rate(&full, |round| Some(&round.echo)) / 2.0),
            statements: entrants
                .statements
                .map(|entrant| entrant.at(rate(&full, |round| round.statements.as_ref()) / 2.0)),
        };
        let half = rounds(asked, &entrants).await.map_err(failed)?;
        Ok(Row::of(subject, &full, Some(&half)))
    }

    fn contenders(self: &Arc<Self>, subject: &Subject) -> Each<Contender> {
        let of = subject.of;
        let (own, echo, floor) = (self.clone(), self.clone(), self.clone());
        let statements: Contender = Arc::new(move |_| floor.clone().statements(of));
        Each {
            ours: Arc::new(move |_| own.clone().ours(of)),
            echo: Arc::new(move |caller| echo.clone().echo(caller)),
            statements: subject.statements.then_some(statements),
        }
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

/// Who takes part, and how often a second it is called; as often as it answers without a rate.
#[derive(Clone)]
struct Entrant {
    call: Contender,
    rate: Option<f64>,
}

impl Entrant {
    fn at(self, rate: f64) -> Self {
        Self {
            rate: Some(rate),
            ..self
        }
    }

    async fn slot(&self, asked: &Measure, turn: usize) -> Result<Slot, String> {
        let slot = match self.rate {
            None => slot::closed(asked, &self.call).await,
            Some(rate) => slot::open(asked, rate, turn as u64, &self.call).await,
        };
        match slot.failed {
            Some(failed) => Err(failed),
            None => Ok(slot),
        }
    }
}

/// Lets each have its slot in each round. The first round warms up, and is not told.
async fn rounds(asked: &Measure, entrants: &Each<Entrant>) -> Result<Vec<Each<Slot>>, String> {
    let mut rounds = Vec::new();
    for turn in 0..=asked.rounds {
        let round = Each {
            echo: entrants.echo.slot(asked, turn).await?,
            ours: entrants.ours.slot(asked, turn).await?,
            statements: match &entrants.statements {
                Some(entrant) => Some(entrant.slot(asked, turn).await?),
                None => None,
            },
        };
        rounds.push(round);
    }
    Ok(rounds.split_off(1))
}
