//! An accreditation to host health data (CSP L1111-8) and when it holds.

use store::time::Timestamp;
use uuid::Uuid;

/// What a host may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostingScope {
    /// The content of dossiers.
    Dossier,
    /// The content of mailboxes.
    Messaging,
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    pub(crate) dossier: bool,
    pub(crate) messaging: bool,
}

impl Scopes {
    pub(crate) fn covers(self, scope: HostingScope) -> bool {
        match scope {
            HostingScope::Dossier => self.dossier,
            HostingScope::Messaging => self.messaging,
        }
    }

    /// Those in the set.
    pub(crate) fn iter(self) -> impl Iterator<Item = HostingScope> {
        [HostingScope::Dossier, HostingScope::Messaging]
            .into_iter()
            .filter(move |scope| self.covers(*scope))
    }
}

impl FromIterator<HostingScope> for Scopes {
    fn from_iter<I: IntoIterator<Item = HostingScope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), |set, scope| match scope {
            HostingScope::Dossier => Self { dossier: true, ..set },
            HostingScope::Messaging => Self { messaging: true, ..set },
        })
    }
}

/// An accreditation: what it covers, from when (inclusive) until when (exclusive), by which decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accreditation {
    pub(crate) id: Uuid,
    pub(crate) scopes: Scopes,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Timestamp,
    pub(crate) decision_reference: String,
    pub(crate) withdrawn_at: Option<Timestamp>,
}

impl Accreditation {
    /// Whether it covers `scope` at `moment`, its host not being suspended. A withdrawn one never does: the moment of
    /// the withdrawal is not compared, lest a clock that runs behind bring it back.
    pub(crate) fn holds(&self, scope: HostingScope, moment: Timestamp) -> bool {
        let in_time = self.valid_from <= moment && moment < self.valid_until;
        self.scopes.covers(scope) && in_time && self.withdrawn_at.is_none()
    }
}
