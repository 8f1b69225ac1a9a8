//! Documents as they are in the world, where they are present: each filed with complete metadata, or refused with the
//! exact reason, and nothing else.

use crate::deposits::assert_complete;
use crate::house::{House, physician, refused};
use std::path::PathBuf;
use testkit::{Bench, on_both_engines};
use tonic::Code;

on_both_engines! {
    every_real_document_is_filed_whole_or_refused_exactly,
}

/// `DMP_TEST_DATA`, else beside the checkout.
fn documents() -> Vec<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    #[expect(
        clippy::disallowed_methods,
        reason = "where the data lie is said to tests by a variable"
    )]
    let folder = std::env::var("DMP_TEST_DATA").map_or(beside, PathBuf::from).join("cda");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

async fn every_real_document_is_filed_whole_or_refused_exactly(bench: Bench) {
    let house = House::open(bench).await;
    let (mut filed, mut invalid) = (0, 0);
    for path in documents() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let content = std::fs::read(&path).unwrap();
        let deposit = house.cda(content.clone());
        let line = match house.submit(&physician(), &deposit).await {
            Ok(answer) if answer.already_there => format!("{name}: there already"),
            Ok(answer) => {
                let document = answer.document.unwrap();
                assert_complete(&document);
                let (_, chunks) = house.read(&physician(), &document.unique_id).await.unwrap();
                assert!(chunks.concat() == content, "{name} comes back byte for byte");
                filed += 1;
                let code = |coding: &Option<api::common::v1::Coding>| coding.as_ref().unwrap().code.clone();
                format!(
                    "{name}: {} / {} / {} / {} {:?}",
                    code(&document.r#type),
                    code(&document.class),
                    code(&document.practice_setting),
                    code(&document.healthcare_facility_type),
                    document.findings
                )
            }
            Err(status) => {
                let refusal = refused::<()>(Err(status));
                let exact = ["DOCUMENT_INVALID", "ALREADY_EXISTS"].contains(&refusal.reason.as_str());
                assert!(
                    exact && matches!(refusal.code, Code::InvalidArgument | Code::AlreadyExists),
                    "{name}: {refusal:?}"
                );
                invalid += 1;
                format!("{name}: {} {:?} {:?}", refusal.reason, refusal.metadata, refusal.fields)
            }
        };
        println!("{line}");
    }
    println!("{filed} filed, {invalid} refused");
}
