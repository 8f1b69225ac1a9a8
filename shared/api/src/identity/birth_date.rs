//! Birth dates as the registers hold them: some are no calendar dates.

use std::fmt;

use super::{IdentityError, demand_digits};

const LENGTH: usize = 8;
/// No living or recently deceased person was born outside these years.
const YEARS: std::ops::RangeInclusive<u16> = 1800..=2199;
/// Days run to 31 even in a short month, no further in any calendar in use.
const LAST_DAY: u8 = 31;

/// Eight digits YYYYMMDD, one of the five strict traits of an identity. Not necessarily a calendar date: the register
/// also holds lunar dates (a month beyond 12, a day beyond the month's end) and incomplete ones (00).
///
/// Identifies together with a name: redacted in `Debug`. Sorts by year, month, day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BirthDate {
    year: u16,
    month: u8,
    day: u8,
}

/// What kind of date the register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BirthDateKind {
    /// A day of the Gregorian calendar.
    Calendar,
    /// The day or the month is unknown (00).
    Incomplete,
    /// A month beyond December, or a day the month does not have.
    Lunar,
}

impl BirthDate {
    /// Reads YYYYMMDD: year 1800 to 2199, any two-digit month, day 00 to 31. Whether the date lies in the future is
    /// for the caller to say: no clock here.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        demand_digits(text, LENGTH)?;
        let (year, rest) = text.split_at_checked(4).unwrap_or_default();
        let (month, day) = rest.split_at_checked(2).unwrap_or_default();
        let (Ok(year), Ok(month), Ok(day)) = (year.parse(), month.parse(), day.parse()) else {
            return Err(IdentityError::Date);
        };
        if !YEARS.contains(&year) || day > LAST_DAY {
            return Err(IdentityError::Date);
        }
        Ok(Self { year, month, day })
    }

    /// The year, always known.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month as registered: 0 if unknown, more than 12 in a lunar date.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day as registered: 0 if unknown.
    pub const fn day(self) -> u8 {
        self.day
    }

    /// Whether this is a calendar date, and if not, why. A day unknown in a lunar month counts as incomplete.
    pub const fn kind(self) -> BirthDateKind {
        if self.month == 0 || self.day == 0 {
            BirthDateKind::Incomplete
        } else if self.day > days_in(self.year, self.month) {
            BirthDateKind::Lunar
        } else {
            BirthDateKind::Calendar
        }
    }

    /// YYYYMMDD, as it was read.
    pub fn to_yyyymmdd(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// YYMMDD, as [`InsC::compute`](super::InsC::compute) takes it.
    pub fn to_yymmdd(self) -> String {
        format!("{:02}{:02}{:02}", self.year % 100, self.month, self.day)
    }
}

impl fmt::Debug for BirthDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BirthDate(…)")
    }
}

/// How many days a Gregorian month has; none if there is no such month.
const fn days_in(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 0,
    }
}

const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
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

    use proptest::prelude::*;

    use super::*;

    /// INS traits: a lunar or incomplete date is a birth date like any other.
    #[test]
    fn lunar_and_incomplete_dates_are_birth_dates() {
        let dates = [
            ("19790328", BirthDateKind::Calendar),
            ("20000229", BirthDateKind::Calendar),
            ("19000229", BirthDateKind::Lunar),
            ("19550230", BirthDateKind::Lunar),
            ("19550431", BirthDateKind::Lunar),
            ("19551401", BirthDateKind::Lunar),
            ("19550000", BirthDateKind::Incomplete),
            ("19550300", BirthDateKind::Incomplete),
            ("19550012", BirthDateKind::Incomplete),
        ];
        for (text, kind) in dates {
            let date = BirthDate::parse(text).unwrap();
            assert_eq!(date.kind(), kind, "{text}");
            assert_eq!(date.to_yyyymmdd(), text);
        }
    }

    #[test]
    fn what_is_no_date_at_all_is_refused() {
        let refusals = [
            ("", IdentityError::Length),
            ("790328", IdentityError::Length),
            ("1979-03-28", IdentityError::Length),
            ("1979O328", IdentityError::Characters),
            ("+9790328", IdentityError::Characters),
            ("19790332", IdentityError::Date),
            ("00000000", IdentityError::Date),
            ("17991231", IdentityError::Date),
            ("22000101", IdentityError::Date),
        ];
        for (text, error) in refusals {
            assert_eq!(BirthDate::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn dates_sort_by_time() {
        let mut dates = ["20000101", "19991231", "19990000"].map(|text| BirthDate::parse(text).unwrap());
        dates.sort();
        assert_eq!(dates.map(BirthDate::to_yymmdd), ["990000", "991231", "000101"]);
    }

    proptest! {
        #[test]
        fn every_accepted_date_is_written_back(text in "[12][0-9]{7}") {
            if let Ok(date) = BirthDate::parse(&text) {
                prop_assert_eq!(date.to_yyyymmdd(), text);
            }
        }
    }
}
