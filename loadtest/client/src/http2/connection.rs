//! One connection: calls are put on it, answers are taken off it, and nothing ever waits.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::hpack::{self, RequestHead, Said};
use super::socket::Socket;
use super::wire;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// gRPC's status; 0 is OK. Of plain HTTP, 0 stands for 200.
    Status(u8),
    /// An HTTP status that is not 200.
    Http(u16),
    /// The peer reset the stream, for this reason.
    Reset(u32),
    /// RESOURCE_EXHAUSTED, but not when to ask again.
    NoRetryInfo,
    /// The answer had no status, or one that could not be read.
    NoStatus,
    /// The connection ended first.
    Lost,
    /// The run ended first.
    Unanswered,
}

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const RESOURCE_EXHAUSTED: u8 = 8;

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => match NAMES.get(usize::from(*code)) {
                Some(name) => f.write_str(name),
                None => write!(f, "status {code}"),
            },
            Self::Http(code) => write!(f, "HTTP {code}"),
            Self::Reset(reason) => write!(f, "reset, reason {reason}"),
            Self::NoRetryInfo => f.write_str("RESOURCE_EXHAUSTED without RetryInfo"),
            Self::NoStatus => f.write_str("no status"),
            Self::Lost => f.write_str("connection lost"),
            Self::Unanswered => f.write_str("unanswered"),
        }
    }
}

/// A call on its way.
#[derive(Debug)]
pub struct Call {
    /// What the caller wants to know it by.
    pub tag: usize,
    /// When it was, or should have been, sent: the caller's clock.
    pub since: u64,
    /// What has arrived of a message that is not complete.
    pub partial: Vec<u8>,
    /// Messages that were complete.
    pub messages: u32,
    http: u16,
    /// What may be sent before the peer says more.
    window: i64,
    /// What has arrived since the peer was told to send more.
    arrived: u32,
}

/// Who reads answers.
pub trait Reader {
    /// A piece of a call's answer.
    fn data(&mut self, call: &mut Call, bytes: &[u8]);
    /// The end of a call, and what the peer said about it.
    fn end(&mut self, call: Call, end: End, message: Option<String>);
}

/// What is on the wire besides calls' own headers: gRPC ends in trailers, plain HTTP does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

/// What could not be sent yet.
#[derive(Debug)]
struct Blocked {
    stream: u32,
    bytes: Vec<u8>,
    sent: usize,
    last: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    protocol: Protocol,
    head: RequestHead,
    input: Vec<u8>,
    /// Of `input`: up to where something has arrived.
    filled: usize,
    output: Vec<u8>,
    written: usize,
    calls: Calls,
    /// The peer's: what may be sent on the connection, and on a new stream.
    window: i64,
    stream_window: i64,
    max_frame: usize,
    max_streams: usize,
    /// Whether the peer has said what it allows.
    settled: bool,
    arrived: u32,
    blocked: VecDeque<Blocked>,
    /// Headers whose end has not arrived.
    continued: Option<(u32, u8, Vec<u8>)>,
    /// The last trailers that said OK: the next ones are most likely the same bytes.
    fine_trailers: Vec<u8>,
    closing: bool,
}

/// Read at once.
const INPUT: usize = 256 * 1024;

/// The peer may send so much more before it hears of it again.
const TOP_UP: u32 = wire::LARGEST_WINDOW / 2;

/// So many calls at a time before the peer has said how many it allows, as other clients: it would refuse what is too much.
const BEFORE_SETTINGS: usize = 100;

/// Calls on their way, by stream: identifiers only grow, and mostly the oldest end first.
#[derive(Debug, Default)]
struct Calls {
    window: VecDeque<Option<Call>>,
    /// Of the front, halved (a client's streams are odd).
    first: u32,
    open: usize,
}

impl Calls {
    fn push(&mut self, call: Call) -> u32 {
        let number = self.first + u32::try_from(self.window.len()).unwrap_or(u32::MAX);
        self.window.push_back(Some(call));
        self.open += 1;
        number * 2 + 1
    }

    fn place(&self, stream: u32) -> Option<usize> {
        (stream / 2).checked_sub(self.first).map(|place| place as usize)
    }

