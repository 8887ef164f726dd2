//! JSON, written: texts, numbers, times.

use std::io::Write as _;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes what needs no escape: names, words, and what stands between them.
pub(super) fn put(out: &mut Vec<u8>, words: &str) {
    out.extend_from_slice(words.as_bytes());
}

/// Writes a field. `name` has everything up to the text, the quotes that open it included.
pub(super) fn put_field(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    put(out, name);
    put_inner(out, text);
    out.push(b'"');
}

/// Writes a field that is left out when it is empty.
pub(super) fn put_given(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    if !text.is_empty() {
        put_field(out, name, text);
    }
}

/// Writes a text in quotes.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    put_inner(out, text);
    out.push(b'"');
}

/// Writes a text, without its quotes. What is none is shown as far as it is, but nothing that was decided is none.
fn put_inner(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        String::from_utf8_lossy(text).chars().for_each(|c| put_char(out, c));
    }
}

/// Whether every byte stands for itself: ASCII that can be seen, and needs no escape. Eight are looked at at a time.
fn is_plain(text: &[u8]) -> bool {
    let (eights, rest) = text.as_chunks::<8>();
    if !eights.iter().all(are_plain) {
        return false;
    }
    match text.last_chunk::<8>() {
        _ if rest.is_empty() => true,
        Some(last) => are_plain(last),
        None => {
            let mut padded = [b' '; 8];
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            are_plain(&padded)
        }
    }
}

fn are_plain(bytes: &[u8; 8]) -> bool {
    /// The same byte eight times.
    const fn eight(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let word = u64::from_ne_bytes(*bytes);
    // Sets the highest bit of every byte below `limit`, and no other unless there is one.
    let below = |word: u64, limit: u8| word.wrapping_sub(eight(limit)) & !word;
    let equal = |byte: u8| below(word ^ eight(byte), 1);
    let del_or_beyond = word.wrapping_add(eight(1)) | word;
    (below(word, b' ') | equal(b'"') | equal(b'\\') | del_or_beyond) & eight(0x80) == 0
}

/// Control characters are escaped, also those that JSON allows: a log is looked at on terminals.
fn put_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        c if c.is_control() => {
            // Control characters are below U+00A0.
            drop(write!(out, "\\u{:04x}", u32::from(c)));
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Writes a number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut rest = number;
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        start = index;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Writes bytes as hexadecimal digits.
pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let digit = |number: u8| HEX.get(usize::from(number)).copied().unwrap_or_default();
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Writes times; remembers the last second, which many decisions share.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: i64,
    /// `2026-11-22T14:44:52.000007Z`
    written: Vec<u8>,
}

impl Clock {
    /// Writes microseconds since 1970 by RFC 3339, without quotes.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, time_us: i64) {
        let second = time_us.div_euclid(1_000_000);
        if second != self.second || self.written.is_empty() {
            let time = jiff::Timestamp::from_second(second).unwrap_or_default();
            self.second = second;
            self.written = time.to_string().into_bytes();
            self.written.pop();
            self.written.extend_from_slice(b".000000Z");
        }
        let mut rest = u32::try_from(time_us.rem_euclid(1_000_000)).unwrap_or_default();
        for digit in self.written.iter_mut().rev().skip(1).take(6) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        out.extend_from_slice(&self.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_read_as_they_were() {
        let all: String = (0..0x250).filter_map(char::from_u32).chain("\u{2028}日本🦀".chars()).collect();
        for text in ["", "plain", "a\"b\\c", "\u{1b}[31m", "é", &all] {
            let json = written(|out| put_text(out, text.as_bytes()));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.contains(char::is_control), "{json}");
        }
    }

    #[test]
    fn every_byte_is_looked_at_wherever_it_stands() {
        for length in 1..=25 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'~'; length];
                    text[at] = byte;
                    let plain = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), plain, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn numbers_and_digests() {
        for number in [0, 7, 10, 1_234_567, u64::MAX] {
            assert_eq!(written(|out| put_number(out, number)), number.to_string());
        }
        assert_eq!(written(|out| put_hex(out, &[0, 0x9f, 0xff])), "009fff");
    }

    #[test]
    fn times_have_microseconds() {
        let mut clock = Clock::default();
        for (time, expected) in [
            (1_795_358_692_000_007, "2026-11-22T14:44:52.000007Z"),
            (1_795_358_692_999_999, "2026-11-22T14:44:52.999999Z"),
            (1_795_358_693_000_000, "2026-11-22T14:44:53.000000Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(written(|out| clock.put(out, time)), expected);
            let parsed: jiff::Timestamp = expected.parse().unwrap();
            assert_eq!(parsed.as_microsecond(), time);
        }
    }
}
