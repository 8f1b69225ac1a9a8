#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const INS: &str = "285046912304201";

fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testkit/samples");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn read(content: &[u8]) -> Result<CdaHeader, CdaError> {
    read_header(content, &Limits::default())
}

fn refusal(content: impl AsRef<[u8]>) -> CdaError {
    read(content.as_ref()).expect_err("must be refused")
}

/// The consultation with one piece of its text replaced; fails if that piece is not in it.
fn consultation_with(from: &str, to: &str) -> String {
    let text = String::from_utf8(sample("consultation.xml")).unwrap();
    assert!(text.contains(from), "not in the sample: {from}");
    text.replacen(from, to, 1)
}

/// The reasons and places of every violation.
fn violations(content: impl AsRef<[u8]>) -> Vec<(&'static str, String)> {
    let error = refusal(content);
    assert!(!error.violations().is_empty(), "refused as a whole: {error}");
    error
        .violations()
        .iter()
        .map(|violation| (violation.reason(), violation.field.clone()))
        .collect()
}

fn assert_violation(content: impl AsRef<[u8]>, reason: &str, field: &str) {
    assert_eq!(violations(content), [(reason, field.to_owned())]);
}

mod samples {
    use super::*;

    /// IHE XDS, DocumentEntry attributes; CI-SIS minimal structuring of CDA R2.
    #[test]
    fn a_consultation_gives_everything_its_xds_entry_needs() {
        let header = read(&sample("consultation.xml")).unwrap();
        assert_eq!(header.form, Form::Plain);
        assert_eq!(
            header.unique_id(),
            "2.25.202606482717155381104283791516410327641.1^CONSULTATION-1.1"
        );
        assert_eq!(
            header.set_id.as_ref().unwrap().extension.as_deref(),
            Some("CONSULTATION-1")
        );
        assert_eq!(header.version_number, Some(1));
        assert_eq!(header.type_code.code, "11488-4");
        assert_eq!(header.type_code.system.as_deref(), Some("2.16.840.1.113883.6.1"));
        assert_eq!(header.title.as_str(), "Consultation de médecine générale");
        assert_eq!(header.created_at.instant.to_string(), "2025-03-10T08:45:00Z");
        assert_eq!(header.language, "fr-FR");
        assert_eq!(
            header
                .confidentiality
                .iter()
                .map(|code| code.code.as_str())
                .collect::<Vec<_>>(),
            ["N"]
        );
        assert_eq!(header.template_ids.len(), 3);
        assert_eq!(header.service_start.instant.to_string(), "2025-03-10T08:30:00Z");
        assert_eq!(
            header.service.period.stop.unwrap().instant.to_string(),
            "2025-03-10T08:45:00Z"
        );
        assert_eq!(header.practice_setting.code, "AMBULATOIRE");
        assert_eq!(header.facility_type().code, "SA07");
        assert_eq!(header.body, Body::Structured { sections: 2 });
        assert!(header.related.is_empty() && !header.is_by_patient());
    }

    /// Référentiel INS: a matricule goes with its strict traits.
    #[test]
    fn the_patient_comes_with_every_identifier_and_the_strict_traits() {
        let patient = read(&sample("consultation.xml")).unwrap().patient;
        assert_eq!(patient.ids.len(), 2);
        let ins = patient.ins().unwrap();
        assert_eq!(
            (ins.root.as_str(), ins.extension.as_deref()),
            ("1.2.250.1.213.1.4.10", Some(INS))
        );
        let traits = patient.traits;
        assert_eq!(traits.birth_family.as_deref(), Some("SPECIMEN-ARDOISE"));
        assert_eq!(traits.birth_given_names.as_deref(), Some("MAELLE JEANNE"));
        assert_eq!(traits.first_given_name.as_deref(), Some("MAELLE"));
        assert_eq!(traits.used_family.as_deref(), Some("ARDOISE"));
        assert_eq!(traits.used_given_name.as_deref(), Some("Maëlle"));
        assert_eq!(
            traits.birth_date,
            Some(BirthDate {
                year: 1985,
                month: Some(4),
                day: Some(12)
            })
        );
        assert_eq!(traits.sex.as_deref(), Some("F"));
        assert_eq!(traits.birthplace_insee.as_deref(), Some("69123"));
    }

    #[test]
    fn professionals_come_with_their_number_specialty_and_structure() {
        let header = read(&sample("laboratory.xml")).unwrap();
        let author = &header.authors[0];
        assert_eq!(author.ids[0].unique_id(), "1.2.250.1.71.4.2.1^899900543218");
        assert_eq!(author.specialty.as_ref().unwrap().code, "G15_10/SM03");
        assert_eq!(author.person.as_ref().unwrap().family.as_deref(), Some("FICTIF"));
        assert_eq!(
            author.organization.as_ref().unwrap().ids[0].unique_id(),
            "1.2.250.1.71.4.2.2^1990000457"
        );
        assert!(author.device.is_none());
        assert!(header.legal_authenticator.is_signed);
        assert_eq!(header.legal_authenticator.entity.ids, author.ids);
        assert_eq!(header.custodian.name.as_deref(), Some("Laboratoire des Essais"));
        assert_eq!(header.service.performers[0].ids, author.ids);
    }

