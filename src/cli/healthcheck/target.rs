//! Whom to ask, and how: by the flags, or by what the service itself was told in the same environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::HealthcheckArgs;
use crate::tls::client::{ClientOptions, ServiceName};

/// Where `iamd serve` listens if nothing else is said.
const DEFAULT_ADDRESS: &str = "127.0.0.1:50051";

/// Whom to ask.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// As written.
    pub(super) address: String,
    pub(super) place: Place,
}

/// What listens there.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// gRPC, at a Unix socket.
    Unix,
    /// gRPC.
    Grpc { host: String, port: u16, tls: Option<ClientOptions> },
    /// `/readyz`.
    Admin { host: String, port: u16, tls: Option<ClientOptions> },
}

impl Target {
    /// `listen`: what the service was told, if that is known. The error names the flag.
    pub(super) fn new(args: &HealthcheckArgs, listen: Option<&str>) -> Result<Self, String> {
        let address = args.address.clone().or_else(|| listened(listen?)).unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        let place = match address.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Some(Place::Unix),
            Some(("unix", _)) => None,
            Some(("https", rest)) => match host_and_port(rest.strip_prefix("//").unwrap_or_default()) {
                Some((host, port)) => Some(Place::Admin { tls: Some(tls(args, &host)?), host, port }),
                None => None,
            },
            Some(("http", rest)) => host_and_port(rest.strip_prefix("//").unwrap_or_default())
                .map(|(host, port)| Place::Admin { host, port, tls: None }),
            _ => match host_and_port(&address) {
                Some((host, port)) if asks_for_tls(args) => {
                    Some(Place::Grpc { tls: Some(tls(args, &host)?), host, port })
                }
                found => found.map(|(host, port)| Place::Grpc { host, port, tls: None }),
            },
        };
        let wrong = || {
            format!(
                "--address: `{address}` is not an address; write HOST:PORT or unix:/PATH for gRPC, https://HOST:PORT or \
                 http://HOST:PORT for --admin-listen"
            )
        };
        let place = place.ok_or_else(wrong)?;
        match place {
            Place::Unix | Place::Admin { tls: None, .. } => without_tls(args, &address)?,
            Place::Grpc { .. } | Place::Admin { tls: Some(_), .. } => {}
        }
        Ok(Self { place, address })
    }
}

fn asks_for_tls(args: &HealthcheckArgs) -> bool {
    let HealthcheckArgs { tls_ca, tls_cert, tls_key, tls_server_name, .. } = args;
    tls_ca.is_some() || tls_cert.is_some() || tls_key.is_some() || tls_server_name.is_some()
}

/// An address that is asked without TLS goes with no flag of it. What the environment says of TLS concerns the service, or
/// another probe.
fn without_tls(args: &HealthcheckArgs, address: &str) -> Result<(), String> {
    let flags = ["tls-ca", "tls-cert", "tls-key", "tls-server-name"];
    let is_written = |flag: &&str| args.written.contains(&flag.replace('-', "_"));
    match flags.into_iter().find(is_written) {
        Some(flag) => Err(format!(
            "--{flag}: `{address}` is asked without TLS; write HOST:PORT, or https://HOST:PORT for --admin-listen"
        )),
        None => Ok(()),
    }
}

/// Of what the service listens on: a Unix socket, which needs no certificate, or the first address with a port.
fn listened(list: &str) -> Option<String> {
    let mut addresses = list.split(',');
    let unix = addresses.clone().find(|address| address.starts_with("unix:")).map(str::to_owned);
    let reachable = |address: &str| {
        let mut tcp: SocketAddr = address.parse().ok().filter(|tcp: &SocketAddr| tcp.port() != 0)?;
        match tcp.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => tcp.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => tcp.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        Some(tcp.to_string())
    };
    unix.or_else(|| addresses.find_map(reachable))
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    plain.then_some((host.to_owned(), port.parse().ok()?))
}

fn tls(args: &HealthcheckArgs, host: &str) -> Result<ClientOptions, String> {
    let own = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
        (None, None) => None,
        (Some(_), None) => return Err("--tls-cert: needs --tls-key, too".to_owned()),
        (None, Some(_)) => return Err("--tls-key: needs --tls-cert, too".to_owned()),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    if args.tls_ca.is_none() && !loopback {
        return Err(format!(
            "--tls-ca: needed to know the service at `{host}` for what it is; only loopback goes without"
        ));
    }
    let (flag, name) = match &args.tls_server_name {
        Some(_) if args.tls_ca.is_none() => {
            return Err("--tls-server-name: needs --tls-ca: without it any certificate will do".to_owned());
        }
        Some(name) => ("--tls-server-name", Some(name.as_str())),
        None => ("--address", (!loopback).then_some(host)),
    };
    let wrong = |name| format!("{flag}: `{name}` is not a DNS name, IP address or URI");
    let name = name.map(|name| ServiceName::parse(name).ok_or_else(|| wrong(name))).transpose()?;
    Ok(ClientOptions { ca: args.tls_ca.clone(), name, own })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_was_told_says_where_to_ask() {
        let cases = [
            ("0.0.0.0:50051", Some("127.0.0.1:50051")),
            ("[::]:50051,127.0.0.1:1", Some("[::1]:50051")),
            ("127.0.0.1:0,10.0.0.1:2", Some("10.0.0.1:2")),
            ("127.0.0.1:1,unix:/run/iamd.sock", Some("unix:/run/iamd.sock")),
            ("127.0.0.1:0", None),
            ("nonsense", None),
        ];
        for (list, expected) in cases {
            assert_eq!(listened(list).as_deref(), expected, "{list}");
        }
    }
}
