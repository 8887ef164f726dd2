//! Messages from bytes, as prost reads them, but for messages that would unfold to a hundred times their size.
//!
//! An empty field takes two bytes on the wire and more than a hundred in memory: a mebibyte of them would become a
//! hundred before anybody could count them. So the fields of a large message are counted first.

use prost::{DecodeError, Message as _};

use super::v1;
use super::view::Fields;

/// Smaller messages need not be counted: they unfold to two mebibytes at most.
const COUNTED_BYTES: usize = 16 * 1024;

/// The least bytes that a field of a request takes on average, if it says anything. A key with one value: an entry, a key, a
/// list and a value with two bytes in front of each.
const FIELD_BYTES: usize = 8;

/// Why bytes are no request.
#[derive(Debug)]
pub enum Malformed {
    /// They are not protobuf, or not this message.
    Undecodable(DecodeError),
    /// The same, of a message of this name whose parts are read as they lie in it.
    NotA(&'static str),
    /// So many fields in so many bytes say nothing.
    Hollow {
        /// How many fields.
        fields: usize,
        /// How many bytes.
        bytes: usize,
    },
}

/// Reads a request.
pub fn decode(message: &[u8]) -> Result<v1::IsAuthorizedRequest, Malformed> {
    let bytes = message.len();
    if bytes > COUNTED_BYTES {
        let fields = Fields::of(message).count();
        if fields > bytes / FIELD_BYTES {
            return Err(Malformed::Hollow { fields, bytes });
        }
    }
    v1::IsAuthorizedRequest::decode(message).map_err(Malformed::Undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_says_anything_is_not_too_small() {
        let keys = (10..100).map(|n| (n.to_string(), v1::ContextValues { values: vec![String::new()] }));
        let request = v1::IsAuthorizedRequest { context: keys.collect(), ..v1::IsAuthorizedRequest::default() };
        assert!(request.encoded_len() / 90 > FIELD_BYTES);
        let hollow = [0x32, 0].repeat(COUNTED_BYTES);
        assert!(matches!(decode(&hollow), Err(Malformed::Hollow { fields: COUNTED_BYTES, bytes: 32768 })));
    }
}