    #[test]
    fn a_level_1_document_gives_the_type_and_size_of_what_it_carries() {
        let header = read(&sample("discharge-letter.xml")).unwrap();
        assert_eq!(header.type_code.code, "11490-0");
        assert_eq!(
            header.body,
            Body::Unstructured {
                media_type: "application/pdf".to_owned(),
                size: 639
            }
        );
        assert_eq!(header.service_start.precision, Precision::Day);
        assert_eq!(header.service_start.zone, None);
        assert_eq!(header.encounter.code.unwrap().code, "IMP");
    }

    /// IHE XDS, RPLC: the new document names the one it takes the place of, within the same set.
    #[test]
    fn a_replacement_names_what_it_replaces() {
        let first = read(&sample("laboratory.xml")).unwrap();
        let second = read(&sample("laboratory-replacement.xml")).unwrap();
        assert_eq!(second.replaced().unwrap().ids, [first.id]);
        assert_eq!(second.set_id, first.set_id);
        assert_eq!((first.version_number, second.version_number), (Some(1), Some(2)));
        assert_eq!(second.patient.ins(), first.patient.ins());
    }

    /// Nothing identifying a person may reach a log through `Debug`.
    #[test]
    fn debug_output_shows_no_identity_and_no_text() {
        let header = read(&sample("consultation.xml")).unwrap();
        let shown = format!(
            "{header:?} {:?} {:?} {:?}",
            header.patient, header.authors, header.legal_authenticator
        );
        for private in [
            INS,
            "ARDOISE",
            "MAELLE",
            "1985",
            "69123",
            "INVENTAIRE",
            "99900123458",
            "Consultation de",
        ] {
            assert!(!shown.contains(private), "{private} is shown");
        }
    }
}

mod hostile {
    use super::*;

    #[test]
    fn every_hostile_document_is_refused_for_its_own_reason() {
        let expected = [
            ("bomb.xml", "XML_DTD_FORBIDDEN", None),
            ("external-entity.xml", "XML_DTD_FORBIDDEN", None),
            ("truncated.xml", "XML_MALFORMED", None),
            ("wrong-namespace.xml", "CDA_NOT_A_CLINICAL_DOCUMENT", None),
            ("invalid-utf8.xml", "XML_NOT_UTF8", None),
            (
                "two-patients.xml",
                "CDA_SEVERAL_PATIENTS",
                Some("ClinicalDocument/recordTarget"),
            ),
            (
                "missing-author.xml",
                "CDA_ELEMENT_MISSING",
                Some("ClinicalDocument/author"),
            ),
            (
                "empty-body.xml",
                "CDA_BODY_EMPTY",
                Some("ClinicalDocument/component/structuredBody"),
            ),
        ];
        for (name, reason, field) in expected {
            let error = refusal(sample(&format!("hostile/{name}")));
            assert_eq!((error.reason(), error.field()), (reason, field), "{name}");
            assert!(error.violations().len() <= 1, "{name}: {error}");
        }
    }

    /// A wrong key is for who knows matricules to refuse: here it is only read.
    #[test]
    fn a_wrong_ins_key_is_read_as_it_stands() {
        let header = read(&sample("hostile/bad-ins-key.xml")).unwrap();
        assert_eq!(
            header.patient.ins().unwrap().extension.as_deref(),
            Some("285046912304202")
        );
    }

    fn nested(levels: usize) -> String {
        format!(
            "<ClinicalDocument xmlns=\"urn:hl7-org:v3\">{}{}",
            "<a>".repeat(levels),
            "</a>".repeat(levels)
        )
    }

    #[test]
    fn a_hundred_thousand_levels_neither_parse_nor_overflow_the_stack() {
        assert_eq!(refusal(nested(90_000)).reason(), "XML_TOO_DEEP");
        let limits = Limits {
            depth: usize::MAX,
            nodes: 1_000_000,
            ..Limits::default()
        };
        let error = read_header(format!("{}</ClinicalDocument>", nested(100_000)).as_bytes(), &limits).unwrap_err();
        assert_eq!(error.violations()[0].field, "ClinicalDocument/typeId");
    }

    #[test]
    fn size_is_refused_before_anything_is_read() {
        let limits = Limits {
            document_bytes: 1_000,
            ..Limits::default()
        };
        let comment = format!("<!--{}-->", "\u{0}".repeat(2_000));
        assert_eq!(
            read_header(comment.as_bytes(), &limits).unwrap_err(),
            CdaError::TooLarge { limit: 1_000 }
        );
    }

    #[test]
    fn attribute_and_namespace_bombs_are_refused_before_parsing() {
        let root = |attributes: String| format!("<ClinicalDocument xmlns=\"urn:hl7-org:v3\"{attributes}/>");
        let many = (0..100_000).map(|n| format!(" a{n}='1'")).collect();
        assert_eq!(refusal(root(many)).reason(), "XML_TOO_MANY_ATTRIBUTES");
        assert_eq!(
            refusal(root(format!(" a='{}'", "x".repeat(1_100_000)))).reason(),
            "XML_ATTRIBUTE_TOO_LONG"
        );
        let nested: String = (0..150).map(|n| format!("<a xmlns:p{n}='u' xmlns:q{n}='v'>")).collect();
        assert_eq!(refusal(nested).reason(), "XML_TOO_MANY_NAMESPACES");
        assert_eq!(refusal("<a/>".repeat(250_000)).reason(), "XML_TOO_MANY_NODES");
        assert_eq!(
            refusal(format!("<a>{}</a>", "=".repeat(250_000))).reason(),
            "XML_TOO_MANY_ATTRIBUTES"
        );
    }

