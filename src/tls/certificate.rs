//! What a certificate says, as far as people and flags ask for it.

use std::fmt::Write;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use crate::config::san::{AllowedSan, San};

/// A certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, as `CN=cart,O=Acme`; often empty.
    pub subject: String,
    /// Whom else it is for. Names of other kinds are left out.
    pub names: Vec<San>,
    /// From when on it is good.
    pub not_before: jiff::Timestamp,
    /// Until when it is good.
    pub not_after: jiff::Timestamp,
    /// SHA-256, in hex.
    pub fingerprint: String,
}

impl Certificate {
    /// Reads a certificate. The error says what is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|error| error.to_string())?.tbs_certificate;
        let names = match parsed.get::<SubjectAltName>().map_err(|error| error.to_string())? {
            Some((_, names)) => names.0.iter().filter_map(san).collect(),
            None => Vec::new(),
        };
        let (not_before, not_after) = (time(parsed.validity.not_before), time(parsed.validity.not_after));
        Ok(Self { subject: parsed.subject.to_string(), names, not_before, not_after, fingerprint: fingerprint(der) })
    }

    /// Its names that are allowed. A SPIFFE id is none beside another URI: who has it is then not said (X.509-SVID, section 2).
    pub fn let_in(&self, allowed: &[AllowedSan]) -> impl Iterator<Item = &San> {
        let uris = self.names.iter().filter(|name| matches!(name, San::Uri(_))).count();
        let is_said = move |name: &&San| uris <= 1 || !name.is_spiffe_id();
        self.names.iter().filter(is_said).filter(|name| allowed.iter().any(|entry| entry.allows(name)))
    }

    /// Who has it, in one word: the first URI, else the first DNS name, else the subject. If some of its names are allowed,
    /// only those count, of whatever kind.
    pub fn identity(&self, allowed: &[AllowedSan]) -> String {
        let let_in: Vec<&San> = self.let_in(allowed).collect();
        let any = let_in.first().copied();
        let names = if any.is_some() { let_in } else { self.names.iter().collect() };
        let uri = names.iter().find(|name| matches!(name, San::Uri(_))).copied();
        let dns = || names.iter().find(|name| matches!(name, San::Dns(_))).copied();
        uri.or_else(dns).or(any).map_or_else(|| self.subject.clone(), ToString::to_string)
    }
}

/// Who has this certificate; of one that cannot be read, the fingerprint.
pub fn identity(der: &[u8], allowed: &[AllowedSan]) -> String {
    let named = Certificate::parse(der).map(|certificate| certificate.identity(allowed));
    named.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| format!("sha256:{}", fingerprint(der)))
}

fn time(time: Time) -> jiff::Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn san(name: &GeneralName) -> Option<San> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(San::Uri(uri.to_string())),
        GeneralName::DnsName(name) => Some(San::Dns(name.to_string())),
        GeneralName::Rfc822Name(email) => Some(San::Email(email.to_string())),
        GeneralName::IpAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(octets.as_bytes()).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(octets.as_bytes()).map(IpAddr::from)).ok().map(San::Ip)
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => None,
    }
}
