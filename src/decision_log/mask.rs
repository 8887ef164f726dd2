//! What is not said: the values of condition keys and tags that may be secret or about a person.
#![expect(clippy::disallowed_methods, reason = "the secret of hashes is not the policy store")]

use std::collections::HashMap;
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::text::{put_hex, put_text};
use crate::access::fold_key;
use crate::config::MaskOptions;
use crate::finding::io_words;
use crate::wildcard::Wildcard;

/// Under this name the session policies of a request are masked, as if they were a condition key.
pub(super) const SESSION_POLICIES: &str = "session_policies";

/// A shorter secret could be guessed.
const LEAST_SECRET_BYTES: usize = 16;

/// Of a hash, so many bytes are written: two values in 2^64 have the same.
const HASH_BYTES: usize = 16;

/// Condition keys whose values are neither secret nor about a person: what AWS says of the request, its network of clouds and
/// its accounts. Sorted.
const HARMLESS: [&str; 38] = [
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:chatbotsourcearn",
    "aws:currenttime",
    "aws:ec2instancesourcevpc",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principalservicenameslist",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:resourceorgid",
    "aws:resourceorgpaths",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpcarn",
    "aws:sourcevpce",
    "aws:tagkeys",
    "aws:tokenissuetime",
    "aws:viaawsmcpservice",
    "aws:viaawsservice",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
    "sts:tagkeys",
];

/// What becomes of the values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    Shown,
    Hashed,
    Dropped,
}

/// Which keys are masked, and how.
pub(super) struct Masks {
    full: bool,
    keep: Patterns,
    drop: Patterns,
    hash: Patterns,
    /// Keyed with the secret, and nothing read yet.
    keyed: Option<Hmac<Sha256>>,
    /// What was found out before: callers ask with the same few keys.
    known: Vec<Known>,
    /// Where each of them stands.
    places: HashMap<Box<[u8]>, usize, foldhash::quality::RandomState>,
    /// Where the one stands that was asked for last.
    last: usize,
    /// How many lines were begun.
    lines: u64,
}

/// What is known of a key.
struct Known {
    key: Box<[u8]>,
    mask: Mask,
    /// The key in quotes, with a colon behind it.
    name: Box<[u8]>,
    /// Where the key stands that was asked for next the last time: mostly it is again, since callers have their order.
    next: usize,
    /// The last line that it may stand in only once.
    line: u64,
}

/// Callers may make keys up; with so many of them, it is forgotten before the next line what was found out.
const MOST_KNOWN: usize = 1_024;

/// Longer keys are looked at anew each time: no condition key is, and they would not be bounded by their number.
const LONGEST_KNOWN: usize = 256;

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masks").field("full", &self.full).finish_non_exhaustive()
    }
}

/// Patterns of condition keys, in lower case.
#[derive(Debug)]
struct Patterns(Vec<Wildcard>);

impl Patterns {
    fn new(texts: &[String]) -> Self {
        Self(texts.iter().map(|text| Wildcard::new(&fold_key(text))).collect())
    }

    fn have(&self, folded: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(folded))
    }
}

impl Masks {
    /// Reads the secret, if there is one. The error is for people.
    pub(super) fn new(options: &MaskOptions) -> Result<Self, String> {
        let MaskOptions { full, keep, drop, hash, hash_key_file } = options;
        let keyed = hash_key_file.as_deref().map(read_secret).transpose()?;
        let [keep, drop, hash] = [keep, drop, hash].map(|texts| Patterns::new(texts));
        Ok(Self {
            full: *full,
            keep,
            drop,
            hash,
            keyed,
            known: Vec::new(),
            places: HashMap::default(),
            last: 0,
            lines: 0,
        })
    }

