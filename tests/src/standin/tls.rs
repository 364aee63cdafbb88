//! Encryption: an authority of our own, and a certificate that it signed for this machine.

use super::config::HOST;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::io;
use std::path::{Path, PathBuf};
use tonic::transport::{Identity, ServerTlsConfig};

/// What the nodes prove themselves with, and the file that lets clients believe it.
pub(super) struct Certificate {
    identity: Identity,
    /// The authority's certificate, for `tlsCAFile`.
    pub(super) authority: PathBuf,
    /// Keeps the file until the stand-in stops, unless the caller named a folder.
    _folder: Option<tempfile::TempDir>,
}

impl Certificate {
    /// Makes a new one and writes the authority's certificate into `folder`, or into one of our own.
    pub(super) fn made(folder: Option<&Path>) -> io::Result<Self> {
        let own = match folder {
            None => Some(tempfile::tempdir()?),
            Some(_) => None,
        };
        let own_path = own.as_ref().map(tempfile::TempDir::path);
        let folder = own_path.or(folder).expect("there is one or the other");
        let (authority_pem, identity) = signed().map_err(io::Error::other)?;
        let authority = folder.join("ca.pem");
        std::fs::create_dir_all(folder)?;
        std::fs::write(&authority, authority_pem)?;
        Ok(Self {
            identity,
            authority,
            _folder: own,
        })
    }

    pub(super) fn server(&self) -> ServerTlsConfig {
        // Two providers are compiled in, by way of the client; rustls wants one named.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        ServerTlsConfig::new().identity(self.identity.clone())
    }
}

fn signed() -> Result<(String, Identity), rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = &mut authority.distinguished_name;
    name.push(DnType::CommonName, "an authority for tests only");
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let node_key = KeyPair::generate()?;
    let node = CertificateParams::new(vec![HOST.to_owned(), "localhost".to_owned()])?;
    let node = node.signed_by(&node_key, &issuer)?;
    let identity = Identity::from_pem(node.pem(), node_key.serialize_pem());
    Ok((authority_certificate.pem(), identity))
}
