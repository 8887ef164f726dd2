//! `IpAddress` and `NotIpAddress`: IPv4 and IPv6 CIDR (evaluation.md, rule 39).

use std::net::{IpAddr, Ipv4Addr};

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
        let address = match plain(value) {
            Some(address) => IpAddr::V4(address),
            None => match value.parse::<IpAddr>() {
                Ok(address) => address.to_canonical(),
                Err(_) => return Compared::Unreadable,
            },
        };
        Compared::of(self.networks.iter().any(|network| network.contains(&address)))
    }
}

/// Reads what most requests come from, an IPv4 address as it is usually written, in half the time. None does not say that it is
/// no address.
fn plain(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut bytes = text.bytes();
    for (n, octet) in octets.iter_mut().enumerate() {
        let first = bytes.next().filter(u8::is_ascii_digit)?;
        let mut number = u16::from(first - b'0');
        let end = loop {
            match bytes.next() {
                // A leading zero may mean an octal number.
                Some(digit @ b'0'..=b'9') if number > 0 && number < 100 => {
                    number = number * 10 + u16::from(digit - b'0')
                }
                end => break end,
            }
        };
        *octet = u8::try_from(number).ok()?;
        if end != (n < 3).then_some(b'.') {
            return None;
        }
    }
    Some(Ipv4Addr::from(octets))
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
    fn addresses_are_read_alike() {
        let octets =
            ["0", "1", "9", "10", "99", "100", "255", "256", "00", "01", "010", "1000", "", "a", "1a", "-1", " 1"];
        let numbered = octets.iter().flat_map(|a| octets.iter().map(move |b| (a, b)));
        for (a, b) in numbered {
            for text in
                [format!("{a}.{b}.0.7"), format!("7.0.{a}.{b}"), format!("{a}.1.1{b}"), format!("{a}.1.1.1.{b}")]
            {
                assert!(plain(&text).is_none_or(|plain| text.parse() == Ok(plain)), "{text}");
            }
        }
        assert_eq!(plain("203.0.113.255"), Some(Ipv4Addr::new(203, 0, 113, 255)));
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
