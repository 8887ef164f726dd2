//! gRPC's framing: a body's frames become messages, and messages become frames. A message has five bytes in front of it,
//! a flag (compressed or not) and its length.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body;
use prost::bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tonic::Status;

use super::convert;

/// Bytes in front of a message.
pub const HEAD_BYTES: usize = 5;

/// Room is made for so many times as much of a message as has arrived of it: for the rest of 64 KiB, when a frame of 16 KiB is
/// there.
const AHEAD: usize = 4;

/// Of a longer message no part is kept where there is no room. Shorter ones come whole, but for those that the frames of a stream
/// happen to cut; were all of `--max-in-flight` cut, their parts would be 16 MiB.
const SHORT_BYTES: usize = 4 * 1024;

/// A body of a request that can be served.
pub trait RequestBody: Body<Data = Bytes, Error: std::fmt::Display + Into<BoxError>> + Send + Unpin + 'static {}

impl<B> RequestBody for B where B: Body<Data = Bytes, Error: std::fmt::Display + Into<BoxError>> + Send + Unpin + 'static
{}

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The messages of a request's body.
#[derive(Debug)]
pub struct Messages<B> {
    body: B,
    /// Longer messages are refused.
    limit: usize,
    /// What has come of the body and is no message yet. Usually a frame holds whole messages, which are cut off it.
    arrived: Bytes,
    /// A message of which the rest has yet to come, with its head.
    partial: BytesMut,
}

impl<B: RequestBody> Messages<B> {
    /// Of this body.
    pub fn new(body: B, limit: usize) -> Self {
        Self { body, limit, arrived: Bytes::new(), partial: BytesMut::new() }
    }

    /// What is left of the body.
    pub fn into_body(self) -> B {
        self.body
    }

    /// The next message; None at the end of the body. Before a part of a long one is kept, `room` says whether there is any.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        room: impl Fn() -> Result<(), Status>,
    ) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.cut(&room) {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                // Trailers say nothing in a request.
                Some(Ok(frame)) => self.arrived = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(convert::broken_body(&error)))),
                None if self.partial.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(convert::cut_off()))),
            }
        }
    }

    /// Whether nothing more will come, as far as can be told without waiting.
    pub fn is_at_end(&self) -> bool {
        self.arrived.is_empty() && self.partial.is_empty() && self.body.is_end_stream()
    }

    /// Whether some of a message has arrived, and the rest has not.
    pub fn is_in_the_middle(&self) -> bool {
        !self.partial.is_empty()
    }

    /// A whole message of what has arrived. None if all that has arrived is a part of one.
    fn cut(&mut self, room: impl Fn() -> Result<(), Status>) -> Result<Option<Bytes>, Status> {
        let room_for = |length: usize| if length > SHORT_BYTES { room() } else { Ok(()) };
        if self.partial.is_empty() {
            let Some(length) = self.length_at(&self.arrived)? else { return Ok(self.keep(HEAD_BYTES)) };
            if self.arrived.len() < HEAD_BYTES + length {
                room_for(length)?;
                // All of it at once; but what is said to come is believed only as far as something has come.
                self.partial.reserve((HEAD_BYTES + length).min(AHEAD * self.arrived.len()));
                return Ok(self.keep(HEAD_BYTES + length));
            }
            self.arrived.advance(HEAD_BYTES);
            return Ok(Some(self.arrived.split_to(length)));
        }
        if self.partial.len() < HEAD_BYTES {
            self.keep(HEAD_BYTES);
        }
        let Some(length) = self.length_at(&self.partial)? else { return Ok(None) };
        if self.partial.len() + self.arrived.len() < HEAD_BYTES + length {
            room_for(length)?;
        }
        self.keep(HEAD_BYTES + length);
        if self.partial.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.partial.advance(HEAD_BYTES);
        Ok(Some(self.partial.split().freeze()))
    }

    /// Takes what has arrived to the partial message, until that has so many bytes.
    fn keep(&mut self, wanted: usize) -> Option<Bytes> {
        let missing = wanted.saturating_sub(self.partial.len()).min(self.arrived.len());
        self.partial.extend_from_slice(&self.arrived.split_to(missing));
        None
    }

    /// How long the message is that begins here; None while its head is not whole.
    fn length_at(&self, bytes: &[u8]) -> Result<Option<usize>, Status> {
        let Some(([flag, length @ ..], _)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        match flag {
            0 if length <= self.limit => Ok(Some(length)),
            0 => Err(convert::too_large(self.limit)),
            flag => Err(convert::compressed(*flag)),
        }
    }
}

/// Makes room for the head of a message, and says where it begins.
pub fn begin(out: &mut BytesMut) -> usize {
    let start = out.len();
    out.put_bytes(0, HEAD_BYTES);
    start
}

