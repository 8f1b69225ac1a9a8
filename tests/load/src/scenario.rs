//! What is to be done to a suite: how many calls, of which kinds, about how many people. A TOML file.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

use crate::LoadError;
use crate::operation::Operation;

/// The scenario of who names none.
const QUICK: &str = include_str!("../scenarios/quick.toml");

/// Rates and counts beyond this are a slip of the finger.
const COUNT_MAX: usize = 10_000_000;

/// A scenario. Every value has a default; an unknown key is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Repeats the same population and the same arrivals.
    pub seed: u64,
    /// How calls arrive.
    pub arrivals: Process,
    /// Connections to each service.
    pub connections: usize,
    /// How long a call may take.
    pub deadline_ms: u64,
    /// Calls under way at once; what arrives beyond is counted as not sent.
    pub in_flight: usize,
    /// Watches of mailboxes that stay open all the time, and measure how soon an arrival is told.
    pub watchers: usize,
    /// Whether contents that are read are compared with their digest.
    pub verify: bool,
    /// Who is there.
    pub population: Sizes,
    /// Weights of the kinds of calls.
    pub mix: Mix,
    /// Sizes of deposited documents, with weights.
    pub documents: Vec<DocumentSize>,
    /// One after another.
    pub phases: Vec<Phase>,
}

/// How calls arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Process {
    /// Independently of each other, as people do.
    Poisson,
    /// At equal distances.
    Constant,
}

/// The sizes of a population.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sizes {
    /// People with an identifier.
    pub beneficiaries: usize,
    /// Those of them with a consent and an open dossier.
    pub dossiers: usize,
    /// Documents in each dossier before the first call.
    pub documents: usize,
    /// Physicians with a mailbox; each dossier has authorised one.
    pub physicians: usize,
    /// Exponent of Zipf's law for who is active; 0 makes all alike.
    pub zipf: f64,
}

/// Weights of the kinds of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// ResolveIdentifier.
    pub resolve: u32,
    /// Authorize.
    pub authorize: u32,
    /// SubmitDocument.
    pub submit: u32,
    /// ListDocuments.
    pub list: u32,
    /// ReadDocument, to its last byte.
    pub read: u32,
    /// SendMessage.
    pub send: u32,
    /// GetMessage, as a recipient.
    pub retrieve: u32,
    /// WatchMailbox, until its first answer.
    pub watch: u32,
    /// RecordConsent.
    pub consent: u32,
    /// WithdrawConsent.
    pub withdraw: u32,
    /// EnrolBeneficiary.
    pub enrol: u32,
}

/// How large documents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentSize {
    /// Bytes of a document, about.
    pub bytes: usize,
    /// How often.
    pub weight: u32,
}

/// Some time at one rate, or from one to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// How long.
    pub seconds: f64,
    /// Calls a second, of all client processes together.
    pub rate: f64,
    /// Calls a second at its end; the rate changes evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            arrivals: Process::Poisson,
            connections: 4,
            deadline_ms: 4_000,
            in_flight: 1_024,
            watchers: 8,
            verify: false,
            population: Sizes::default(),
            mix: Mix::default(),
            documents: [(20_000, 70), (100_000, 20), (500_000, 8), (3_000_000, 2)]
                .map(|(bytes, weight)| DocumentSize { bytes, weight })
                .to_vec(),
            phases: vec![Phase {
                seconds: 10.0,
                rate: 50.0,
                to: None,
            }],
        }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            beneficiaries: 400,
            dossiers: 100,
            documents: 2,
            physicians: 16,
            zipf: 1.0,
        }
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            resolve: 15,
            authorize: 15,
            submit: 8,
            list: 20,
            read: 25,
            send: 6,
            retrieve: 6,
            watch: 1,
            consent: 2,
            withdraw: 2,
            enrol: 0,
        }
    }
}

impl Mix {
    /// Each kind with its weight.
    pub(crate) fn weights(&self) -> [(Operation, u32); 11] {
        [
            (Operation::Resolve, self.resolve),
            (Operation::Authorize, self.authorize),
            (Operation::Submit, self.submit),
            (Operation::List, self.list),
            (Operation::Read, self.read),
            (Operation::Send, self.send),
            (Operation::Retrieve, self.retrieve),
            (Operation::Watch, self.watch),
            (Operation::Consent, self.consent),
            (Operation::Withdraw, self.withdraw),
            (Operation::Enrol, self.enrol),
        ]
    }
}

impl Scenario {
    /// Reads a file, or the small scenario that the program carries.
    ///
    /// # Errors
    /// [`LoadError::File`] and [`LoadError::Scenario`].
    pub fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|source| LoadError::file(path, source))?,
            None => QUICK.to_owned(),
        };
        Self::parse(&text)
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// [`LoadError::Scenario`] for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let scenario: Self = toml::from_str(text).map_err(|error| LoadError::Scenario(error.message().to_owned()))?;
        scenario
            .check()
            .map_err(|wrong| LoadError::Scenario(wrong.to_owned()))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), &'static str> {
        let Sizes {
            beneficiaries,
            dossiers,
            physicians,
            documents,
            zipf,
        } = self.population;
        let positive = |value: f64| value.is_finite() && value >= 0.0;
        let rules = [
            (
                beneficiaries <= COUNT_MAX && dossiers <= beneficiaries,
                "population: at most 10,000,000 beneficiaries, and no more dossiers than these",
            ),
            (
                dossiers > 0 && physicians > 1,
                "population: at least 1 dossier and 2 physicians",
            ),
            (
                physicians <= 100_000 && documents <= 10_000,
                "population: at most 100,000 physicians, 10,000 documents each",
            ),
            (positive(zipf), "population.zipf must not be negative"),
            (
                (1..=1_000).contains(&self.connections) && (1..=COUNT_MAX).contains(&self.in_flight),
                "connections must be 1 to 1,000, in_flight at least 1",
            ),
            (
                (1..=600_000).contains(&self.deadline_ms),
                "deadline_ms must be 1 to 600,000",
            ),
            (
                self.mix.weights().iter().any(|(_, weight)| *weight > 0),
                "mix: one weight at least must be above 0",
            ),
            (
                self.documents.iter().any(|size| size.weight > 0)
                    && self
                        .documents
                        .iter()
                        .all(|size| (5_000..=15_000_000).contains(&size.bytes)),
                "documents: sizes from 5,000 to 15,000,000 bytes, one weight above 0",
            ),
            (
                !self.phases.is_empty()
                    && self
                        .phases
                        .iter()
                        .all(|phase| positive(phase.seconds) && positive(phase.rate) && phase.to.is_none_or(positive)),
                "phases: one at least; times and rates must not be negative",
            ),
        ];
        rules
            .iter()
            .find(|(holds, _)| !holds)
            .map_or(Ok(()), |(_, wrong)| Err(wrong))
    }

    /// How long a call may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// Every scenario that comes with the program can be played.
    #[test]
    fn the_scenarios_of_the_repository_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(Scenario::load(Some(&path)).is_ok(), "{}", path.display());
            read += 1;
        }
        assert!(read >= 4);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| Scenario::parse(text).unwrap_err().to_string();
        assert!(said("unknown = 1").contains("unknown"));
        assert!(said("[population]\nbeneficiaries = 1\ndossiers = 2").contains("no more dossiers"));
        assert!(said("phases = []").contains("phases"));
        assert!(said("[[documents]]\nbytes = 10\nweight = 1").contains("5,000"));
        assert!(said("[[phases]]\nseconds = 1\nrate = -1").contains("negative"));
    }
}
