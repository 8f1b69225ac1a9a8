//! What stands in a file of proofs: proto3 JSON objects one after another, as gRPC clients print them.

use api::common::v1::{ConsistencyProof, History, InclusionProof, Receipt};
use api::dossier::v1::{Checkpoint, CompletenessProof};
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage};
use serde_json::{Deserializer, Map, Value};
use std::sync::LazyLock;

use super::VerifyFileError;

static CONTRACTS: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(api::DESCRIPTOR_SET).ok());

/// How deep receipts are looked for inside an answer: none of the contracts nests them deeper.
const DEPTH_MAX: usize = 4;

/// A page of a chain.
pub(super) struct Page {
    pub(super) history: History,
    /// The chain's last sequence, as the server claims it; 0 when it says nothing.
    pub(super) head: u64,
    /// Whether the server said that entries follow.
    pub(super) more: bool,
}

/// Everything of the file, by kind, each in the order of the file.
#[derive(Default)]
pub(super) struct Proofs {
    pub(super) pages: Vec<Page>,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) inclusions: Vec<InclusionProof>,
    pub(super) consistencies: Vec<ConsistencyProof>,
    pub(super) receipts: Vec<Receipt>,
}

impl Proofs {
    /// Reads a file.
    ///
    /// # Errors
    /// [`VerifyFileError::Json`], [`VerifyFileError::Unreadable`] or [`VerifyFileError::Unknown`], with the object's
    /// place in the file.
    pub(super) fn read(json: &str, file: &str) -> Result<Self, VerifyFileError> {
        let mut proofs = Self::default();
        for (object, value) in Deserializer::from_str(json).into_iter::<Value>().enumerate() {
            let place = || (file.to_owned(), object + 1);
            let value = value.map_err(|error| VerifyFileError::Json {
                file: file.to_owned(),
                line: error.line(),
                column: error.column(),
            })?;
            if !proofs.take(value).map_err(|message| unreadable(place(), message))? {
                let (file, object) = place();
                return Err(VerifyFileError::Unknown { file, object });
            }
        }
        Ok(proofs)
    }

    /// Whether there is nothing to verify.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.inclusions.is_empty() && self.consistencies.is_empty() && self.receipts.is_empty()
    }

    /// Takes an object by what it holds; false when it is nothing that proves. The error is the kind it looked like.
    fn take(&mut self, value: Value) -> Result<bool, &'static str> {
        let Value::Object(fields) = &value else {
            return Ok(false);
        };
        let has = |names: &[&str]| names.iter().any(|name| fields.contains_key(*name));
        if has(&["history"]) {
            let proof: CompletenessProof = read(value, "dmp.dossier.v1.CompletenessProof")?;
            let history = proof.history.unwrap_or_default();
            self.pages.push(Page {
                history,
                head: proof.head_sequence,
                more: proof.more,
            });
        } else if is_receipt(fields) {
            self.receipts.push(read(value, "dmp.common.v1.Receipt")?);
        } else if has(&["subject"]) && has(&["entries"]) {
            self.pages.push(Page {
                history: read(value, "dmp.common.v1.History")?,
                head: 0,
                more: false,
            });
        } else if has(&["toSize", "to_size"]) {
            self.consistencies.push(read(value, "dmp.common.v1.ConsistencyProof")?);
        } else if has(&["leafHash", "leaf_hash"]) {
            self.inclusions.push(read(value, "dmp.common.v1.InclusionProof")?);
        } else if has(&["verifierKey", "verifier_key"]) {
            self.checkpoints.push(read(value, "dmp.dossier.v1.Checkpoint")?);
        } else {
            let known = self.receipts.len();
            self.take_receipts_within(value, DEPTH_MAX)?;
            return Ok(self.receipts.len() > known);
        }
        Ok(true)
    }

    /// An answer of any method is kept as it came: its receipts are found wherever they stand in it.
    fn take_receipts_within(&mut self, value: Value, depth: usize) -> Result<(), &'static str> {
        match value {
            Value::Object(fields) if is_receipt(&fields) => {
                self.receipts
                    .push(read(Value::Object(fields), "dmp.common.v1.Receipt")?);
                Ok(())
            }
            Value::Object(fields) if depth > 0 => fields
                .into_iter()
                .try_for_each(|(_name, value)| self.take_receipts_within(value, depth - 1)),
            Value::Array(values) if depth > 0 => values
                .into_iter()
                .try_for_each(|value| self.take_receipts_within(value, depth - 1)),
            _ => Ok(()),
        }
    }
}

fn unreadable((file, object): (String, usize), message: &'static str) -> VerifyFileError {
    VerifyFileError::Unreadable { file, object, message }
}

/// Only a receipt names its log beside a leaf and a checkpoint. Both spellings of a field are proto3 JSON.
fn is_receipt(fields: &Map<String, Value>) -> bool {
    let has = |camel: &str, snake: &str| fields.contains_key(camel) || fields.contains_key(snake);
    has("logOrigin", "log_origin") && has("leafHash", "leaf_hash") && fields.contains_key("checkpoint")
}

/// The parser's own message may quote the file, which names people: the message's name is all that is told.
fn read<T: Message + Default>(value: Value, name: &'static str) -> Result<T, &'static str> {
    let descriptor = CONTRACTS
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(name))
        .ok_or(name)?;
    // A later version of the contract may say more; what it adds is not shown, so it needs no proof.
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(descriptor, value, &options).map_err(|_| name)?;
    message.transcode_to().map_err(|_| name)
}
