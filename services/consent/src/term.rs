//! How long an authorisation lasts: a year at the most, a year when nothing is said (the rule of the first DMP).

use jiff::ToSpan;
use jiff::tz::TimeZone;
use store::time::Timestamp;

/// Why a term cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TermError {
    /// It is over before it begins.
    Past,
    /// It goes on for more than a calendar year.
    TooLong,
}

impl serve::Breach for TermError {
    fn reason(&self) -> &str {
        match self {
            Self::Past => "NOT_IN_THE_FUTURE",
            Self::TooLong => "TOO_LONG",
        }
    }

    fn description(&self) -> String {
        match self {
            Self::Past => "must lie in the future".to_owned(),
            Self::TooLong => "must lie within a year from now".to_owned(),
        }
    }
}

/// The end (exclusive) of an authorisation recorded at `now`. A year is a calendar year in UTC: it ends on the same
/// day of the next year, and one that begins on 29 February ends on 28 February.
///
/// # Errors
/// [`TermError`].
pub(crate) fn authorization_end(asked: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, TermError> {
    // Fails in the last year of the calendar only, where nothing that long is left.
    let longest = now
        .to_zoned(TimeZone::UTC)
        .checked_add(1.year())
        .map_or(Timestamp::MAX, |end| end.timestamp());
    match asked {
        None => Ok(longest),
        Some(end) if end > longest => Err(TermError::TooLong),
        Some(end) => future(end, now),
    }
}

/// An end that lies in the future.
///
/// # Errors
/// [`TermError::Past`].
pub(crate) fn future(end: Timestamp, now: Timestamp) -> Result<Timestamp, TermError> {
    if end > now { Ok(end) } else { Err(TermError::Past) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// DMP1: an authorisation lasts a year.
    #[test]
    fn an_authorisation_lasts_a_calendar_year() {
        let end = |now| authorization_end(None, at(now)).unwrap();
        assert_eq!(end("2026-11-22T10:00:00.000001Z"), at("2027-11-22T10:00:00.000001Z"));
        assert_eq!(end("2027-03-01T00:00:00Z"), at("2028-03-01T00:00:00Z"));
        assert_eq!(end("2028-02-29T12:00:00Z"), at("2029-02-28T12:00:00Z"));
    }

    #[test]
    fn an_authorisation_may_be_shorter_and_never_longer() {
        let now = at("2026-11-22T10:00:00Z");
        let asked = |end: &str| authorization_end(Some(at(end)), now);
        assert_eq!(
            asked("2026-11-22T10:00:00.000001Z"),
            Ok(at("2026-11-22T10:00:00.000001Z"))
        );
        assert_eq!(asked("2027-11-22T10:00:00Z"), Ok(at("2027-11-22T10:00:00Z")));
        assert_eq!(asked("2027-11-22T10:00:00.000001Z"), Err(TermError::TooLong));
        assert_eq!(asked("2026-11-22T10:00:00Z"), Err(TermError::Past));
    }
}
