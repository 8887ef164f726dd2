//! TLS of a socket that never waits.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Whom to trust, and what to show.
pub type Trust = Arc<ClientConfig>;

/// From files in PEM: authorities, and a certificate with its key if the service asks for one.
pub fn trust(authorities: &Path, own: Option<(&Path, &Path)>) -> Result<Trust, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", authorities.display()))?;
    }
    let fail = |error: rustls::Error| error.to_string();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(fail)?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, key)) => {
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
            config.with_client_auth_cert(certificates(certificate)?, secret).map_err(fail)?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |error| format!("{}: {error}", file.display());
    CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(fail)
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Secured {
    pub stream: TcpStream,
    session: Box<ClientConnection>,
}

impl Secured {
    /// Makes the handshake, and waits for it as long as the stream's timeouts allow.
    pub fn open(mut stream: TcpStream, address: SocketAddr, trust: &Trust) -> io::Result<Self> {
        let name = ServerName::from(address.ip());
        let mut session = ClientConnection::new(Arc::clone(trust), name).map_err(Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self { stream, session: Box::new(session) })
    }

    /// Whether something is encrypted and not written.
    pub fn wants_to_write(&self) -> bool {
        self.session.wants_write()
    }
}

impl Read for Secured {
    /// Gives all that has arrived if there is room for it.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        loop {
            match self.session.reader().read(&mut buffer[length..]) {
                Ok(0) => return Ok(length),
                Ok(more) => length += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) if length > 0 => return Ok(length),
                Err(error) => return Err(error),
            }
            if length == buffer.len() {
                return Ok(length);
            }
            match self.session.read_tls(&mut self.stream) {
                Ok(_) => {
                    self.session.process_new_packets().map_err(|error| Error::new(ErrorKind::InvalidData, error))?
                }
                Err(_) if length > 0 => return Ok(length),
                Err(error) => return Err(error),
            };
        }
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let length = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(length),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}
