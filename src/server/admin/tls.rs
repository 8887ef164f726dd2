//! The part of `/status` that is about certificates.

use serde::Serialize;

use crate::config::TlsVersion;
use crate::tls::{Endpoint, Trouble};

#[derive(Serialize)]
pub(super) struct TlsView {
    listener: &'static str,
    subject: String,
    sans: Vec<String>,
    not_after: String,
    fingerprint_sha256: String,
    loaded_at: String,
    min_version: &'static str,
    client_certificates: bool,
    last_error: Option<ErrorView>,
}

#[derive(Serialize)]
struct ErrorView {
    at: String,
    file: String,
    message: String,
    hint: Option<String>,
}

impl TlsView {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let active = endpoint.active();
        let certificate = &active.certificate;
        Self {
            listener: endpoint.listener.as_str(),
            subject: certificate.subject.clone(),
            sans: certificate.names.iter().map(ToString::to_string).collect(),
            not_after: active.not_after.to_string(),
            fingerprint_sha256: certificate.fingerprint.clone(),
            loaded_at: active.loaded_at.to_string(),
            min_version: match endpoint.options.min_version {
                TlsVersion::V12 => "1.2",
                TlsVersion::V13 => "1.3",
            },
            client_certificates: endpoint.options.client_ca.is_some(),
            last_error: endpoint.trouble().map(|trouble| ErrorView::new(&trouble)),
        }
    }
}

impl ErrorView {
    fn new(trouble: &Trouble) -> Self {
        let error = trouble.error.clone();
        Self { at: trouble.at.to_string(), file: error.file, message: error.message, hint: error.hint }
    }
}
