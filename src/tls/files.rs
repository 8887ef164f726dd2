//! The only reader of certificates and keys.

use std::io::Read;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::TlsError;
use crate::config::TlsOptions;
use crate::finding::io_words;
use crate::regular;

/// Bundles of all public authorities have 250 KiB.
const MOST_BYTES: u64 = 4 << 20;

/// What is in the files of a listener.
pub(super) struct Files {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_ca: Option<Vec<u8>>,
}

/// The files as they were found at one time.
pub(super) struct Reading {
    /// Of the content, or of why there is none.
    pub(super) digest: [u8; 32],
    pub(super) files: Result<Files, TlsError>,
}

impl Reading {
    pub(super) fn of(options: &TlsOptions) -> Self {
        let files = Files::read(options);
        let mut digest = Sha256::new();
        match &files {
            Ok(files) => [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()]
                .into_iter()
                .flatten()
                .for_each(|content| digest.update(Sha256::digest(content))),
            Err(error) => digest.update(error.to_string()),
        }
        Self { digest: digest.finalize().into(), files }
    }
}

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, TlsError> {
        let client_ca = options.client_ca.as_deref().map(read).transpose()?;
        Ok(Self { cert: read(&options.cert)?, key: read(&options.key)?, client_ca })
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut content = Vec::new();
    let read = regular::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut content));
    match read {
        Ok(_) if content.len() as u64 <= MOST_BYTES => Ok(content),
        Ok(_) => Err(TlsError::new(path, "more than 4 MiB, expected PEM", "is this the right file?")),
        Err(error) => {
            let hint = match regular::is_other(&error) {
                true => regular::HINT,
                false => "is the path right, the volume mounted, and may the user that the service runs as read it?",
            };
            Err(TlsError::new(path, format!("cannot read the file: {}", io_words(&error)), hint))
        }
    }
}