    fn get(&mut self, stream: u32) -> Option<&mut Call> {
        let place = self.place(stream)?;
        self.window.get_mut(place)?.as_mut()
    }

    fn take(&mut self, stream: u32) -> Option<Call> {
        let place = self.place(stream)?;
        let call = self.window.get_mut(place)?.take()?;
        self.open -= 1;
        while matches!(self.window.front(), Some(None)) {
            self.window.pop_front();
            self.first += 1;
        }
        Some(call)
    }
}

impl Connection {
    /// Says what this side allows: as much as the protocol can say, and no dynamic table.
    pub fn open(socket: Socket, protocol: Protocol, head: RequestHead) -> Self {
        let mut output = Vec::with_capacity(INPUT);
        output.extend_from_slice(wire::PREFACE);
        let ours = [(wire::SETTING_TABLE_SIZE, 0), (2, 0), (wire::SETTING_WINDOW, wire::LARGEST_WINDOW)];
        wire::settings(&mut output, &ours);
        wire::window_update(&mut output, 0, wire::LARGEST_WINDOW - 65_535);
        Self {
            socket,
            protocol,
            head,
            input: vec![0; INPUT],
            filled: 0,
            output,
            written: 0,
            calls: Calls::default(),
            window: wire::DEFAULT_WINDOW,
            stream_window: wire::DEFAULT_WINDOW,
            max_frame: wire::DEFAULT_MAX_FRAME,
            max_streams: BEFORE_SETTINGS,
            settled: false,
            arrived: 0,
            blocked: VecDeque::new(),
            continued: None,
            fine_trailers: Vec::new(),
            closing: false,
        }
    }

    /// Calls that are not answered yet.
    pub fn open_calls(&self) -> usize {
        self.calls.open
    }

    /// Whether this call is not answered yet.
    pub fn is_open(&mut self, stream: u32) -> bool {
        self.calls.get(stream).is_some()
    }

    /// Whether the peer lets another call begin.
    pub fn takes_calls(&self) -> bool {
        !self.closing && self.calls.open < self.max_streams
    }

    /// Whether something waits to be written.
    pub fn wants_to_write(&self) -> bool {
        self.written < self.output.len() || self.socket.wants_to_write()
    }

    /// Begins a call; its messages follow.
    pub fn begin(&mut self, tag: usize, since: u64) -> u32 {
        let window = self.stream_window;
        let call = Call { tag, since, partial: Vec::new(), messages: 0, http: 0, window, arrived: 0 };
        let stream = self.calls.push(call);
        let block = if stream == 1 { &self.head.first } else { &self.head.next };
        wire::begin(&mut self.output, block.len(), wire::HEADERS, wire::END_HEADERS, stream);
        self.output.extend_from_slice(block);
        stream
    }

    /// Sends bytes of a call, as far as the peer allows; the rest follows when it does.
    pub fn send(&mut self, stream: u32, bytes: &[u8], last: bool) {
        let length = bytes.len() as i64;
        let Some(call) = self.calls.get(stream) else { return };
        let fits = length <= self.window && length <= call.window && bytes.len() <= self.max_frame;
        if fits && self.blocked.is_empty() {
            self.window -= length;
            call.window -= length;
            wire::begin(&mut self.output, bytes.len(), wire::DATA, u8::from(last), stream);
            self.output.extend_from_slice(bytes);
        } else {
            self.blocked.push_back(Blocked { stream, bytes: bytes.to_vec(), sent: 0, last });
            self.send_blocked();
        }
    }

    fn send_blocked(&mut self) {
        let mut waiting = std::mem::take(&mut self.blocked);
        waiting.retain_mut(|piece| !self.send_piece(piece));
        self.blocked = waiting;
    }

