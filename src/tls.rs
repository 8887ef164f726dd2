//! Transport security: certificates become what a listener shakes hands with, and keep up with their files.
//!
//! An [`Endpoint`] holds what is active for one listener. `files` is the only reader of certificates and keys; `build`
//! makes a [`rustls::ServerConfig`] of them, or says what is wrong; `verifier` lets clients in or not; `keeping` looks at
//! the files again. What is wrong leaves the last good certificate in place. Connections that are open notice nothing.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, TlsListener};

mod build;
pub mod certificate;
pub mod client;
mod collector;
mod endpoint;
mod files;
mod keeping;
mod verifier;

pub use certificate::Certificate;
pub use collector::collector;
pub use endpoint::{Active, Endpoint, Trouble, is_refusal};
pub use keeping::{Keeping, Options, keep};

/// What is wrong with a file of certificates or keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file.
    pub file: String,
    /// What is wrong: lowercase, no full stop.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// When the files can be used as they are, if nothing but the time is wrong.
    pub usable: Option<Range<jiff::Timestamp>>,
}

impl TlsError {
    fn new(file: &Path, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let file = file.display().to_string();
        Self { file, message: message.into(), hint: Some(hint.into()), usable: None }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TlsError {}

/// The endpoints of a service, as far as it speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Of `--listen`, over TCP.
    pub grpc: Option<Arc<Endpoint>>,
    /// Of `--admin-listen`.
    pub admin: Option<Arc<Endpoint>>,
}

impl Endpoints {
    /// Reads what the flags name; all that is wrong.
    pub fn load(config: &Config) -> Result<Self, Vec<TlsError>> {
        let mut errors = Vec::new();
        let mut load = |listener, options: &Option<_>| {
            let loaded = options.clone().map(|options| Endpoint::load(listener, options).map(Arc::new))?;
            loaded.map_err(|error| errors.push(error)).ok()
        };
        let endpoints =
            Self { grpc: load(TlsListener::Grpc, &config.tls), admin: load(TlsListener::Admin, &config.admin_tls) };
        errors.dedup();
        if errors.is_empty() { Ok(endpoints) } else { Err(errors) }
    }

    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.grpc.iter().chain(&self.admin)
    }
}
