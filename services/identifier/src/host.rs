//! A host of health data: its accreditations and what may become of them.

use std::str::FromStr;

use api::identity::StructureId;
use store::time::Timestamp;
use uuid::Uuid;

use crate::accreditation::{Accreditation, HostingScope};
use crate::error::{Error, Result};

/// Accreditations that one host may have, ended ones included: they last for years.
pub(crate) const ACCREDITATIONS_MAX: usize = 64;

/// Longest address, in characters.
pub(crate) const ENDPOINT_LENGTH_MAX: usize = 255;

/// A host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) structure: StructureId,
    pub(crate) endpoint: Option<Endpoint>,
    /// Newest first: as they were recorded.
    pub(crate) accreditations: Vec<Accreditation>,
    pub(crate) suspended_at: Option<Timestamp>,
    /// From 1, one more with every change.
    pub(crate) version: i64,
}

impl Host {
    /// Changes with every change of the host, and says nothing else.
    pub(crate) fn etag(&self) -> String {
        format!("{:x}", self.version)
    }

    /// Whether the host may hold `scope` at `moment`.
    pub(crate) fn is_accredited_for(&self, scope: HostingScope, moment: Timestamp) -> bool {
        self.suspended_at.is_none() && self.accreditations.iter().any(|one| one.holds(scope, moment))
    }

    /// Adds an accreditation, which ends a suspension.
    pub(crate) fn accredit(&mut self, accreditation: Accreditation) -> Result<()> {
        if self.accreditations.len() >= ACCREDITATIONS_MAX {
            return Err(Error::AccreditationsFull {
                limit: ACCREDITATIONS_MAX,
            });
        }
        self.accreditations.insert(0, accreditation);
        self.suspended_at = None;
        Ok(())
    }

    /// Suspends all accreditations, of today and to come, until the next one is recorded.
    pub(crate) fn suspend(&mut self, now: Timestamp) -> Result<()> {
        if self.suspended_at.is_some() {
            return Err(Error::State("SUSPENDED"));
        }
        self.suspended_at = Some(now);
        Ok(())
    }

    /// Withdraws an accreditation for good, whether it has begun, ended, or not.
    pub(crate) fn withdraw(&mut self, accreditation: Uuid, now: Timestamp) -> Result<()> {
        let found = self.accreditations.iter_mut().find(|one| one.id == accreditation);
        let found = found.ok_or(Error::NotFound("accreditation"))?;
        if found.withdrawn_at.is_some() {
            return Err(Error::State("WITHDRAWN"));
        }
        found.withdrawn_at = Some(now);
        Ok(())
    }
}