    /// A quoted `>` or a tag inside a comment, an instruction or a CDATA section is not markup.
    #[test]
    fn bounds_are_counted_on_markup_only() {
        let tags = "<x>".repeat(300);
        for harmless in [format!("<!-- {tags} -->"), format!("<?i {tags} ?>")] {
            read(consultation_with("<realmCode", &format!("{harmless}<realmCode")).as_bytes()).unwrap();
        }
        let text = format!("<![CDATA[{tags}]]>");
        read(consultation_with("Repos", &text).as_bytes()).unwrap();
        read(consultation_with("<realmCode code=\"FR\"/>", "<realmCode code=\"/>\"/>").as_bytes()).unwrap();
    }

    #[test]
    fn only_utf8_is_read() {
        let text = String::from_utf8(sample("consultation.xml")).unwrap();
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xFF, 0xFE][..], &wide].concat();
        for content in [wide, marked] {
            assert_eq!(refusal(content).reason(), "XML_ENCODING_UNSUPPORTED");
        }
        for other in ["ISO-8859-1", "windows-1252", "UTF-16", ""] {
            let declared = consultation_with("encoding=\"UTF-8\"", &format!("encoding='{other}'"));
            assert_eq!(refusal(declared).reason(), "XML_ENCODING_UNSUPPORTED", "{other}");
        }
        for (from, to) in [
            ("UTF-8", "utf-8"),
            ("UTF-8", "US-ASCII"),
            (" encoding=\"UTF-8\"", ""),
            ("<?xml", "\u{FEFF}<?xml"),
        ] {
            read(consultation_with(from, to).as_bytes()).unwrap();
        }
        let undeclared = consultation_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "");
        read(undeclared.as_bytes()).unwrap();
    }

    #[test]
    fn what_is_not_xml_is_malformed() {
        for content in [
            "",
            " ",
            "%PDF-1.7",
            "{}",
            "<",
            "<a",
            "<a b='",
            "<!--",
            "<!-- -- -->",
            "<a></b>",
            "<a>&nbsp;</a>",
        ] {
            assert_eq!(refusal(content).reason(), "XML_MALFORMED", "{content}");
        }
        assert_eq!(refusal("<!DOCTYPE html><html/>").reason(), "XML_DTD_FORBIDDEN");
        assert_eq!(refusal("<html/>").reason(), "CDA_NOT_A_CLINICAL_DOCUMENT");
    }

    /// An error names places by the standard's words, never by the document's.
    #[test]
    fn errors_never_quote_the_document() {
        let quoting = consultation_with("</title>", "</SPECIMEN-ARDOISE>");
        let bad_time = consultation_with("value=\"19850412\"", "value=\"SPECIMEN-ARDOISE\"");
        for content in [quoting, bad_time] {
            let error = refusal(content);
            assert!(!format!("{error} {error:?}").contains("ARDOISE"));
        }
    }
}

mod rules {
    use super::*;

    /// Every mandatory element, taken away one at a time, is missed by name (CI-SIS minimal structuring).
    #[test]
    fn each_mandatory_element_is_missed_by_name() {
        let elements = [
            (
                "<typeId root=\"2.16.840.1.113883.1.3\" extension=\"POCD_HD000040\"/>",
                "typeId",
            ),
            ("<title>Consultation de médecine générale</title>", "title"),
            ("<languageCode code=\"fr-FR\"/>", "languageCode"),
            ("<effectiveTime value=\"20250310094500+0100\"/>", "effectiveTime"),
        ];
        for (element, name) in elements {
            let field = format!("ClinicalDocument/{name}");
            assert_violation(consultation_with(element, ""), "CDA_ELEMENT_MISSING", &field);
            let null = format!("<{name} nullFlavor=\"UNK\"/>");
            assert_violation(consultation_with(element, &null), "CDA_ELEMENT_MISSING", &field);
        }
        let renamed = [
            ("id root=\"2.25", "<id ", "<was ", "id"),
            ("code", "<code code=\"11488-4\"", "<was code=\"11488-4\"", "code"),
            ("confidentiality", "<confidentialityCode", "<was", "confidentialityCode"),
        ];
        for (_, from, to, name) in renamed {
            assert_violation(
                consultation_with(from, to),
                "CDA_ELEMENT_MISSING",
                &format!("ClinicalDocument/{name}"),
            );
        }
        let facility = consultation_with("<code code=\"SA07\"", "<code nullFlavor=\"UNK\" was=\"SA07\"");
        let field = "ClinicalDocument/componentOf/encompassingEncounter/location/healthCareFacility/code";
        assert_violation(facility, "CDA_ELEMENT_MISSING", field);
    }

    #[test]
    fn whole_parts_are_missed_by_name() {
        for part in [
            "custodian",
            "legalAuthenticator",
            "componentOf",
            "recordTarget",
            "author",
            "component",
        ] {
            let text = String::from_utf8(sample("consultation.xml")).unwrap();
            let text = text.replacen(&format!("<{part}>"), "<was>", 1);
            let last = text.rfind(&format!("</{part}>")).unwrap();
            let text = format!("{}</was>{}", &text[..last], &text[last + part.len() + 3..]);
            assert_violation(text, "CDA_ELEMENT_MISSING", &format!("ClinicalDocument/{part}"));
        }
    }

