//! The methods that a process serves, as its contract's descriptors list them.
//!
//! Only these pass: any other path, a path with a query, or another spelling of a known one is UNIMPLEMENTED, before
//! anything looks at it. They are also the only names that metrics and spans ever show, so a caller cannot add any.

use http::Uri;
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::HashMap;
use std::sync::Arc;

use crate::status;

/// What the request path does with a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A caller must be known.
    Token,
    /// A caller must be known, and takes no share of the calls' limits: what an operator asks of a process that has
    /// reached them.
    Operator,
    /// Health, and reflection where the operator allows it: no token, and no share of the calls' limits.
    Open,
}

/// A method of the contract.
#[derive(Debug)]
pub(crate) struct Method {
    /// Full name of the service, as `dmp.consent.v1.ConsentService`.
    pub(crate) service: Arc<str>,
    /// The method's own name.
    pub(crate) name: Arc<str>,
    /// `service/name`.
    pub(crate) full_name: Arc<str>,
    /// Whether it is a stream of changes that lives until someone ends it.
    pub(crate) watch: bool,
    pub(crate) access: Access,
}

/// All methods of a process, by path.
#[derive(Debug)]
pub(crate) struct Methods {
    by_path: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

impl Methods {
    /// The services of `package` in `descriptors` (an encoded `FileDescriptorSet`), that of operators, and the open ones.
    pub(crate) fn new(descriptors: &[u8], package: &str, reflection: bool) -> Result<Self, prost::DecodeError> {
        let contract = files_of(descriptors, package)?;
        let operations = files_of(api::DESCRIPTOR_SET, status::PACKAGE)?;
        let mut open = files_of(tonic_health::pb::FILE_DESCRIPTOR_SET, "grpc.health.v1")?;
        if reflection {
            open.extend(files_of(
                tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
                "grpc.reflection.v1",
            )?);
            open.extend(files_of(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
                "grpc.reflection.v1alpha",
            )?);
        }
        let mut by_path = HashMap::new();
        for (files, access) in [
            (contract, Access::Token),
            (operations, Access::Operator),
            (open, Access::Open),
        ] {
            let methods = files.iter().flat_map(|file| methods_of(file, access));
            by_path.extend(methods.map(|method| (format!("/{}", method.full_name), Arc::new(method))));
        }
        Ok(Self {
            by_path,
            unknown: Arc::new(Method::new("unknown", "unknown", false, Access::Token)),
        })
    }

    /// The method of a path, when it is exactly one of ours.
    pub(crate) fn find(&self, uri: &Uri) -> Option<&Arc<Method>> {
        if uri.query().is_some() {
            return None;
        }
        self.by_path.get(uri.path())
    }

    /// What stands in telemetry for every other path.
    pub(crate) fn unknown(&self) -> &Arc<Method> {
        &self.unknown
    }

    /// Full names of the services of the contract.
    pub(crate) fn services(&self) -> Vec<Arc<str>> {
        let of_contract = self.by_path.values().filter(|method| method.access == Access::Token);
        let mut services: Vec<Arc<str>> = of_contract.map(|method| method.service.clone()).collect();
        services.sort_unstable();
        services.dedup();
        services
    }
}

impl Method {
    fn new(service: &str, name: &str, watch: bool, access: Access) -> Self {
        let full_name = format!("{service}/{name}").into();
        Self {
            service: service.into(),
            name: name.into(),
            full_name,
            watch,
            access,
        }
    }
}

fn files_of(descriptors: &[u8], package: &str) -> Result<Vec<FileDescriptorProto>, prost::DecodeError> {
    let set = FileDescriptorSet::decode(descriptors)?;
    Ok(set.file.into_iter().filter(|file| file.package() == package).collect())
}

fn methods_of(file: &FileDescriptorProto, access: Access) -> impl Iterator<Item = Method> {
    let named = file
        .service
        .iter()
        .map(|service| (format!("{}.{}", file.package(), service.name()), service));
    named.flat_map(move |(service, descriptor)| {
        descriptor
            .method
            .iter()
            .map(move |method| {
                let watch = method.server_streaming() && method.name().starts_with("Watch");
                Method::new(&service, method.name(), watch, access)
            })
            .collect::<Vec<_>>()
    })
}
