//! Certificates, as an authority would issue them, good ones and others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};

pub(crate) const DOMAIN: &str = "dmp.test";

/// Issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub(crate) trust: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// What a certificate says.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) uris: Vec<String>,
    /// Year, month and day of its first and of its last moment.
    pub(crate) days: [(i32, u8, u8); 2],
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
}

/// A good certificate of the service called `name`.
pub(crate) fn service(name: &str) -> Request {
    Request {
        uris: vec![format!("spiffe://{DOMAIN}/{name}")],
        days: [(2026, 1, 1), (2027, 1, 1)],
        usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    }
}

impl Request {
    pub(crate) fn uris(mut self, uris: &[&str]) -> Self {
        self.uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        self
    }

    pub(crate) fn until(mut self, last: (i32, u8, u8)) -> Self {
        self.days[1] = last;
        self
    }

    pub(crate) fn from(mut self, first: (i32, u8, u8)) -> Self {
        self.days[0] = first;
        self
    }

    pub(crate) fn only(mut self, usage: ExtendedKeyUsagePurpose) -> Self {
        self.usages = vec![usage];
        self
    }

    fn params(&self) -> CertificateParams {
        // Each bears the host's name too, which must count for nothing.
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let uris = self
            .uris
            .iter()
            .map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let [(year, month, day), last] = self.days;
        params.not_before = date_time_ymd(year, month, day);
        params.not_after = date_time_ymd(last.0, last.1, last.2);
        params.extended_key_usages = self.usages.clone();
        params
    }

    pub(crate) fn self_signed(&self) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = self.params().self_signed(&key).unwrap();
        issued(certificate.der(), &key)
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            trust: pem("CERTIFICATE", certificate.der()),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn issue(&self, request: &Request) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = request.params().signed_by(&key, &self.issuer).unwrap();
        issued(certificate.der(), &key)
    }
}

fn issued(certificate: &[u8], key: &KeyPair) -> Issued {
    Issued {
        chain: pem("CERTIFICATE", certificate),
        key: pem("PRIVATE KEY", key.serialized_der()),
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
}
