//! TCP, TLS and Unix sockets, as one.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::tls::{Secured, Trust};

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| format!("`{text}` is neither IP:PORT nor unix:/PATH")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connected socket that never waits.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Tls(Secured),
    Unix(UnixStream),
}

/// How long loopback may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// And each answer of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

impl Socket {
    /// The same with TLS, which Unix sockets have none of.
    pub fn connect_secured(address: &Address, trust: &Trust) -> io::Result<Self> {
        let Address::Tcp(address) = address else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is for IP:PORT"));
        };
        let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let secured = Secured::open(stream, *address, trust)?;
        secured.stream.set_nonblocking(true)?;
        Ok(Self::Tls(secured))
    }

    pub fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(stream))
            }
        }
    }

    /// Whether it keeps something that was written to it.
    pub fn wants_to_write(&self) -> bool {
        matches!(self, Self::Tls(secured) if secured.wants_to_write())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(secured) => secured.stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(secured) => secured.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(secured) => secured.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(secured) => secured.flush(),
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
        }
    }
}
