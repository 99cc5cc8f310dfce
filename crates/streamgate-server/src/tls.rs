//! HTTPS: the certificate and whose clients are known by theirs, read again when the files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::auth::Stamp;
use crate::config::TlsConfig;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// By ALPN (RFC 7301), the preferred first.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
pub(crate) const HTTP2: &[u8] = b"h2";

/// Accepts TLS connections: versions 1.2 and 1.3, with what rustls takes for safe.
pub(crate) struct Tls {
    files: Files,
    /// What the files looked like before they were read.
    seen: [Stamp; 3],
    acceptor: RwLock<TlsAcceptor>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl Tls {
    /// `None` when the configuration has no certificate.
    ///
    /// # Errors
    /// Says which file is not what it should be.
    pub(crate) fn open(config: &TlsConfig) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) else {
            return Ok(None);
        };
        let files = Files {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: config.client_ca_file.clone(),
        };
        let seen = files.stamps();
        let acceptor = RwLock::new(files.read()?);
        Ok(Some(Self {
            files,
            seen,
            acceptor,
        }))
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.read().clone()
    }

    /// Takes in files that change, for new connections, until the service ends. What is no
    /// certificate is reported, and the last one stays.
    pub(crate) async fn follow(&self, ending: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        let (mut seen, mut complained) = (self.seen, self.seen);
        while ending.run_until_cancelled(looks.tick()).await.is_some() {
            let stamps = self.files.stamps();
            if stamps == seen {
                continue;
            }
            match self.files.read() {
                Ok(acceptor) => {
                    *self.acceptor.write() = acceptor;
                    seen = stamps;
                    tracing::info!("the certificate changed");
                }
                // It is tried again: what was in the way may pass.
                Err(error) if std::mem::replace(&mut complained, stamps) != stamps => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the certificate stays as it was");
                }
                Err(_) => {}
            }
        }
    }
}

impl Files {
    fn stamps(&self) -> [Stamp; 3] {
        let client_ca = self.client_ca.as_deref().map(Stamp::of);
        [
            Stamp::of(&self.certificate),
            Stamp::of(&self.key),
            client_ca.unwrap_or_default(),
        ]
    }

    fn read(&self) -> anyhow::Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match &self.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    let added = roots.add(authority);
                    added.with_context(|| format!("{} has no authority", path.display()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        // Players have none; they bring a token.
                        .allow_unauthenticated();
                config.with_client_cert_verifier(verifier.build()?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("cannot read a private key from {}", self.key.display()))?;
        let mut config = config
            .with_single_cert(certificates(&self.certificate)?, key)
            .with_context(|| {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                format!("{certificate} and {key} do not go together")
            })?;
        config.alpn_protocols = PROTOCOLS.iter().map(|it| it.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let context = || format!("cannot read certificates from {}", path.display());
    let read = CertificateDer::pem_file_iter(path).with_context(context)?;
    let read: Vec<_> = read.collect::<Result<_, _>>().with_context(context)?;
    if read.is_empty() {
        bail!("{} has no certificate", path.display());
    }
    Ok(read)
}
