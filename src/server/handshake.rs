//! TLS handshakes: in time, and counted.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::State;
use crate::metrics::Handshake;
use crate::tls::{Endpoint, is_refusal};

/// How long a peer may take. Whoever connects and does not finish would hold one of `--max-connections` for ever.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Shakes hands with a peer; None if nothing comes of it, or if the service stops before.
pub(super) async fn shake(stream: TcpStream, endpoint: &Endpoint, state: &State) -> Option<TlsStream<TcpStream>> {
    let handshake = tokio::time::timeout(TIMEOUT, endpoint.acceptor().accept(stream));
    let ended = tokio::select! {
        ended = handshake => ended,
        () = state.stopped() => return None,
    };
    let result = match &ended {
        Ok(result) => outcome(result),
        Err(_) => Handshake::Timeout,
    };
    state.metrics.handshake(endpoint.listener, result);
    ended.ok()?.ok()
}

/// What is counted.
pub(super) fn outcome<T>(result: &std::io::Result<T>) -> Handshake {
    match result {
        Ok(_) => Handshake::Ok,
        Err(error) if is_refusal(error) => Handshake::Refused,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            Handshake::Failed
        }
    }
}