    /// Whether all of it is sent, or nobody wants it any more.
    fn send_piece(&mut self, piece: &mut Blocked) -> bool {
        let Some(call) = self.calls.get(piece.stream) else { return true };
        if piece.bytes.is_empty() {
            wire::begin(&mut self.output, 0, wire::DATA, u8::from(piece.last), piece.stream);
        }
        while piece.sent < piece.bytes.len() {
            let most = usize::try_from(self.window.min(call.window)).unwrap_or(0).min(self.max_frame);
            let length = most.min(piece.bytes.len() - piece.sent);
            if length == 0 {
                return false;
            }
            let end = piece.sent + length;
            let last = piece.last && end == piece.bytes.len();
            wire::begin(&mut self.output, length, wire::DATA, u8::from(last), piece.stream);
            self.output.extend_from_slice(&piece.bytes[piece.sent..end]);
            piece.sent = end;
            self.window -= length as i64;
            call.window -= length as i64;
        }
        true
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        match self.socket.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads what has arrived, and hands it on.
    pub fn receive(&mut self, reader: &mut impl Reader) -> io::Result<()> {
        loop {
            let free = self.input.len() - self.filled;
            let length = match self.socket.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.filled += length;
            self.read_frames(reader)?;
            // Fewer bytes than there was room for: there are no more now.
            if length < free {
                return Ok(());
            }
        }
    }

    /// Every call that is still open ends so.
    pub fn abandon(&mut self, end: End, reader: &mut impl Reader) {
        for call in std::mem::take(&mut self.calls).window.into_iter().flatten() {
            reader.end(call, end, None);
        }
    }

    fn read_frames(&mut self, reader: &mut impl Reader) -> io::Result<()> {
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..self.filled];
        let outcome = loop {
            let Some(head) = wire::Head::read(rest) else { break Ok(()) };
            if head.length > wire::DEFAULT_MAX_FRAME {
                break Err(malformed("a frame is larger than was allowed"));
            }
            let Some(payload) = rest.get(wire::HEADER..wire::HEADER + head.length) else { break Ok(()) };
            rest = &rest[wire::HEADER + head.length..];
            if let Err(error) = self.frame(head, payload, reader) {
                break Err(error);
            }
        };
        let left = self.filled - rest.len();
        self.input = input;
        self.input.copy_within(left..self.filled, 0);
        self.filled -= left;
        outcome
    }

