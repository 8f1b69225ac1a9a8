//! From the elements of a `ClinicalDocument` to a [`CdaHeader`], collecting every rule broken on the way.
//!
//! A reading function gives nothing for an element that is absent, empty or a `nullFlavor`. It is [`Reader::required`]
//! that turns nothing into a violation, so that each element is read by one function wherever it is mandatory or not.

use super::bounds::Limits;
use super::error::{CdaError, Fault, Violation};
use super::header::{
    AssignedEntity, Author, CdaHeader, Code, Device, Encounter, Form, Guardian, Informant, InstanceId,
    LegalAuthenticator, Organization, Patient, PersonName, RelatedDocument, ServiceEvent, Text, Traits,
};
use super::{BirthDate, Hl7Time};
use roxmltree::Node;

mod body;
mod values;

use values::{elements, is_qualified};

/// XDS keeps no `uniqueId` longer than this.
const LONGEST_UNIQUE_ID: usize = 128;
const TYPE_ID: (&str, &str) = ("2.16.840.1.113883.1.3", "POCD_HD000040");
const PRACTICE_SETTING: &str =
    "documentationOf/serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode";

pub(super) fn read(root: Node<'_, '_>, form: Form, limits: &Limits) -> Result<CdaHeader, CdaError> {
    let mut reader = Reader {
        limits,
        violations: Vec::new(),
        broken: 0,
        warnings: Vec::new(),
    };
    match reader.header(root, form) {
        Some(header) if reader.broken == 0 => Ok(CdaHeader {
            warnings: reader.warnings,
            ..header
        }),
        _ => Err(CdaError::Invalid(reader.violations)),
    }
}

struct Reader<'l> {
    limits: &'l Limits,
    violations: Vec<Violation>,
    /// Every violation, those beyond the reported ones included.
    broken: usize,
    /// Rules broken where it does not stop the document from being filed.
    warnings: Vec<Violation>,
}

