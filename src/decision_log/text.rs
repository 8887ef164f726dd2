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
pub(super) fn put_inner(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        String::from_utf8_lossy(text).chars().for_each(|c| put_char(out, c));
    }
}

/// Whether every byte stands for itself. Sixteen are looked at at a time, those at the end perhaps twice.
fn is_plain(text: &[u8]) -> bool {
    let (pieces, _) = text.as_chunks::<16>();
    let ends = || ends_are_plain::<8>(text).or_else(|| ends_are_plain::<4>(text));
    match text.last_chunk::<16>() {
        Some(last) => pieces.iter().all(are_plain) && are_plain(last),
        None => ends().unwrap_or_else(|| text.iter().all(|byte| !is_odd(*byte))),
    }
}

/// Whether the first and the last so many bytes are plain; None if there are fewer.
fn ends_are_plain<const N: usize>(text: &[u8]) -> Option<bool> {
    Some(are_plain(text.first_chunk::<N>()?) && are_plain(text.last_chunk::<N>()?))
}

/// Without a branch, so that the compiler takes all of them at once.
fn are_plain<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(0, |odd, byte| odd | u8::from(is_odd(*byte))) == 0
}

/// All but ASCII that can be seen, and needs no escape.
fn is_odd(byte: u8) -> bool {
    !matches!(byte, b' '..=b'~') | (byte == b'"') | (byte == b'\\')
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
    let mut pairs = [[b'0'; 2]; 10];
    let mut rest = number;
    let mut start = pairs.len();
    for pair in pairs.iter_mut().rev() {
        *pair = two_digits(rest % 100);
        rest /= 100;
        start = start.saturating_sub(1);
        if rest == 0 {
            break;
        }
    }
    let digits = pairs.get(start..).unwrap_or_default().as_flattened();
    // There are two or more.
    out.extend_from_slice(digits.strip_prefix(b"0").unwrap_or(digits));
}

/// Of a number below 100.
fn two_digits(number: u64) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0'.wrapping_add(u8::try_from(digit).unwrap_or_default()))
}

/// Writes bytes as hexadecimal digits.
pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let digit = |number: u8| HEX.get(usize::from(number)).copied().unwrap_or_default();
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Writes times, and what stands around them; remembers the last second, which many decisions share.
#[derive(Debug, Default)]
pub(super) struct Clock {
    before: &'static str,
    after: String,
    second: i64,
    /// `2026-11-22T14:44:52.000007Z`, with what stands around it.
    written: Vec<u8>,
    /// Where its six digits of microseconds begin.
    micros_at: usize,
}

impl Clock {
    /// What stands before each time and after it.
    pub(super) fn between(before: &'static str, after: String) -> Self {
        Self { before, after, ..Self::default() }
    }

    /// Writes microseconds since 1970 by RFC 3339, without quotes.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, time_us: i64) {
        let second = time_us.div_euclid(1_000_000);
        if second != self.second || self.written.is_empty() {
            self.begin(second);
        }
        let micros = u64::try_from(time_us.rem_euclid(1_000_000)).unwrap_or_default();
        let digits = self.written.get_mut(self.micros_at..).and_then(|rest| rest.first_chunk_mut::<6>());
        if let Some(digits) = digits {
            let [[a, b], [c, d], [e, f]] = [micros / 10_000, micros / 100 % 100, micros % 100].map(two_digits);
            *digits = [a, b, c, d, e, f];
        }
        out.extend_from_slice(&self.written);
    }

    #[cold]
    fn begin(&mut self, second: i64) {
        let time = jiff::Timestamp::from_second(second).unwrap_or_default().to_string();
        let time = time.trim_end_matches('Z');
        self.second = second;
        self.written = format!("{}{time}.000000Z{}", self.before, self.after).into_bytes();
        self.micros_at = self.before.len() + time.len() + 1;
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
