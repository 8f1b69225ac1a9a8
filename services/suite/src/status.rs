//! `dmp status`: how the services of a folder's suite are, at a glance.

use api::common::v1::Role;
use api::operations::v1 as pb;
use api::operations::v1::status_service_client::StatusServiceClient;
use futures::future::join_all;
use serve::{Claims, TokenIssuer, bearer};
use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use tonic::Request;
use tonic::transport::Channel;

use crate::endpoints::{Channels, EndpointError};
use crate::home::{Home, HomeError};

/// How long a service may take to answer; it gives its database one second.
const PATIENCE: Duration = Duration::from_secs(2);

/// An event that waits longer for its position means that the sequencer does not go on; it looks five times a second.
const FEED_LAG_MAX: i64 = 10;

/// Peers are heard from every 15 seconds, if only to say that there is nothing.
const SILENCE_MAX: i64 = 60;

/// A certificate that is good for less is renewed today.
const CERTIFICATE_MIN: i64 = 7 * 24 * 3600;

/// Characters of a reason that stands in the table.
const REASON_MAX: usize = 70;

/// Columns of the table: titles, and how many characters each takes.
const COLUMNS: [(&str, usize); 10] = [
    ("SERVICE", 10),
    ("HEALTH", 8),
    ("UP", 6),
    ("CALLS", 5),
    ("DATABASE", 10),
    ("ANSWERS", 8),
    ("POOL", 5),
    ("WRITES", 6),
    ("FEED", 10),
    ("JOURNAL", 10),
];

