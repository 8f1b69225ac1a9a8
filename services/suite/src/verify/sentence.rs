//! An access as a sentence, in French, as its holder would read it.

use api::codes::{AUTHOR_SPECIALTIES, PROFESSIONS};
use api::common::v1::{AccessMode, Actor, Role};
use api::dossier::v1::{Access, AccessAction, AccessOutcome};
use api::messaging::v1::{Proof, ProofKind};
use jiff::tz::TimeZone;
use prost_types::Timestamp;
use std::collections::BTreeMap;

const MONTHS: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];

/// Names for identifiers, where they are known: the journal itself holds none.
#[derive(Default)]
pub(crate) struct Names {
    /// By Ps_idNat.
    pub(crate) professionals: BTreeMap<String, String>,
    /// By `unique_id`.
    pub(crate) documents: BTreeMap<String, String>,
}

/// `le 2 mars 2026 à 08:00:12 UTC, Dr … (médecin) a lu le document « … »`.
pub(crate) fn of_access(access: &Access, names: &Names) -> String {
    let when = moment(access.occurred_at.as_ref());
    let who = who(access.actor.as_ref(), names);
    let (done, noun) = wording(access.action());
    let documents = documents(&access.document_ids, names);
    let what = match access.outcome() {
        AccessOutcome::Granted => format!("a {done}{documents}"),
        AccessOutcome::Refused => format!("s'est vu refuser {noun}{documents}{}", refusal(access)),
        AccessOutcome::Undecided => format!("n'a pas obtenu {noun}{documents} : le consentement n'a pu être vérifié"),
        AccessOutcome::Unspecified => format!("a demandé {noun}{documents}, sans issue connue"),
    };
    format!("{when}, {who} {what}{}", mode(access))
}

/// `le 2 mars 2026 à 08:00:12 UTC, dépôt du message … par Dr …`.
pub(crate) fn of_proof(proof: &Proof, names: &Names) -> String {
    let kind = match proof.kind() {
        ProofKind::Deposit => "dépôt",
        ProofKind::Retrieval => "retrait",
        ProofKind::Reading => "lecture",
        ProofKind::Unspecified => "preuve d'un genre inconnu",
    };
    let when = moment(proof.occurred_at.as_ref());
    let who = who(proof.actor.as_ref(), names);
    format!("{when}, {kind} du message par {who}, boîte {}", proof.address)
}

/// A moment in words, in UTC: a journal knows no other zone.
pub(crate) fn moment(instant: Option<&Timestamp>) -> String {
    let Some(instant) = instant.and_then(store::time::from_proto) else {
        return "à une date inconnue".to_owned();
    };
    let civil = instant.to_zoned(TimeZone::UTC);
    let month = usize::try_from(civil.month())
        .ok()
        .and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let day = if civil.day() == 1 {
        "1er".to_owned()
    } else {
        civil.day().to_string()
    };
    let month = month.copied().unwrap_or_default();
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    format!(
        "le {day} {month} {} à {hour:02}:{minute:02}:{second:02} UTC",
        civil.year()
    )
}

/// `1 page`, `4 entries`.
pub(crate) fn many(count: usize, thing: &str) -> String {
    match (count, thing.strip_suffix('y')) {
        (1, _) => format!("1 {thing}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {thing}s"),
    }
}

fn wording(action: AccessAction) -> (&'static str, &'static str) {
    match action {
        AccessAction::OpenDossier => ("ouvert le dossier", "l'ouverture du dossier"),
        AccessAction::SeeStatus => ("demandé l'état du dossier", "l'état du dossier"),
        AccessAction::CloseDossier => ("fermé le dossier", "la fermeture du dossier"),
        AccessAction::SubmitDocument => ("déposé un document", "le dépôt d'un document"),
        AccessAction::GetDocument => ("consulté la fiche d'un document", "la fiche d'un document"),
        AccessAction::ListDocuments => ("consulté la liste des documents", "la liste des documents"),
        AccessAction::ReadDocument => ("lu un document", "la lecture d'un document"),
        AccessAction::ListAccesses => ("consulté la liste des accès", "la liste des accès"),
        AccessAction::ProveAccesses => ("demandé les preuves des accès", "les preuves des accès"),
        AccessAction::ReconstructView => ("reconstitué une vue passée", "la reconstitution d'une vue passée"),
        AccessAction::Unspecified => ("fait un acte d'un genre inconnu", "un acte d'un genre inconnu"),
    }
}

/// Up to three documents by their titles; a listing may name hundreds.
fn documents(ids: &[String], names: &Names) -> String {
    const NAMED_MAX: usize = 3;
    let title = |id: &String| quoted(names.documents.get(id).unwrap_or(id));
    match ids.len() {
        0 => String::new(),
        count if count > NAMED_MAX => format!(" ({count} documents)"),
        _ => format!(" : {}", ids.iter().map(title).collect::<Vec<_>>().join(", ")),
    }
}

/// In French quotation marks, whose spaces never break.
fn quoted(text: &str) -> String {
    format!("«\u{a0}{text}\u{a0}»")
}

/// A rule of law has an article; other reasons, such as a document that is there already, have none.
fn refusal(access: &Access) -> String {
    let bases = access.bases.iter().map(|basis| {
        if basis.article.is_empty() {
            basis.rule.clone()
        } else {
            format!("règle {}, {}", basis.rule, basis.article)
        }
    });
    let bases = bases.collect::<Vec<_>>().join(" ; ");
    if bases.is_empty() { bases } else { format!(" ({bases})") }
}

