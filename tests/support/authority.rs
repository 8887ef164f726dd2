//! A certificate authority, and what it signs.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, in PEM.
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For a subject with these names.
    pub fn issue(&self, subject: &str, names: &[&str]) -> Pair {
        self.issue_until(subject, names, 2099)
    }

    /// Good until the first day of a year.
    pub fn issue_until(&self, subject: &str, names: &[&str], year: i32) -> Pair {
        self.issue_between(subject, names, 2000, year)
    }

    /// Good from the first day of a year until that of another.
    pub fn issue_between(&self, subject: &str, names: &[&str], from: i32, until: i32) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !subject.is_empty() {
            params.distinguished_name.push(DnType::CommonName, subject);
        }
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// The service's.
    pub fn server(&self) -> Pair {
        self.issue("iamd", &["iamd.example", "127.0.0.1"])
    }
}

fn san(name: &str) -> SanType {
    let text = || name.try_into().unwrap();
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains(':') => SanType::URI(text()),
        Err(_) if name.contains('@') => SanType::Rfc822Name(text()),
        Err(_) => SanType::DnsName(text()),
    }
}

/// Files in a folder of their own: certificate and key of a service, and who signs its clients.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new(pair: &Pair, client_ca: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(files.at("tls.crt"), &pair.cert).unwrap();
        fs::write(files.at("tls.key"), &pair.key).unwrap();
        fs::write(files.at("ca.crt"), client_ca).unwrap();
        files
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn name(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// Flags of a family: `tls` or `admin-tls`.
    pub fn flags(&self, family: &str, mutual: bool) -> Vec<String> {
        let flag = |flag: &str, file: &str| [format!("--{family}-{flag}"), self.name(file)];
        let mut flags: Vec<String> = [flag("cert", "tls.crt"), flag("key", "tls.key")].concat();
        if mutual {
            flags.extend(flag("client-ca", "ca.crt"));
        }
        flags
    }
}
