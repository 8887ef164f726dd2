//! The path of a Unix socket as a call's `:authority`.
//!
//! gRPC's C core, which Python, Ruby, PHP and C++ use, sends `run%2Fiamd.sock` there; others send `/run/iamd.sock`. HTTP's grammar
//! has neither (RFC 3986, section 3.2.2), so that the HTTP/2 library ends such a call with PROTOCOL_ERROR. Nobody here asks for
//! the authority: what does not fit becomes `-` where it stands, before the library reads it. Lengths stay, and with them what
//! client and library remember of each other's fields (RFC 7541, section 4).
//!
//! Only the outlines are read, frames and fields; whatever is wrong with them is for the library to say.

/// The field, and its index among the names that both sides know from the beginning (RFC 7541, appendix A).
const AUTHORITY: &[u8] = b":authority";
const AUTHORITY_INDEX: usize = 1;

const PREFACE_BYTES: usize = super::connection::PREFACE_BYTES;
const HEAD_BYTES: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Larger than any frame, and than what the library takes.
const MOST_DIGITS: u32 = 28;

/// Reads along what a client sends.
#[derive(Debug)]
pub(super) struct Mender {
    part: Part,
    /// So many bytes of this part are still to come.
    left: usize,
    /// Of the frame.
    head: Head,
    fields: Fields,
}

/// A part of a frame.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// What is about no field.
    Other,
    Head,
    /// The number of bytes of padding.
    Padding,
    /// What a call depends on, which nobody heeds any more.
    Priority,
    Fields,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// As they came; the length is shifted in.
    length: usize,
    kind: u8,
    flags: u8,
    /// Of the frame's end.
    padding: usize,
}

impl Head {
    fn has(&self, flag: u8) -> bool {
        self.kind == HEADERS && self.flags & flag != 0
    }

    fn has_fields(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION)
    }

    /// The byte that stands there in it.
    fn add(&mut self, byte: u8, at: usize) {
        match at {
            0..=2 => self.length = self.length << 8 | usize::from(byte),
            3 => self.kind = byte,
            4 => self.flags = byte,
            // The stream.
            _ => {}
        }
    }
}

impl Mender {
    /// From a connection's first byte on.
    pub(super) fn new() -> Self {
        Self { part: Part::Other, left: PREFACE_BYTES, head: Head::default(), fields: Fields::default() }
    }

    /// Mends what came now. False: it is not needed for what will come, since the fields of the first call were in order, as those
    /// of all its others will be, or since they cannot be read.
    pub(super) fn mend(&mut self, mut bytes: &mut [u8]) -> bool {
        while !bytes.is_empty() {
            let (here, rest) = bytes.split_at_mut(self.left.min(bytes.len()));
            bytes = rest;
            self.read(here);
            if self.left == 0 && !self.begin_next() {
                return false;
            }
        }
        true
    }

    /// No more than what is left of this part.
    fn read(&mut self, bytes: &mut [u8]) {
        match self.part {
            Part::Other | Part::Priority => {}
            Part::Head => (HEAD_BYTES - self.left..).zip(&*bytes).for_each(|(at, byte)| self.head.add(*byte, at)),
            Part::Padding => self.head.padding = bytes.last().copied().map_or(0, usize::from),
            Part::Fields => bytes.iter_mut().for_each(|byte| self.fields.read(byte)),
        }
        self.left -= bytes.len();
    }

    /// Goes on to the next part that has any bytes.
    fn begin_next(&mut self) -> bool {
        while self.left == 0 {
            let head = self.head;
            (self.part, self.left) = match self.part {
                Part::Head if head.has(PADDED) => (Part::Padding, 1),
                Part::Head | Part::Padding if head.has(PRIORITY) => (Part::Priority, 5),
                Part::Head if !head.has_fields() => (Part::Other, head.length),
                Part::Head | Part::Padding | Part::Priority => (Part::Fields, self.fields_bytes()),
                Part::Fields if self.fields.is_lost() => return false,
                Part::Fields if head.flags & END_HEADERS != 0 && !self.fields.end() => return false,
                Part::Fields => (Part::Other, head.padding),
                Part::Other => {
                    self.head = Head::default();
                    (Part::Head, HEAD_BYTES)
                }
            };
        }
        true
    }

