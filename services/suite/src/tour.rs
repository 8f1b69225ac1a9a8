//! The article, played on documents: `dmp tour`.
//!
//! Sentence by sentence of L1111-14, through real gRPC clients of a running suite, with a token for every person who acts.
//! Each step tells what is done, which rule allowed or refused it, and the result. What must be refused is asked for, and
//! refused; what is accepted is read again and compared byte for byte; what the journal says is verified here, offline,
//! with the log's public key. Anything that is not as it must be is a failure of the [`Outcome`].
//!
//! The tour can be repeated on one suite: it finds what it enrolled, opened and deposited before. Three beneficiaries and
//! three physicians are invented anew each time, so that refusals, the duty and the closing of a dossier can always be
//! shown; they need [`Visit::random`] to give what it never gave before. It leaves every territory of the register
//! covered. It prints what it is given: names and matricules go to the terminal of whoever gave them, nowhere else.

mod accesses;
mod answer;
mod cast;
mod clients;
mod closure;
mod consents;
mod consultations;
mod deposits;
mod duties;
mod emergencies;
mod evidence;
mod hosts;
mod identifiers;
mod messages;
mod narrator;
mod patient;
mod source;
mod story;

use journal::VerifierKey;
use serve::{Failure, TokenIssuer};
use std::collections::BTreeMap;
use std::io::{self, Write};
use store::random::Random;
use store::time::Clock;

use crate::endpoints::{EndpointError, Endpoints};
use answer::Halt;
use story::Story;

/// What a tour needs of the suite that it visits.
#[derive(Debug)]
pub struct Visit<'a> {
    /// Where the four services answer.
    pub endpoints: &'a Endpoints,
    /// Mints the tokens of all who act.
    pub issuer: &'a TokenIssuer,
    /// Tells the time that the services tell.
    pub clock: &'a Clock,
    /// Gives request ids, and the identifiers of the people whom the tour invents.
    pub random: &'a Random,
    /// Public key of the dossier service's journal, from elsewhere than the service.
    pub dossier_log: VerifierKey,
    /// Public key of the messaging service's journal.
    pub messaging_log: VerifierKey,
    /// Whether the terminal shows colours.
    pub colour: bool,
}

/// A document to be filed.
#[derive(Clone)]
pub struct SourceDocument {
    /// What it is called: its file's name.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// How the tour went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Names of the documents that are in a dossier now.
    pub accepted: Vec<String>,
    /// Names of the documents that are in none, each with its exact reason.
    pub refused: Vec<(String, String)>,
    /// What was not as it must be. Empty is success.
    pub failures: Vec<String>,
}

/// Why the tour could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// The tale cannot be written.
    #[error("cannot write")]
    Output(#[from] io::Error),
    /// The suite cannot be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A service does not answer.
    #[error("a service does not answer ({message}): is the suite running? `dmp up` starts it")]
    Unreachable {
        /// What the transport says.
        message: String,
    },
    /// A token cannot be minted.
    #[error("a token cannot be minted: {}", .0.message)]
    Token(Failure),
    /// An invented identifier is not well-formed, which never happens.
    #[error("an identifier could not be invented")]
    Invention,
}

/// The documents that the program carries: invented, for a tour without files.
pub fn samples() -> Vec<SourceDocument> {
    macro_rules! sample {
        ($name:literal) => {
            SourceDocument {
                name: $name.to_owned(),
                content: include_bytes!(concat!("../../../shared/testkit/samples/", $name)).to_vec(),
            }
        };
    }
    vec![
        sample!("consultation.xml"),
        sample!("laboratory.xml"),
        sample!("laboratory-replacement.xml"),
        sample!("discharge-letter.xml"),
    ]
}

/// Plays the article on `documents`, or on [`samples`] when there are none, and tells it to `out`.
///
/// # Errors
/// [`TourError`] when the tale cannot go on at all. What the services do wrong is in the [`Outcome`].
pub async fn tour(visit: Visit<'_>, documents: Vec<SourceDocument>, out: &mut dyn Write) -> Result<Outcome, TourError> {
    let documents = if documents.is_empty() { samples() } else { documents };
    let mut story = Story::begin(&visit, documents, out)?;
    story.introduce()?;
    // One after another, and the next one even when one broke off: a defect seldom comes alone.
    let ended = identifiers::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = consents::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = hosts::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = deposits::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = consultations::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = accesses::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = messages::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = duties::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = emergencies::play(&mut story).await;
    story.end_chapter(ended)?;
    let ended = closure::play(&mut story).await;
    story.end_chapter(ended)?;
    conclude(story)
}

fn conclude(mut story: Story<'_>) -> Result<Outcome, TourError> {
    let mut outcome = Outcome::default();
    let mut by_reason: BTreeMap<String, usize> = BTreeMap::new();
    for source in &story.sources {
        let reason = match (&source.filed, &source.refusal) {
            (Some(_), _) => {
                outcome.accepted.push(source.name.clone());
                "accepted".to_owned()
            }
            (None, refusal) => {
                let reason = refusal
                    .clone()
                    .unwrap_or_else(|| "not reached: the tour broke off before it".to_owned());
                outcome.refused.push((source.name.clone(), reason.clone()));
                reason
            }
        };
        *by_reason.entry(reason).or_default() += 1;
    }
    story.told.total(story.sources.len(), &by_reason)?;
    outcome.failures = story.told.into_failures();
    Ok(outcome)
}

/// What a chapter gives: nothing, or why it broke off.
type Played = Result<(), Halt>;
