//! Until when a call may take: what its caller says in `grpc-timeout`, capped by the operator.

use http::HeaderMap;
use std::time::Duration;
use tokio::time::Instant;

use crate::config::Limits;
use crate::{Failure, Result};

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Digits of `grpc-timeout` (gRPC over HTTP/2: "TimeoutValue … at most 8 digits").
const DIGITS_MAX: usize = 8;

/// An answer sent when the caller has just given up is read by nobody; so the server gives up a little earlier. It is
/// also what puts our DEADLINE_EXCEEDED before tonic's own reaction to `grpc-timeout`, which is CANCELLED.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(5);

/// When a call that arrives now must have been answered.
///
/// # Errors
/// `INVALID_FIELDS` for a `grpc-timeout` that is malformed or sent twice: guessing one would break a promise.
pub(crate) fn deadline(headers: &HeaderMap, watch: bool, limits: &Limits, now: Instant) -> Result<Instant> {
    let max = if watch {
        limits.watch_max()
    } else {
        limits.deadline_max()
    };
    let default = if watch {
        limits.watch_max()
    } else {
        limits.deadline_default()
    };
    let asked = asked(headers)?.map(|asked| asked.saturating_sub(ANSWER_TIME_MAX.min(asked / 10)));
    Ok(now + asked.unwrap_or(default).min(max))
}

fn asked(headers: &HeaderMap) -> Result<Option<Duration>> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    let asked = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(parse),
        (Some(_), Some(_)) => None,
    };
    match asked {
        Some(asked) => Ok(Some(asked)),
        None => Err(Failure::invalid_field(
            GRPC_TIMEOUT,
            "MALFORMED",
            "must be 1 to 8 digits and one of H M S m u n",
        )),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use api::common::v1::Reason;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(GRPC_TIMEOUT, value.parse().unwrap());
        }
        headers
    }

    fn wait(values: &[&str], watch: bool) -> Duration {
        let now = Instant::now();
        deadline(&headers(values), watch, &Limits::default(), now).unwrap() - now
    }

    /// gRPC over HTTP/2, "Timeout": value and unit; the cap is the operator's.
    #[test]
    fn a_deadline_is_the_callers_capped_by_the_operators() {
        let limits = Limits::default();
        assert_eq!(wait(&[], false), limits.deadline_default());
        assert_eq!(wait(&[], true), limits.watch_max());
        assert_eq!(wait(&["99999999H"], false), limits.deadline_max());
        assert_eq!(wait(&["99999999H"], true), limits.watch_max());
        assert_eq!(wait(&["2S"], false), Duration::from_millis(1995));
        assert_eq!(wait(&["10m"], false), Duration::from_millis(9));
    }

    /// reliability.md §5.11: tonic ignores a malformed value, which turns a deadline into none.
    #[test]
    fn a_malformed_deadline_is_refused() {
        for malformed in [
            &["S"][..],
            &["1"],
            &["1x"],
            &["-1S"],
            &["+1S"],
            &["123456789S"],
            &["1é"],
            &[""],
            &["1S", "2S"],
        ] {
            let refused = deadline(&headers(malformed), false, &Limits::default(), Instant::now());
            assert_eq!(refused.unwrap_err().reason, Reason::InvalidFields, "{malformed:?}");
        }
    }
}
