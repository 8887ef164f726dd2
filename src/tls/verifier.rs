//! Which clients are let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{Certificate, certificate};
use crate::config::TlsListener;
use crate::config::san::AllowedSan;

/// What a client hears that has a good certificate, but none of the names: "access denied".
pub(super) const NOT_ALLOWED: CertificateError = CertificateError::ApplicationVerificationFailure;

/// As [`rustls::server::WebPkiClientVerifier`], and by name.
#[derive(Debug)]
pub(super) struct Verifier {
    chains: Arc<dyn ClientCertVerifier>,
    /// Whoever shows the service's own certificate, and proves to have its key, is in the service's own container: so
    /// `iamd healthcheck` needs no certificate of its own.
    own: CertificateDer<'static>,
    allowed: Vec<AllowedSan>,
    listener: TlsListener,
    /// The second in which a refusal was logged last.
    logged_at: AtomicI64,
}

impl Verifier {
    pub(super) fn new(
        chains: Arc<dyn ClientCertVerifier>,
        own: CertificateDer<'static>,
        allowed: Vec<AllowedSan>,
        listener: TlsListener,
    ) -> Self {
        Self { chains, own, allowed, listener, logged_at: AtomicI64::new(0) }
    }

    fn is_allowed(&self, client: &CertificateDer<'_>) -> bool {
        let is_let_in = |client: Certificate| client.let_in(&self.allowed).next().is_some();
        let allowed = self.allowed.is_empty() || Certificate::parse(client).is_ok_and(is_let_in);
        if !allowed {
            self.log(client);
        }
        allowed
    }

    /// Once a second at most: whoever tries again and again must not fill the log.
    fn log(&self, client: &CertificateDer<'_>) {
        let now = jiff::Timestamp::now().as_second();
        if self.logged_at.swap(now, Ordering::Relaxed) != now {
            let client = certificate::identity(client, &[]);
            let listener = self.listener.as_str();
            tracing::warn!(listener, client, "a client was refused: its certificate has none of the allowed names");
        }
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.own {
            return Ok(ClientCertVerified::assertion());
        }
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        if self.is_allowed(end_entity) { Ok(verified) } else { Err(NOT_ALLOWED.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