    /// A document is corrected once: all that is wrong with it is said together.
    #[test]
    fn everything_wrong_is_reported_together() {
        let text = consultation_with("<title>Consultation de médecine générale</title>", "<title> </title>");
        let text = text.replacen("value=\"20250310094500+0100\"", "value=\"yesterday\"", 1);
        let text = text.replacen("root=\"1.2.250.1.213.1.4.10\"", "root=\"1.2.250..10\"", 1);
        let text = text.replacen("<low value=\"20250310093000+0100\"/>", "<low nullFlavor=\"UNK\"/>", 1);
        let text = text.replacen(
            "<standardIndustryClassCode code=\"AMBULATOIRE\"",
            "<standardIndustryClassCode",
            1,
        );
        let found = violations(text);
        let expected = [
            ("CDA_ELEMENT_MISSING", "ClinicalDocument/title"),
            ("CDA_TIME_INVALID", "ClinicalDocument/effectiveTime"),
            ("CDA_OID_INVALID", "ClinicalDocument/recordTarget/patientRole/id/@root"),
            (
                "CDA_ELEMENT_MISSING",
                "ClinicalDocument/documentationOf/serviceEvent/effectiveTime/low",
            ),
            ("CDA_ELEMENT_MISSING", &format!("ClinicalDocument/{PRACTICE_SETTING}")),
        ];
        assert_eq!(
            found
                .iter()
                .map(|(reason, field)| (*reason, field.as_str()))
                .collect::<Vec<_>>(),
            expected
        );
    }

    const PRACTICE_SETTING: &str =
        "documentationOf/serviceEvent/performer/assignedEntity/representedOrganization/standardIndustryClassCode";

    /// Two of what may be there once leave open which one counts.
    #[test]
    fn duplicates_of_single_elements_are_refused() {
        let title = consultation_with("<title>", "<title>Another</title><title>");
        assert_violation(title, "CDA_ELEMENT_REPEATED", "ClinicalDocument/title[2]");
        let role = consultation_with("</patientRole>", "</patientRole><patientRole/>");
        assert_violation(
            role,
            "CDA_ELEMENT_REPEATED",
            "ClinicalDocument/recordTarget/patientRole[2]",
        );
        let person = consultation_with("</patient>", "</patient><patient/>");
        assert_violation(
            person,
            "CDA_ELEMENT_REPEATED",
            "ClinicalDocument/recordTarget/patientRole/patient[2]",
        );
        let component = consultation_with("</ClinicalDocument>", "<component/></ClinicalDocument>");
        assert_violation(component, "CDA_ELEMENT_REPEATED", "ClinicalDocument/component[2]");
    }

    #[test]
    fn two_matricules_of_one_kind_conflict() {
        let id = "<id root=\"1.2.250.1.213.1.4.10\" extension=\"285046912304201\"/>";
        let field = "ClinicalDocument/recordTarget/patientRole/id";
        let two = consultation_with(id, &format!("{id}{}", id.replace("201\"", "999\"")));
        assert_violation(two, "CDA_PATIENT_IDS_CONFLICT", field);
        read(consultation_with(id, &format!("{id}{id}")).as_bytes()).unwrap();
        let nia = id.replace(".4.10", ".4.9").replace("201\"", "999\"");
        let header = read(consultation_with(id, &format!("{id}{nia}")).as_bytes()).unwrap();
        assert_eq!(header.patient.ins().unwrap().root, "1.2.250.1.213.1.4.9");
    }

    #[test]
    fn repeated_elements_and_long_values_are_bounded() {
        let ids = "<id root=\"1.2\" extension=\"x\"/>".repeat(70);
        let many = consultation_with("<patientRole>", &format!("<patientRole>{ids}"));
        assert_violation(
            many,
            "CDA_TOO_MANY_ELEMENTS",
            "ClinicalDocument/recordTarget/patientRole/id[65]",
        );
        let long = consultation_with("<title>", &format!("<title>{}", "x".repeat(2_000)));
        assert_violation(long, "CDA_VALUE_TOO_LONG", "ClinicalDocument/title");
        let id = consultation_with(
            "extension=\"CONSULTATION-1.1\"",
            &format!("extension=\"{}\"", "9".repeat(128)),
        );
        assert_violation(id, "CDA_VALUE_TOO_LONG", "ClinicalDocument/id");
        let limits = Limits {
            violations: 3,
            ..Limits::default()
        };
        let error = read_header(b"<ClinicalDocument xmlns='urn:hl7-org:v3'/>", &limits).unwrap_err();
        assert_eq!(error.violations().len(), 3);
    }

    #[test]
    fn an_empty_header_misses_everything_mandatory_at_once() {
        let found = violations("<ClinicalDocument xmlns='urn:hl7-org:v3'/>");
        let names: Vec<_> = found
            .iter()
            .map(|(_, field)| field.trim_start_matches("ClinicalDocument/"))
            .collect();
        let expected = [
            "typeId",
            "templateId",
            "id",
            "code",
            "title",
            "effectiveTime",
            "confidentialityCode",
            "languageCode",
            "recordTarget",
            "author",
            "custodian",
            "legalAuthenticator",
            "documentationOf/serviceEvent/effectiveTime/low",
            "componentOf",
            "component",
            PRACTICE_SETTING,
        ];
        assert_eq!(names, expected);
    }