    fn fields_bytes(&self) -> usize {
        let before = usize::from(self.head.has(PADDED)) + 5 * usize::from(self.head.has(PRIORITY));
        self.head.length.saturating_sub(before + self.head.padding)
    }
}

/// The fields of a call, one behind the other (RFC 7541, section 6).
#[derive(Debug, Default)]
struct Fields {
    next: Next,
    has_mended: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Next {
    #[default]
    Field,
    /// The length of a text.
    Length(Text),
    /// More digits of a number, of which so much is known.
    Digits { what: Number, number: usize, shift: u32 },
    /// So many bytes of a text.
    Text { text: Text, left: usize },
    /// Nobody knows.
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum Text {
    /// Whether it is that of `:authority`, as far as it was read.
    Name {
        is_authority: bool,
    },
    Value,
    /// The value of `:authority`.
    Authority,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    /// A field that both sides remember, or how much they do.
    Whole,
    /// Of a name that both sides remember.
    Name,
    /// Of a text's bytes, which are compressed or not.
    Length(Text),
}

impl Fields {
    fn is_lost(&self) -> bool {
        matches!(self.next, Next::Lost)
    }

    /// A call's fields end; whether any of this client's had to be mended.
    fn end(&mut self) -> bool {
        self.next = Next::Field;
        self.has_mended
    }

    fn read(&mut self, byte: &mut u8) {
        self.next = match self.next {
            Next::Field => match *byte {
                0x80.. => begin_number(Number::Whole, *byte, 7),
                0x40.. => begin_number(Number::Name, *byte, 6),
                0x20.. => begin_number(Number::Whole, *byte, 5),
                _ => begin_number(Number::Name, *byte, 4),
            },
            // The library takes compressed texts apart; no client is known that compresses a socket's path.
            Next::Length(text) => {
                begin_number(Number::Length(if *byte & 0x80 == 0 { text } else { text.opaque() }), *byte, 7)
            }
            Next::Digits { shift, .. } if shift >= MOST_DIGITS => Next::Lost,
            Next::Digits { what, number, shift } => {
                let number = number.saturating_add(usize::from(*byte & 0x7f) << shift);
                if *byte & 0x80 == 0 { what.read(number) } else { Next::Digits { what, number, shift: shift + 7 } }
            }
            Next::Text { text, left } => {
                let text = self.read_text(text, left, byte);
                if left > 1 { Next::Text { text, left: left - 1 } } else { text.ended() }
            }
            Next::Lost => Next::Lost,
        };
    }

    /// A byte of a text, of which so many are left.
    fn read_text(&mut self, text: Text, left: usize, byte: &mut u8) -> Text {
        match text {
            Text::Name { is_authority } => {
                let expected = AUTHORITY.len().checked_sub(left).and_then(|at| AUTHORITY.get(at));
                return Text::Name { is_authority: is_authority && expected == Some(byte) };
            }
            Text::Authority if !fits(*byte) => {
                *byte = b'-';
                self.has_mended = true;
            }
            Text::Authority | Text::Value => {}
        }
        text
    }
}

/// A number begins in the last bits of a byte (RFC 7541, section 5.1).
fn begin_number(what: Number, byte: u8, bits: u8) -> Next {
    let most = (1_u8 << bits) - 1;
    let number = usize::from(byte & most);
    if byte & most == most { Next::Digits { what, number, shift: 0 } } else { what.read(number) }
}

impl Number {
    /// What follows when it is this one.
    fn read(self, number: usize) -> Next {
        match self {
            Self::Whole => Next::Field,
            Self::Name if number == 0 => Next::Length(Text::Name { is_authority: true }),
            Self::Name if number == AUTHORITY_INDEX => Next::Length(Text::Authority),
            Self::Name => Next::Length(Text::Value),
            Self::Length(text) => {
                let text = if number == AUTHORITY.len() { text } else { text.not_named() };
                if number == 0 { text.ended() } else { Next::Text { text, left: number } }
            }
        }
    }
}

impl Text {
    /// The same, where its bytes are not to be looked at.
    fn opaque(self) -> Self {
        if matches!(self, Self::Authority) { Self::Value } else { self.not_named() }
    }

    /// The same, or the name of another field.
    fn not_named(self) -> Self {
        if matches!(self, Self::Name { .. }) { Self::Name { is_authority: false } } else { self }
    }

    fn ended(self) -> Next {
        match self {
            Self::Name { is_authority: true } => Next::Length(Self::Authority),
            Self::Name { is_authority: false } => Next::Length(Self::Value),
            Self::Value | Self::Authority => Next::Field,
        }
    }
}

/// Whether a host may have it, with its port.
fn fits(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// `:method: POST` and `:scheme: http`, which both sides know.
    const KNOWN: &[u8] = &[0x83, 0x86];

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// A field with a name of this index, or with this one; `form` says whether it is to be remembered.
    fn field(form: u8, name: Result<u8, &str>, value: &str) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        match name {
            Ok(index) => [vec![form | index], text(value)].concat(),
            Err(name) => [vec![form], text(name), text(value)].concat(),
        }
    }

    fn authority(value: &str) -> Vec<u8> {
        field(0x40, Ok(1), value)
    }

    fn call(fields: &[u8]) -> Vec<u8> {
        frame(HEADERS, END_HEADERS, fields)
    }

    fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE, &frame(4, 0, &[0, 3, 0, 0, 0, 100]), &frame(4, 1, &[]), &frames.concat()].concat()
    }

    /// What the library reads where these bytes come in two pieces, cut anywhere; whether more is to be mended.
    fn mended(bytes: &[u8]) -> (Vec<u8>, bool) {
        let in_pieces = |cut: usize| {
            let (mut mender, mut bytes) = (Mender::new(), bytes.to_vec());
            let (first, second) = bytes.split_at_mut(cut);
            let goes_on = mender.mend(first) && mender.mend(second);
            (bytes, goes_on)
        };
        let whole = in_pieces(bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(in_pieces(cut), whole, "cut at {cut}");
        }
        whole
    }

    /// Fields of a first call become these.
    fn assert_mended(call: impl Fn(&str) -> Vec<u8>, sent: &str, read: &str) {
        assert_eq!(mended(&connection(&[call(sent)])), (connection(&[call(read)]), true), "{sent}");
    }

    #[test]
    fn paths_fit_and_are_as_long_as_before() {
        let plain = |value: &str| call(&[KNOWN, &authority(value), &field(0x40, Ok(4), "/a%2Fb")].concat());
        for (sent, read) in [
            ("run%2Fiamd.sock", "run-2Fiamd.sock"),
            ("/run/iamd.sock", "-run-iamd.sock"),
            ("a_b~c d\u{e9}", "a_b-c-d--"),
            ("%", "-"),
        ] {
            assert_mended(plain, sent, read);
        }
    }

    #[test]
    fn wherever_the_field_stands() {
        let remembered = |form| move |value: &str| call(&[KNOWN, &field(form, Ok(1), value)].concat());
        for form in [0x40, 0x10, 0x00] {
            assert_mended(remembered(form), "a%b", "a-b");
        }
        assert_mended(|value| call(&field(0x40, Err(":authority"), value)), "a%b", "a-b");
        let behind = |before: Vec<u8>| move |value: &str| call(&[before.clone(), authority(value)].concat());
        // A field of another name; one without value; one whose name is remembered; how much is; one that is remembered.
        for before in [
            field(0x40, Err("%x"), "%y"),
            field(0x40, Err(":authoritx"), "%"),
            field(0x40, Err("x:authority"), "%"),
            field(0x40, Err("authority"), "%"),
            field(0x00, Err("x"), ""),
            vec![0x7f, 0x80, 0x01, 1, b'%'],
            vec![0x3f, 0xe1, 0x1f],
            vec![0xff, 0x80, 0x01],
        ] {
            assert_mended(behind(before), "a%b", "a-b");
        }
        let long = format!("{}%", "x".repeat(120));
        assert_mended(|value| call(&authority(value)), &long, &long.replace('%', "-"));
    }

    #[test]
    fn in_frames_of_every_shape() {
        let fields = |value: &str| [KNOWN, &authority(value)].concat();
        let padded = |value: &str| frame(HEADERS, END_HEADERS | PADDED, &[&[3][..], &fields(value), b"%%%"].concat());
        assert_mended(padded, "a%b", "a-b");
        let rank = [0, 0, 0, 0, 16];
        let ranked = |value: &str| frame(HEADERS, END_HEADERS | PRIORITY, &[&rank[..], &fields(value)].concat());
        assert_mended(ranked, "a%b", "a-b");
        let both = |value: &str| {
            frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &[&[1][..], &rank, &fields(value), b"%"].concat())
        };
        assert_mended(both, "a%b", "a-b");
        for cut in 0..fields("a%b").len() {
            let continued = |value: &str| {
                let fields = fields(value);
                let (first, second) = fields.split_at(cut);
                [frame(HEADERS, 0, first), frame(CONTINUATION, END_HEADERS, second)].concat()
            };
            assert_mended(continued, "a%b", "a-b");
        }
    }

    #[test]
    fn later_calls_are_mended_as_well() {
        let calls = |value: &str| [call(&authority(value)), frame(0, 1, b"%/"), call(&[0xbe]), call(&authority(value))];
        assert_eq!(mended(&connection(&calls("a%b"))), (connection(&calls("a-b")), true));
    }

    #[test]
    fn who_sends_a_host_is_left_alone_after_the_first_call() {
        for host in ["localhost", "iamd.svc:50051", "[::1]:50051", ""] {
            let bytes = connection(&[call(&authority(host)), call(&authority("a%b"))]);
            assert_eq!(mended(&bytes), (bytes, false), "{host}");
        }
        let none = connection(&[call(KNOWN), call(&authority("a%b"))]);
        assert_eq!(mended(&none), (none, false));
    }

    #[test]
    fn what_cannot_be_read_is_the_librarys() {
        // A number without end; more padding than there is; a compressed text.
        for fields in [vec![0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [&[0x41, 0x83], &b"%%%"[..]].concat()] {
            let bytes = connection(&[call(&fields)]);
            assert_eq!(mended(&bytes), (bytes, false));
        }
        let bytes = connection(&[frame(HEADERS, END_HEADERS | PADDED, &[9, 0x41, 1, b'%'])]);
        assert_eq!(mended(&bytes), (bytes, false));
    }

    proptest::proptest! {
        /// Whatever comes, in whatever pieces: nothing is lost or moved, and all that may change becomes a dash.
        #[test]
        fn any_bytes(frames in proptest::collection::vec((0..10_u8, 0..=u8::MAX, proptest::collection::vec(0..=u8::MAX, 0..40)), 0..6)) {
            let frames: Vec<_> = frames.iter().map(|(kind, flags, payload)| frame(*kind, *flags, payload)).collect();
            let sent = connection(&frames);
            let (read, _) = mended(&sent);
            proptest::prop_assert_eq!(read.len(), sent.len());
            proptest::prop_assert!(read.iter().zip(&sent).all(|(read, sent)| read == sent || *read == b'-'));
        }
    }
}
