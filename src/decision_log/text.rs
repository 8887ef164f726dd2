//! JSON, written: texts, numbers, times.

use std::io::Write as _;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes a text in quotes. What is none is shown as far as it is, but nothing that was decided is none.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    // Without a way out, so that many bytes are looked at at a time.
    let plain = text.iter().fold(true, |plain, b| plain & (0x20..0x7f).contains(b) & (*b != b'"') & (*b != b'\\'));
    if plain {
        out.extend_from_slice(text);
    } else {
        String::from_utf8_lossy(text).chars().for_each(|c| put_char(out, c));
    }
    out.push(b'"');
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
    /// `2026-11-22T14:44:52`
    written: String,
}

impl Clock {
    /// Writes microseconds since 1970 by RFC 3339, without quotes.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, time_us: i64) {
        let second = time_us.div_euclid(1_000_000);
        if second != self.second || self.written.is_empty() {
            let time = jiff::Timestamp::from_second(second).unwrap_or_default();
            self.second = second;
            self.written = time.to_string();
            self.written.truncate(self.written.len().saturating_sub(1));
        }
        out.extend_from_slice(self.written.as_bytes());
        let micros = u64::try_from(time_us.rem_euclid(1_000_000)).unwrap_or_default();
        out.push(b'.');
        // A one in front keeps the zeros; it is taken away again.
        let start = out.len();
        put_number(out, 1_000_000 + micros);
        out.remove(start);
        out.push(b'Z');
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
