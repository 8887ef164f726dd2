//! Frames: nine bytes of header, then the payload.

pub(super) const HEADER: usize = 9;
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

pub(super) const SETTING_TABLE_SIZE: u16 = 1;
pub(super) const SETTING_MAX_STREAMS: u16 = 3;
pub(super) const SETTING_WINDOW: u16 = 4;
pub(super) const SETTING_MAX_FRAME: u16 = 5;

/// Both windows and the largest frame, before settings say otherwise.
pub(super) const DEFAULT_WINDOW: i64 = 65_535;
pub(super) const DEFAULT_MAX_FRAME: usize = 16_384;
pub(super) const LARGEST_WINDOW: u32 = 0x7fff_ffff;

/// A frame's header, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, rest @ ..] = bytes else { return None };
        let stream = u32::from_be_bytes(*rest.first_chunk()?) & 0x7fff_ffff;
        Some(Self { length: u32::from_be_bytes([0, *a, *b, *c]) as usize, kind: *kind, flags: *flags, stream })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes a frame's header; the payload follows.
pub(super) fn begin(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

pub(super) fn window_update(out: &mut Vec<u8>, stream: u32, more: u32) {
    begin(out, 4, WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&more.to_be_bytes());
}

pub(super) fn settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    begin(out, settings.len() * 6, SETTINGS, 0, 0);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The payload of a frame that may be padded.
pub(super) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// The 32-bit number at the start of a payload, its highest bit left out.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}
