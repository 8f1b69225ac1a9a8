//! From the contract's messages to the types of the domain.

use api::identifier::v1 as pb;
use api::identity::{BirthDate, Check, DmpId, Ins, InsOid, InsStatus, StructureId, StructureKind};
use serve::Violations;
use store::time::Timestamp;

use crate::accreditation::{HostingScope, Scopes};
use crate::beneficiary::Enrolment;
use crate::config::Checks;
use crate::host::{ENDPOINT_LENGTH_MAX, Endpoint};
use crate::strict_traits::{BirthPlace, GivenTraits, Name, Sex, StrictTraits};

/// An identifier, typed or handed over: its check digits must be right, whatever the settings.
pub(super) fn dmp_id(violations: &mut Violations, text: &str) -> Option<DmpId> {
    violations.check("dmp_id", DmpId::parse(text, Check::Strict))
}

/// A matricule to look for.
pub(super) fn ins(violations: &mut Violations, ins: Option<&pb::Ins>, checks: Checks) -> Option<Ins> {
    let ins = violations.required("ins", ins)?;
    let oid = violations.check("ins.oid", InsOid::parse(&ins.oid));
    // Under an unknown OID the matricule is held against the widest rule, so that all violations come together.
    let read_under = oid.unwrap_or(InsOid::Nia);
    let matricule = violations.check("ins.matricule", Ins::parse(&ins.matricule, read_under, checks.ins));
    oid.and(matricule)
}

/// The three parts of an enrolment, alone or in a batch. `now` says which births are yet to come.
pub(super) fn enrolment(
    violations: &mut Violations,
    parts: (Option<&pb::Ins>, Option<&pb::StrictTraits>, i32),
    checks: Checks,
    now: Timestamp,
) -> Option<Enrolment> {
    let (sent_ins, sent_traits, sent_status) = parts;
    let ins = ins(violations, sent_ins, checks);
    if ins.as_ref().is_some_and(|ins| !ins.oid().is_production()) && !checks.accept_test_identities {
        violations.add(
            "ins.oid",
            "TEST_IDENTITY",
            "test and demonstration identities are not enrolled here",
        );
    }
    let traits = strict_traits(violations, sent_traits, now);
    let status = status(violations, sent_status);
    Some(Enrolment {
        ins: ins?,
        traits: traits?,
        status: status?,
    })
}

fn status(violations: &mut Violations, number: i32) -> Option<InsStatus> {
    use pb::IdentityStatus as Sent;
    let known = Sent::try_from(number);
    let known = violations.check(
        "identity_status",
        known.map_err(|_| ("UNKNOWN_VALUE", "must be one of the enumeration's values")),
    );
    known.map(|status| match status {
        Sent::Unspecified | Sent::Provisional => InsStatus::Provisional,
        Sent::Retrieved => InsStatus::Retrieved,
        Sent::Validated => InsStatus::Validated,
        Sent::Qualified => InsStatus::Qualified,
    })
}

fn strict_traits(violations: &mut Violations, sent: Option<&pb::StrictTraits>, now: Timestamp) -> Option<StrictTraits> {
    let sent = violations.required("traits", sent)?;
    let given = given(violations, sent);
    if given.birth_date.is_some_and(|date| is_to_come(date, now)) {
        violations.add("traits.birth_date", "IN_THE_FUTURE", "must not be of a year to come");
    }
    let family = must(
        "traits.birth_family_name",
        violations,
        &sent.birth_family_name,
        given.birth_family_name,
    );
    let names = must(
        "traits.birth_given_names",
        violations,
        &sent.birth_given_names,
        given.birth_given_names,
    );
    let date = must("traits.birth_date", violations, &sent.birth_date, given.birth_date);
    if sent.sex == 0 {
        violations.add("traits.sex", "REQUIRED", "must be given");
    }
    Some(StrictTraits {
        birth_family_name: family?,
        birth_given_names: names?,
        birth_date: date?,
        sex: given.sex?,
        birth_place: given.birth_place,
    })
}

/// Notes what was left empty; what was filled in wrongly has been noted before.
fn must<T>(field: &str, violations: &mut Violations, text: &str, read: Option<T>) -> Option<T> {
    if text.is_empty() {
        violations.add(field, "REQUIRED", "must be given");
    }
    read
}

