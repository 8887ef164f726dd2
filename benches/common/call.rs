//! A call without HTTP/2: its body has arrived, and its answer is polled for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body::{Body, Frame};
use iamd::config::{ConnectionLimits, Limits, Overload, RequestLimits};
use iamd::engine::Engine;
use iamd::metrics::Metrics;
use iamd::server::State;
use iamd::server::grpc::Authorization;
use iamd::server::messages;
use prost::bytes::{Bytes, BytesMut};

/// A body that has arrived whole.
pub(crate) struct Arrived(pub(crate) Bytes);

impl Body for Arrived {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = std::mem::take(&mut self.0);
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// A body of these messages.
pub(crate) fn framed(messages: &[Vec<u8>]) -> Bytes {
    let mut out = BytesMut::new();
    for message in messages {
        let start = messages::begin(&mut out);
        out.extend_from_slice(message);
        messages::end(&mut out, start);
    }
    out.freeze()
}

/// The message of a batch of these.
pub(crate) fn batch(requests: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    requests.iter().for_each(|request| prost::encoding::bytes::encode(1, request, &mut out));
    out
}

/// The service, with limits that no bench reaches.
pub(crate) fn authorization(engine: Engine) -> Arc<Authorization> {
    let limits = Limits {
        connections: 1,
        streams_per_connection: 1,
        in_flight: 1,
        request_timeout: Duration::from_secs(1),
        request_bytes: 1 << 20,
        request: RequestLimits::default(),
        connection: ConnectionLimits::default(),
        overload: Overload::default(),
    };
    let state = Arc::new(State::new(&limits, Arc::new(Metrics::new())));
    Arc::new(Authorization::new(Arc::new(engine), state, limits.request))
}

/// Polls until it is done: nothing is waited for, only turns are taken.
pub(crate) fn done<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = poll(&mut context) {
            return done;
        }
    }
}
