//! Who sees a document beyond what the habilitation matrix says (JDV_J08).

use api::dossier::v1 as pb;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use store::time::Timestamp;

/// What a deposit states. Several may hold, but a document is never both masked from professionals and hidden from the
/// holder: nobody would be left to tell the holder of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Visibility {
    /// `MASQUE_PS`.
    pub(crate) masked: bool,
    /// `INVISIBLE_PATIENT`.
    pub(crate) hidden_from_holder: bool,
    /// `INVISIBLE_REPRESENTANTS_LEGAUX`.
    pub(crate) hidden_from_representatives: bool,
}

impl Visibility {
    /// As the contract carries it; everybody the matrix allows when absent.
    pub(crate) fn from_proto(sent: Option<&pb::Visibility>) -> Self {
        sent.map_or_else(Self::default, |sent| Self {
            masked: sent.masked_from_professionals,
            hidden_from_holder: sent.hidden_from_holder,
            hidden_from_representatives: sent.hidden_from_representatives,
        })
    }

    /// As the contract carries it.
    pub(crate) fn to_proto(self) -> pb::Visibility {
        pb::Visibility {
            masked_from_professionals: self.masked,
            hidden_from_holder: self.hidden_from_holder,
            hidden_from_representatives: self.hidden_from_representatives,
        }
    }

    /// Both: whatever either hides is hidden.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            masked: self.masked || other.masked,
            hidden_from_holder: self.hidden_from_holder || other.hidden_from_holder,
            hidden_from_representatives: self.hidden_from_representatives || other.hidden_from_representatives,
        }
    }

    /// Whether it may be: never masked and hidden from the holder at once.
    pub(crate) fn is_allowed(self) -> bool {
        !(self.masked && self.hidden_from_holder)
    }

    /// As it stands at `now`: what was hidden from the holder is visible from `announce_by` on (R1111-53).
    pub(crate) fn at(self, now: Timestamp, announce_by: Timestamp) -> Self {
        Self {
            hidden_from_holder: self.hidden_from_holder && now < announce_by,
            ..self
        }
    }
}

/// When a document deposited at `submitted_at` is visible to the holder in any case: calendar months later (R1111-53
/// says one), at the same time of the day, UTC.
pub(crate) fn announce_by(submitted_at: Timestamp, months: u32) -> Timestamp {
    later(submitted_at, i64::from(months).months())
}

/// A calendar span later; the end of time when there is no such moment.
pub(crate) fn later(from: Timestamp, span: Span) -> Timestamp {
    from.to_zoned(TimeZone::UTC)
        .checked_add(span)
        .map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// R1111-53: one month after the deposit, at the latest, the holder sees the document.
    #[test]
    fn a_document_hidden_from_the_holder_is_visible_a_calendar_month_later() {
        let hidden = Visibility {
            hidden_from_holder: true,
            ..Visibility::default()
        };
        let end = announce_by(at("2026-01-31T10:00:00Z"), 1);
        assert_eq!(end, at("2026-02-28T10:00:00Z"));
        assert!(hidden.at(at("2026-02-28T09:59:59.999999Z"), end).hidden_from_holder);
        assert!(!hidden.at(end, end).hidden_from_holder);
    }

    /// `cumul-invisible_patient-masque_ps` = false.
    #[test]
    fn masked_and_hidden_from_the_holder_at_once_is_not_allowed() {
        let masked = Visibility {
            masked: true,
            ..Visibility::default()
        };
        let hidden = Visibility {
            hidden_from_holder: true,
            hidden_from_representatives: true,
            masked: false,
        };
        assert!(masked.is_allowed() && hidden.is_allowed());
        assert!(!masked.and(hidden).is_allowed());
        assert_eq!(Visibility::from_proto(Some(&hidden.to_proto())), hidden);
    }
}
