//! `IpAddress` and `NotIpAddress`: IPv4 and IPv6 CIDR (evaluation.md, rule 39).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::{Compared, parsed};
use crate::policy::document::{Reader, Text};

/// The values of an address operator.
#[derive(Debug)]
pub(crate) struct Networks {
    networks: Box<[IpNet]>,
}

impl Networks {
    pub(crate) fn new(texts: &[Text], reader: &mut Reader<'_>) -> Option<Self> {
        let networks = parsed(texts, reader, "an IP address or CIDR block, such as `203.0.113.0/24`", parse)?;
        Some(Self { networks: networks.into() })
    }

    pub(crate) fn compare(&self, value: &str) -> Compared {
        match value.parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                Compared::of(self.networks.iter().any(|network| network.contains(&address)))
            }
            Err(_) => Compared::Unreadable,
        }
    }
}

/// Reads an address, with or without prefix length. An IPv4-mapped IPv6 address is its IPv4 address.
pub(crate) fn parse(text: &str) -> Option<IpNet> {
    if !text.contains('/') {
        return text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().ok()?;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        // Only an IPv6 network has so long a prefix.
        (IpAddr::V4(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).ok().map(IpNet::V4),
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(network: &str, address: &str) -> Option<bool> {
        let network = Networks { networks: Box::new([parse(network)?]) };
        match network.compare(address) {
            Compared::Match => Some(true),
            Compared::NoMatch => Some(false),
            Compared::Unreadable => None,
        }
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        let cases = [
            ("203.0.113.0/24", "203.0.113.255", Some(true)),
            ("203.0.113.0/24", "203.0.114.0", Some(false)),
            ("203.0.113.7", "203.0.113.7", Some(true)),
            ("0.0.0.0/0", "203.0.113.7", Some(true)),
            ("0.0.0.0/0", "2001:db8::1", Some(false)),
            ("::/0", "203.0.113.7", Some(false)),
            ("2001:DB8::1", "2001:0db8:0:0:0:0:0:1", Some(true)),
            ("2001:db8::/32", "2001:db9::1", Some(false)),
            ("203.0.113.0/24", "::ffff:203.0.113.7", Some(true)),
            ("::ffff:203.0.113.0/120", "203.0.113.7", Some(true)),
            ("203.0.113.0/24", "203.0.113.256", None),
            ("203.0.113.0/24", "", None),
            ("203.0.113.0/24", "203.0.113.0/25", None),
            ("203.0.113.7/24", "203.0.113.9", Some(true)),
        ];
        for (network, address, expected) in cases {
            assert_eq!(within(network, address), expected, "{address} in {network}");
        }
    }
}
