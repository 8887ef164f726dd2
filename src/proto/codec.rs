//! Messages to bytes and back, as prost does it, but for messages that would unfold to a hundred times their size.
//!
//! An empty request in a batch takes two bytes on the wire and 250 in memory: one mebibyte of them would become 125 MiB
//! before anybody could count them. So the fields of a large message are counted first. This is the one place besides
//! the conversion of answers that makes a [`Status`]: a message that is refused here never becomes a request.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::v1;

/// Smaller messages need not be counted: they unfold to two mebibytes at most.
const COUNTED_BYTES: usize = 16 * 1024;

/// A message of the service.
pub trait Shape: Message + Default + 'static {
    /// The least bytes that a field of the message takes on average, if it says anything; 0 where there are no lists to
    /// speak of.
    const FIELD_BYTES: usize;
}

impl Shape for v1::BatchIsAuthorizedRequest {
    // A request names a principal (`anonymous` and more), an action (`a:B`) and a resource (`*`), each with two bytes in
    // front, and so has the request itself: 11 + 5 + 3 + 2 = 21.
    const FIELD_BYTES: usize = 20;
}

impl Shape for v1::IsAuthorizedRequest {
    // A key with one value: an entry, a key, a list and a value with two bytes in front of each.
    const FIELD_BYTES: usize = 8;
}

impl Shape for v1::StreamIsAuthorizedRequest {
    const FIELD_BYTES: usize = 0;
}

// Answers, which clients read: they trust whom they ask.

impl Shape for v1::IsAuthorizedResponse {
    const FIELD_BYTES: usize = 0;
}

impl Shape for v1::BatchIsAuthorizedResponse {
    const FIELD_BYTES: usize = 0;
}

impl Shape for v1::StreamIsAuthorizedResponse {
    const FIELD_BYTES: usize = 0;
}

/// Writes `T`, reads `U`.
#[derive(Clone, Copy, Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, U: Shape> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Counting<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting(ProstCodec::<T, U>::raw_decoder(BufferSettings::default()))
    }
}

/// Counts before it reads.
#[derive(Clone, Debug, Default)]
pub struct Counting<U>(ProstDecoder<U>);

impl<U: Shape> Decoder for Counting<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let size = bytes.remaining();
        if size > COUNTED_BYTES && U::FIELD_BYTES > 0 {
            // INVARIANT: a message's bytes are contiguous; of one that were not, less would be counted.
            let fields = count_fields(bytes.chunk());
            if fields > size / U::FIELD_BYTES {
                return Err(Status::invalid_argument(format!(
                    "{fields} fields in a message of {size} bytes: most of them are empty, or close to it"
                )));
            }
        }
        self.0.decode(bytes)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// How many fields stand in a message, those in its fields not counted; up to the first that is not sound, which is
/// for the decoder to say.
fn count_fields(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while bytes.has_remaining() && skip_field(&mut bytes).is_some() {
        count += 1;
    }
    count
}

fn skip_field(bytes: &mut &[u8]) -> Option<()> {
    let (_, kind) = decode_key(bytes).ok()?;
    let length = match kind {
        WireType::Varint => decode_varint(bytes).map(|_| 0).ok()?,
        WireType::LengthDelimited => decode_varint(bytes).ok()?,
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    *bytes = bytes.get(usize::try_from(length).ok()?..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_kind_are_counted_up_to_the_first_unsound_one() {
        let cases: [(&[u8], usize); 7] = [
            (&[], 0),
            (&[0x0a, 0, 0x0a, 0], 2),
            (&[0x0a, 1, 9, 0x10, 0x96, 1], 2),
            (&[0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 1, 2, 3, 4], 2),
            (&[0x0a, 0, 0x0a, 9, 1], 1),
            (&[0x0a, 0, 0xff], 1),
            (&[0x0a, 0, 0x0b, 0x0c], 1),
        ];
        for (bytes, expected) in cases {
            assert_eq!(count_fields(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_least_that_says_anything_is_not_too_small() {
        let request = v1::IsAuthorizedRequest {
            principal: "anonymous".to_owned(),
            action: "a:B".to_owned(),
            resource: "*".to_owned(),
            ..v1::IsAuthorizedRequest::default()
        };
        let batch = v1::BatchIsAuthorizedRequest { requests: vec![request; 1_000] };
        assert!(batch.encoded_len() / 1_000 > v1::BatchIsAuthorizedRequest::FIELD_BYTES);
        let keys = (10..100).map(|n| (n.to_string(), v1::ContextValues { values: vec![String::new()] }));
        let request = v1::IsAuthorizedRequest { context: keys.collect(), ..v1::IsAuthorizedRequest::default() };
        assert!(request.encoded_len() / 90 > v1::IsAuthorizedRequest::FIELD_BYTES);
    }
}
