//! HL7 points in time (TS) and civil birth dates.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use std::fmt;

/// How much of a point in time was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// `YYYY`
    Year,
    /// `YYYYMM`
    Month,
    /// `YYYYMMDD`
    Day,
    /// `YYYYMMDDHH`
    Hour,
    /// `YYYYMMDDHHMM`
    Minute,
    /// `YYYYMMDDHHMMSS`
    Second,
    /// `YYYYMMDDHHMMSS.U`, one digit or more
    Fraction,
}

/// An HL7 point in time: `YYYY[MM[DD[HH[MM[SS[.U…]]]]]][±Z…]` (HL7 V3 data types, TS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hl7Time {
    /// The first moment of what was written, to the microsecond. Where no zone was written it is read as UTC: the place
    /// a document was made in is not in it (France spans twelve zones), so any other choice would be a guess too, and
    /// this one needs no time zone database and gives the same answer on every machine. `zone` tells the two apart.
    pub instant: Timestamp,
    /// How much was written.
    pub precision: Precision,
    /// The zone that was written, if any.
    pub zone: Option<Offset>,
}

impl Hl7Time {
    /// Reads a point in time; none if it is not one. Zones of one to four digits occur and are read as `±H`, `±HH`,
    /// `±HMM`, `±HHMM`, as the HL7 schema allows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (moment, zone) = match text.find(['+', '-']) {
            Some(at) => (text.get(..at)?, Some(offset(text.get(at..)?)?)),
            None => (text, None),
        };
        let (whole, fraction) = match moment.split_once('.') {
            Some((whole, fraction)) => (whole, Some(nanoseconds(fraction)?)),
            None => (moment, None),
        };
        let precision = precision(whole.len(), fraction.is_some())?;
        let civil = DateTime::new(
            i16::try_from(number(whole, 0..4)?).ok().filter(|&year| year > 0)?,
            part(whole, 4..6, 1)?,
            part(whole, 6..8, 1)?,
            part(whole, 8..10, 0)?,
            part(whole, 10..12, 0)?,
            part(whole, 12..14, 0)?,
            fraction.unwrap_or(0),
        )
        .ok()?;
        let instant = zone.unwrap_or(Offset::UTC).to_timestamp(civil).ok()?;
        Some(Self {
            instant,
            precision,
            zone,
        })
    }
}

fn precision(digits: usize, has_fraction: bool) -> Option<Precision> {
    match (digits, has_fraction) {
        (4, false) => Some(Precision::Year),
        (6, false) => Some(Precision::Month),
        (8, false) => Some(Precision::Day),
        (10, false) => Some(Precision::Hour),
        (12, false) => Some(Precision::Minute),
        (14, false) => Some(Precision::Second),
        (14, true) => Some(Precision::Fraction),
        _ => None,
    }
}

/// A part that may not have been written, in which case it is the first there is.
fn part(text: &str, range: std::ops::Range<usize>, first: i8) -> Option<i8> {
    if text.len() < range.end {
        return Some(first);
    }
    i8::try_from(number(text, range)?).ok()
}

fn number(text: &str, range: std::ops::Range<usize>) -> Option<u32> {
    let digits = text.get(range)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Kept to the microsecond, which is all that is stored.
fn nanoseconds(fraction: &str) -> Option<i32> {
    const LONGEST_FRACTION: usize = 9;
    if fraction.len() > LONGEST_FRACTION {
        return None;
    }
    number(fraction, 0..fraction.len())?;
    let microseconds: i32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Some(microseconds * 1_000)
}

fn offset(text: &str) -> Option<Offset> {
    let digits = text.get(1..)?;
    let hour_digits = match digits.len() {
        1 | 3 => 1,
        2 | 4 => 2,
        _ => return None,
    };
    let hours = number(digits, 0..hour_digits)?;
    let minutes = if digits.len() > 2 {
        number(digits, hour_digits..digits.len())?
    } else {
        0
    };
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}

/// A date of birth as the civil register gives it.
///
/// Not always a day of the calendar: a person whose birth certificate is lost has a "lunar" date, with a month or a day
/// that does not exist, and such a date is part of the identity as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BirthDate {
    /// 1 to 9999.
    pub year: u16,
    /// 0 to 99; none if not written.
    pub month: Option<u8>,
    /// 0 to 99; none if not written.
    pub day: Option<u8>,
}

impl BirthDate {
    /// Reads `YYYY[MM[DD]]`; a time of day after it is left aside. None if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let written = text.len();
        let date_only = matches!(written, 4 | 6 | 8) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !date_only && Hl7Time::parse(text).is_none() {
            return None;
        }
        Some(Self {
            year: u16::try_from(number(text, 0..4)?).ok().filter(|&year| year > 0)?,
            month: number(text, 4..6).and_then(|month| u8::try_from(month).ok()),
            day: number(text, 6..8).and_then(|day| u8::try_from(day).ok()),
        })
    }
}

impl fmt::Debug for BirthDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BirthDate(…)")
    }
}