    /// HL7 CDA R2: any other `typeId` is another model.
    #[test]
    fn only_release_2_is_read() {
        let other = consultation_with("POCD_HD000040", "POCD_HD000020");
        assert_violation(other, "CDA_NOT_RELEASE_2", "ClinicalDocument/typeId");
    }

    /// bitbucket devbox-sante/homologation 176: an empty document is not to be filed.
    #[test]
    fn a_body_without_content_is_refused() {
        let letter = |from: &str, to: &str| {
            let text = String::from_utf8(sample("discharge-letter.xml")).unwrap();
            let start = text.find("<text ").unwrap();
            let end = text.find("</text>").unwrap();
            let content = text[start..end].split_once('>').unwrap().1.to_owned();
            text.replacen(&content, if from == "content" { to } else { &content }, 1)
                .replacen(from, to, 1)
        };
        let field = "ClinicalDocument/component/nonXMLBody/text";
        assert_violation(letter("content", " \n"), "CDA_BODY_EMPTY", field);
        assert_violation(
            letter("content", "<reference value=\"https://x/\"/>"),
            "CDA_BODY_NOT_EMBEDDED",
            field,
        );
        assert_violation(letter("content", "QUJD=QUJD"), "CDA_BODY_NOT_BASE64", field);
        assert_violation(letter("content", "QUJDé"), "CDA_BODY_NOT_BASE64", field);
        assert_violation(letter("content", "QUJDQ"), "CDA_BODY_NOT_BASE64", field);
        let plain = read(letter(" representation=\"B64\"", "").as_bytes()).unwrap();
        assert!(matches!(plain.body, Body::Unstructured { size, .. } if size > 639));
        let empty = consultation_with("<structuredBody>", "<nonXMLBody/><structuredBody>");
        assert_violation(empty, "CDA_ELEMENT_REPEATED", "ClinicalDocument/component/nonXMLBody");
    }
}

mod bodies {
    use super::*;

    /// What a base64 text decodes to, read symbol by symbol as RFC 4648 has it; `None` when it is none.
    fn decoded_size(text: &str) -> Option<usize> {
        let symbols: Vec<char> = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
        let padding = symbols.iter().rev().take_while(|symbol| **symbol == '=').count();
        let said = symbols.len() - padding;
        let is_whole = said % 4 != 1 && (padding == 0 || padding <= 2 && symbols.len().is_multiple_of(4));
        let is_symbol = |symbol: &char| symbol.is_ascii_alphanumeric() || matches!(symbol, '+' | '/');
        (is_whole && symbols.iter().take(said).all(is_symbol)).then_some(said * 3 / 4)
    }

    proptest! {
        /// Counting kinds of bytes comes to the same as reading symbols, whatever parts a text comes in.
        #[test]
        fn a_base64_body_has_the_size_that_it_decodes_to(parts in ["[AZaz09+/]{0,9}[= \n]{0,2}", "[AZ= \n*é]{0,6}", "[az]{0,4}={0,3}[ \n]?"]) {
            let text = String::from_utf8(sample("discharge-letter.xml")).unwrap();
            let start = text.find("<text ").unwrap();
            let start = start + text[start..].find('>').unwrap() + 1;
            let end = text.find("</text>").unwrap();
            let [first, second, third] = &parts;
            let letter = format!("{}{first}<![CDATA[{second}]]>{third}{}", &text[..start], &text[end..]);
            let read = read(letter.as_bytes());
            match decoded_size(&parts.concat()) {
                Some(size) if size > 0 => {
                    let Body::Unstructured { size: found, .. } = read.unwrap().body else { unreachable!() };
                    prop_assert_eq!(found, size);
                }
                _ => prop_assert!(read.is_err()),
            }
        }
    }
}

mod variations {
    use super::*;

    /// A document of personal expression or advance directives has its patient for author.
    #[test]
    fn the_patient_may_be_the_author() {
        let id = format!("<id root=\"1.2.250.1.213.1.4.10\" extension=\"{INS}\"/>");
        let professional = "<id root=\"1.2.250.1.71.4.2.1\" extension=\"899900123458\"/>";
        assert!(
            read(consultation_with(professional, &id).as_bytes())
                .unwrap()
                .is_by_patient()
        );
    }

    #[test]
    fn a_device_may_be_the_author() {
        let device = "<assignedAuthoringDevice><softwareName>Logiciel</softwareName></assignedAuthoringDevice>";
        let text = consultation_with("<assignedPerson>", &format!("{device}<!--"));
        let text = text.replacen("</assignedPerson>", "-->", 1);
        let header = read(text.as_bytes()).unwrap();
        assert_eq!(
            header.authors[0].device.as_ref().unwrap().software.as_deref(),
            Some("Logiciel")
        );
        assert!(header.authors[0].person.is_none());
    }

