//! Certificates for services, as an authority of their trust domain issues them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use serve::config::TlsSettings;
use std::path::{Path, PathBuf};

pub(crate) const DOMAIN: &str = "dmp.test";

/// Issues certificates into a folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        write(&folder.join("authority.pem"), "CERTIFICATE", certificate.der());
        Self {
            issuer: Issuer::new(params, key),
            folder: folder.to_owned(),
        }
    }

    /// Its own certificate.
    pub(crate) fn trust(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// What the service called `name` is told, with a certificate of its own.
    pub(crate) fn tls(&self, name: &str) -> TlsSettings {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://{DOMAIN}/{name}");
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |suffix: &str| self.folder.join(format!("{name}-tls.{suffix}"));
        write(&file("pem"), "CERTIFICATE", certificate.der());
        write(&file("key"), "PRIVATE KEY", key.serialized_der());
        TlsSettings {
            certificate: file("pem"),
            key: file("key"),
            trust: self.trust(),
            trust_domain: DOMAIN.to_owned(),
        }
    }
}

fn write(path: &Path, what: &str, der: &[u8]) {
    let text = STANDARD.encode(der);
    std::fs::write(path, format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")).unwrap();
}