    /// Another line begins.
    pub(super) fn begin_line(&mut self) {
        self.lines = self.lines.wrapping_add(1);
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
            self.places.clear();
        }
    }

    /// What becomes of the values of this key.
    pub(super) fn of(&mut self, key: &[u8]) -> Mask {
        match self.known(key) {
            Some(known) => known.mask,
            None => self.find(key),
        }
    }

    /// Writes a key as the name of its values, and says what becomes of them.
    pub(super) fn put_name(&mut self, out: &mut Vec<u8>, key: &[u8]) -> Mask {
        match self.known(key) {
            Some(known) => {
                out.extend_from_slice(&known.name);
                known.mask
            }
            None => {
                out.extend_from_slice(&name(key));
                self.find(key)
            }
        }
    }

    /// The same; None if the line has this key already, or if the key is too long to know that.
    pub(super) fn put_name_once(&mut self, out: &mut Vec<u8>, key: &[u8]) -> Option<Mask> {
        let line = self.lines;
        let known = self.known(key).filter(|known| known.line != line)?;
        known.line = line;
        out.extend_from_slice(&known.name);
        Some(known.mask)
    }

    /// None of a key that is looked at anew each time.
    fn known(&mut self, key: &[u8]) -> Option<&mut Known> {
        let next = self.known.get(self.last).map_or(0, |last| last.next);
        let place = match self.known.get(next) {
            Some(known) if *known.key == *key => next,
            _ => self.look_up(key)?,
        };
        self.last = place;
        self.known.get_mut(place)
    }

    fn look_up(&mut self, key: &[u8]) -> Option<usize> {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.learn(key)?,
        };
        if let Some(last) = self.known.get_mut(self.last) {
            last.next = place;
        }
        Some(place)
    }

    #[cold]
    fn learn(&mut self, key: &[u8]) -> Option<usize> {
        if key.len() > LONGEST_KNOWN {
            return None;
        }
        let place = self.known.len();
        self.known.push(Known { key: key.into(), mask: self.find(key), name: name(key).into(), next: 0, line: 0 });
        self.places.insert(key.into(), place);
        Some(place)
    }

    /// What is said to be dropped is, whatever else is said.
    fn find(&self, key: &[u8]) -> Mask {
        let folded = &*fold_key(&String::from_utf8_lossy(key));
        if self.drop.have(folded) {
            return Mask::Dropped;
        }
        if self.hash.have(folded) {
            return self.hashed();
        }
        let harmless = || HARMLESS.binary_search(&folded).is_ok();
        if self.full || self.keep.have(folded) || harmless() { Mask::Shown } else { self.hashed() }
    }

    fn hashed(&self) -> Mask {
        if self.keyed.is_some() { Mask::Hashed } else { Mask::Dropped }
    }

    /// Writes the hash of a value of a key.
    pub(super) fn put_hash(&self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        let Some(mut hash) = self.keyed.clone() else { return };
        hash.update(fold_key(&String::from_utf8_lossy(key)).as_bytes());
        hash.update(&[0]);
        hash.update(value);
        let digest = hash.finalize().into_bytes();
        put_hex(out, digest.get(..HASH_BYTES).unwrap_or_default());
    }
}

/// A key in quotes, with a colon behind it.
fn name(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 3);
    put_text(&mut name, key);
    name.push(b':');
    name
}

