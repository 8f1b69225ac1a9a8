//! ListDocuments.

use api::codes::{self, Table};
use api::consent::v1::Operation;
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, DocumentStatus};
use api::identity::DmpId;
use jiff::ToSpan;
use serve::{Call, Violations};
use store::Engine;
use store::page::{Page, PageLimits};
use store::time::Timestamp;

use super::super::dmp_id;
use super::Documents;
use crate::authorization::{AccessContext, Asked, Granted};
use crate::chain::Named;
use crate::document::Document;
use crate::documents::{self, Filter};
use crate::error::Result;
use crate::metadata::Kept;
use crate::visibility::later;

/// Codes of one kind that a listing may name.
const CODES_MAX: usize = 50;

/// Longest identifier of an author.
const AUTHOR_ID_LENGTH: std::ops::RangeInclusive<usize> = 1..=128;

impl<DB: Engine> Documents<DB> {
    pub(super) async fn list(
        &self,
        call: &Call,
        request: &pb::ListDocumentsRequest,
    ) -> Result<pb::ListDocumentsResponse> {
        let (dmp_id, context, filter) = self.parse(call, request)?;
        let page = Page::parse(
            request.page_size,
            &request.page_token,
            PageLimits::default(),
            &query_of(request),
        )?;
        let asked = Asked::new(call, dmp_id, AccessAction::ListDocuments, context);
        let granted = self.gate.enter(call, Operation::ReadDocuments, asked).await?;
        let now = self.clock.now();
        let (documents, next_page_token) = match self.page(&granted, &filter, page, now).await {
            Ok(found) => found,
            Err(error) => return Err(self.gate.turn_away(&granted, error).await),
        };
        let shown = documents.iter().map(|document| {
            (
                document.metadata.unique_id(),
                document.visibility.hidden_from_representatives,
            )
        });
        let entered = self.gate.record(&granted, Named::all(shown)).await?;
        Ok(pb::ListDocumentsResponse {
            documents: documents
                .into_iter()
                .map(|document| document.into_listed(now))
                .collect(),
            next_page_token,
            receipt: Some(entered.receipt()),
        })
    }

    async fn page(
        &self,
        granted: &Granted,
        filter: &Filter,
        page: Page,
        now: Timestamp,
    ) -> Result<(Vec<Document<Kept>>, String)> {
        self.open_dossier(granted).await?;
        let mut connection = self.db.read().await?;
        documents::list::<DB>(&mut connection, granted, filter, page, now).await
    }

    fn parse(&self, call: &Call, request: &pb::ListDocumentsRequest) -> Result<(DmpId, AccessContext, Filter)> {
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let context = AccessContext::parse(&mut violations, &call.actor, request.context.as_ref());
        let filter = self.filter(&mut violations, request);
        Ok(violations.gather((dmp_id, context, filter))?)
    }

    fn filter(&self, violations: &mut Violations, request: &pb::ListDocumentsRequest) -> Option<Filter> {
        check_codes(violations, "type_codes", &request.type_codes, &codes::DOCUMENT_TYPES);
        check_codes(
            violations,
            "class_codes",
            &request.class_codes,
            &codes::DOCUMENT_CLASSES,
        );
        let from = bound(violations, "service_from", request.service_from.as_ref());
        let to = bound(violations, "service_to", request.service_to.as_ref());
        if from.flatten().zip(to.flatten()).is_some_and(|(from, to)| to < from) {
            violations.add("service_to", "BEFORE_FROM", "must not be before service_from");
        }
        let statuses = statuses(violations, &request.statuses);
        let author_id = match request.author_id.as_str() {
            "" => Some(None),
            author_id => violations.text("author_id", author_id, AUTHOR_ID_LENGTH).map(Some),
        };
        Some(Filter {
            type_codes: request.type_codes.clone(),
            class_codes: request.class_codes.clone(),
            service_from: from?.or_else(|| self.first_search_from(request)),
            service_to: to?,
            statuses: statuses?,
            author_id: author_id?,
        })
    }

    /// Where a search that names nothing begins, when the operator has set it.
    fn first_search_from(&self, request: &pb::ListDocumentsRequest) -> Option<Timestamp> {
        let years = self.config.first_search_years;
        let narrowed =
            request.service_to.is_some() || !request.type_codes.is_empty() || !request.class_codes.is_empty();
        (years > 0 && !narrowed).then(|| later(self.clock.now(), (-i64::from(years)).years()))
    }
}

/// The request without what changes from page to page.
fn query_of(request: &pb::ListDocumentsRequest) -> pb::ListDocumentsRequest {
    pb::ListDocumentsRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    }
}

fn check_codes(violations: &mut Violations, field: &str, sent: &[String], table: &Table) {
    if sent.len() > CODES_MAX {
        violations.add(field, "TOO_MANY", "at most 50 may be given");
        return;
    }
    for (index, code) in sent.iter().enumerate() {
        if table.find(code).is_none() {
            violations.add(
                format!("{field}[{index}]"),
                "UNKNOWN_CODE",
                "must be a code of its value set",
            );
        }
    }
}

fn bound(violations: &mut Violations, field: &str, sent: Option<&prost_types::Timestamp>) -> Option<Option<Timestamp>> {
    match sent {
        None => Some(None),
        sent => violations.time(field, sent).map(Some),
    }
}

/// Approved ones unless told otherwise (TD 3.1: current documents). A status named twice counts once.
fn statuses(violations: &mut Violations, sent: &[i32]) -> Option<Vec<DocumentStatus>> {
    if sent.is_empty() {
        return Some(vec![DocumentStatus::Approved]);
    }
    if sent.len() > CODES_MAX {
        violations.add("statuses", "TOO_MANY", "at most 50 may be given");
        return None;
    }
    let read: Vec<Option<DocumentStatus>> = sent
        .iter()
        .enumerate()
        .map(|(index, number)| violations.choice(format!("statuses[{index}]"), *number))
        .collect();
    let mut statuses: Vec<DocumentStatus> = read.into_iter().collect::<Option<_>>()?;
    statuses.sort_unstable();
    statuses.dedup();
    Some(statuses)
}
