//! Header compression: requests are encoded once, answers are decoded where they differ from the last one.
//!
//! The peer is told that it has no dynamic table to use, so an answer's block can be read by itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The header block of every request on a connection: written out once, named by its entries in the peer's table after.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// For the first request of a connection; fills the peer's table.
    pub first: Vec<u8>,
    /// For all that follow.
    pub next: Vec<u8>,
}

/// Where the peer's dynamic table begins, after the 61 entries that everybody has.
const FIRST_DYNAMIC: usize = 62;

const METHOD_POST: u8 = 0x83;
const SCHEME_HTTP: u8 = 0x86;
const SCHEME_HTTPS: u8 = 0x87;

impl RequestHead {
    /// `names` are other headers than `:path` and `:authority`.
    pub fn new(authority: &str, path: &str, others: &[(&str, &str)]) -> Self {
        let mut first = vec![METHOD_POST, SCHEME_HTTP];
        let mut next = first.clone();
        // A literal to be remembered, its name by its index in the static table: 4 is `:path`, 1 is `:authority`.
        for (name, value) in [(4, path), (1, authority)] {
            first.push(0x40 | name);
            write_text(&mut first, value);
        }
        for (name, value) in others {
            first.push(0x40);
            write_text(&mut first, name);
            write_text(&mut first, value);
        }
        let fields = others.len() + 2;
        for written in 0..fields {
            // The newest entry is the first. Few fields: one byte each.
            let index = FIRST_DYNAMIC + fields - 1 - written;
            next.push(0x80 | u8::try_from(index).unwrap_or(0x7f));
        }
        Self { first, next }
    }

    /// The same over TLS.
    pub fn secured(mut self) -> Self {
        self.first[1] = SCHEME_HTTPS;
        self.next[1] = SCHEME_HTTPS;
        self
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_integer(out, 0, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn write_integer(out: &mut Vec<u8>, flags: u8, bits: u8, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.push(flags | low_byte(value));
        return;
    }
    out.push(flags | low_byte(most));
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(0x80 | low_byte(rest & 0x7f));
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

/// What an answer's headers or trailers say about how the call went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `:status`
    pub http: Option<u16>,
    /// `grpc-status`
    pub grpc: Option<u8>,
    /// `grpc-message`, as it was sent.
    pub message: Option<String>,
    /// Whether `grpc-status-details-bin` has a RetryInfo.
    pub retry_info: bool,
}

/// Reads a block; `None` if it is malformed or uses the table that the peer was told it has not.
pub fn read(block: &[u8]) -> Option<Said> {
    let mut said = Said::default();
    let mut rest = block;
    while let Some(byte) = rest.first().copied() {
        let (name, value) = match byte {
            0x80.. => {
                let index = read_integer(&mut rest, 7)?;
                (static_name(index)?.to_owned(), static_value(index).to_owned())
            }
            0x20..=0x3f => {
                read_integer(&mut rest, 5)?;
                continue;
            }
            _ => {
                let index = read_integer(&mut rest, if byte & 0x40 == 0 { 4 } else { 6 })?;
                let name = if index == 0 { read_text(&mut rest)? } else { static_name(index)?.to_owned() };
                (name, read_text(&mut rest)?)
            }
        };
        match name.as_str() {
            ":status" => said.http = value.parse().ok(),
            "grpc-status" => said.grpc = value.parse().ok(),
            "grpc-message" => said.message = Some(value),
            "grpc-status-details-bin" => said.retry_info = has_retry_info(&value),
            _ => {}
        }
    }
    Some(said)
}

/// Of a google.rpc.Status, in base64: the name of a detail's type stands in it as text.
fn has_retry_info(details: &str) -> bool {
    let status = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).unwrap_or_default();
    let name: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";
    status.windows(name.len()).any(|part| part == name)
}

/// Only `:status` matters; the other names of the static table are as good as any.
fn static_name(index: usize) -> Option<&'static str> {
    match index {
        8..=14 => Some(":status"),
        1..FIRST_DYNAMIC => Some("other"),
        _ => None,
    }
}

fn static_value(index: usize) -> &'static str {
    match index {
        8 => "200",
        9 => "204",
        10 => "206",
        11 => "304",
        12 => "400",
        13 => "404",
        14 => "500",
        _ => "",
    }
}

