//! Both engines have the same schema.

use crate::migrations;

/// Two folders of migrations must say the same: tables, columns and which may be null.
#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_of_both_engines_agree() {
    testkit::assert_schemas_agree(&migrations()).await;
}
