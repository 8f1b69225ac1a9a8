//! What a request got wrong, all of it together: a caller mends its request once, not field by field.

use api::common::v1::Reason;
use store::time::Timestamp;
use tonic::Code;
use uuid::Uuid;

use crate::Failure;

/// Violations listed in one answer. Its details travel in HTTP/2 trailers, which clients limit to a few KiB.
pub const VIOLATIONS_MAX: usize = 24;

/// One field that breaks its rule. Neither part may repeat the value: it can be personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, as `traits.birth_date` or `documents[2].title`.
    pub field: String,
    /// What is wrong, for programs: UPPER_SNAKE_CASE.
    pub reason: String,
    /// What is wrong, for people.
    pub description: String,
}

/// How a parser says which rule a value breaks.
pub trait Breach {
    /// For programs: UPPER_SNAKE_CASE.
    fn reason(&self) -> &str;
    /// For people; never repeats the value.
    fn description(&self) -> String;
}

impl Breach for (&'static str, &'static str) {
    fn reason(&self) -> &str {
        self.0
    }

    fn description(&self) -> String {
        self.1.to_owned()
    }
}

impl Breach for api::identity::IdentityError {
    fn reason(&self) -> &str {
        Self::reason(*self)
    }

    fn description(&self) -> String {
        self.to_string()
    }
}

impl Breach for (&'static str, String) {
    fn reason(&self) -> &str {
        self.0
    }

    fn description(&self) -> String {
        self.1.clone()
    }
}

/// Collects the violations of one request:
///
/// ```
/// # use serve::{Failure, Violations};
/// # fn parse(request_id: &str, title: &str) -> Result<(), Failure> {
/// let mut violations = Violations::default();
/// let request_id = violations.uuid("request_id", request_id);
/// let title = violations.text("title", title, 1..=200);
/// let (request_id, title) = violations.gather((request_id, title))?;
/// # drop((request_id, title));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<Violation>,
    unlisted: usize,
}

impl Violations {
    /// Notes a violation. Past [`VIOLATIONS_MAX`] they are counted, no longer listed.
    pub fn add(&mut self, field: impl Into<String>, reason: impl Into<String>, description: impl Into<String>) {
        if self.found.len() == VIOLATIONS_MAX {
            self.unlisted += 1;
            return;
        }
        self.found.push(Violation {
            field: field.into(),
            reason: reason.into(),
            description: description.into(),
        });
    }

    /// The parsed value, or `None` and a violation noted.
    pub fn check<T>(&mut self, field: impl Into<String>, parsed: Result<T, impl Breach>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(breach) => {
                self.add(field, breach.reason(), breach.description());
                None
            }
        }
    }

    /// A text that may be left empty: `Some(None)` when it is, the parsed value otherwise.
    pub fn optional<'a, T, E: Breach>(
        &mut self,
        field: impl Into<String>,
        text: &'a str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        if text.is_empty() {
            return Some(None);
        }
        self.check(field, parse(text)).map(Some)
    }

    /// A part of the request that must be there.
    pub fn required<T>(&mut self, field: impl Into<String>, part: Option<T>) -> Option<T> {
        if part.is_none() {
            self.add(field, "REQUIRED", "must be given");
        }
        part
    }

    /// A UUID (RFC 9562), such as every `request_id`.
    pub fn uuid(&mut self, field: impl Into<String>, text: &str) -> Option<Uuid> {
        self.check(
            field,
            Uuid::parse_str(text).map_err(|_| ("NOT_A_UUID", "must be a UUID (RFC 9562)")),
        )
    }

    /// A value of a contract's enumeration: known, and not its `UNSPECIFIED` zero.
    pub fn choice<E: TryFrom<i32> + Default + PartialEq>(
        &mut self,
        field: impl Into<String>,
        number: i32,
    ) -> Option<E> {
        let known = E::try_from(number).ok().filter(|value| *value != E::default());
        self.check(
            field,
            known.ok_or(("UNKNOWN_VALUE", "must be one of the enumeration's values")),
        )
    }

    /// A text whose length in characters lies in `length`, without control characters other than line breaks and tabs.
    pub fn text(
        &mut self,
        field: impl Into<String>,
        text: &str,
        length: std::ops::RangeInclusive<usize>,
    ) -> Option<String> {
        let (min, max) = (*length.start(), *length.end());
        let checked = if text.is_empty() && min > 0 {
            Err(("REQUIRED", "must be given".to_owned()))
        } else if !length.contains(&text.chars().count()) {
            Err(("LENGTH", format!("must have {min} to {max} characters")))
        } else if text
            .chars()
            .any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t'))
        {
            Err(("CONTROL_CHARACTER", "must not hold control characters".to_owned()))
        } else {
            Ok(text.to_owned())
        };
        self.check(field, checked)
    }

    /// An instant that must be given and lie in the calendar.
    pub fn time(&mut self, field: impl Into<String>, instant: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
        let read = match instant {
            None => Err(("REQUIRED", "must be given")),
            Some(instant) => store::time::from_proto(instant).ok_or(("NOT_A_TIME", "must lie in years -9999 to 9999")),
        };
        self.check(field, read)
    }

    /// A page size: 0 for the default, never negative (AIP-158).
    pub fn page_size(&mut self, page_size: i32) {
        if !store::page::Page::size_is_valid(page_size) {
            self.add("page_size", "NEGATIVE", "must be 0 (the default) or more");
        }
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Fails with everything that was noted.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, `INVALID_FIELDS`, with a `BadRequest` that lists the violations.
    pub fn finish(self) -> Result<(), Failure> {
        if self.is_empty() { Ok(()) } else { Err(self.into()) }
    }

    /// The checked values, all of them, or everything that was noted. A value is `None` only because a violation was.
    ///
    /// # Errors
    /// As [`Violations::finish`].
    pub fn gather<T: Gather>(self, values: T) -> Result<T::All, Failure> {
        match values.all() {
            Some(all) if self.is_empty() => Ok(all),
            _ => Err(self.into()),
        }
    }
}

impl From<Violations> for Failure {
    fn from(violations: Violations) -> Self {
        let count = violations.found.len() + violations.unlisted;
        let message = match count {
            1 => "1 field breaks its rule".to_owned(),
            _ => format!("{count} fields break their rules"),
        };
        let mut failure = Self::new(Code::InvalidArgument, Reason::InvalidFields, message);
        if violations.unlisted > 0 {
            failure = failure.with("unlisted", violations.unlisted.to_string());
        }
        failure.violations = violations.found;
        failure
    }
}

/// A tuple of checked values: whole when none is missing.
pub trait Gather {
    /// The values themselves.
    type All;
    /// `None` as soon as one is missing.
    fn all(self) -> Option<Self::All>;
}

macro_rules! gather {
    ($($value:ident),+) => {
        impl<$($value),+> Gather for ($(Option<$value>,)+) {
            type All = ($($value,)+);

            #[expect(non_snake_case, reason = "the type's name serves as the value's")]
            fn all(self) -> Option<Self::All> {
                let ($($value,)+) = self;
                Some(($($value?,)+))
            }
        }
    };
}
gather!(A);
gather!(A, B);
gather!(A, B, C);
gather!(A, B, C, D);
gather!(A, B, C, D, E);
gather!(A, B, C, D, E, F);
gather!(A, B, C, D, E, F, G);
gather!(A, B, C, D, E, F, G, H);
gather!(A, B, C, D, E, F, G, H, I);
gather!(A, B, C, D, E, F, G, H, I, J);
gather!(A, B, C, D, E, F, G, H, I, J, K);
gather!(A, B, C, D, E, F, G, H, I, J, K, L);
