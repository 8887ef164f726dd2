//! What is active for a listener, and how it came about.

use std::io;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::files::Reading;
use super::verifier::NOT_ALLOWED;
use super::{Certificate, TlsError, build};
use crate::config::{TlsListener, TlsOptions};
use crate::reload::ReloadResult;

/// TLS of one listener.
#[derive(Debug)]
pub struct Endpoint {
    /// Whose it is.
    pub listener: TlsListener,
    /// As the flags say.
    pub options: TlsOptions,
    /// Written by who looks at the files, read once for each handshake.
    active: ArcSwap<Active>,
    /// Why the files are not what is active; None while they are. Written as above.
    trouble: ArcSwapOption<Trouble>,
}

/// What handshakes are made with. Never changes.
#[derive(Debug)]
pub struct Active {
    pub(super) server: Arc<ServerConfig>,
    /// The service's own.
    pub certificate: Certificate,
    /// When the first certificate of the chain ends.
    pub not_after: Timestamp,
    /// Since when it is active.
    pub loaded_at: Timestamp,
    pub(super) digest: [u8; 32],
}

/// Files that cannot be used.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When they were found.
    pub at: Timestamp,
    /// What is wrong.
    pub error: TlsError,
    digest: [u8; 32],
}

impl Trouble {
    fn is_over(&self, now: Timestamp) -> bool {
        self.error.usable.as_ref().is_some_and(|usable| usable.contains(&now))
    }
}

impl Endpoint {
    /// Reads the files for the first time.
    pub fn load(listener: TlsListener, options: TlsOptions) -> Result<Self, TlsError> {
        let Reading { digest, files } = Reading::of(&options);
        let active = build::build(listener, &options, &files?, digest, Timestamp::now())?;
        Ok(Self { listener, options, active: ArcSwap::from_pointee(active), trouble: ArcSwapOption::empty() })
    }

    /// What is active now.
    pub fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// What is wrong with the files, if anything is.
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.trouble.load_full()
    }

    /// For the next handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.active.load().server))
    }

    pub(super) fn read(&self) -> Reading {
        Reading::of(&self.options)
    }

    /// Whether this was not judged yet, or is to be judged again because its time has come.
    pub(super) fn is_news(&self, reading: &Reading, now: Timestamp) -> bool {
        match &*self.trouble.load() {
            Some(trouble) => trouble.digest != reading.digest || trouble.is_over(now),
            None => self.active.load().digest != reading.digest,
        }
    }

    /// Makes the files active, or says why not.
    pub(super) fn judge(&self, reading: Reading, now: Timestamp) -> ReloadResult {
        let Reading { digest, files } = reading;
        if digest == self.active.load().digest {
            self.trouble.store(None);
            return ReloadResult::Unchanged;
        }
        match files.and_then(|files| build::build(self.listener, &self.options, &files, digest, now)) {
            Ok(active) => {
                self.active.store(Arc::new(active));
                self.trouble.store(None);
                ReloadResult::Activated
            }
            Err(error) => {
                self.trouble.store(Some(Arc::new(Trouble { at: now, error, digest })));
                ReloadResult::Rejected
            }
        }
    }
}

/// Whether a handshake failed because the client has none of the allowed names.
pub fn is_refusal(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(reason)) if *reason == NOT_ALLOWED)
}

#[cfg(test)]
mod tests;