    #[test]
    fn masked_and_absent_optional_parts_are_taken() {
        let masked = consultation_with(
            "<id root=\"1.2.250.1.71.4.2.1\" extension=\"899900123458\"/>",
            "<id nullFlavor=\"MSK\"/>",
        );
        assert!(read(masked.as_bytes()).unwrap().authors[0].ids.is_empty());
        let unknown = consultation_with("<birthTime value=\"19850412\"/>", "<birthTime nullFlavor=\"UNK\"/>");
        assert_eq!(read(unknown.as_bytes()).unwrap().patient.traits.birth_date, None);
        let no_version = consultation_with("<versionNumber value=\"1\"/>", "");
        assert_eq!(read(no_version.as_bytes()).unwrap().version_number, None);
        let negative = consultation_with("<versionNumber value=\"1\"/>", "<versionNumber value=\"-1\"/>");
        assert_violation(negative, "CDA_NUMBER_INVALID", "ClinicalDocument/versionNumber");
    }

    /// Published documents have such times: a document is not refused for what it is neither filed nor found by.
    #[test]
    fn faults_that_do_not_stop_filing_are_warnings() {
        let text = consultation_with(
            "<time value=\"20250310094500+0100\"/>",
            "<time value=\"2025031009450\"/>",
        );
        let text = text.replacen("<high value=\"20250310094500+0100\"/>", "<high value=\"soon\"/>", 1);
        let header = read(text.as_bytes()).unwrap();
        assert_eq!((header.authors[0].time, header.service.period.stop), (None, None));
        let warned: Vec<_> = header
            .warnings
            .iter()
            .map(|warning| (warning.fault, warning.field.as_str()))
            .collect();
        let expected = [
            (Fault::BadTime, "ClinicalDocument/author/time"),
            (
                Fault::BadTime,
                "ClinicalDocument/documentationOf/serviceEvent/effectiveTime/high",
            ),
        ];
        assert_eq!(warned, expected);
        assert!(read(&sample("consultation.xml")).unwrap().warnings.is_empty());
    }

    /// The practice setting is the performer's; without performer, that of who answers for the document.
    #[test]
    fn the_performer_may_be_absent_if_another_gives_the_practice_setting() {
        let text = consultation_with("<performer typeCode=\"PRF\">", "<!--").replacen("</performer>", "-->", 1);
        assert_eq!(violations(&text).len(), 1);
        let setting = "<standardIndustryClassCode code=\"ETABLISSEMENT\"/></representedOrganization>";
        let organization = "</representedOrganization>";
        let header = read(text.replacen(organization, setting, 1).as_bytes()).unwrap();
        assert_eq!(header.practice_setting.code, "ETABLISSEMENT");
        assert!(header.service.performers.is_empty());
    }

    #[test]
    fn the_main_act_is_the_first_that_says_when_and_by_whom() {
        let undated = "<documentationOf><serviceEvent><code code=\"Z\"/></serviceEvent></documentationOf>";
        let dated = "<documentationOf><serviceEvent><code code=\"D\"/><effectiveTime value=\"2024\"/></serviceEvent></documentationOf>";
        let text = consultation_with("<documentationOf>", &format!("{undated}{dated}<documentationOf>"));
        let header = read(text.as_bytes()).unwrap();
        assert_eq!(header.service.code.unwrap().code, "11488-4");
        let others: Vec<_> = header
            .other_services
            .iter()
            .map(|other| other.code.as_ref().unwrap().code.as_str())
            .collect();
        assert_eq!(others, ["Z", "D"]);
        assert!(header.other_services[1].period.start.is_some());
    }

    #[test]
    fn guardians_and_informants_are_read() {
        let guardian = "<guardian><code code=\"MTH\"/><guardianPerson><name><given>Nina</given><family>Essai</family></name></guardianPerson></guardian><birthplace>";
        let informant = "<informant><relatedEntity classCode=\"NOK\"><code code=\"SIS\"/><relatedPerson><name>Lou</name></relatedPerson></relatedEntity></informant><custodian>";
        let text = consultation_with("<birthplace>", guardian).replacen("<custodian>", informant, 1);
        let header = read(text.as_bytes()).unwrap();
        assert_eq!(
            header.patient.guardians[0].person.as_ref().unwrap().given.as_deref(),
            Some("Nina")
        );
        let Informant::Related { class, person, .. } = &header.informants[0] else {
            panic!("a relative")
        };
        assert_eq!(class.as_deref(), Some("NOK"));
        assert_eq!(person.as_ref().unwrap().family.as_deref(), Some("Lou"));
    }

    #[test]
    fn extension_namespaces_and_prefixes_change_nothing() {
        let plain = read(&sample("consultation.xml")).unwrap();
        let text = consultation_with("<title>", "<x:title xmlns:x=\"urn:hl7-org:sdtc\">no</x:title><title>");
        assert_eq!(read(text.as_bytes()).unwrap(), plain);
        let text = String::from_utf8(sample("consultation.xml")).unwrap();
        let prefixed = text.replace("</", "</c:").replace("<", "<c:").replace("<c:/c:", "</c:");
        let prefixed = prefixed
            .replace("<c:?", "<?")
            .replace("<c:!", "<!")
            .replace("xmlns=", "xmlns:c=");
        assert_eq!(read(prefixed.as_bytes()).unwrap(), plain);
    }

