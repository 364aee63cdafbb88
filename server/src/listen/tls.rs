//! The certificate, from its files, and again when they change.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// A certificate and its key. Connections keep the one they began with.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last read.
    seen: [Stamp; 2],
}

/// What shows that a file has changed, without reading it: when, and how long it is.
type Stamp = Option<(SystemTime, u64)>;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadCertificate {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no PEM, or does not have what it should.
    #[error("{} holds no {what} in PEM", path.display())]
    NotThere {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Both can be read, and do not belong together.
    #[error("the key in {} does not fit the certificate in {}", key.display(), chain.display())]
    Mismatch {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's.
        key: PathBuf,
    },
    /// The certificate cannot be used for another reason.
    #[error("the certificate in {} cannot be used: {error}", path.display())]
    Unusable {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

impl Certificate {
    /// The certificate (and those above it) and its key, each from a file in PEM.
    pub fn open(chain: &Path, key: &Path) -> Result<Self, BadCertificate> {
        let seen = [chain, key].map(stamp);
        let current = Current {
            config: Arc::new(read(chain, key)?),
            seen,
        };
        Ok(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            current: Mutex::new(current),
        })
    }

    /// What the next connection is accepted with.
    pub(super) fn current(&self) -> TlsAcceptor {
        let current = self.current.lock();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.config).into()
    }

    /// Looks at the files for ever, and says what it finds.
    pub(super) async fn refresh(self: &Arc<Self>, tell: &(dyn Fn(&str) + Send + Sync)) {
        loop {
            sleep(BETWEEN_LOOKS).await;
            let certificate = Arc::clone(self);
            // A disk may take its time.
            let looked = tokio::task::spawn_blocking(move || certificate.look()).await;
            match looked {
                Ok(Some(Ok(()))) => {
                    tell("the certificate has changed; new connections get the new one");
                }
                Ok(Some(Err(error))) => {
                    tell(&format!("the certificate before stays in use: {error}"));
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Reads the files again if they have changed. Between the change of the one and of the other they do not fit, and
    /// what is in use stays.
    fn look(&self) -> Option<Result<(), BadCertificate>> {
        let seen = [&self.chain, &self.key].map(|path| stamp(path));
        let is_seen = |current: &Current| current.seen == seen;
        let lock = || self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if is_seen(&lock()) {
            return None;
        }
        let read = read(&self.chain, &self.key);
        let mut current = lock();
        current.seen = seen;
        Some(read.map(|config| current.config = Arc::new(config)))
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(chain: &Path, key: &Path) -> Result<ServerConfig, BadCertificate> {
    let certificates = read_chain(chain)?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, "private key", error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of the default versions")
        .with_no_client_auth()
        .with_single_cert(certificates, private);
    let mut config = config.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => BadCertificate::Mismatch {
            chain: chain.to_owned(),
            key: key.to_owned(),
        },
        error => BadCertificate::Unusable {
            path: chain.to_owned(),
            error,
        },
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    const WHAT: &str = "certificate";
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| bad(path, WHAT, error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| bad(path, WHAT, error))?;
    if certificates.is_empty() {
        return Err(bad(path, WHAT, pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn bad(path: &Path, what: &'static str, error: pem::Error) -> BadCertificate {
    let path = path.to_owned();
    match error {
        pem::Error::Io(error) => BadCertificate::Unreadable { path, error },
        _ => BadCertificate::NotThere { path, what },
    }
}
