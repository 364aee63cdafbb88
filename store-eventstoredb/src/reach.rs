//! Whether a node can be talked to at all, and if not, why: the vendor's client says "client error" to all of it.

use crate::OpenError;
use crate::url::ConnectionString;
use eventstore::Endpoint;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a node may take to accept a connection, or to say something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// A node that accepts connections, or why none does.
pub(crate) async fn reachable(url: &ConnectionString) -> Result<&Endpoint, OpenError> {
    let mut reasons = Vec::new();
    for node in url.settings.hosts() {
        match timeout(PATIENCE, connected(node)).await {
            Ok(Ok(_)) => return Ok(node),
            Ok(Err(error)) => reasons.push(format!("{}: {error}", name(node))),
            Err(_) => reasons.push(format!(
                "{}: no answer in {} s",
                name(node),
                PATIENCE.as_secs()
            )),
        }
    }
    Err(OpenError::Unreachable(format!(
        "no node of the cluster can be reached: {}",
        reasons.join("; ")
    )))
}

/// The client would panic over some of them, and name none.
pub(crate) fn files_are_whole(url: &ConnectionString) -> Result<(), OpenError> {
    if let Some(file) = url.settings.tls_ca_file() {
        certificates(file).map_err(|why| OpenError::Url(format!("tlsCaFile={file}: {why}")))?;
    }
    if let Some((certificate, key)) = url.settings.user_certificate() {
        certificates(certificate)
            .map_err(|why| OpenError::Url(format!("userCertFile={certificate}: {why}")))?;
        let key_there = PrivateKeyDer::from_pem_file(key);
        key_there.map_err(|why| OpenError::Url(format!("userKeyFile={key}: {why}")))?;
    }
    Ok(())
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err("there is no certificate in it".to_owned())
        }
        Ok(certificates) => Ok(certificates),
        Err(why) => Err(why.to_string()),
    }
}

/// A node accepts connections and does not answer: perhaps one side speaks TLS and the other does not, or it cannot
/// prove who it is. Otherwise it may answer yet.
pub(crate) async fn speaks_as_we_do(
    url: &ConnectionString,
    node: &Endpoint,
) -> Result<(), OpenError> {
    let secure = url.settings.is_secure_mode_enabled();
    let name = name(node);
    match (timeout(PATIENCE, speaks_tls(node)).await, secure) {
        (Ok(Ok(true)), false) => Err(OpenError::Tls(format!(
            "{name} speaks TLS; say tls=true instead of tls=false"
        ))),
        (Ok(Ok(false)), true) => Err(OpenError::Tls(format!(
            "{name} does not speak TLS; say tls=false if that is meant to be so"
        ))),
        (_, true) => match timeout(PATIENCE, greeted(url, node)).await {
            Ok(Err(why)) => Err(OpenError::Tls(format!(
                "no trusted connection to {name}: {why}; name the authority of its certificate with tlsCaFile=PATH"
            ))),
            Ok(Ok(())) | Err(_) => Ok(()),
        },
        (_, false) => Ok(()),
    }
}

/// Whether the node answers half a greeting as TLS does: with an alert.
async fn speaks_tls(node: &Endpoint) -> io::Result<bool> {
    const ALERT: u8 = 0x15;
    let greeting = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let mut stream = connected(node).await?;
    stream.write_all(&greeting).await?;
    let mut answer = [0];
    match stream.read(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer[0] == ALERT),
    }
}

/// Greets the node as the client does, to hear what is wrong with its certificate.
async fn greeted(url: &ConnectionString, node: &Endpoint) -> Result<(), String> {
    if !url.settings.is_tls_certificate_verification_enabled() {
        return Ok(());
    }
    let mut roots = RootCertStore::empty();
    let trusted = match url.settings.tls_ca_file() {
        Some(file) => certificates(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(trusted);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerName::try_from(host(node).to_owned()).map_err(|error| error.to_string())?;
    let stream = connected(node).await.map_err(|error| error.to_string())?;
    let greeted = TlsConnector::from(Arc::new(config))
        .connect(server, stream)
        .await;
    greeted.map(drop).map_err(|error| error.to_string())
}

async fn connected(node: &Endpoint) -> io::Result<TcpStream> {
    let port = u16::try_from(node.port).map_err(|_| io::ErrorKind::InvalidInput)?;
    TcpStream::connect((host(node), port)).await
}

/// An address of IP version 6 stands in brackets in a connection string.
fn host(node: &Endpoint) -> &str {
    node.host.trim_matches(['[', ']'])
}

fn name(node: &Endpoint) -> String {
    format!("{}:{}", node.host, node.port)
}
