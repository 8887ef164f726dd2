//! Transport security: `--tls-*` for gRPC, `--admin-tls-*` for metrics, probes and status.

use std::path::{Path, PathBuf};

use super::Config;
use super::parse::Checker;
use super::san::AllowedSan;

/// The flags, as written.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Certificate in PEM, with its chain: every TCP address of gRPC speaks TLS; read again when it changes
    #[arg(long, env = "IAMD_TLS_CERT", value_name = "FILE", help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert in PEM
    #[arg(long, env = "IAMD_TLS_KEY", value_name = "FILE", help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,

    /// Certificate authorities in PEM; with it, clients must have a certificate of one of them
    #[arg(long, env = "IAMD_TLS_CLIENT_CA", value_name = "FILE", help_heading = "TLS")]
    pub tls_client_ca: Option<PathBuf>,

    /// Name that a client's certificate must have: URI, DNS name, email or IP address, or `spiffe://TRUST_DOMAIN/PATH/*`
    /// for all below; repeat for several, of which one suffices
    #[arg(long, env = "IAMD_TLS_ALLOWED_SAN", value_name = "NAME", value_delimiter = ',', help_heading = "TLS")]
    pub tls_allowed_san: Vec<String>,

    /// Oldest version of TLS that is spoken, 1.2 or 1.3 [default: 1.2]
    #[arg(long, env = "IAMD_TLS_MIN_VERSION", value_name = "VERSION", help_heading = "TLS")]
    pub tls_min_version: Option<String>,

    /// The admin listener's certificate, as --tls-cert
    #[arg(long, env = "IAMD_ADMIN_TLS_CERT", value_name = "FILE", help_heading = "TLS")]
    pub admin_tls_cert: Option<PathBuf>,

    /// The admin listener's private key, as --tls-key
    #[arg(long, env = "IAMD_ADMIN_TLS_KEY", value_name = "FILE", help_heading = "TLS")]
    pub admin_tls_key: Option<PathBuf>,

    /// Certificate authorities of probes and scrapers, which then need a certificate, as --tls-client-ca
    #[arg(long, env = "IAMD_ADMIN_TLS_CLIENT_CA", value_name = "FILE", help_heading = "TLS")]
    pub admin_tls_client_ca: Option<PathBuf>,

    /// Name that the certificate of a probe or scraper must have, as --tls-allowed-san
    #[arg(long, env = "IAMD_ADMIN_TLS_ALLOWED_SAN", value_name = "NAME", value_delimiter = ',', help_heading = "TLS")]
    pub admin_tls_allowed_san: Vec<String>,

    /// Oldest version of TLS that the admin listener speaks, as --tls-min-version
    #[arg(long, env = "IAMD_ADMIN_TLS_MIN_VERSION", value_name = "VERSION", help_heading = "TLS")]
    pub admin_tls_min_version: Option<String>,
}

/// Listeners that share their flags of TLS, and a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsListener {
    /// `--listen`.
    Grpc,
    /// `--admin-listen`.
    Admin,
}