/// What one service said, or why it said nothing.
#[derive(Debug)]
pub struct Answer {
    /// The service.
    pub name: &'static str,
    /// Its own words.
    pub status: Result<pb::Status, String>,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No suite was ever started on the folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// What the folder says of its suite's addresses is wrong.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Asks the services of the suite that runs on the folder `data`, all at once.
///
/// # Errors
/// [`AskError`]. A service that does not answer is no error.
pub async fn ask(data: &Path, clock: &Clock) -> Result<Vec<Answer>, AskError> {
    let home = Home::open(data, &Random::system())?;
    let Channels {
        identifier,
        consent,
        dossier,
        messaging,
    } = home.read_endpoints()?.channels(clock)?;
    let issuer = home.people()?;
    let asked = [
        ("identifier", identifier),
        ("consent", consent),
        ("dossier", dossier),
        ("messaging", messaging),
    ];
    let asked = asked.map(|(name, channel)| {
        let issuer = &issuer;
        async move {
            let answered = tokio::time::timeout(PATIENCE, ask_one(channel, issuer, clock)).await;
            let status = answered.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
            Answer { name, status }
        }
    });
    Ok(join_all(asked).await)
}

async fn ask_one(channel: Channel, issuer: &TokenIssuer, clock: &Clock) -> Result<pb::Status, String> {
    let claims = Claims::new("operator", Role::Administrator);
    let minted = issuer.mint(&claims, PATIENCE * 30, clock);
    let value = minted
        .and_then(|token| bearer(&token))
        .map_err(|failure| failure.message)?;
    let mut request = Request::new(pb::GetStatusRequest {});
    request.set_timeout(PATIENCE);
    request.metadata_mut().insert("authorization", value);
    let answered = StatusServiceClient::new(channel).get_status(request).await;
    answered
        .map(tonic::Response::into_inner)
        .map_err(|status| match status.source() {
            Some(cause) => innermost(cause),
            None => format!("{:?}: {}", status.code(), status.message()),
        })
}

/// The cause of all causes, which says the most in the fewest words.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What the operator reads.
#[derive(Debug)]
pub struct Report {
    /// For a terminal of 100 columns.
    pub text: String,
    /// Whether there is nothing to do.
    pub healthy: bool,
}

impl Report {
    /// A table of the services, a line for each thing that they give out, write or follow, and what is not as it should.
    pub fn of(answers: &[Answer]) -> Self {
        let mut text = row(COLUMNS.map(|(title, _)| title.to_owned()));
        for answer in answers {
            text.push_str(&line(answer));
        }
        let answered = || {
            answers
                .iter()
                .filter_map(|answer| Some((answer.name, answer.status.as_ref().ok()?)))
        };
        let details: Vec<String> = answered().flat_map(|(name, status)| details(name, status)).collect();
        let mut troubles: Vec<String> = answers.iter().flat_map(troubles).collect();
        troubles.extend(different_versions(answered()));
        for (title, lines) in [("", &details), ("Not as it should be:", &troubles)] {
            if !lines.is_empty() {
                paragraph(&mut text, title, lines);
            }
        }
        Self {
            text,
            healthy: troubles.is_empty(),
        }
    }
}

fn paragraph(text: &mut String, title: &str, lines: &[String]) {
    text.push('\n');
    if !title.is_empty() {
        text.push_str(title);
        text.push('\n');
    }
    for line in lines {
        // Writing to a String does not fail.
        let _written = writeln!(text, "{line}");
    }
}

fn row(cells: [String; COLUMNS.len()]) -> String {
    let padded = cells
        .iter()
        .zip(COLUMNS)
        .map(|(cell, (_, width))| format!("{cell:<width$}"));
    let line: Vec<String> = padded.collect();
    format!("{}\n", line.join("  ").trim_end())
}

fn line(answer: &Answer) -> String {
    let status = match &answer.status {
        Ok(status) => status,
        Err(reason) => return format!("{:<10}  {:<8}  {}\n", answer.name, "away", shortened(reason)),
    };
    let database = status.database.clone().unwrap_or_default();
    let (used, max) = database
        .pools
        .iter()
        .fold((0, 0), |(used, max), pool| (used + pool.used, max + pool.max));
    let health = match (status.serving, status.draining) {
        (true, _) => "serving",
        (false, true) => "stopping",
        (false, false) => "failing",
    };
    let none = || "-".to_owned();
    row([
        answer.name.to_owned(),
        health.to_owned(),
        since(status, status.started_at.as_ref()).map_or_else(none, span),
        status.calls_in_flight.to_string(),
        database.engine,
        database.answered_in.map_or_else(none, |took| milliseconds(&took)),
        format!("{used}/{max}"),
        database.writes_waiting.to_string(),
        status
            .feeds
            .first()
            .map_or_else(none, |feed| count(feed.head, feed.waiting)),
        status
            .journals
            .first()
            .map_or_else(none, |journal| count(journal.tree_size, journal.entries_waiting)),
    ])
}

/// How far it is, and how many wait.
fn count(done: i64, waiting: i64) -> String {
    format!("{done} +{waiting}")
}

fn details(name: &str, status: &pb::Status) -> Vec<String> {
    let ago = |moment: Option<&_>| match since(status, moment) {
        Some(seconds) => format!("{} ago", span(seconds)),
        None => "never".to_owned(),
    };
    let journals = status.journals.iter().map(|journal| {
        format!(
            "{name} writes {}: {} entries, the last checkpoint {}",
            journal.origin,
            journal.tree_size,
            ago(journal.last_checkpoint_at.as_ref())
        )
    });
    let followed = status.followed.iter().map(|followed| {
        format!(
            "{name} follows {} ({}): {}, the last message {}",
            followed.peer,
            followed.consumer,
            if followed.connected {
                "connected"
            } else {
                "not connected"
            },
            ago(followed.last_message_at.as_ref())
        )
    });
    let certificates = status.certificates.iter().map(|certificate| {
        let left = left(status, certificate).map_or_else(|| "an unknown time".to_owned(), span);
        format!("{name} shows its {} certificate for {left} more", certificate.name)
    });
    journals.chain(followed).chain(certificates).collect()
}

fn troubles(answer: &Answer) -> Vec<String> {
    let name = answer.name;
    let status = match &answer.status {
        Ok(status) => status,
        Err(reason) => return vec![format!("{name} does not answer: {}", shortened(reason))],
    };
    let mut found = Vec::new();
    if status.draining {
        found.push(format!("{name} is stopping"));
    }
    if !status.database.as_ref().is_some_and(|database| database.answers) {
        found.push(format!("{name}: its database does not answer"));
    }
    for feed in &status.feeds {
        match since(status, feed.oldest_at.as_ref()) {
            Some(seconds) if seconds > FEED_LAG_MAX => {
                found.push(format!(
                    "{name}: an event has waited {} for its position in the feed",
                    span(seconds)
                ));
            }
            _ if !feed.answers => found.push(format!("{name}: its feed does not answer")),
            _ => {}
        }
    }
    let silent = status.journals.iter().filter(|journal| !journal.answers);
    found.extend(silent.map(|journal| format!("{name}: the journal {} does not answer", journal.origin)));
    for followed in &status.followed {
        let heard = followed.last_message_at.as_ref().or(status.started_at.as_ref());
        if let Some(seconds) = since(status, heard).filter(|seconds| *seconds > SILENCE_MAX) {
            found.push(format!(
                "{name} has not heard of {} for {}",
                followed.peer,
                span(seconds)
            ));
        }
    }
    for certificate in &status.certificates {
        found.extend(certificate_trouble(name, certificate, left(status, certificate)));
    }
    found
}

fn certificate_trouble(name: &str, certificate: &pb::CertificateStatus, left: Option<i64>) -> Option<String> {
    let what = &certificate.name;
    match left {
        None => Some(format!(
            "{name}: nobody knows until when its {what} certificate is good"
        )),
        Some(seconds) if seconds <= 0 => Some(format!("{name}: its {what} certificate has expired")),
        Some(seconds) if seconds < CERTIFICATE_MIN => {
            Some(format!("{name}: its {what} certificate expires in {}", span(seconds)))
        }
        Some(_) => None,
    }
}

fn different_versions<'a>(answered: impl Iterator<Item = (&'static str, &'a pb::Status)>) -> Option<String> {
    let versions: Vec<_> = answered.map(|(name, status)| (name, status.version.as_str())).collect();
    let (_, first) = versions.first()?;
    if versions.iter().all(|(_, version)| version == first) {
        return None;
    }
    let named: Vec<String> = versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    Some(format!("the services are not of one version: {}", named.join(", ")))
}

/// Seconds from a moment to the service's own now.
fn since(status: &pb::Status, moment: Option<&prost_types::Timestamp>) -> Option<i64> {
    Some(status.now.as_ref()?.seconds.saturating_sub(moment?.seconds).max(0))
}

fn left(status: &pb::Status, certificate: &pb::CertificateStatus) -> Option<i64> {
    let end = certificate.not_after.as_ref()?.seconds;
    Some(end.saturating_sub(status.now.as_ref()?.seconds))
}

/// A number of seconds, as people say it.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn milliseconds(took: &prost_types::Duration) -> String {
    let seconds = Duration::try_from(*took).unwrap_or_default();
    format!("{:.1} ms", seconds.as_secs_f64() * 1_000.0)
}

fn shortened(reason: &str) -> String {
    let mut characters = reason
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character });
    let short: String = characters.by_ref().take(REASON_MAX).collect();
    if characters.next().is_none() {
        short
    } else {
        short + "…"
    }
}

#[cfg(test)]
mod tests;
