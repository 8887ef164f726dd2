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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustls::server::WebPkiClientVerifier;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::super::socket::{Address, Socket};
    use super::*;

    const MUCH: usize = 4 << 20;

    /// Sends back what one client sends who shows this certificate.
    fn echo(listener: &TcpListener, certificate: &Path, key: &Path) {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificates(certificate).unwrap().remove(0)).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates(certificate).unwrap(), PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        let stream = listener.accept().unwrap().0;
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let mut bytes = vec![0; 100_000];
        let mut left = MUCH;
        while left > 0 {
            let length = stream.read(&mut bytes).unwrap();
            stream.write_all(&bytes[..length]).unwrap();
            stream.flush().unwrap();
            left -= length;
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }

    #[test]
    fn much_goes_both_ways_and_nothing_waits() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = ["crt", "key"].map(|name| directory.path().join(name));
        let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&certificate, issued.cert.pem()).unwrap();
        std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let trust = trust(&certificate, Some((&certificate, &key))).unwrap();
        let peer = std::thread::spawn(move || echo(&listener, &certificate, &key));

        let mut socket = Socket::connect_secured(&address, &trust).unwrap();
        let sent: Vec<u8> = (0..MUCH).map(|place| place.to_le_bytes()[0] ^ place.to_le_bytes()[1]).collect();
        let (mut written, mut got, mut buffer) = (0, Vec::new(), vec![0; 50_000]);
        while got.len() < MUCH {
            match socket.write(&sent[written..]) {
                Ok(length) => written += length,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            match socket.read(&mut buffer) {
                Ok(length) => got.extend_from_slice(&buffer[..length]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(got == sent && !socket.wants_to_write());
        drop(socket);
        peer.join().unwrap();
    }

    #[test]
    fn files_that_hold_nothing_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.crt");
        assert!(trust(&file, None).unwrap_err().contains("ca.crt"));
    }
}