impl TlsListener {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Admin];

    /// The label in metrics, status and log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Admin => "admin",
        }
    }
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The service's certificate, and its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs clients' certificates; None: clients need none.
    pub client_ca: Option<PathBuf>,
    /// Names of which a client's certificate must have one; empty: whatever its names are.
    pub allowed: Vec<AllowedSan>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl Config {
    /// The flag that names this file of TLS; the first, if there are several.
    pub fn flag_of(&self, file: &Path) -> Option<&'static str> {
        [(&GRPC, &self.tls), (&ADMIN, &self.admin_tls)].into_iter().find_map(|(flags, options)| {
            let TlsOptions { cert, key, client_ca, .. } = options.as_ref()?;
            let files = [(flags.cert, Some(cert)), (flags.key, Some(key)), (flags.client_ca, client_ca.as_ref())];
            files.into_iter().find_map(|(flag, named)| (named? == file).then_some(flag))
        })
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// The flags of one family.
struct Flags {
    cert: &'static str,
    key: &'static str,
    client_ca: &'static str,
    allowed_san: &'static str,
    min_version: &'static str,
}

const GRPC: Flags = Flags {
    cert: "--tls-cert",
    key: "--tls-key",
    client_ca: "--tls-client-ca",
    allowed_san: "--tls-allowed-san",
    min_version: "--tls-min-version",
};

const ADMIN: Flags = Flags {
    cert: "--admin-tls-cert",
    key: "--admin-tls-key",
    client_ca: "--admin-tls-client-ca",
    allowed_san: "--admin-tls-allowed-san",
    min_version: "--admin-tls-min-version",
};

/// What one family says, as written.
struct Written<'a> {
    flags: &'static Flags,
    cert: &'a Option<PathBuf>,
    key: &'a Option<PathBuf>,
    client_ca: &'a Option<PathBuf>,
    allowed_san: &'a [String],
    min_version: Option<&'a str>,
}

impl TlsArgs {
    /// How gRPC speaks TLS, if it does.
    pub(super) fn grpc(&self, check: &mut Checker) -> Option<TlsOptions> {
        let written = Written {
            flags: &GRPC,
            cert: &self.tls_cert,
            key: &self.tls_key,
            client_ca: &self.tls_client_ca,
            allowed_san: &self.tls_allowed_san,
            min_version: self.tls_min_version.as_deref(),
        };
        written.check(check)
    }

    /// How the admin listener speaks TLS, if it does.
    pub(super) fn admin(&self, check: &mut Checker) -> Option<TlsOptions> {
        let written = Written {
            flags: &ADMIN,
            cert: &self.admin_tls_cert,
            key: &self.admin_tls_key,
            client_ca: &self.admin_tls_client_ca,
            allowed_san: &self.admin_tls_allowed_san,
            min_version: self.admin_tls_min_version.as_deref(),
        };
        written.check(check)
    }
}

impl Written<'_> {
    fn check(&self, check: &mut Checker) -> Option<TlsOptions> {
        let Flags { cert, key, client_ca, allowed_san, min_version } = *self.flags;
        if self.cert.is_some() != self.key.is_some() {
            let (given, missing) = if self.cert.is_some() { (cert, key) } else { (key, cert) };
            check.problem(given, format!("needs {missing}, too: a certificate and its key are two files"));
        } else if self.cert.is_none() {
            for (flag, given) in [(client_ca, self.client_ca.is_some()), (min_version, self.min_version.is_some())] {
                if given {
                    check.problem(flag, format!("needs {cert} and {key}: without them there is no TLS"));
                }
            }
        }
        if self.client_ca.is_none() && !self.allowed_san.is_empty() {
            check.problem(allowed_san, format!("needs {client_ca}: without it clients have no certificates"));
        }
        let allowed = self.allowed(check);
        let min_version = self.version(check);
        let (cert, key) = (self.cert.clone()?, self.key.clone()?);
        Some(TlsOptions { cert, key, client_ca: self.client_ca.clone(), allowed, min_version })
    }

    fn allowed(&self, check: &mut Checker) -> Vec<AllowedSan> {
        let mut allowed = Vec::with_capacity(self.allowed_san.len());
        for text in self.allowed_san {
            match AllowedSan::parse(text) {
                Ok(entry) => allowed.push(entry),
                Err(reason) => check.problem(self.flags.allowed_san, format!("`{text}` is not a name: {reason}")),
            }
        }
        allowed
    }

    fn version(&self, check: &mut Checker) -> TlsVersion {
        match self.min_version {
            None | Some("1.2") => TlsVersion::V12,
            Some("1.3") => TlsVersion::V13,
            Some(text) => {
                let message = format!("`{text}` is not a version that is spoken; write `1.2` or `1.3`");
                check.problem(self.flags.min_version, message);
                TlsVersion::V13
            }
        }
    }
}
