//! The other end, for who asks a service that speaks TLS how it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::{Certificate, TlsError, build, files};
use crate::config::san::{AllowedSan, San};

/// What is known of the service, and who asks it.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Who signs the service's certificate; None: whatever it shows is taken.
    pub ca: Option<PathBuf>,
    /// A name that it must have; None: any.
    pub name: Option<ServiceName>,
    /// Certificate and key to show if asked.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// A name of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceName {
    /// A DNS name or IP address, as its certificate covers it: also by `*.acme.example`.
    Host(ServerName<'static>),
    /// A URI, such as a SPIFFE id.
    Uri(String),
}

impl ServiceName {
    /// Reads a name; None if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        match ServerName::try_from(text.to_owned()) {
            Ok(host) => Some(Self::Host(host)),
            Err(_) => text.contains(':').then(|| Self::Uri(text.to_owned())),
        }
    }
}

/// Reads the files that the options name.
pub fn connector(options: &ClientOptions, alpn: &[u8]) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let roots = match &options.ca {
        Some(path) => Some(build::authorities(path, &files::read(path)?)?),
        None => None,
    };
    let expected = Expected { provider: Arc::clone(&provider), roots, name: options.name.clone() };
    let place = options.ca.as_deref().unwrap_or(Path::new("TLS"));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(place, error.to_string(), "please report this"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(expected));
    let mut config = match &options.own {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = build::certificates(cert, &files::read(cert)?)?;
            let private_key = build::private_key(key, &files::read(key)?)?;
            config.with_client_auth_cert(chain, private_key).map_err(|error| build::wrong_key(cert, key, &error))?
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What a service must show.
#[derive(Debug)]
struct Expected {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
    name: Option<ServiceName>,
}

impl Expected {
    fn check_name(&self, certificate: &ParsedCertificate<'_>, der: &CertificateDer<'_>) -> Result<(), Error> {
        match &self.name {
            None => Ok(()),
            Some(ServiceName::Host(host)) => verify_server_name(certificate, host),
            Some(ServiceName::Uri(uri)) => {
                let wanted = [AllowedSan::Exactly(San::Uri(uri.clone()))];
                let named = Certificate::parse(der).is_ok_and(|read| read.let_in(&wanted).next().is_some());
                if named { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
            }
        }
    }
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
            self.check_name(&certificate, end_entity)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
