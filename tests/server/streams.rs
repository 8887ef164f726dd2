//! Streams that their clients keep full: there is always another request, so that nothing is ever waited for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use iamd::engine::Engine;
use iamd::server;
use iamd::server::State;
use iamd::server::grpc::{Answers, Authorization};
use iamd::server::incoming::{Incoming, Listener};
use iamd::server::logging::Hearers;
use prost::bytes::Bytes;
use tonic::{Code, Status};

use crate::service::{config, empty_snapshot, state, streamed};

/// A request's body without end, of one message a frame.
struct Endless {
    frame: Bytes,
    frames: Arc<AtomicUsize>,
}

impl Endless {
    fn new() -> Self {
        let message = prost::Message::encode_to_vec(&streamed(1));
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Self { frame: [&[0][..], &length, &message].concat().into(), frames: Arc::default() }
    }
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(http_body::Frame::data(self.frame.clone()))))
    }
}

/// How a stream ends that is asked for more and more.
async fn end(state: &Arc<State>, engine: &Arc<Engine>, body: Endless, timeout: Option<Duration>) -> Status {
    let limits = config(&[]).limits.request;
    let authorization = Arc::new(Authorization::new(Arc::clone(engine), Arc::clone(state), limits));
    let mut answers = Answers::new(authorization, body, timeout, Hearers::default());
    let ends = async {
        loop {
            if let Err(status) = std::future::poll_fn(|context| answers.poll(context)).await {
                return status;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ends).await.unwrap()
}

#[tokio::test]
async fn a_stream_that_is_kept_full_ends_at_its_deadline() {
    let state = state(&config(&[]));
    let engine = Arc::new(Engine::new(empty_snapshot(), 1 << 20));
    let status = end(&state, &engine, Endless::new(), Some(Duration::from_millis(50))).await;
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "not answered within 50ms"));
}

#[tokio::test]
async fn a_stream_that_is_kept_full_ends_when_the_service_stops() {
    let config = config(&["--window-bytes", "64KiB"]);
    let state = state(&config);
    let engine = Arc::new(Engine::new(empty_snapshot(), 1 << 20));
    let listener = Listener::bind(&config.listen[0], &config.unix_socket).await.unwrap();
    let incoming = Incoming::new(vec![listener], Arc::clone(&state));
    let running = server::serve(&state, &engine, &config.limits, 1, incoming).await.unwrap();
    running.stop().await;
    let body = Endless::new();
    let (frames, frame_bytes) = (Arc::clone(&body.frames), body.frame.len());
    let status = end(&state, &engine, body, None).await;
    let expected = "the service is stopping; connect again and resend what was not answered";
    assert_eq!((status.code(), status.message()), (Code::Unavailable, expected));
    // All that can have arrived by then is answered, and no more.
    assert_eq!(frames.load(Ordering::Relaxed), (64_usize << 10).div_ceil(frame_bytes));
}