    /// CI-SIS: a document may be carried by the style sheet that shows it.
    #[test]
    fn a_self_presenting_document_is_read_like_any_other() {
        let text = String::from_utf8(sample("consultation.xml")).unwrap();
        let (_, document) = text.split_once("?>").unwrap();
        let carried = |times: usize| {
            format!(
                "<s:stylesheet xmlns:s='http://www.w3.org/1999/XSL/Transform'><d:Contenu xmlns:d='urn:asip-sante:ci-sis'>{}</d:Contenu></s:stylesheet>",
                document.repeat(times)
            )
        };
        let header = read(carried(1).as_bytes()).unwrap();
        assert_eq!(header.form, Form::SelfPresenting);
        assert_eq!(
            CdaHeader {
                form: Form::Plain,
                ..header
            },
            read(text.as_bytes()).unwrap()
        );
        assert_eq!(refusal(carried(2)).reason(), "CDA_NOT_A_CLINICAL_DOCUMENT");
        let broken = carried(1)
            .replacen("<title>", "<title/><was>", 1)
            .replacen("</title>", "</was>", 1);
        assert_violation(broken, "CDA_ELEMENT_MISSING", "ClinicalDocument/title");
    }

    #[test]
    fn comments_do_not_cut_a_text_short() {
        let text = consultation_with("Consultation de", "Consultation <!-- here -->\n  de");
        assert_eq!(
            read(text.as_bytes()).unwrap().title.as_str(),
            "Consultation de médecine générale"
        );
    }

    /// HL7 V3 data types: a UUID compares without regard to case.
    #[test]
    fn a_uuid_is_one_identifier_however_it_is_written() {
        let id = "<id root=\"2.25.202606482717155381104283791516410327641.1\" extension=\"CONSULTATION-1.1\"/>";
        let of = |root: &str| {
            read(consultation_with(id, &format!("<id root=\"{root}\"/>")).as_bytes())
                .unwrap()
                .unique_id()
        };
        assert_eq!(
            of("8d5e778c-e155-4685-95c6-5ff65a362964"),
            "8D5E778C-E155-4685-95C6-5FF65A362964"
        );
        assert_eq!(
            of("8D5E778C-E155-4685-95C6-5FF65A362964"),
            of("8d5e778c-e155-4685-95c6-5ff65a362964")
        );
        for bad in [
            "1",
            "3.1",
            "1.02",
            "1..2",
            "1.2.",
            "x",
            "1.2.é",
            "8d5e778c-e155-4685-95c6-5ff65a36296g",
        ] {
            assert_violation(
                consultation_with(id, &format!("<id root=\"{bad}\"/>")),
                "CDA_OID_INVALID",
                "ClinicalDocument/id/@root",
            );
        }
    }
}

mod instants {
    use super::*;

    fn parsed(text: &str) -> (String, Precision) {
        let time = Hl7Time::parse(text).unwrap_or_else(|| panic!("{text}"));
        (time.instant.to_string(), time.precision)
    }

    /// HL7 V3 data types, TS: as precise as it is written.
    #[test]
    fn every_precision_is_read_and_kept() {
        assert_eq!(parsed("2024"), ("2024-01-01T00:00:00Z".into(), Precision::Year));
        assert_eq!(parsed("202402"), ("2024-02-01T00:00:00Z".into(), Precision::Month));
        assert_eq!(parsed("20240229"), ("2024-02-29T00:00:00Z".into(), Precision::Day));
        assert_eq!(parsed("2024022913"), ("2024-02-29T13:00:00Z".into(), Precision::Hour));
        assert_eq!(
            parsed("202402291345+0100"),
            ("2024-02-29T12:45:00Z".into(), Precision::Minute)
        );
        assert_eq!(
            parsed("20240229134501-0330"),
            ("2024-02-29T17:15:01Z".into(), Precision::Second)
        );
        assert_eq!(
            parsed("20240229134501.5+0200"),
            ("2024-02-29T11:45:01.5Z".into(), Precision::Fraction)
        );
        assert_eq!(
            parsed("20240229134501.1234567"),
            ("2024-02-29T13:45:01.123456Z".into(), Precision::Fraction)
        );
    }

    #[test]
    fn a_missing_zone_is_read_as_utc_and_told() {
        assert_eq!(Hl7Time::parse("20240701120000").unwrap().zone, None);
        assert_eq!(
            Hl7Time::parse("20240701120000+0000").unwrap().zone,
            Some(jiff::tz::Offset::UTC)
        );
        for (short, full) in [("+1", "+0100"), ("+01", "+0100"), ("+100", "+0100"), ("-930", "-0930")] {
            let of = |zone| Hl7Time::parse(&format!("20240701120000{zone}")).unwrap();
            assert_eq!(of(short), of(full), "{short}");
        }
    }

    #[test]
    fn what_is_not_a_point_in_time_is_refused() {
        let bad = [
            "",
            "2",
            "20241",
            "2024022",
            "20240230",
            "20241301",
            "2024022925",
            "202402291360",
            "20240229134561",
            "0000",
            "20240229134501.",
            "20240229.5",
            "20240229+1500",
            "20240229+",
            "20240229+01:00",
            "2024-02-29",
            " 2024",
            "+0100",
            "２０２４",
            "20240229134501.1234567890",
            "yesterday",
            "20240229134501Z",
        ];
        for text in bad {
            assert_eq!(Hl7Time::parse(text), None, "{text}");
        }
    }