    fn frame(&mut self, head: wire::Head, payload: &[u8], reader: &mut impl Reader) -> io::Result<()> {
        let cut = || malformed("a frame is shorter than it should be");
        match head.kind {
            wire::DATA => {
                self.count_arrived(head);
                self.data(head, wire::unpadded(head, payload).ok_or_else(cut)?, reader);
            }
            wire::HEADERS => {
                let block = wire::unpadded(head, payload).ok_or_else(cut)?;
                let skipped = if head.has(wire::PRIORITY) { 5 } else { 0 };
                let block = block.get(skipped..).ok_or_else(cut)?;
                if head.has(wire::END_HEADERS) {
                    self.headers(head.stream, head.flags, block, reader);
                } else {
                    self.continued = Some((head.stream, head.flags, block.to_vec()));
                }
            }
            wire::CONTINUATION => {
                let Some((stream, flags, mut block)) = self.continued.take() else {
                    return Err(malformed("nothing to continue"));
                };
                block.extend_from_slice(payload);
                if head.has(wire::END_HEADERS) {
                    self.headers(stream, flags, &block, reader);
                } else {
                    self.continued = Some((stream, flags, block));
                }
            }
            wire::RST_STREAM => {
                let reason = wire::number(payload).ok_or_else(cut)?;
                self.end(head.stream, End::Reset(reason), None, reader);
            }
            wire::SETTINGS if !head.has(wire::ACK) => self.settings(payload)?,
            wire::PING if !head.has(wire::ACK) => {
                wire::begin(&mut self.output, payload.len(), wire::PING, wire::ACK, 0);
                self.output.extend_from_slice(payload);
            }
            // The calls that the peer has taken are answered; it closes the connection after that.
            wire::GOAWAY => self.closing = true,
            wire::WINDOW_UPDATE => {
                let more = i64::from(wire::number(payload).ok_or_else(cut)?);
                if head.stream == 0 {
                    self.window += more;
                } else if let Some(call) = self.calls.get(head.stream) {
                    call.window += more;
                }
                self.send_blocked();
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells the peer to go on sending, long before it would have to stop.
    fn count_arrived(&mut self, head: wire::Head) {
        let length = u32::try_from(head.length).unwrap_or(0);
        self.arrived += length;
        if self.arrived > TOP_UP {
            wire::window_update(&mut self.output, 0, self.arrived);
            self.arrived = 0;
        }
        if let Some(call) = self.calls.get(head.stream) {
            call.arrived += length;
            if call.arrived > TOP_UP {
                wire::window_update(&mut self.output, head.stream, call.arrived);
                call.arrived = 0;
            }
        }
    }

    fn data(&mut self, head: wire::Head, bytes: &[u8], reader: &mut impl Reader) {
        let Some(call) = self.calls.get(head.stream) else { return };
        reader.data(call, bytes);
        if head.has(wire::END_STREAM) {
            let end = match (self.protocol, call.http) {
                (Protocol::Http, 200) => End::Status(0),
                (Protocol::Http, other) => End::Http(other),
                (Protocol::Grpc, _) => End::NoStatus,
            };
            self.end(head.stream, end, None, reader);
        }
    }

    fn headers(&mut self, stream: u32, flags: u8, block: &[u8], reader: &mut impl Reader) {
        let ends = flags & wire::END_STREAM != 0;
        if ends && self.protocol == Protocol::Grpc {
            if block == self.fine_trailers {
                return self.end(stream, End::Status(0), None, reader);
            }
            let Said { http, grpc, message, retry_info } = hpack::read(block).unwrap_or_default();
            let end = match (grpc, http) {
                (Some(RESOURCE_EXHAUSTED), _) if !retry_info => End::NoRetryInfo,
                (Some(code), _) => End::Status(code),
                (None, Some(code)) if code != 200 => End::Http(code),
                (None, _) => End::NoStatus,
            };
            if end == End::Status(0) {
                self.fine_trailers = block.to_vec();
            }
            return self.end(stream, end, message, reader);
        }
        let http = match block {
            // `:status: 200`; the first block on a connection starts by taking the dynamic table to size 0.
            [0x88, ..] | [0x20, 0x88, ..] => 200,
            _ => hpack::read(block).and_then(|said| said.http).unwrap_or(0),
        };
        if let Some(call) = self.calls.get(stream) {
            call.http = http;
        }
        if ends {
            let end = if http == 200 { End::Status(0) } else { End::Http(http) };
            self.end(stream, end, None, reader);
        }
    }

    fn end(&mut self, stream: u32, end: End, message: Option<String>, reader: &mut impl Reader) {
        if let Some(call) = self.calls.take(stream) {
            reader.end(call, end, message);
        }
    }

    fn settings(&mut self, payload: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.settled, true) {
            self.max_streams = usize::MAX;
        }
        for setting in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match name {
                wire::SETTING_TABLE_SIZE if value < 4096 => return Err(malformed("the peer keeps no header table")),
                wire::SETTING_MAX_STREAMS => self.max_streams = value as usize,
                wire::SETTING_MAX_FRAME => self.max_frame = value as usize,
                wire::SETTING_WINDOW => {
                    let more = i64::from(value) - self.stream_window;
                    self.stream_window += more;
                    self.calls.window.iter_mut().flatten().for_each(|call| call.window += more);
                }
                _ => {}
            }
        }
        wire::begin(&mut self.output, 0, wire::SETTINGS, wire::ACK, 0);
        self.send_blocked();
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::super::socket::Address;
    use super::*;

    #[derive(Default)]
    struct Seen {
        data: Vec<u8>,
        ends: Vec<(usize, End, Option<String>)>,
    }

    impl Reader for Seen {
        fn data(&mut self, _: &mut Call, bytes: &[u8]) {
            self.data.extend_from_slice(bytes);
        }

        fn end(&mut self, call: Call, end: End, message: Option<String>) {
            self.ends.push((call.tag, end, message));
        }
    }

    /// A connection, and the other end of it.
    fn pair() -> (Connection, std::os::unix::net::UnixStream) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let head = RequestHead::new("localhost", "/a", &[]);
        let socket = Socket::connect(&Address::Unix(path)).unwrap();
        let mut connection = Connection::open(socket, Protocol::Grpc, head);
        let (mut peer, _) = listener.accept().unwrap();
        connection.flush().unwrap();
        let mut preface = vec![0; wire::PREFACE.len() + 9 + 18 + 9 + 4];
        peer.read_exact(&mut preface).unwrap();
        peer.set_nonblocking(true).unwrap();
        (connection, peer)
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        wire::begin(&mut out, payload.len(), kind, flags, stream);
        out.extend_from_slice(payload);
        out
    }

    fn trailers(status: u8) -> Vec<u8> {
        let mut block = vec![0x00, 11];
        block.extend(b"grpc-status");
        block.extend([1, b'0' + status]);
        block
    }

    #[test]
    fn answers_come_in_any_order_and_in_any_pieces() {
        let (mut connection, mut peer) = pair();
        let streams: Vec<u32> = (0..3).map(|tag| connection.begin(tag, 0)).collect();
        assert_eq!(streams, [1, 3, 5]);
        let mut answers = frame(wire::HEADERS, wire::END_HEADERS, 5, &[0x20, 0x88]);
        answers.extend(frame(wire::DATA, 0, 5, b"five"));
        answers.extend(frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, 5, &trailers(0)));
        answers.extend(frame(wire::RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
        answers.extend(frame(wire::HEADERS, wire::END_STREAM, 3, &trailers(9)[..5]));
        answers.extend(frame(wire::CONTINUATION, wire::END_HEADERS, 3, &trailers(9)[5..]));
        let mut seen = Seen::default();
        for byte in answers {
            peer.write_all(&[byte]).unwrap();
            connection.receive(&mut seen).unwrap();
        }
        assert_eq!(seen.data, b"five");
        assert_eq!(seen.ends, [(2, End::Status(0), None), (0, End::Reset(8), None), (1, End::Status(9), None)]);
        assert_eq!(connection.open_calls(), 0);
        assert_eq!(End::Status(9).to_string(), "FAILED_PRECONDITION");
    }

    #[test]
    fn a_refusal_says_when_to_ask_again() {
        let (mut connection, mut peer) = pair();
        let streams = [connection.begin(0, 0), connection.begin(1, 0)];
        let mut details = vec![0x12, 42, 0x0a, 40];
        details.extend(b"type.googleapis.com/google.rpc.RetryInfo");
        let details = STANDARD_NO_PAD.encode(details);
        let mut told = trailers(8);
        told.extend([0x00, 23]);
        told.extend(b"grpc-status-details-bin");
        told.push(u8::try_from(details.len()).unwrap());
        told.extend(details.as_bytes());
        let mut seen = Seen::default();
        for (stream, block) in streams.into_iter().zip([told, trailers(8)]) {
            peer.write_all(&frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, stream, &block)).unwrap();
        }
        connection.receive(&mut seen).unwrap();
        assert_eq!(seen.ends, [(0, End::Status(8), None), (1, End::NoRetryInfo, None)]);
        assert_eq!(seen.ends[0].1.to_string(), "RESOURCE_EXHAUSTED");
    }

    #[test]
    fn sends_no_more_than_the_peer_allows() {
        let (mut connection, mut peer) = pair();
        let stream = connection.begin(0, 0);
        connection.send(stream, &[7; 100_000], true);
        connection.flush().unwrap();
        let sent = |peer: &mut std::os::unix::net::UnixStream| {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(length) = peer.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..length]);
            }
            bytes.iter().filter(|byte| **byte == 7).count()
        };
        assert_eq!(sent(&mut peer), 65_535, "both windows are so at first");
        peer.write_all(&frame(wire::WINDOW_UPDATE, 0, 0, &100_000_u32.to_be_bytes())).unwrap();
        connection.receive(&mut Seen::default()).unwrap();
        connection.flush().unwrap();
        assert_eq!(sent(&mut peer), 0, "the stream's window is still closed");
        peer.write_all(&frame(wire::WINDOW_UPDATE, 0, stream, &100_000_u32.to_be_bytes())).unwrap();
        connection.receive(&mut Seen::default()).unwrap();
        connection.flush().unwrap();
        assert_eq!(sent(&mut peer), 100_000 - 65_535);
    }

    #[test]
    fn what_is_lost_is_told() {
        let (mut connection, peer) = pair();
        connection.begin(4, 0);
        drop(peer);
        let mut seen = Seen::default();
        assert!(connection.receive(&mut seen).is_err());
        connection.abandon(End::Lost, &mut seen);
        assert_eq!(seen.ends, [(4, End::Lost, None)]);
    }
}
