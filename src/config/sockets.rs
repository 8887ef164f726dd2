//! Who may connect where there is no TLS: Unix sockets by file permissions, plaintext beyond loopback on demand only.

use std::net::SocketAddr;

use clap::ArgAction;
use clap::builder::StringValueParser;

use super::parse::Checker;
use super::{Config, ListenAddress, TlsListener};

/// The flags, as written.
#[derive(clap::Args, Clone, Debug)]
pub struct SocketArgs {
    /// Permissions of Unix sockets, in octal: who may write may connect [default: 0660]
    #[arg(long, env = "IAMD_UNIX_SOCKET_MODE", value_name = "MODE", help_heading = "Listeners")]
    pub unix_socket_mode: Option<String>,

    /// Owner of Unix sockets, by number; only root can give them to others [default: the user that the service runs as]
    #[arg(long, env = "IAMD_UNIX_SOCKET_OWNER", value_name = "UID[:GID]", help_heading = "Listeners")]
    pub unix_socket_owner: Option<String>,

    /// Allow addresses beyond loopback without TLS: whoever reaches them can read along, and ask as anyone
    #[arg(
        long,
        env = "IAMD_INSECURE_LISTEN",
        action = ArgAction::SetTrue,
        value_parser = StringValueParser::new(),
        help_heading = "Listeners"
    )]
    pub insecure_listen: String,
}

/// The file of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Its permissions.
    pub mode: u32,
    /// User and group that it is given to.
    pub owner: Option<(u32, Option<u32>)>,
}

impl Default for SocketOptions {
    /// The containers of a pod run as different users, and share the group that the volume has (`fsGroup`): so the group
    /// may connect, and nobody else.
    fn default() -> Self {
        Self { mode: 0o660, owner: None }
    }
}

impl SocketArgs {
    pub(super) fn check(&self, listen: &[ListenAddress], check: &mut Checker) -> SocketOptions {
        let mut options = SocketOptions::default();
        if let Some(text) = &self.unix_socket_mode {
            options.mode = mode(text).unwrap_or_else(|| {
                let message = format!("`{text}` is not a mode; write up to four octal digits, at most `0777`");
                check.problem("--unix-socket-mode", message);
                options.mode
            });
        }
        if let Some(text) = &self.unix_socket_owner {
            options.owner = owner(text);
            if options.owner.is_none() {
                let message = format!("`{text}` is not an owner; write numbers, UID or UID:GID, such as `65532:65532`");
                check.problem("--unix-socket-owner", message);
            }
        }
        // An address that is wrong may have been meant to be one.
        let none = check.is_clean("--listen") && !listen.iter().any(|at| matches!(at, ListenAddress::Unix(_)));
        let flags = [("--unix-socket-mode", &self.unix_socket_mode), ("--unix-socket-owner", &self.unix_socket_owner)];
        for (flag, _) in flags.into_iter().filter(|(_, text)| none && text.is_some()) {
            check.problem(flag, "there is no Unix socket in --listen");
        }
        options
    }
}

fn mode(text: &str) -> Option<u32> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777)
}

fn owner(text: &str) -> Option<(u32, Option<u32>)> {
    // All bits set is how the system writes "nobody in particular".
    let id = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|id| digits && *id != u32::MAX)
    };
    match text.split_once(':') {
        Some((user, group)) => Some((id(user)?, Some(id(group)?))),
        None => Some((id(text)?, None)),
    }
}

impl Config {
    /// Addresses beyond loopback on which there is no TLS.
    pub fn exposed(&self) -> impl Iterator<Item = (TlsListener, SocketAddr)> {
        let grpc = self.listen.iter().filter(|_| self.tls.is_none()).filter_map(|address| match address {
            ListenAddress::Tcp(tcp) => Some((TlsListener::Grpc, *tcp)),
            ListenAddress::Unix(_) => None,
        });
        let admin = self.admin_tls.is_none().then_some((TlsListener::Admin, self.admin_listen));
        grpc.chain(admin).filter(|(_, address)| !address.ip().to_canonical().is_loopback())
    }

    pub(super) fn check_exposed(&self, insecure: bool, check: &mut Checker) {
        // A switch that is wrong may have been meant to allow it.
        let allowed = insecure || !check.is_clean("--insecure-listen");
        for (listener, address) in self.exposed().filter(|_| !allowed) {
            let (flag, family, loopback) = match listener {
                TlsListener::Grpc => ("--listen", "--tls-cert and --tls-key", "127.0.0.1:50051"),
                TlsListener::Admin => ("--admin-listen", "--admin-tls-cert and --admin-tls-key", "127.0.0.1:9090"),
            };
            let message = format!(
                "`{address}` is not loopback, and has no TLS; give {family}, listen on `{loopback}`, or allow it with \
                 --insecure-listen"
            );
            check.problem(flag, message);
        }
    }

    /// TLS on no address is a misunderstanding.
    pub(super) fn check_tls_is_used(&self, check: &mut Checker) {
        let any_tcp = self.listen.iter().any(|address| matches!(address, ListenAddress::Tcp(_)));
        if self.tls.is_some() && !any_tcp && check.is_clean("--listen") {
            check.problem("--tls-cert", "there is no TCP address in --listen, and Unix sockets have no TLS");
        }
    }
}