    /// The civil register knows days the calendar does not.
    #[test]
    fn lunar_birth_dates_are_kept_as_they_stand() {
        let date = |year, month, day| Some(BirthDate { year, month, day });
        assert_eq!(BirthDate::parse("19850412"), date(1985, Some(4), Some(12)));
        assert_eq!(BirthDate::parse("19851399"), date(1985, Some(13), Some(99)));
        assert_eq!(BirthDate::parse("198502"), date(1985, Some(2), None));
        assert_eq!(BirthDate::parse("1985"), date(1985, None, None));
        assert_eq!(BirthDate::parse("19850412101500+0100"), date(1985, Some(4), Some(12)));
        for bad in ["", "85", "00000101", "1985041", "12/04/1985", "198504121"] {
            assert_eq!(BirthDate::parse(bad), None, "{bad}");
        }
    }
}

const SAMPLES: [&str; 4] = [
    "consultation.xml",
    "laboratory.xml",
    "discharge-letter.xml",
    "laboratory-replacement.xml",
];

proptest! {
    /// Whatever becomes of a document on its way, reading it gives a header or a reason: never a panic.
    #[test]
    fn a_damaged_document_is_read_or_refused_with_a_reason(
        which in 0..SAMPLES.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut content = sample(SAMPLES[which]);
        for (at, byte, edit) in edits {
            let at = at.index(content.len());
            match edit {
                0 => content[at] = byte,
                1 => content.insert(at, b"<>&\"'/=!-?"[usize::from(byte) % 10]),
                _ => { content.remove(at); }
            }
        }
        if let Some(cut) = cut {
            content.truncate(cut.index(content.len()));
        }
        if let Err(error) = read(&content) {
            prop_assert!(error.reason().bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
            let counts = matches!(error, CdaError::Invalid(ref violations) if violations.is_empty());
            prop_assert!(!counts, "invalid without any violation");
        }
    }

    #[test]
    fn any_text_is_a_time_or_is_not(text in "[0-9.+-]{0,24}") {
        let _ = (Hl7Time::parse(&text), BirthDate::parse(&text));
    }
}

/// The published French examples, when they are there: `DMP_TEST_DATA`, else a folder beside the checkout.
mod published {
    use super::*;

    fn documents() -> Vec<PathBuf> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("DMP_TEST_DATA")
            .map_or_else(beside, PathBuf::from)
            .join("cda");
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == "xml"));
        found.sort();
        found
    }

    #[test]
    fn every_published_document_gives_complete_metadata() {
        let documents = documents();
        let mut refused = Vec::new();
        for path in &documents {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match read(&std::fs::read(path).unwrap()) {
                Ok(header) => println!("{}", row(&name, &header)),
                Err(error) => refused.push(format!("{name}: {:?}", error.violations())),
            }
        }
        println!("{} documents, {} refused", documents.len(), refused.len());
        assert!(refused.is_empty(), "{refused:#?}");
    }

    fn row(name: &str, header: &CdaHeader) -> String {
        let traits = &header.patient.traits;
        let author = &header.authors[0];
        let time = |time: Option<Hl7Time>| {
            time.map_or("-".to_owned(), |time| {
                let zone = if time.zone.is_some() { "" } else { " no zone" };
                format!("{} {:?}{zone}", time.instant.strftime("%Y%m%dT%H%M"), time.precision)
            })
        };
        let code = |code: Option<&Code>| code.map_or("-".to_owned(), |code| code.code.clone());
        let strict = [
            traits.birth_family.is_some(),
            traits.birth_given_names.is_some(),
            traits.first_given_name.is_some(),
            traits.birth_date.is_some(),
            traits.sex.is_some(),
            traits.birthplace_insee.is_some(),
        ];
        let strict: String = strict.iter().map(|&has| if has { '+' } else { '-' }).collect();
        format!(
            "{name}\n    id={} set={} v={:?} type={} conf={} lang={} form={:?} templates={} created={}\n    \
             ins={} ids={} traits={strict} guardians={} informants={}\n    \
             authors={} first(id={} spec={} fn={} person={} dev={} org={} t={}) legal(id={} signed={} t={}) custodian={}\n    \
             service={} {} .. {} perf={} others={} setting={} facility={} encounter={} {} .. {} orders={} related={:?} body={:?} warnings={:?}",
            header.unique_id(),
            header.set_id.as_ref().map_or("-".to_owned(), InstanceId::unique_id),
            header.version_number,
            header.type_code.code,
            header.confidentiality.len(),
            header.language,
            header.form,
            header.template_ids.len(),
            time(Some(header.created_at)),
            header.patient.ins().map_or("-", |ins| &ins.root),
            header.patient.ids.len(),
            header.patient.guardians.len(),
            header.informants.len(),
            header.authors.len(),
            author.ids.len(),
            code(author.specialty.as_ref()),
            code(author.function.as_ref()),
            author.person.is_some(),
            author.device.is_some(),
            author.organization.is_some(),
            time(author.time),
            header.legal_authenticator.entity.ids.len(),
            header.legal_authenticator.is_signed,
            time(header.legal_authenticator.time),
            header.custodian.ids.len(),
            code(header.service.code.as_ref()),
            time(header.service.period.start),
            time(header.service.period.stop),
            header.service.performers.len(),
            header.other_services.len(),
            header.practice_setting.code,
            header.facility_type().code,
            code(header.encounter.code.as_ref()),
            time(header.encounter.period.start),
            time(header.encounter.period.stop),
            header.orders.len(),
            header
                .related
                .iter()
                .map(|related| related.relation.as_str())
                .collect::<Vec<_>>(),
            header.body,
            header.warnings,
        )
    }
}
