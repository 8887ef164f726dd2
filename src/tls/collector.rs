//! TLS to a collector of traces. Its files are read once: what is exported can wait for a restart.

use std::path::Path;

use rustls::ClientConfig;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{TlsError, build, files};
use crate::config::otel::CollectorTls;

/// Reads the files that the options name; what cannot be used is refused here, where the file can be named.
pub fn collector(options: &CollectorTls) -> Result<ClientTlsConfig, TlsError> {
    let mut config = ClientTlsConfig::new();
    config = match &options.ca {
        Some(path) => {
            let pem = files::read(path)?;
            build::authorities(path, &pem)?;
            config.ca_certificate(Certificate::from_pem(pem))
        }
        None => config.with_native_roots(),
    };
    if let Some((cert, key)) = &options.identity {
        let (cert_pem, key_pem) = (files::read(cert)?, files::read(key)?);
        check_pair(cert, &cert_pem, key, &key_pem)?;
        config = config.identity(Identity::from_pem(cert_pem, key_pem));
    }
    Ok(config)
}

fn check_pair(cert: &Path, cert_pem: &[u8], key: &Path, key_pem: &[u8]) -> Result<(), TlsError> {
    let chain = build::certificates(cert, cert_pem)?;
    let private_key = build::private_key(key, key_pem)?;
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(cert, error.to_string(), "please report this"))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain, private_key);
    config.map(drop).map_err(|error| build::wrong_key(cert, key, &error))
}
