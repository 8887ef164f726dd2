//! Files become what a listener shakes hands with, or an error for who will mend them.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::endpoint::Active;
use super::files::Files;
use super::verifier::Verifier;
use super::{Certificate, TlsError};
use crate::config::{TlsListener, TlsOptions, TlsVersion};

/// Checks everything that can be known before the first client comes.
pub(super) fn build(
    listener: TlsListener,
    options: &TlsOptions,
    files: &Files,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Active, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&options.cert, &files.cert)?;
    let Some(own) = chain.first().cloned() else { return Err(no_certificate(&options.cert, &files.cert)) };
    let (certificate, not_after) = read_chain(&options.cert, &chain, now)?;
    let key = private_key(&options.key, &files.key)?;
    let key = pair(options, chain, &key, &provider)?;
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(options.min_version))
        .map_err(|error| TlsError::new(&options.cert, error.to_string(), "please report this"))?;
    let clients = match (&options.client_ca, &files.client_ca) {
        (Some(path), Some(pem)) => {
            let authorities = authorities(path, pem)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                .build()
                .map_err(|error| TlsError::new(path, error.to_string(), CA_HINT))?;
            versions.with_client_cert_verifier(Arc::new(Verifier::new(
                verifier,
                own,
                options.allowed.clone(),
                listener,
            )))
        }
        (None, _) => versions.with_no_client_auth(),
        // A fault of ours must not let everybody in.
        (Some(path), None) => return Err(TlsError::new(path, "was not read", "please report this")),
    };
    let mut server = clients.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    server.alpn_protocols = match listener {
        TlsListener::Grpc => vec![b"h2".to_vec()],
        TlsListener::Admin => vec![b"http/1.1".to_vec()],
    };
    // Connections last. Without sessions to take up, every client is verified by what is active when it connects.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Active { server: Arc::new(server), certificate, not_after, loaded_at: now, digest })
}

static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::V12 => &FROM_12,
        TlsVersion::V13 => &FROM_13,
    }
}

const PEM_HINT: &str = "write it in PEM: lines of base64 between `-----BEGIN ...-----` and `-----END ...-----`";
const CA_HINT: &str = "write the certificates of the authorities that sign clients' certificates, in PEM";

pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let list = list.map_err(|error| TlsError::new(path, format!("cannot be read: {}", pem_words(&error)), PEM_HINT))?;
    if list.is_empty() { Err(no_certificate(path, pem)) } else { Ok(list) }
}

fn no_certificate(path: &Path, pem: &[u8]) -> TlsError {
    let hint = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(_) => "this is a private key: are certificate and key swapped?",
        Err(_) => PEM_HINT,
    };
    TlsError::new(path, "no certificate in the file", hint)
}

/// Clocks differ: what was signed on another machine a moment ago may begin in the future here, and clients take it.
const CLOCK_ALLOWANCE: SignedDuration = SignedDuration::from_mins(5);

/// The service's own certificate, and when the first of the chain ends.
fn read_chain(path: &Path, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(Certificate, Timestamp), TlsError> {
    let mut read = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let number = index + 1;
        let wrong = |error| TlsError::new(path, format!("certificate {number} cannot be read: {error}"), PEM_HINT);
        read.push(Certificate::parse(der).map_err(wrong)?);
    }
    let begins = read.iter().map(|certificate| certificate.not_before).max();
    let ends = read.iter().map(|certificate| certificate.not_after).min();
    let (Some(own), Some(begins), Some(ends)) = (read.into_iter().next(), begins, ends) else {
        return Err(TlsError::new(path, "no certificate in the file", PEM_HINT));
    };
    check_dates(path, begins, ends, now)?;
    Ok((own, ends))
}

/// What clients would refuse is refused here. Time alone can mend it, so the error says which.
fn check_dates(path: &Path, begins: Timestamp, ends: Timestamp, now: Timestamp) -> Result<(), TlsError> {
    let usable = begins.saturating_sub(CLOCK_ALLOWANCE).unwrap_or(begins)..ends;
    let (message, hint) = if now < usable.start {
        let hint = "until then keep the one before; if it should be valid by now, compare the clock of this machine";
        (format!("the certificate is not valid before {begins}"), hint)
    } else if now >= usable.end {
        let hint = "renew it; if it is new, compare the clock of this machine";
        (format!("the certificate has expired at {ends}"), hint)
    } else {
        return Ok(());
    };
    Err(TlsError { usable: Some(usable), ..TlsError::new(path, message, hint) })
}

pub(super) fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let text = String::from_utf8_lossy(pem);
        let hint = if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            "it is encrypted, and nobody is there to give the password: decrypt it (`openssl pkey`)"
        } else if text.contains("BEGIN CERTIFICATE") {
            "this is a certificate: are certificate and key swapped?"
        } else {
            PEM_HINT
        };
        let message = match matches!(error, PemError::NoItemsFound) {
            true => "no private key in the file".to_owned(),
            false => format!("cannot be read: {}", pem_words(&error)),
        };
        TlsError::new(path, message, hint)
    })
}

fn pair(
    options: &TlsOptions,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let fits = |chain| CertifiedKey::from_der(chain, key.clone_key(), provider);
    fits(chain.clone()).map_err(|error| match chain.into_iter().skip(1).any(|other| fits(vec![other]).is_ok()) {
        true => {
            let message = format!("the certificate of `{}` is not the first in the file", options.key.display());
            TlsError::new(&options.cert, message, "write the service's own first, then those that sign it")
        }
        false => wrong_key(&options.cert, &options.key, &error),
    })
}

pub(super) fn wrong_key(cert: &Path, key: &Path, error: &rustls::Error) -> TlsError {
    if let rustls::Error::InconsistentKeys(_) = error {
        let message = format!("not the key of the certificate in `{}`", cert.display());
        return TlsError::new(key, message, "write both files; the service looks at them again until they fit");
    }
    let hint = "use RSA of 2048 bits or more, ECDSA (P-256, P-384) or Ed25519";
    TlsError::new(key, "a key that cannot be used", hint)
}

pub(super) fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, der) in certificates(path, pem)?.into_iter().enumerate() {
        let number = index + 1;
        store
            .add(der)
            .map_err(|error| TlsError::new(path, format!("certificate {number} cannot be used: {error}"), CA_HINT))?;
    }
    Ok(store)
}

/// The library's words show lines of the file as lists of numbers.
fn pem_words(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { end_marker } => {
            format!("the line `-----END {}-----` is missing", String::from_utf8_lossy(end_marker).trim())
        }
        PemError::IllegalSectionStart { .. } => {
            "a line that begins with `-----BEGIN` does not end in `-----`".to_owned()
        }
        PemError::Base64Decode(_) => "between its lines of dashes there is something else than base64".to_owned(),
        PemError::Io(_) | PemError::NoItemsFound | PemError::SectionTooLarge | _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_authorities_that_were_asked_for_nobody_is_let_in() {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        let options = |client_ca: Option<&str>| TlsOptions {
            cert: "tls.crt".into(),
            key: "tls.key".into(),
            client_ca: client_ca.map(Into::into),
            allowed: Vec::new(),
            min_version: TlsVersion::V12,
        };
        let build = |client_ca| {
            let files =
                Files { cert: cert.clone().into_bytes(), key: key.serialize_pem().into_bytes(), client_ca: None };
            build(TlsListener::Grpc, &options(client_ca), &files, [0; 32], Timestamp::now())
        };
        assert!(build(None).is_ok());
        assert_eq!(build(Some("ca.crt")).unwrap_err().message, "was not read");
    }
}