impl Reader<'_> {
    /// Reads every part before giving up on any: a document is corrected once, not once per rule.
    fn header(&mut self, root: Node<'_, '_>, form: Form) -> Option<CdaHeader> {
        self.required(root, "typeId", Self::type_id);
        let template_ids = self.all_required(root, "templateId", Self::instance_id);
        let id = self.required(root, "id", Self::document_id);
        let type_code = self.required(root, "code", Self::code_of_a_system);
        let title = self.required(root, "title", Self::text);
        let created_at = self.required(root, "effectiveTime", Self::time);
        let confidentiality = self.all_required(root, "confidentialityCode", Self::code);
        let language = self.required(root, "languageCode", |reader, node| reader.attribute(node, "code"));
        let set_id = self.optional(root, "setId", Self::document_id);
        let version_number = self.optional(root, "versionNumber", Self::version_number);
        let patient = self.patient(root);
        let authors = self.all_required(root, "author", Self::author);
        let informants = self.tolerant(|reader| reader.all(root, "informant", Self::informant));
        let custodian = self.required(root, "custodian", Self::custodian);
        let legal_authenticator = self.required(root, "legalAuthenticator", Self::legal_authenticator);
        let orders = self.tolerant(|reader| reader.all(root, "inFulfillmentOf", Self::orders));
        let mut services = self.all(root, "documentationOf", Self::service_event);
        let main = self.main_service(root, &mut services);
        let related = self.all(root, "relatedDocument", Self::related_document);
        let encounter = self.required(root, "componentOf", Self::component_of);
        let body = self.required(root, "component", Self::body);
        let answers_for_it = legal_authenticator.as_ref().map(|signer| &signer.entity);
        let practice_setting =
            practice_setting(main.as_ref().map(|(main, _)| main), &services, answers_for_it, &authors);
        if practice_setting.is_none() {
            self.violate(Fault::Missing, root, PRACTICE_SETTING);
        }
        let (service, service_start) = main?;
        Some(CdaHeader {
            form,
            id: id?,
            set_id,
            version_number,
            template_ids,
            type_code: type_code?,
            title: title?,
            created_at: created_at?,
            language: language?,
            confidentiality,
            patient: patient?,
            authors,
            legal_authenticator: legal_authenticator?,
            custodian: custodian?,
            service,
            service_start,
            other_services: services,
            orders: orders.into_iter().flatten().collect(),
            practice_setting: practice_setting?,
            encounter: encounter?,
            related,
            informants,
            body: body?,
            warnings: Vec::new(),
        })
    }

    fn type_id(&mut self, node: Node<'_, '_>) -> Option<()> {
        let root = self.attribute(node, "root")?;
        let extension = self.attribute(node, "extension")?;
        if (root.as_str(), extension.as_str()) != TYPE_ID {
            self.violate(Fault::NotRelease2, node, "");
        }
        Some(())
    }

    fn document_id(&mut self, node: Node<'_, '_>) -> Option<InstanceId> {
        let id = self.instance_id(node)?;
        if id.unique_id().len() > LONGEST_UNIQUE_ID {
            self.violate(Fault::TooLong, node, "");
        }
        Some(id)
    }

    fn code_of_a_system(&mut self, node: Node<'_, '_>) -> Option<Code> {
        let code = self.code(node)?;
        if code.system.is_none() {
            self.violate(Fault::Missing, node, "@codeSystem");
        }
        Some(code)
    }

    fn version_number(&mut self, node: Node<'_, '_>) -> Option<u32> {
        let number = self.attribute(node, "value")?.parse().ok();
        if number.is_none() {
            self.violate(Fault::BadNumber, node, "");
        }
        number
    }

    fn patient(&mut self, root: Node<'_, '_>) -> Option<Patient> {
        let targets = elements(root, "recordTarget").count();
        if targets > 1 {
            self.violate(Fault::SeveralPatients, root, "recordTarget");
            return None;
        }
        self.required(root, "recordTarget", |reader, target| {
            reader.required(target, "patientRole", Self::patient_role)
        })
    }

    fn patient_role(&mut self, role: Node<'_, '_>) -> Option<Patient> {
        let ids = self.all_required(role, "id", Self::instance_id);
        let conflicts = |id: &InstanceId| id.is_ins() && ids.iter().any(|other| other.root == id.root && other != id);
        if ids.iter().any(conflicts) {
            self.violate(Fault::PatientIdsConflict, role, "id");
        }
        let person = self.optional(role, "patient", |_, node| Some(node));
        let traits = person.map(|person| self.traits(person)).unwrap_or_default();
        let guardians = self.tolerant(|reader| {
            let found = person.map(|person| reader.all(person, "guardian", Self::guardian));
            found.unwrap_or_default()
        });
        (!ids.is_empty()).then_some(Patient { ids, traits, guardians })
    }

    fn traits(&mut self, person: Node<'_, '_>) -> Traits {
        let names: Vec<_> = elements(person, "name").take(self.limits.repeats).collect();
        let is_of_birth = |name: &&Node<'_, '_>| elements(**name, "family").any(|family| is_qualified(family, "BR"));
        let name = names.iter().find(is_of_birth).or(names.first()).copied();
        let mut part = |tag, qualifier| name.and_then(|name| self.name_part(name, tag, qualifier));
        let plain_family = part("family", None);
        let mut traits = Traits {
            birth_family: part("family", Some("BR")).or(plain_family),
            birth_given_names: part("given", None),
            first_given_name: part("given", Some("BR")),
            used_family: part("family", Some("CL")),
            used_given_name: part("given", Some("CL")),
            ..Traits::default()
        };
        traits.birth_date = self.optional(person, "birthTime", Self::birth_date);
        traits.sex = self
            .optional(person, "administrativeGenderCode", Self::code)
            .map(|code| Text(code.code));
        traits.birthplace_insee = self.optional(person, "birthplace", |reader, place| {
            let place = reader.optional(place, "place", |_, node| Some(node))?;
            let address = reader.optional(place, "addr", |_, node| Some(node))?;
            reader.first(address, "county", Self::text)
        });
        traits
    }

    /// The parts of a name under one tag with that qualifier (without any, if none is asked), joined by a space.
    fn name_part(&mut self, name: Node<'_, '_>, tag: &str, qualifier: Option<&str>) -> Option<Text> {
        let wanted = |part: &Node<'_, '_>| match qualifier {
            Some(qualifier) => is_qualified(*part, qualifier),
            None => part.attribute("qualifier").is_none(),
        };
        let parts: Vec<_> = elements(name, tag).filter(wanted).take(self.limits.repeats).collect();
        let words: Vec<_> = parts
            .into_iter()
            .filter_map(|part| self.text(part))
            .map(Text::into_string)
            .collect();
        (!words.is_empty()).then(|| Text(words.join(" ")))
    }

    fn birth_date(&mut self, node: Node<'_, '_>) -> Option<BirthDate> {
        let date = BirthDate::parse(&self.attribute(node, "value")?);
        if date.is_none() {
            self.violate(Fault::BadTime, node, "");
        }
        date
    }

    fn guardian(&mut self, node: Node<'_, '_>) -> Option<Guardian> {
        let organization = self.optional(node, "guardianOrganization", Self::organization);
        Some(Guardian {
            ids: self.all(node, "id", Self::instance_id),
            relationship: self.optional(node, "code", Self::code),
            person: self.optional(node, "guardianPerson", Self::person_name),
            organization: organization.and_then(|organization| organization.name),
        })
    }

    fn author(&mut self, node: Node<'_, '_>) -> Option<Author> {
        let time = self.tolerant(|reader| reader.optional(node, "time", Self::time));
        let function = self.optional(node, "functionCode", Self::code);
        let assigned = self.required(node, "assignedAuthor", |_, node| Some(node))?;
        Some(Author {
            time,
            function,
            ids: self.all(assigned, "id", Self::instance_id),
            specialty: self.optional(assigned, "code", Self::code),
            person: self.optional(assigned, "assignedPerson", Self::person_name),
            device: self.optional(assigned, "assignedAuthoringDevice", Self::device),
            organization: self.optional(assigned, "representedOrganization", Self::organization),
        })
    }

    fn device(&mut self, node: Node<'_, '_>) -> Option<Device> {
        let model = self.optional(node, "manufacturerModelName", Self::text);
        let software = self.optional(node, "softwareName", Self::text);
        Some(Device { model, software })
    }

    fn informant(&mut self, node: Node<'_, '_>) -> Option<Informant> {
        if let Some(entity) = self.optional(node, "assignedEntity", Self::assigned_entity) {
            return Some(Informant::Assigned(entity));
        }
        self.optional(node, "relatedEntity", |reader, entity| {
            Some(Informant::Related {
                class: reader.attribute(entity, "classCode"),
                relationship: reader.optional(entity, "code", Self::code),
                person: reader.optional(entity, "relatedPerson", Self::person_name),
            })
        })
    }

    fn custodian(&mut self, node: Node<'_, '_>) -> Option<Organization> {
        self.required(node, "assignedCustodian", |reader, assigned| {
            reader.required(assigned, "representedCustodianOrganization", Self::organization)
        })
    }

    fn legal_authenticator(&mut self, node: Node<'_, '_>) -> Option<LegalAuthenticator> {
        let time = self.tolerant(|reader| reader.optional(node, "time", Self::time));
        let signature = self.optional(node, "signatureCode", |reader, node| reader.attribute(node, "code"));
        let entity = self.required(node, "assignedEntity", Self::assigned_entity)?;
        Some(LegalAuthenticator {
            time,
            is_signed: signature.as_deref() == Some("S"),
            entity,
        })
    }

    fn assigned_entity(&mut self, node: Node<'_, '_>) -> Option<AssignedEntity> {
        Some(AssignedEntity {
            ids: self.all(node, "id", Self::instance_id),
            specialty: self.optional(node, "code", Self::code),
            person: self.optional(node, "assignedPerson", Self::person_name),
            organization: self.optional(node, "representedOrganization", Self::organization),
        })
    }

    fn organization(&mut self, node: Node<'_, '_>) -> Option<Organization> {
        Some(Organization {
            ids: self.all(node, "id", Self::instance_id),
            name: self.first(node, "name", Self::text),
            practice_setting: self.optional(node, "standardIndustryClassCode", Self::code),
        })
    }

    /// The name under a person; a person may bear several, the first is the one to show.
    fn person_name(&mut self, person: Node<'_, '_>) -> Option<PersonName> {
        self.first(person, "name", |reader, name| {
            let mut joined = |tag| {
                let texts = reader.all(name, tag, Self::text);
                let words: Vec<_> = texts.into_iter().map(Text::into_string).collect();
                (!words.is_empty()).then(|| Text(words.join(" ")))
            };
            let (family, given, prefix, suffix) =
                (joined("family"), joined("given"), joined("prefix"), joined("suffix"));
            // A name may be written without parts; it is then kept whole.
            let family = family.or_else(|| if given.is_none() { reader.text(name) } else { None });
            (family.is_some() || given.is_some()).then_some(PersonName {
                family,
                given,
                prefix,
                suffix,
            })
        })
    }

    fn orders(&mut self, node: Node<'_, '_>) -> Option<Vec<InstanceId>> {
        self.optional(node, "order", |reader, order| {
            Some(reader.all(order, "id", Self::instance_id))
        })
    }

    fn service_event(&mut self, node: Node<'_, '_>) -> Option<ServiceEvent> {
        self.optional(node, "serviceEvent", |reader, event| {
            Some(ServiceEvent {
                code: reader.optional(event, "code", Self::code),
                period: reader
                    .optional(event, "effectiveTime", Self::period)
                    .unwrap_or_default(),
                performers: reader.all(event, "performer", |reader, performer| {
                    reader.optional(performer, "assignedEntity", Self::assigned_entity)
                }),
            })
        })
    }

    /// Takes the main act out of the documented ones, with its start: the first that says both when it was done and by
    /// whom, else the first that says when. The French profile puts it first and demands its time.
    fn main_service(
        &mut self,
        root: Node<'_, '_>,
        services: &mut Vec<ServiceEvent>,
    ) -> Option<(ServiceEvent, Hl7Time)> {
        let dated = services
            .iter()
            .enumerate()
            .filter_map(|(at, service)| Some((at, service, service.period.start?)));
        let main = dated
            .clone()
            .find(|(_, service, _)| !service.performers.is_empty())
            .or_else(|| dated.clone().next());
        let Some((at, _, start)) = main else {
            self.violate(Fault::Missing, root, "documentationOf/serviceEvent/effectiveTime/low");
            return None;
        };
        Some((services.remove(at), start))
    }

    fn related_document(&mut self, node: Node<'_, '_>) -> Option<RelatedDocument> {
        let relation = self.attribute(node, "typeCode");
        if relation.is_none() {
            self.violate(Fault::Missing, node, "@typeCode");
        }
        let parent = self.required(node, "parentDocument", |_, node| Some(node))?;
        Some(RelatedDocument {
            ids: self.all_required(parent, "id", Self::document_id),
            set_id: self.optional(parent, "setId", Self::document_id),
            version_number: self.optional(parent, "versionNumber", Self::version_number),
            relation: relation?,
        })
    }

    fn component_of(&mut self, node: Node<'_, '_>) -> Option<Encounter> {
        self.required(node, "encompassingEncounter", |reader, encounter| {
            let code = reader.optional(encounter, "code", Self::code);
            let period = reader.tolerant(|reader| reader.optional(encounter, "effectiveTime", Self::period));
            let location = reader.required(encounter, "location", |_, node| Some(node))?;
            let facility = reader.required(location, "healthCareFacility", |_, node| Some(node))?;
            Some(Encounter {
                code,
                period: period.unwrap_or_default(),
                facility_type: reader.required(facility, "code", Self::code)?,
                facility_ids: reader.tolerant(|reader| reader.all(facility, "id", Self::instance_id)),
                facility_name: reader.optional(facility, "location", |reader, place| {
                    reader.first(place, "name", Self::text)
                }),
            })
        })
    }
}

fn practice_setting(
    main: Option<&ServiceEvent>,
    others: &[ServiceEvent],
    answers_for_it: Option<&AssignedEntity>,
    authors: &[Author],
) -> Option<Code> {
    let performers = main.into_iter().chain(others).flat_map(|service| &service.performers);
    let of_entities = performers.chain(answers_for_it).map(|entity| &entity.organization);
    let of_authors = authors.iter().map(|author| &author.organization);
    of_entities
        .chain(of_authors)
        .flatten()
        .find_map(|organization| organization.practice_setting.clone())
}
