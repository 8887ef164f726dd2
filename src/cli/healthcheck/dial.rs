//! Connections that the client of gRPC does not make by itself.
#![expect(clippy::disallowed_methods, reason = "a client opens connections")]

use std::io;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Error};

use super::cannot_connect;
use crate::tls::client::{ClientOptions, ServiceName, connector};

/// More of an answer is not read.
const MOST_BYTES: u64 = 8 << 10;

pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    TcpStream::connect((host, port)).await.map_err(|error| cannot_connect(&error))
}

pub(super) async fn tls(
    host: &str,
    port: u16,
    options: &ClientOptions,
    alpn: &[u8],
) -> Result<TlsStream<TcpStream>, String> {
    let connector = connector(options, alpn).map_err(|error| error.to_string())?;
    let stream = tcp(host, port).await?;
    let localhost = || ServerName::try_from("localhost").ok();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // What the service is told that it was called by; what it must be called is checked by the options.
    let name = match &options.name {
        Some(ServiceName::Host(name)) => Some(name.clone()),
        Some(ServiceName::Uri(_)) | None => ServerName::try_from(host.to_owned()).ok(),
    };
    let Some(name) = name.or_else(localhost) else { return Err(format!("`{host}` is no name")) };
    connector.connect(name, stream).await.map_err(|error| format!("no TLS: {error}"))
}

/// gRPC over a connection that is there already.
pub(super) async fn over(endpoint: Endpoint, stream: TlsStream<TcpStream>) -> Result<Channel, Error> {
    let mut stream = Some(stream);
    let once = tower::service_fn(move |_| {
        let stream = stream.take().map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    endpoint.connect_with_connector(once).await
}

/// Asks `/readyz`.
pub(super) async fn readyz(host: &str, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| cannot_connect(&error))?;
    let mut answer = Vec::new();
    // A peer may close TLS without a word; what it has said counts.
    let read = stream.take(MOST_BYTES).read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match (head.split(' ').nth(1), read) {
        (Some("200"), _) => Ok(()),
        (Some("503"), _) => Err(format!("not serving: {}", body.trim())),
        (Some(code), _) => Err(format!("answers with {code}; is this its --admin-listen?")),
        (None, Err(error)) => Err(format!("no answer: {error}")),
        (None, Ok(_)) => Err("its answer is not HTTP; is this its --admin-listen, and has that TLS?".to_owned()),
    }
}