/// The line's end that editors put behind it is not part of a secret.
fn read_secret(path: &Path) -> Result<Hmac<Sha256>, String> {
    let refused = |why: String, hint: &str| {
        format!("cannot use the secret of --decision-log-hash-key-file `{}`: {why}; hint: {hint}", path.display())
    };
    let bytes = std::fs::read(path).map_err(|error| {
        refused(io_words(&error), "is the path right, and may the user that the service runs as read it?")
    })?;
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if secret.len() < LEAST_SECRET_BYTES {
        let why = format!("it has {} bytes, and could be guessed", secret.len());
        return Err(refused(why, "write 16 bytes or more, such as `openssl rand -hex 32` prints"));
    }
    Hmac::new_from_slice(secret).map_err(|error| refused(error.to_string(), "write another secret"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MaskOptions {
        MaskOptions { full: false, keep: vec![], drop: vec![], hash: vec![], hash_key_file: None }
    }

    fn secret(text: &str) -> (tempfile::TempDir, MaskOptions) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        (folder, MaskOptions { hash_key_file: Some(path), ..options() })
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(HARMLESS.is_sorted());
        assert!(HARMLESS.iter().all(|key| *key == fold_key(key)));
    }

    #[test]
    fn by_default_nothing_is_said_of_keys_that_may_tell_something() {
        let mut masks = Masks::new(&options()).unwrap();
        for key in [
            "aws:userid",
            "aws:SourceIp",
            "aws:UserAgent",
            "aws:Referer",
            "sts:ExternalId",
            "sts:RoleSessionName",
            "saml:sub",
            "accounts.google.com:email",
            "aws:RequestTag/Owner",
            "aws:PrincipalTag/Name",
            "aws:ResourceTag/x",
            "s3:prefix",
            "unheard:Of",
            SESSION_POLICIES,
        ] {
            assert_eq!(masks.of(key.as_bytes()), Mask::Dropped, "{key}");
        }
        for key in ["aws:RequestedRegion", "AWS:MULTIFACTORAUTHPRESENT", "aws:SourceVpce", "aws:CurrentTime"] {
            assert_eq!(masks.of(key.as_bytes()), Mask::Shown, "{key}");
        }
    }

    #[test]
    fn dropped_before_hashed_before_kept() {
        let (_folder, options) = secret("0123456789abcdef\n");
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let options = MaskOptions {
            full: true,
            keep: words(&["aws:userid", "saml:*"]),
            drop: words(&["SAML:sub", "aws:PrincipalTag/*"]),
            hash: words(&["saml:aud", "saml:sub"]),
            ..options
        };
        let mut masks = Masks::new(&options).unwrap();
        assert_eq!(masks.of("saml:SUB".as_bytes()), Mask::Dropped);
        assert_eq!(masks.of("aws:principaltag/Anything".as_bytes()), Mask::Dropped);
        assert_eq!(masks.of("saml:aud".as_bytes()), Mask::Hashed);
        assert_eq!(masks.of("saml:iss".as_bytes()), Mask::Shown);
        assert_eq!(masks.of("anything".as_bytes()), Mask::Shown);
        let mut masks = Masks::new(&MaskOptions { full: false, ..options }).unwrap();
        assert_eq!(masks.of("anything".as_bytes()), Mask::Hashed, "with a secret, what is not known is hashed");
        assert_eq!(masks.of("aws:userid".as_bytes()), Mask::Shown);
    }

    #[test]
    fn a_hash_depends_on_secret_key_and_value() {
        let hash = |text: &str, key: &str, value: &str| {
            let (_folder, options) = secret(text);
            let mut out = Vec::new();
            Masks::new(&options).unwrap().put_hash(&mut out, key.as_bytes(), value.as_bytes());
            String::from_utf8(out).unwrap()
        };
        // By `printf 'aws:userid\0AIDA' | openssl dgst -sha256 -hmac 0123456789abcdef`, its first half.
        let known = hash("0123456789abcdef", "aws:userid", "AIDA");
        assert_eq!(known, "705d7bab6d6ec57ff2a50d4a79cafa41");
        assert_eq!(known, hash("0123456789abcdef\n", "AWS:UserId", "AIDA"));
        assert_ne!(known, hash("0123456789abcdeX", "aws:userid", "AIDA"));
        assert_ne!(known, hash("0123456789abcdef", "aws:username", "AIDA"));
        assert_ne!(known, hash("0123456789abcdef", "aws:userid", "AIDB"));
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        let (_folder, options) = secret("short\n");
        let path = options.hash_key_file.clone().unwrap();
        let expected = format!(
            "cannot use the secret of --decision-log-hash-key-file `{}`: it has 5 bytes, and could be guessed; \
             hint: write 16 bytes or more, such as `openssl rand -hex 32` prints",
            path.display()
        );
        assert_eq!(Masks::new(&options).unwrap_err(), expected);
        std::fs::remove_file(&path).unwrap();
        assert!(Masks::new(&options).unwrap_err().contains("`: no such file or directory; hint: "));
    }
}