fn mode(access: &Access) -> String {
    let Some(context) = &access.context else {
        return String::new();
    };
    let mode = match context.mode() {
        AccessMode::Unspecified | AccessMode::Normal => return String::new(),
        AccessMode::BreakGlass => "par bris de glace",
        AccessMode::Centre15 => "par le centre 15",
    };
    format!(", {mode}, motif : {}", quoted(&context.reason))
}

fn who(actor: Option<&Actor>, names: &Names) -> String {
    let Some(actor) = actor else {
        return "un inconnu".to_owned();
    };
    match actor.role() {
        Role::Holder => "le titulaire".to_owned(),
        Role::Representative => "un représentant du titulaire".to_owned(),
        Role::Professional => professional(actor, names),
        Role::EstablishmentSystem => format!("le système de l'établissement {}", actor.structure_id),
        Role::Administrator => "la Caisse nationale".to_owned(),
        Role::Auditor => "le régulateur".to_owned(),
        Role::Service => format!("le service {}", actor.subject),
        Role::ExcludedParty => "un tiers exclu par la loi".to_owned(),
        Role::Unspecified => "un inconnu".to_owned(),
    }
}

fn professional(actor: &Actor, names: &Names) -> String {
    let id = &actor.professional_id;
    let name = names
        .professionals
        .get(id)
        .cloned()
        .unwrap_or_else(|| format!("le professionnel {id}"));
    match job(actor) {
        Some(job) => format!("{name} ({job})"),
        None => name,
    }
}

/// The specialty in words, else the profession.
fn job(actor: &Actor) -> Option<String> {
    let specialty = AUTHOR_SPECIALTIES.find(&format!("G15_{}/{}", actor.profession, actor.specialty));
    let specialty = specialty.map(|concept| without_diploma(concept.label));
    let label = specialty.or_else(|| PROFESSIONS.find(&actor.profession).map(|concept| concept.label))?;
    let mut letters = label.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
}

/// The published labels of specialties end with the diploma's abbreviation, which tells a reader nothing.
pub(crate) fn without_diploma(label: &str) -> &str {
    label.rsplit_once(" (").map_or(label, |(words, _abbreviation)| words)
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
    use api::common::v1::AccessContext;
    use api::consent::v1::Basis;

    fn access() -> Access {
        Access {
            actor: Some(Actor {
                role: Role::Professional.into(),
                professional_id: "899900123458".to_owned(),
                profession: "10".to_owned(),
                specialty: "SM26".to_owned(),
                ..Actor::default()
            }),
            action: AccessAction::ReadDocument.into(),
            outcome: AccessOutcome::Granted.into(),
            document_ids: vec!["1.2.3^4".to_owned()],
            occurred_at: Some(Timestamp {
                seconds: 1_772_438_412,
                nanos: 0,
            }),
            ..Access::default()
        }
    }

    fn names() -> Names {
        Names {
            professionals: [("899900123458".to_owned(), "Dr Basile INVENTAIRE".to_owned())].into(),
            documents: [("1.2.3^4".to_owned(), "Consultation".to_owned())].into(),
        }
    }

    /// L1111-19: the holder reads who came in, when, for what.
    #[test]
    fn an_access_reads_as_a_sentence() {
        assert_eq!(
            of_access(&access(), &names()),
            "le 2 mars 2026 à 08:00:12 UTC, Dr Basile INVENTAIRE (médecin - Qualifié en Médecine Générale) a lu un \
             document : «\u{a0}Consultation\u{a0}»"
        );
    }

    #[test]
    fn a_refusal_names_its_rule_and_an_exceptional_mode_its_reason() {
        let mut refused = access();
        refused.outcome = AccessOutcome::Refused.into();
        refused.bases = vec![Basis {
            rule: "break-glass-opposed".into(),
            article: "L1111-17 I".into(),
            ..Basis::default()
        }];
        refused.context = Some(AccessContext {
            mode: AccessMode::BreakGlass.into(),
            reason: "inconscience".into(),
            ..AccessContext::default()
        });
        let sentence = of_access(&refused, &Names::default());
        assert!(sentence.contains("le professionnel 899900123458"), "{sentence}");
        assert!(sentence.contains("s'est vu refuser la lecture"), "{sentence}");
        assert!(
            sentence.contains("(règle break-glass-opposed, L1111-17 I)"),
            "{sentence}"
        );
        assert!(
            sentence.ends_with(", par bris de glace, motif : «\u{a0}inconscience\u{a0}»"),
            "{sentence}"
        );
    }

    #[test]
    fn things_are_counted() {
        assert_eq!(
            [many(1, "entry"), many(2, "entry"), many(0, "page")],
            ["1 entry", "2 entries", "0 pages"]
        );
    }

    #[test]
    fn a_moment_that_is_none_does_not_fail() {
        assert_eq!(moment(None), "à une date inconnue");
        assert_eq!(
            moment(Some(&Timestamp {
                seconds: i64::MAX,
                nanos: 0
            })),
            "à une date inconnue"
        );
        assert!(moment(Some(&Timestamp { seconds: 0, nanos: 0 })).starts_with("le 1er janvier 1970"));
    }
}
