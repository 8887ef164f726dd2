//! `BinaryEquals`: base64, compared as bytes (evaluation.md, rule 38).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Compared, parsed};
use crate::policy::document::{Reader, Text};

/// The values of `BinaryEquals`.
#[derive(Debug)]
pub(crate) struct Binaries {
    values: Box<[Vec<u8>]>,
}

impl Binaries {
    pub(crate) fn new(texts: &[Text], reader: &mut Reader<'_>) -> Option<Self> {
        let values = parsed(texts, reader, "base64", |text| STANDARD.decode(text).ok())?;
        Some(Self { values: values.into() })
    }

    pub(crate) fn compare(&self, value: &str) -> Compared {
        match STANDARD.decode(value) {
            Ok(bytes) => Compared::of(self.values.contains(&bytes)),
            Err(_) => Compared::Unreadable,
        }
    }
}
