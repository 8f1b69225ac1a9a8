//! Reflection (v1 for today's tools, v1alpha for yesterday's), restricted to what this process serves.

use prost::Message;
use prost_types::FileDescriptorProto;
use std::collections::{BTreeMap, BTreeSet};
use tonic::service::Routes;

use crate::status;

/// A `FileDescriptorSet` whose files stay as they were written: decoding them would drop our custom options.
#[derive(Clone, PartialEq, Message)]
struct RawFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// Adds both versions of reflection to `routes`, for `package` out of `descriptors` and for what operators ask.
pub(crate) fn reflect(
    routes: Routes,
    descriptors: &[u8],
    package: &str,
) -> Result<Routes, tonic_reflection::server::Error> {
    let files = restrict(descriptors, package)?;
    let operations = restrict(api::DESCRIPTOR_SET, status::PACKAGE)?;
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&files)
            .register_encoded_file_descriptor_set(&operations)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?))
}

/// The files of `package` and all they import.
fn restrict(descriptors: &[u8], package: &str) -> Result<Vec<u8>, prost::DecodeError> {
    let mut files = BTreeMap::new();
    let mut wanted = Vec::new();
    for raw in RawFiles::decode(descriptors)?.file {
        let file = FileDescriptorProto::decode(raw.as_slice())?;
        if file.package() == package {
            wanted.push(file.name().to_owned());
        }
        files.insert(file.name().to_owned(), (raw, file.dependency));
    }
    let mut kept = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let imports = files.get(&name).map(|(_, imports)| imports.clone()).unwrap_or_default();
        if kept.insert(name) {
            wanted.extend(imports);
        }
    }
    let file = files
        .into_iter()
        .filter(|(name, _)| kept.contains(name))
        .map(|(_, (raw, _))| raw)
        .collect();
    Ok(RawFiles { file }.encode_to_vec())
}