fn read_integer(rest: &mut &[u8], bits: u8) -> Option<usize> {
    let most = (1_usize << bits) - 1;
    let (byte, after) = rest.split_first()?;
    *rest = after;
    let mut value = usize::from(*byte) & most;
    if value < most {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read_text(rest: &mut &[u8]) -> Option<String> {
    let packed = rest.first()? & 0x80 != 0;
    let length = read_integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    if packed { unpack(text) } else { String::from_utf8(text.to_vec()).ok() }
}

/// Huffman's code (RFC 7541, appendix B) of the characters from space to `~`: the code, and its bits. Headers hold no others.
const CODES: [(u32, u8); 95] = [
    (0x14, 6),
    (0x3f8, 10),
    (0x3f9, 10),
    (0xffa, 12),
    (0x1ff9, 13),
    (0x15, 6),
    (0xf8, 8),
    (0x7fa, 11),
    (0x3fa, 10),
    (0x3fb, 10),
    (0xf9, 8),
    (0x7fb, 11),
    (0xfa, 8),
    (0x16, 6),
    (0x17, 6),
    (0x18, 6),
    (0x0, 5),
    (0x1, 5),
    (0x2, 5),
    (0x19, 6),
    (0x1a, 6),
    (0x1b, 6),
    (0x1c, 6),
    (0x1d, 6),
    (0x1e, 6),
    (0x1f, 6),
    (0x5c, 7),
    (0xfb, 8),
    (0x7ffc, 15),
    (0x20, 6),
    (0xffb, 12),
    (0x3fc, 10),
    (0x1ffa, 13),
    (0x21, 6),
    (0x5d, 7),
    (0x5e, 7),
    (0x5f, 7),
    (0x60, 7),
    (0x61, 7),
    (0x62, 7),
    (0x63, 7),
    (0x64, 7),
    (0x65, 7),
    (0x66, 7),
    (0x67, 7),
    (0x68, 7),
    (0x69, 7),
    (0x6a, 7),
    (0x6b, 7),
    (0x6c, 7),
    (0x6d, 7),
    (0x6e, 7),
    (0x6f, 7),
    (0x70, 7),
    (0x71, 7),
    (0x72, 7),
    (0xfc, 8),
    (0x73, 7),
    (0xfd, 8),
    (0x1ffb, 13),
    (0x7fff0, 19),
    (0x1ffc, 13),
    (0x3ffc, 14),
    (0x22, 6),
    (0x7ffd, 15),
    (0x3, 5),
    (0x23, 6),
    (0x4, 5),
    (0x24, 6),
    (0x5, 5),
    (0x25, 6),
    (0x26, 6),
    (0x27, 6),
    (0x6, 5),
    (0x74, 7),
    (0x75, 7),
    (0x28, 6),
    (0x29, 6),
    (0x2a, 6),
    (0x7, 5),
    (0x2b, 6),
    (0x76, 7),
    (0x2c, 6),
    (0x8, 5),
    (0x9, 5),
    (0x2d, 6),
    (0x77, 7),
    (0x78, 7),
    (0x79, 7),
    (0x7a, 7),
    (0x7b, 7),
    (0x7ffe, 15),
    (0x7fc, 11),
    (0x3ffd, 14),
    (0x1ffd, 13),
];

/// That of `\`.
const LONGEST_CODE: u8 = 19;

fn unpack(packed: &[u8]) -> Option<String> {
    let mut text = String::new();
    let (mut code, mut bits) = (0_u32, 0_u8);
    for bit in packed.iter().flat_map(|byte| (0..8).rev().map(move |place| (byte >> place) & 1)) {
        (code, bits) = ((code << 1) | u32::from(bit), bits + 1);
        if let Some(place) = CODES.iter().position(|known| *known == (code, bits)) {
            text.push(char::from(b' ' + u8::try_from(place).ok()?));
            (code, bits) = (0, 0);
        } else if bits == LONGEST_CODE {
            return None;
        }
    }
    // What is left over is padding: less than a byte of ones.
    (bits < 8 && code == (1 << bits) - 1).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_fills_the_table_that_the_next_one_names() {
        let head = RequestHead::new("localhost", "/a", &[("te", "trailers")]);
        let mut expected = vec![0x83, 0x86, 0x44, 2];
        expected.extend(b"/a");
        expected.extend([0x41, 9]);
        expected.extend(b"localhost");
        expected.extend([0x40, 2]);
        expected.extend(b"te");
        expected.push(8);
        expected.extend(b"trailers");
        assert_eq!(head.first, expected);
        // `:path` was written first and is the oldest of three.
        assert_eq!(head.next, [0x83, 0x86, 0x80 | 64, 0x80 | 63, 0x80 | 62]);
        assert_eq!(head.secured().next, [0x83, 0x87, 0x80 | 64, 0x80 | 63, 0x80 | 62]);
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let mut out = Vec::new();
        write_text(&mut out, &"x".repeat(300));
        let mut rest = out.as_slice();
        assert_eq!(read_text(&mut rest).unwrap().len(), 300);
        assert!(rest.is_empty());
    }

    #[test]
    fn reads_what_tonic_sends() {
        // Table size 0, `:status: 200`.
        assert_eq!(read(&[0x20, 0x88]).unwrap().http, Some(200));
        // RFC 7541, C.6.1: `:status: 302`, packed, by the name of entry 8.
        assert_eq!(read(&[0x48, 0x82, 0x64, 0x02]).unwrap().http, Some(302));
        // `grpc-status: 0` without packing, not to be remembered.
        let mut block = vec![0x00, 11];
        block.extend(b"grpc-status");
        block.extend([1, b'0']);
        assert_eq!(read(&block).unwrap().grpc, Some(0));
        // RFC 7541, C.4.1: `www.example.com`, packed.
        let packed = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(unpack(&packed).unwrap(), "www.example.com");
    }

    #[test]
    fn refuses_what_it_cannot_know() {
        assert_eq!(read(&[0x80 | 62]), None, "an entry of the dynamic table");
        assert_eq!(read(&[0x00, 11, b'g']), None, "cut off");
        assert_eq!(unpack(&[0xff, 0xff, 0xff]), None, "padding of more than a byte");
    }
}
