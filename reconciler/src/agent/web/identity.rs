//! Who a listener is: a certificate and its key, from files that are renewed while it listens.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long both sides may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A certificate and its key: `tls.crt` and `tls.key` of one folder, as cert-manager and kubelet write them. Clones are
/// the same.
#[derive(Clone)]
pub(crate) struct Identity {
    folder: PathBuf,
    last: Arc<Mutex<Option<(SystemTime, TlsAcceptor)>>>,
}

impl Identity {
    /// Takes the folder. What is not there yet is waited for by who connects.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, last: Arc::default() }
    }

    /// Agrees with who connects on keys; none where that fails.
    pub(super) async fn accept(&self, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
        let acceptor = match self.acceptor() {
            Ok(acceptor) => acceptor,
            Err(error) => {
                let folder = self.folder.display();
                tracing::warn!("no certificate in {folder}: {error}");
                return None;
            }
        };
        timeout(HANDSHAKE, acceptor.accept(socket)).await.ok()?.ok()
    }

    /// Returns the newest certificate; the last one while the files are being replaced.
    fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let written = std::fs::metadata(self.folder.join("tls.crt")).and_then(|of| of.modified());
        match (&*last, written) {
            (Some((when, acceptor)), Ok(written)) if *when == written => Ok(acceptor.clone()),
            (Some((_, acceptor)), Err(_)) => Ok(acceptor.clone()),
            (None, Err(error)) => Err(error),
            (before, Ok(written)) => match (read(&self.folder), before) {
                (Ok(acceptor), _) => {
                    *last = Some((written, acceptor.clone()));
                    Ok(acceptor)
                }
                (Err(_), Some((_, acceptor))) => Ok(acceptor.clone()),
                (Err(error), None) => Err(error),
            },
        }
    }
}

fn read(folder: &Path) -> io::Result<TlsAcceptor> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(folder.join("tls.crt")).and_then(Iterator::collect);
    let certificates = certificates.map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).map_err(io::Error::other)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