/// Only the year is compared: the register's months and days are not always those of the calendar. A day is added for
/// the zones that are ahead of UTC on New Year's Eve.
fn is_to_come(date: BirthDate, now: Timestamp) -> bool {
    const DAY_SECONDS: i64 = 24 * 60 * 60;
    let tomorrow = Timestamp::from_second(now.as_second().saturating_add(DAY_SECONDS)).unwrap_or(now);
    let year = tomorrow.to_string().get(..4).and_then(|year| year.parse().ok());
    year.is_some_and(|year: u16| date.year() > year)
}

/// The traits that are there; an empty one is none.
pub(super) fn given_traits(violations: &mut Violations, sent: Option<&pb::StrictTraits>) -> GivenTraits {
    sent.map(|sent| given(violations, sent)).unwrap_or_default()
}

fn given(violations: &mut Violations, sent: &pb::StrictTraits) -> GivenTraits {
    let family = violations.optional("traits.birth_family_name", &sent.birth_family_name, Name::parse);
    let names = violations.optional("traits.birth_given_names", &sent.birth_given_names, Name::parse);
    let date = violations.optional("traits.birth_date", &sent.birth_date, BirthDate::parse);
    let place = violations.optional("traits.birth_place_code", &sent.birth_place_code, BirthPlace::parse);
    let sex = if sent.sex == 0 {
        None
    } else {
        violations.choice("traits.sex", sent.sex).and_then(sex)
    };
    GivenTraits {
        birth_family_name: family.flatten(),
        birth_given_names: names.flatten(),
        birth_date: date.flatten(),
        sex,
        birth_place: place.flatten(),
    }
}

fn sex(sent: pb::Sex) -> Option<Sex> {
    match sent {
        pb::Sex::Unspecified => None,
        pb::Sex::Female => Some(Sex::Female),
        pb::Sex::Male => Some(Sex::Male),
        pb::Sex::Unknown => Some(Sex::Unknown),
    }
}

/// A host's structure: a FINESS, SIREN or SIRET number. An office names a person, who hosts nothing.
pub(super) fn structure(violations: &mut Violations, text: &str, checks: Checks) -> Option<StructureId> {
    let id = violations.check("structure_id", StructureId::parse(text, checks.structures))?;
    if !matches!(
        id.kind(),
        StructureKind::Finess | StructureKind::Siren | StructureKind::Siret
    ) {
        violations.add(
            "structure_id",
            "WRONG_KIND",
            "must be a FINESS, SIREN or SIRET number: 1…, 2… or 3…",
        );
    }
    Some(id)
}

/// Where a host's dossier service answers, when it says.
pub(super) fn endpoint(violations: &mut Violations, text: &str) -> Option<Option<Endpoint>> {
    violations.optional("endpoint", text, |text| {
        let rule = format!("must be https://name:port, at most {ENDPOINT_LENGTH_MAX} characters");
        Endpoint::parse(text).ok_or(("NOT_AN_ADDRESS", rule))
    })
}

/// One scope or more; a scope that is there twice counts once.
pub(super) fn scopes(violations: &mut Violations, sent: &[i32]) -> Option<Scopes> {
    if sent.is_empty() {
        violations.add("scopes", "REQUIRED", "at least one must be given");
        return None;
    }
    let read = sent.iter().enumerate().map(|(index, number)| {
        let scope = violations.choice(format!("scopes[{index}]"), *number)?;
        scope_of(scope)
    });
    // Not lazily: each of them is looked at, so that all violations come together.
    let read: Vec<Option<HostingScope>> = read.collect();
    read.into_iter().collect()
}

fn scope_of(sent: pb::HostingScope) -> Option<HostingScope> {
    match sent {
        pb::HostingScope::Unspecified => None,
        pb::HostingScope::Dossier => Some(HostingScope::Dossier),
        pb::HostingScope::Messaging => Some(HostingScope::Messaging),
    }
}

/// The scope to filter by, when one is given.
pub(super) fn scope_filter(violations: &mut Violations, number: i32) -> Option<HostingScope> {
    if number == 0 {
        return None;
    }
    violations.choice("accredited_for", number).and_then(scope_of)
}