/// Where a host's dossier service answers: `https://` or `http://`, a name, perhaps a port, and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// `None` for what is no such address; a user or a password in it could only leak.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri = http::Uri::from_str(text)
            .ok()
            .filter(|_| text.chars().count() <= ENDPOINT_LENGTH_MAX)?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
        let plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !authority.as_str().contains('@')
            && !text.contains('#');
        plain.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
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
    use crate::accreditation::Scopes;
    use api::identity::Check;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn accreditation(id: u128, scope: HostingScope, from: i64, until: i64) -> Accreditation {
        Accreditation {
            id: Uuid::from_u128(id),
            scopes: Scopes::from_iter([scope]),
            valid_from: at(from),
            valid_until: at(until),
            decision_reference: "arrêté".to_owned(),
            withdrawn_at: None,
        }
    }

    fn host() -> Host {
        Host {
            id: Uuid::from_u128(1),
            name: "Hôte".to_owned(),
            structure: StructureId::parse("1750100125", Check::Strict).unwrap(),
            endpoint: None,
            accreditations: Vec::new(),
            suspended_at: None,
            version: 1,
        }
    }

    fn accredited() -> Host {
        let mut host = host();
        host.accredit(accreditation(1, HostingScope::Dossier, 100, 200))
            .unwrap();
        host
    }

    /// L1111-8: accredited from the first moment on, and until before the last.
    #[test]
    fn an_accreditation_holds_from_its_first_moment_until_before_its_last() {
        let host = accredited();
        for (moment, holds) in [(99, false), (100, true), (199, true), (200, false)] {
            assert_eq!(
                host.is_accredited_for(HostingScope::Dossier, at(moment)),
                holds,
                "{moment}"
            );
            assert!(!host.is_accredited_for(HostingScope::Messaging, at(moment)), "{moment}");
        }
    }

    #[test]
    fn a_suspension_covers_everything_until_the_next_accreditation() {
        let mut host = accredited();
        host.suspend(at(120)).unwrap();
        assert!(!host.is_accredited_for(HostingScope::Dossier, at(150)));
        assert!(matches!(host.suspend(at(130)), Err(Error::State("SUSPENDED"))));
        host.accredit(accreditation(2, HostingScope::Messaging, 500, 600))
            .unwrap();
        assert!(host.is_accredited_for(HostingScope::Dossier, at(150)));
    }

    #[test]
    fn a_withdrawal_is_for_good_even_for_a_clock_that_runs_behind() {
        let mut host = accredited();
        host.withdraw(Uuid::from_u128(1), at(150)).unwrap();
        assert!(!host.is_accredited_for(HostingScope::Dossier, at(149)));
        assert!(matches!(
            host.withdraw(Uuid::from_u128(1), at(160)),
            Err(Error::State("WITHDRAWN"))
        ));
        assert!(matches!(
            host.withdraw(Uuid::from_u128(9), at(160)),
            Err(Error::NotFound("accreditation"))
        ));
        host.accredit(accreditation(2, HostingScope::Dossier, 100, 200))
            .unwrap();
        assert!(host.is_accredited_for(HostingScope::Dossier, at(150)));
    }

    #[test]
    fn accreditations_are_newest_first_and_counted() {
        let mut host = host();
        for id in 0..ACCREDITATIONS_MAX as u128 {
            host.accredit(accreditation(id, HostingScope::Dossier, 0, 1)).unwrap();
        }
        assert_eq!(
            host.accreditations[0].id,
            Uuid::from_u128(ACCREDITATIONS_MAX as u128 - 1)
        );
        let one_more = host.accredit(accreditation(999, HostingScope::Dossier, 0, 1));
        assert!(matches!(
            one_more,
            Err(Error::AccreditationsFull {
                limit: ACCREDITATIONS_MAX
            })
        ));
    }

    #[test]
    fn an_endpoint_is_an_address_and_nothing_more() {
        for address in [
            "https://dossier.host.example:443",
            "http://127.0.0.1:7003",
            "https://host.example/",
        ] {
            assert!(Endpoint::parse(address).is_some(), "{address}");
        }
        let long = format!("https://{}.example", "a".repeat(ENDPOINT_LENGTH_MAX));
        for other in [
            "",
            "host.example",
            "ftp://host.example",
            "https://user:secret@host.example",
            "https://host.example/path",
            "https://host.example/?query",
            "https://host.example/#part",
            "https://host example",
            "/only/a/path",
            long.as_str(),
        ] {
            assert!(Endpoint::parse(other).is_none(), "{other}");
        }
    }

    proptest! {
        /// However many accreditations overlap: one that holds is enough, and none that does not ever counts.
        #[test]
        fn a_host_is_accredited_exactly_when_one_accreditation_holds(
            windows in proptest::collection::vec((0i64..50, 1i64..50, any::<bool>(), any::<bool>()), 0..6),
            suspended: bool,
            moment in 0i64..110,
        ) {
            let mut host = host();
            for (index, (from, length, messaging, withdrawn)) in windows.iter().enumerate() {
                let scope = if *messaging { HostingScope::Messaging } else { HostingScope::Dossier };
                host.accredit(accreditation(index as u128, scope, *from, from + length)).unwrap();
                if *withdrawn {
                    host.withdraw(Uuid::from_u128(index as u128), at(0)).unwrap();
                }
            }
            if suspended {
                host.suspend(at(0)).unwrap();
            }
            let expected = !suspended && windows.iter().any(|(from, length, messaging, withdrawn)| {
                !messaging && !withdrawn && (*from..from + length).contains(&moment)
            });
            prop_assert_eq!(host.is_accredited_for(HostingScope::Dossier, at(moment)), expected);
        }

        #[test]
        fn no_text_makes_the_address_reader_panic(text in "\\PC{0,300}") {
            let _ = Endpoint::parse(&text);
        }
    }
}
