//! `dmp matrix`: what a version of the habilitation matrix changes, before it is published.

use api::codes;
use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::Operation;
use api::consent::v1::matrix_service_client::MatrixServiceClient;
use consent::matrix::Matrix;
use serve::{Claims, bearer};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use tonic::Request;
use tonic::transport::Channel;

use crate::home::Home;
use crate::told;

/// A trial reads the authorisations of the whole population.
const CALL_TIMEOUT: Duration = Duration::from_secs(600);

/// Types shown by name before the rest is counted.
const NAMED_MAX: usize = 12;

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// A file is no matrix.
    #[error("{name} is no matrix:\n{problems}")]
    Malformed {
        /// The file or version.
        name: String,
        /// A line for each wrong line.
        problems: String,
    },
    /// Neither a file, nor a version of a suite that answers.
    #[error("{name} is neither a file nor a version that the suite of the folder answers: {why}")]
    Unknown {
        /// As given.
        name: String,
        /// What happened.
        why: String,
    },
    /// The suite refuses, or does not answer.
    #[error("the consent service does not try it: {0}")]
    Trial(String),
    /// What is to be printed cannot be.
    #[error(transparent)]
    Print(#[from] io::Error),
}

/// Prints who gains and loses what from one version to another; each is a file, or the name of a published version of
/// the suite that runs on the folder `data`.
///
/// # Errors
/// [`MatrixError`].
pub async fn diff(data: &Path, clock: &Clock, from: &str, to: &str, out: &mut impl Write) -> Result<(), MatrixError> {
    let (from, to) = (version(data, clock, from).await?, version(data, clock, to).await?);
    let changes = from.changes(&to);
    writeln!(out, "From {} to {}:", from.version, to.version)?;
    for change in &changes {
        let what = Change {
            party: &change.party,
            operation: change.operation,
            gained: change.gained.codes().collect(),
            lost: change.lost.codes().collect(),
        };
        what.print(out)?;
    }
    if changes.is_empty() {
        writeln!(out, "  nothing changes.")?;
    }
    Ok(())
}

/// Prints what publishing the version of a file would change for the population of the suite that runs on the
/// folder `data`:
/// counted, pair by pair of a professional and a dossier, against the version in force.
///
/// # Errors
/// [`MatrixError`].
pub async fn what_if(data: &Path, clock: &Clock, file: &Path, out: &mut impl Write) -> Result<(), MatrixError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| MatrixError::Unknown {
        name: name.clone(),
        why: error.to_string(),
    })?;
    parsed(&name, &text)?;
    let request = pb::WhatIfRequest {
        text,
        against: String::new(),
    };
    let (mut client, asked) = call(data, clock, request).map_err(MatrixError::Trial)?;
    let answered = client.what_if(asked).await;
    let tried = answered
        .map_err(|status| MatrixError::Trial(status.message().to_owned()))?
        .into_inner();
    writeln!(
        out,
        "Against {}: {} pairs of a professional and a dossier with a live authorisation.",
        tried.against, tried.pairs
    )?;
    for effect in &tried.effects {
        writeln!(out, "  {} pairs:", effect.pairs)?;
        let change = Change {
            party: &effect.profession,
            operation: effect.operation(),
            gained: effect.gained.iter().map(String::as_str).collect(),
            lost: effect.lost.iter().map(String::as_str).collect(),
        };
        change.print(out)?;
    }
    if tried.effects.is_empty() {
        writeln!(out, "  nothing changes for any of them.")?;
    }
    if tried.unknown_profession > 0 {
        writeln!(
            out,
            "  {} more: nobody said the profession when they were authorised, so it is not known.",
            tried.unknown_profession
        )?;
    }
    Ok(())
}

struct Change<'a> {
    party: &'a str,
    operation: Operation,
    gained: Vec<&'a str>,
    lost: Vec<&'a str>,
}

impl Change<'_> {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let verb = match self.operation {
            Operation::SubmitDocuments => "submits",
            _ => "reads",
        };
        let party = codes::PROFESSIONS.find(self.party).map_or_else(
            || self.party.to_owned(),
            |found| format!("{} ({})", found.label, self.party),
        );
        for (sign, effect, types) in [('+', "gains", &self.gained), ('-', "loses", &self.lost)] {
            if !types.is_empty() {
                writeln!(out, "  {sign} {party} {verb}, {effect}: {}", named(types))?;
            }
        }
        Ok(())
    }
}

/// The types by code and label, the first ones only.
fn named(types: &[&str]) -> String {
    let label = |code: &&str| match codes::DOCUMENT_TYPES.find(code) {
        Some(found) => format!("{code} {}", found.label),
        None => (*code).to_owned(),
    };
    let mut shown: Vec<String> = types.iter().take(NAMED_MAX).map(label).collect();
    if types.len() > NAMED_MAX {
        shown.push(format!("{} more", types.len() - NAMED_MAX));
    }
    shown.join("; ")
}

async fn version(data: &Path, clock: &Clock, name: &str) -> Result<Matrix, MatrixError> {
    if let Ok(text) = std::fs::read_to_string(name) {
        return parsed(name, &text);
    }
    let unknown = |why: String| MatrixError::Unknown {
        name: name.to_owned(),
        why,
    };
    let request = pb::GetMatrixRequest {
        version: name.to_owned(),
        moment: None,
    };
    let (mut client, asked) = call(data, clock, request).map_err(unknown)?;
    let answered = client.get_matrix(asked).await;
    let published = answered
        .map_err(|status| unknown(status.message().to_owned()))?
        .into_inner();
    parsed(name, &published.text)
}

fn parsed(name: &str, text: &str) -> Result<Matrix, MatrixError> {
    Matrix::parse(text).map_err(|errors| MatrixError::Malformed {
        name: name.to_owned(),
        problems: errors.iter().map(|error| format!("  {error}\n")).collect(),
    })
}

/// A client of the suite that runs on the folder, and a request of its administrator.
fn call<M>(data: &Path, clock: &Clock, message: M) -> Result<(MatrixServiceClient<Channel>, Request<M>), String> {
    let home = Home::open(data, &Random::system()).map_err(|error| told(&error))?;
    let endpoints = home.read_endpoints().map_err(|error| told(&error))?;
    let channels = endpoints.channels(clock).map_err(|error| told(&error))?;
    let issuer = home.people().map_err(|error| told(&error))?;
    let claims = Claims::new("operator", Role::Administrator);
    let minted = issuer.mint(&claims, CALL_TIMEOUT, clock);
    let value = minted
        .and_then(|token| bearer(&token))
        .map_err(|failure| failure.message)?;
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request.metadata_mut().insert("authorization", value);
    Ok((MatrixServiceClient::new(channels.consent), request))
}