/// Writes the head of a message that began here and ends at the end.
pub fn end(out: &mut BytesMut, start: usize) {
    let length = out.len().saturating_sub(start + HEAD_BYTES);
    // What is longer than 4 GiB cannot be framed, and no client would take it: there the call fails.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    if let Some(head) = out.get_mut(start + 1..start + HEAD_BYTES) {
        head.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::Waker;

    use http_body::Frame;
    use proptest::prelude::*;

    use super::*;

    /// A body that comes in these pieces.
    pub(in crate::server) struct Pieces(VecDeque<Bytes>);

    impl Pieces {
        /// One message in its frame, come at once.
        pub(in crate::server) fn of(message: &[u8]) -> Self {
            Self::of_each([message])
        }

        /// Each message in its frame.
        pub(in crate::server) fn of_each(messages: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
            Self(messages.into_iter().map(|message| frame(message.as_ref()).freeze()).collect())
        }
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn frame(message: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let start = begin(&mut out);
        out.extend_from_slice(message);
        end(&mut out, start);
        out
    }

    /// The messages of a body, and the status that it ends with.
    fn read(pieces: impl IntoIterator<Item = Bytes>, limit: usize) -> (Vec<Bytes>, Option<String>) {
        let mut messages = Messages::new(Pieces(pieces.into_iter().collect()), limit);
        let mut context = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        loop {
            match messages.poll_next(&mut context, || Ok(())) {
                Poll::Ready(Some(Ok(message))) => read.push(message),
                Poll::Ready(Some(Err(status))) => return (read, Some(status.message().to_owned())),
                Poll::Ready(None) => return (read, None),
                Poll::Pending => panic!("pieces are always ready"),
            }
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_were_however_the_body_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in proptest::collection::vec(1..20_usize, 1..40),
        ) {
            let mut body: Bytes = messages.iter().flat_map(|message| frame(message)).collect();
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(body.split_to(cut.min(body.len())));
            }
            pieces.push(body);
            let (read, status) = read(pieces, 40);
            prop_assert_eq!(status, None);
            prop_assert_eq!(read, messages);
        }
    }

    #[test]
    fn what_a_head_claims_takes_no_memory() {
        let claims_a_mebibyte = Bytes::from_static(&[0, 0, 16, 0, 0, b'a']);
        let mut messages = Messages::new(Pieces([claims_a_mebibyte].into()), 1 << 20);
        let end = messages.poll_next(&mut Context::from_waker(Waker::noop()), || Ok(()));
        assert!(matches!(end, Poll::Ready(Some(Err(_)))), "cut off");
        assert!((6..1_000).contains(&messages.partial.capacity()), "{}", messages.partial.capacity());
    }

    #[test]
    fn no_part_of_a_long_message_is_kept_without_room() {
        let (short, long) = (SHORT_BYTES, SHORT_BYTES + 1);
        // Pieces, and how often there is room before there is none.
        for (length, pieces, room, whole) in
            [(short, 3, 0, true), (long, 1, 0, true), (long, 3, 0, false), (long, 3, 1, false), (long, 3, 2, true)]
        {
            let message = frame(&vec![b'a'; length]).freeze();
            let size = message.len().div_ceil(pieces);
            let body = Pieces(message.chunks(size).map(Bytes::copy_from_slice).collect());
            let mut messages = Messages::new(body, 1 << 20);
            let left = std::cell::Cell::new(room);
            let room_left = || {
                left.set(usize::checked_sub(left.get(), 1).ok_or_else(convert::memory_is_tight)?);
                Ok(())
            };
            let read = messages.poll_next(&mut Context::from_waker(Waker::noop()), room_left);
            let Poll::Ready(Some(read)) = read else { panic!("{read:?}") };
            assert_eq!(read.is_ok(), whole, "{length} bytes in {pieces}, {room}: {read:?}");
        }
    }

    #[test]
    fn what_is_no_message_says_so() {
        let cases: [(&[u8], &str); 4] = [
            (&[0, 0, 0], "Unexpected EOF decoding stream."),
            (&[0, 0, 0, 0, 2, 1], "Unexpected EOF decoding stream."),
            (&[0, 0, 0, 0, 9], "request: the message is larger than the limit of 8 bytes (--max-request-bytes)"),
            (
                &[1, 0, 0, 0, 1, 9],
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ),
        ];
        for (bytes, expected) in cases {
            for size in 1..=bytes.len() {
                let pieces = bytes.chunks(size).map(Bytes::copy_from_slice);
                assert_eq!(read(pieces, 8), (vec![], Some(expected.to_owned())), "{bytes:?} by {size}");
            }
        }
    }
}
