//! Names that certificates carry (subject alternative names), and those that `--tls-allowed-san` lets in.

use std::fmt;
use std::net::IpAddr;

/// A name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// Such as `spiffe://acme.example/ns/shop/sa/cart`.
    Uri(String),
    /// Such as `cart.acme.example`.
    Dns(String),
    /// Such as `ops@acme.example`.
    Email(String),
    /// Such as `192.0.2.1`.
    Ip(IpAddr),
}

impl San {
    /// Whether it is a URI of SPIFFE, of which a certificate has one.
    pub fn is_spiffe_id(&self) -> bool {
        matches!(self, Self::Uri(uri) if uri.starts_with("spiffe://"))
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(name) | Self::Dns(name) | Self::Email(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// What a client's certificate must have one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedSan {
    /// This name, of this kind.
    Exactly(San),
    /// Every URI below this one, which ends in `/`: written with a `*` behind it.
    UrisBelow(String),
}

impl AllowedSan {
    /// Reads an entry. What it looks like says of which kind it is, and no name is of two kinds: an IP address; with a
    /// colon, a URI; with an `@`, an email address; else a DNS name. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let inner = text.strip_suffix("/*").unwrap_or(text);
        if inner.contains('*') {
            return Err("`*` stands for everything below a URI, at its end and after a `/`, and for nothing else");
        }
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("names of certificates have neither spaces nor letters beyond ASCII, nor are they empty");
        }
        if let Some(scheme) = inner.find(':').filter(|_| inner.parse::<IpAddr>().is_err()) {
            return Self::uri(text, inner, scheme);
        }
        if inner.len() < text.len() {
            return Err("only URIs have something below them");
        }
        Ok(Self::Exactly(match text.parse() {
            Ok(address) => San::Ip(address),
            Err(_) if text.contains('@') => San::Email(text.to_owned()),
            Err(_) if is_dns_name(text) => San::Dns(text.to_owned()),
            Err(_) => return Err(NO_KIND),
        }))
    }

    fn uri(text: &str, inner: &str, scheme: usize) -> Result<Self, &'static str> {
        let (scheme, rest) = inner.split_at_checked(scheme).unwrap_or_default();
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_scheme || rest.len() < 2 {
            return Err(NO_KIND);
        }
        if scheme == "spiffe" && !is_spiffe(rest) {
            return Err("a SPIFFE id has a trust domain, in small letters: `spiffe://acme.example/ns/shop`");
        }
        if inner.len() == text.len() {
            return Ok(Self::Exactly(San::Uri(text.to_owned())));
        }
        // `spiffe:/*` would be everybody.
        let has_authority = rest.strip_prefix("://").is_some_and(|authority| !authority.is_empty());
        if !has_authority {
            return Err("before `/*` there is a host or trust domain at least: `spiffe://acme.example/*`");
        }
        Ok(Self::UrisBelow(format!("{inner}/")))
    }

    /// Whether this entry lets in who has this name.
    pub fn allows(&self, name: &San) -> bool {
        match (self, name) {
            (Self::UrisBelow(prefix), San::Uri(uri)) => uri.strip_prefix(prefix).is_some_and(is_plain_path),
            // Host names are the same in capitals.
            (Self::Exactly(San::Dns(allowed)), San::Dns(name)) => allowed.eq_ignore_ascii_case(name),
            (Self::Exactly(allowed), name) => allowed == name,
            (Self::UrisBelow(_), _) => false,
        }
    }
}

/// Whether these are segments that stand for themselves, as those of SPIFFE ids do: none is empty, goes up, or is encoded.
fn is_plain_path(path: &str) -> bool {
    !path.contains(['%', '?', '#']) && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

const NO_KIND: &str = "it is no URI, DNS name, email address or IP address";

fn is_dns_name(text: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    text.split('.').all(label)
}

/// `rest`: what stands behind `spiffe`.
fn is_spiffe(rest: &str) -> bool {
    let Some(id) = rest.strip_prefix("://") else { return false };
    let domain = id.split('/').next().unwrap_or_default();
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    !domain.is_empty() && domain.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, name: &San) -> bool {
        AllowedSan::parse(entry).unwrap().allows(name)
    }

    #[test]
    fn names_of_the_same_kind_are_compared() {
        let uri = |text: &str| San::Uri(text.to_owned());
        let dns = |text: &str| San::Dns(text.to_owned());
        let cases = [
            ("spiffe://acme/ns/a", uri("spiffe://acme/ns/a"), true),
            ("spiffe://acme/ns/a", uri("spiffe://acme/ns/a/b"), false),
            ("spiffe://acme/ns/a", uri("spiffe://acme/ns/A"), false),
            ("spiffe://acme/ns/*", uri("spiffe://acme/ns/a/b"), true),
            ("spiffe://acme/ns/*", uri("spiffe://acme/ns/"), false),
            ("spiffe://acme/ns/*", uri("spiffe://acme/ns"), false),
            ("spiffe://acme/ns/*", uri("spiffe://acme/nsx/a"), false),
            ("spiffe://acme/*", uri("spiffe://acme/a"), true),
            ("spiffe://acme/*", uri("spiffe://acme.evil/a"), false),
            ("spiffe://acme/*", dns("spiffe://acme/a"), false),
            ("urn:uuid:1", uri("urn:uuid:1"), true),
            ("client.acme.example", dns("Client.acme.example"), true),
            ("client.acme.example", dns("other.acme.example"), false),
            ("client.acme.example", dns("*.acme.example"), false),
            ("client.acme.example", uri("client.acme.example"), false),
            ("ops@acme.example", San::Email("ops@acme.example".to_owned()), true),
            ("ops@acme.example", dns("ops@acme.example"), false),
            ("192.0.2.1", San::Ip("192.0.2.1".parse().unwrap()), true),
            ("192.0.2.1", dns("192.0.2.1"), false),
            ("2001:db8::1", San::Ip("2001:db8:0::1".parse().unwrap()), true),
        ];
        for (entry, name, expected) in cases {
            assert_eq!(allows(entry, &name), expected, "{entry} and {name:?}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        let cases = [
            ("*", "`*` stands for"),
            ("*.acme.example", "`*` stands for"),
            ("spiffe://acme/*/a", "`*` stands for"),
            ("spiffe://acme/a*", "`*` stands for"),
            ("spiffe://*", "a SPIFFE id"),
            ("client.example/*", "only URIs"),
            ("192.0.2.1/*", "only URIs"),
            ("https:/*", "it is no URI"),
            ("https:x/*", "before `/*`"),
            ("spiffe:/x", "a SPIFFE id"),
            ("spiffe:///x", "a SPIFFE id"),
            ("spiffe://Acme/x", "a SPIFFE id"),
            (":x", "it is no URI"),
            ("a..b", "it is no URI"),
            ("a/b", "it is no URI"),
            ("", "names of certificates"),
            ("a b", "names of certificates"),
        ];
        for (entry, expected) in cases {
            let error = AllowedSan::parse(entry).unwrap_err();
            assert!(error.starts_with(expected), "`{entry}`: {error}");
        }
    }
}
