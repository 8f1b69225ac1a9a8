//! The folder of an embedded suite: its keys, its databases, where it listens.
//!
//! Every key is made at the first start and never replaced: losing `host.key` is losing every document. The folder and
//! its files are for their owner only.

use journal::LogKey;
use serve::config::{Common, DatabaseUrl, Identity, IssuerSettings, JwkSet};
use serve::{KeyError, TokenIssuer};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use store::random::Random;
use store::sealed::Key;

use crate::endpoints::Endpoints;
use crate::suite::SERVICES;

/// What every token of an embedded suite is for.
const AUDIENCE: &str = "dmp";
/// Where the services answer, as TOML.
const ENDPOINTS: &str = "endpoints.toml";
/// Who vouches for people and systems.
const PEOPLE: &str = "https://issuer.localhost/people";
/// Who vouches for services; each signs with a key of its own.
const ISSUER_OF_SERVICES: &str = "https://issuer.localhost/services";

/// Who signs consents' receipts.
const RECEIPTS: &str = "consent-receipts";
/// Who signs what outsiders verify.
const SIGNERS: [&str; 3] = ["dossier-journal", "messaging-journal", RECEIPTS];
/// What seals content in databases. Losing one is losing whatever it seals.
const SEALING_KEYS: [&str; 3] = ["host.key", "consent.key", "messaging.key"];

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
    made: Vec<String>,
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
        let mut home = Self {
            folder,
            made: Vec::new(),
        };
        for name in token_keys() {
            let path = home.path(&name);
            let key = TokenIssuer::generate_key(random).map_err(|source| HomeError::TokenKey {
                path: path.clone(),
                source,
            })?;
            home.keep(&name, key.as_bytes())?;
        }
        for name in SEALING_KEYS {
            home.keep(name, Key::generate(random).to_bytes().as_slice())?;
        }
        for signer in SIGNERS {
            home.keep_signing_key(signer, random)?;
        }
        Ok(home)
    }

    /// The folder as it is, with the files that its user needs: nothing is made in it.
    ///
    /// # Errors
    /// [`HomeError::File`] when it is not there.
    pub fn existing(folder: &Path) -> Result<Self, HomeError> {
        let canonical = folder.canonicalize().map_err(|source| HomeError::File {
            path: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            folder: canonical,
            made: Vec::new(),
        })
    }

    /// Names of the keys that [`Home::open`] made, because they were not there.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// Names of all files with a private key.
    pub fn private_keys() -> Vec<String> {
        let signers = SIGNERS.iter().map(|signer| format!("{signer}.key"));
        let sealing = SEALING_KEYS.iter().map(|name| (*name).to_owned());
        token_keys().chain(sealing).chain(signers).collect()
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

    /// What a service's settings have in common with the others', before ports and databases are known.
    ///
    /// # Errors
    /// [`HomeError::TokenKey`].
    pub fn common(&self, service: &str) -> Result<Common, HomeError> {
        let listed = |issuer: &str, keys: JwkSet, roles: &[&str]| IssuerSettings {
            issuer: issuer.to_owned(),
            audience: AUDIENCE.to_owned(),
            jwks: Some(keys),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..IssuerSettings::default()
        };
        let issuers = vec![
            listed(PEOPLE, self.people()?.jwks(), &ROLES_OF_PEOPLE),
            listed(ISSUER_OF_SERVICES, self.service_keys()?, &["SERVICE"]),
        ];
        let identity = Identity {
            issuer: ISSUER_OF_SERVICES.to_owned(),
            audience: AUDIENCE.to_owned(),
            key: self.path(&token_key(service)),
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
        text.and_then(|text| replace(&path, text.as_bytes()))
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
        let mut endpoints: Endpoints = read.map_err(|source| HomeError::File { path, source })?;
        endpoints.trust = endpoints.trust.map(|file| self.folder.join(file));
        Ok(endpoints)
    }

    /// Writes the public keys of the issuers of tokens, for services that are told of them by files: people's into
    /// `people.jwks.json`, services' into `services.jwks.json`. Answers the names of the files.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn write_jwks(&self) -> Result<[&'static str; 2], HomeError> {
        let sets = [
            ("people.jwks.json", self.people()?.jwks()),
            ("services.jwks.json", self.service_keys()?),
        ];
        for (name, keys) in &sets {
            let path = self.path(name);
            let text = serde_json::to_string_pretty(keys).map_err(io::Error::other);
            text.and_then(|text| replace(&path, format!("{text}\n").as_bytes()))
                .map_err(|source| HomeError::File { path, source })?;
        }
        Ok(sets.map(|(name, _)| name))
    }

    /// The public keys of all services.
    fn service_keys(&self) -> Result<JwkSet, HomeError> {
        let mut keys = Vec::new();
        for service in SERVICES {
            keys.extend(self.issuer(ISSUER_OF_SERVICES, &token_key(service))?.jwks().keys);
        }
        Ok(JwkSet { keys })
    }

    fn issuer(&self, name: &str, file: &str) -> Result<TokenIssuer, HomeError> {
        let path = self.path(file);
        TokenIssuer::from_file(name, AUDIENCE, &path).map_err(|source| HomeError::TokenKey { path, source })
    }

    /// Keeps the key that is there, or this one.
    fn keep(&mut self, name: &str, key: &[u8]) -> Result<(), HomeError> {
        if keep_first(&self.path(name), key)? {
            self.made.push(name.to_owned());
        }
        Ok(())
    }

    fn keep_signing_key(&mut self, signer: &str, random: &Random) -> Result<(), HomeError> {
        let name = format!("{signer}.key");
        let path = self.path(&name);
        let malformed = || HomeError::SigningKey { path: path.clone() };
        // A journal is named after its service, as it was from the first version on.
        let origin = format!("dmp.localhost/{}", signer.trim_end_matches("-journal"));
        let fresh = LogKey::from_seed(&origin, random.bytes()).map_err(|_| malformed())?;
        self.keep(&name, fresh.to_private_text().as_bytes())?;
        let text = std::fs::read_to_string(&path).map_err(|source| HomeError::File {
            path: path.clone(),
            source,
        })?;
        let kept = LogKey::parse(text.trim_end()).map_err(|_| malformed())?;
        keep_first(
            &self.path(&format!("{signer}.vkey")),
            format!("{}\n", kept.verifier()).as_bytes(),
        )?;
        Ok(())
    }
}

/// The private key with which a service signs its tokens.
fn token_key(service: &str) -> String {
    format!("{service}-token.pem")
}

/// The private keys with which tokens are signed.
fn token_keys() -> impl Iterator<Item = String> {
    std::iter::once("people.pem".to_owned()).chain(SERVICES.into_iter().map(token_key))
}

/// Writes a file in the place of the one that is there: at any moment one of the two is whole. For nothing secret: its mode is
/// the process's.
///
/// # Errors
/// When the file system refuses; what was there is still there.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Writes a file that is not there yet, durably, and says so; leaves one that is.
fn keep_first(path: &Path, content: &[u8]) -> Result<bool, HomeError> {
    let failed = |source| HomeError::File {
        path: path.to_owned(),
        source,
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let written = file.write_all(content).and_then(|()| file.sync_all());
            written.map(|()| true).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}
