//! Clients of every sort.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use iamd::proto::v1::IsAuthorizedRequest;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::authority::Pair;
use crate::program::Program;

pub type Client = AuthorizationServiceClient<Channel>;

/// How a client connects.
#[derive(Clone)]
pub struct Caller {
    config: ClientConfig,
}

impl Caller {
    /// Trusts an authority; shows a certificate, if it has one.
    pub fn new(ca: &str, own: Option<&Pair>) -> Self {
        Self::speaking(ca, own, rustls::DEFAULT_VERSIONS)
    }

    pub fn speaking(ca: &str, own: Option<&Pair>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config }
    }

    pub fn alpn(mut self, protocol: &str) -> Self {
        self.config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        self
    }

    pub async fn tls(&self, address: &str) -> Result<TlsStream<TcpStream>, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("iamd.example").unwrap();
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        connector.connect(name, stream).await.map_err(|error| error.to_string())
    }

    /// The certificate that a service shows to whoever connects now.
    pub async fn shown(&self, address: &str) -> Vec<u8> {
        let stream = self.tls(address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    pub async fn connect(&self, address: &str) -> Result<Client, String> {
        let mut stream = Some(TokioIo::new(self.tls(address).await?));
        let once = tower::service_fn(move |_| {
            std::future::ready(stream.take().ok_or_else(|| std::io::Error::other("connected once already")))
        });
        let endpoint = Endpoint::from_static("http://iamd.example");
        let channel = endpoint.connect_with_connector(once).await.map_err(|error| format!("{error:?}"))?;
        Ok(Client::new(channel))
    }

    /// Connects and asks one question.
    pub async fn asks(&self, address: &str) -> Result<(), String> {
        ask(&mut self.connect(address).await?).await
    }
}

pub async fn ask(client: &mut Client) -> Result<(), String> {
    let request = IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::bucket/key".to_owned(),
        ..IsAuthorizedRequest::default()
    };
    client.is_authorized(request).await.map(drop).map_err(|status| format!("{status:?}"))
}

/// Waits until a condition holds.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: never");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The value of a metric; None if it has no such series.
pub fn metric(program: &Program, series: &str) -> Option<f64> {
    let text = program.get("/metrics").1;
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

pub async fn handshakes(program: &Program, listener: &str, result: &str, count: f64) {
    let series = format!("iamd_tls_handshakes_total{{listener=\"{listener}\",result=\"{result}\"}}");
    let counted = async || (metric(program, &series) == Some(count)).then_some(());
    eventually(&format!("{series} {count}"), counted).await;
}

pub fn status(program: &Program) -> serde_json::Value {
    serde_json::from_str(&program.get("/status").1).unwrap()
}

/// As [`Program::start`], of flags that were made.
pub fn start(flags: &[String], more: &[&str]) -> Program {
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Program::start(&flags)
}
