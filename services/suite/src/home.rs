//! The folder of an embedded suite: its keys, its databases, where it listens.
//!
//! Every key is made at the first start and never replaced: losing `host.key` is losing every document. The folder and
//! its files are for their owner only.

use journal::LogKey;
use serve::config::{Common, DatabaseUrl, Identity, IssuerSettings};
use serve::{KeyError, TokenIssuer};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use store::random::Random;
use store::sealed::Key;

use crate::suite::Endpoints;

/// What every token of an embedded suite is for.
const AUDIENCE: &str = "dmp";
/// Where the services answer, as TOML.
const ENDPOINTS: &str = "endpoints.toml";
/// Who vouches for people and systems.
const PEOPLE: &str = "https://issuer.localhost/people";
/// Who vouches for services.
const SERVICES: &str = "https://issuer.localhost/services";

/// Who signs consents' receipts.
const RECEIPTS: &str = "consent-receipts";

/// The roles that the issuer of people may give: all but a service's.
const ROLES_OF_PEOPLE: [&str; 7] = [
    "HOLDER",
    "REPRESENTATIVE",
    "PROFESSIONAL",
    "ESTABLISHMENT_SYSTEM",
    "ADMINISTRATOR",
    "AUDITOR",
    "EXCLUDED_PARTY",
];

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The file system refuses.
    #[error("{}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A token key is not one.
    #[error("{}", path.display())]
    TokenKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A signing key is not one.
    #[error("{} is not a key to sign with", path.display())]
    SigningKey {
        /// Which file.
        path: PathBuf,
    },
    /// Another process uses the folder.
    #[error("{} is in use by another process: stop it first, or give another folder with --data", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// An embedded suite's folder.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
}

/// The right to run a suite on a folder; given back when dropped, or when the process ends.
#[derive(Debug)]
pub struct HomeLock(#[expect(dead_code, reason = "the lock lives as long as its file is open")] File);

impl Home {
    /// Opens the folder, and makes it and the keys that it lacks.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(folder: &Path, random: &Random) -> Result<Self, HomeError> {
        let failed = |source| HomeError::File {
            path: folder.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let home = Self { folder };
        for name in ["people.pem", "services.pem"] {
            let path = home.path(name);
            let key = TokenIssuer::generate_key(random).map_err(|source| HomeError::TokenKey {
                path: path.clone(),
                source,
            })?;
            keep_first(&path, key.as_bytes())?;
        }
        for name in ["host.key", "consent.key", "messaging.key"] {
            keep_first(&home.path(name), Key::generate(random).to_bytes().as_slice())?;
        }
        for signer in ["dossier-journal", "messaging-journal", RECEIPTS] {
            home.keep_signing_key(signer, random)?;
        }
        Ok(home)
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`HomeError::InUse`] when another process has it.
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        let path = self.path("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(|source| HomeError::File { path, source })?;
        file.try_lock().map_err(|_| HomeError::InUse {
            path: self.folder.clone(),
        })?;
        Ok(HomeLock(file))
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Mints tokens for people and systems.
    ///
    /// # Errors
    /// [`HomeError::TokenKey`].
    pub fn people(&self) -> Result<TokenIssuer, HomeError> {
        self.issuer(PEOPLE, "people.pem")
    }

    /// The embedded database of a service.
    pub fn database(&self, service: &str) -> DatabaseUrl {
        DatabaseUrl::from(format!("sqlite://{}", self.path(&format!("{service}.db")).display()))
    }

    /// The private key of a service's journal, to be handed over by its path.
    pub fn journal_key(&self, service: &str) -> PathBuf {
        self.path(&format!("{service}-journal.key"))
    }

    /// The public key of a service's journal, for `dmp verify`.
    pub fn journal_verifier(&self, service: &str) -> PathBuf {
        self.path(&format!("{service}-journal.vkey"))
    }

    /// The private key of consents' receipts, to be handed over by its path.
    pub fn receipt_key(&self) -> PathBuf {
        self.path(&format!("{RECEIPTS}.key"))
    }

    /// The public key of consents' receipts, for `dmp verify`.
    pub fn receipt_verifier(&self) -> PathBuf {
        self.path(&format!("{RECEIPTS}.vkey"))
    }

    /// What the settings of all four services have in common, before ports and databases are known.
    ///
    /// # Errors
    /// [`HomeError::TokenKey`].
    pub fn common(&self) -> Result<Common, HomeError> {
        let listed = |issuer: TokenIssuer, roles: &[&str]| IssuerSettings {
            issuer: issuer.issuer().to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks: Some(issuer.jwks()),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..IssuerSettings::default()
        };
        let issuers = vec![
            listed(self.people()?, &ROLES_OF_PEOPLE),
            listed(self.issuer(SERVICES, "services.pem")?, &["SERVICE"]),
        ];
        let identity = Identity {
            issuer: SERVICES.to_owned(),
            audience: AUDIENCE.to_owned(),
            key: self.path("services.pem"),
        };
        Ok(Common {
            issuers,
            identity: Some(identity),
            ..Common::default()
        })
    }

    /// Notes where the suite of this folder answers, for `dmp tour --running`.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> Result<(), HomeError> {
        let path = self.path(ENDPOINTS);
        let text = toml::to_string(endpoints).map_err(io::Error::other);
        text.and_then(|text| std::fs::write(&path, text))
            .map_err(|source| HomeError::File { path, source })
    }

    /// Where the suite of this folder answered when it last started.
    ///
    /// # Errors
    /// [`HomeError::File`] when none was ever started here.
    pub fn read_endpoints(&self) -> Result<Endpoints, HomeError> {
        let path = self.path(ENDPOINTS);
        let text = std::fs::read_to_string(&path);
        let read = text.and_then(|text| toml::from_str(&text).map_err(io::Error::other));
        read.map_err(|source| HomeError::File { path, source })
    }

    fn issuer(&self, name: &str, file: &str) -> Result<TokenIssuer, HomeError> {
        let path = self.path(file);
        TokenIssuer::from_file(name, AUDIENCE, &path).map_err(|source| HomeError::TokenKey { path, source })
    }

    fn keep_signing_key(&self, signer: &str, random: &Random) -> Result<(), HomeError> {
        let path = self.path(&format!("{signer}.key"));
        let malformed = || HomeError::SigningKey { path: path.clone() };
        // A journal is named after its service, as it was from the first version on.
        let origin = format!("dmp.localhost/{}", signer.trim_end_matches("-journal"));
        let fresh = LogKey::from_seed(&origin, random.bytes()).map_err(|_| malformed())?;
        keep_first(&path, fresh.to_private_text().as_bytes())?;
        let text = std::fs::read_to_string(&path).map_err(|source| HomeError::File {
            path: path.clone(),
            source,
        })?;
        let kept = LogKey::parse(text.trim_end()).map_err(|_| malformed())?;
        keep_first(
            &self.path(&format!("{signer}.vkey")),
            format!("{}\n", kept.verifier()).as_bytes(),
        )
    }
}

/// Writes a file that is not there yet, durably; leaves one that is.
fn keep_first(path: &Path, content: &[u8]) -> Result<(), HomeError> {
    let failed = |source| HomeError::File {
        path: path.to_owned(),
        source,
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(content).and_then(|()| file.sync_all()).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
