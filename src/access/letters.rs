//! Which bytes a name may have, as a table: names are read at every request.

/// A set of bytes.
#[derive(Debug)]
pub(super) struct Letters([bool; 256]);

impl Letters {
    /// Letters and digits of ASCII, and these.
    pub(super) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table = set(table, byte, byte.is_ascii_alphanumeric());
            byte += 1;
        }
        Self(set_all(table, others, true))
    }

    /// What of ASCII can be seen, but these.
    pub(super) const fn graphic_but(others: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table = set(table, byte, byte.is_ascii_graphic());
            byte += 1;
        }
        Self(set_all(table, others, false))
    }

    /// Whether a text has no others.
    pub(super) fn make_up(&self, text: &str) -> bool {
        let (fours, rest) = text.as_bytes().as_chunks::<4>();
        // To the end in any case: nearly all names are right, and to ask at each byte takes as long as to look it up.
        let all = fours.iter().fold(true, |all, four| all & four.iter().fold(true, |all, byte| all & self.has(*byte)));
        rest.iter().fold(all, |all, byte| all & self.has(*byte))
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).is_some_and(|is_in| *is_in)
    }
}

#[expect(clippy::indexing_slicing, reason = "worked out when compiled")]
const fn set(mut table: [bool; 256], byte: u8, is_in: bool) -> [bool; 256] {
    table[byte as usize] = is_in;
    table
}

const fn set_all(mut table: [bool; 256], bytes: &[u8], are_in: bool) -> [bool; 256] {
    let mut rest = bytes;
    while let [byte, others @ ..] = rest {
        table = set(table, *byte, are_in);
        rest = others;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_or_out() {
        const NAMES: Letters = Letters::alphanumeric_and(b"_@");
        const PATHS: Letters = Letters::graphic_but(b"*?");
        for byte in 0..=u8::MAX {
            let is_in = |letters: &Letters| letters.0[usize::from(byte)];
            assert_eq!(is_in(&NAMES), byte.is_ascii_alphanumeric() || b"_@".contains(&byte), "{byte}");
            assert_eq!(is_in(&PATHS), byte.is_ascii_graphic() && !b"*?".contains(&byte), "{byte}");
        }
        assert!(NAMES.make_up("a_1@") && !NAMES.make_up("a b") && !NAMES.make_up("é") && NAMES.make_up(""));
    }
}
