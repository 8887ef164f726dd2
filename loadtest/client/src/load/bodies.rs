//! What is sent: the requests of a file, framed once, as one piece of memory.

use std::path::Path;

use super::answer::{Decision, Service, varint, write_varint};

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// One call for each.
    Unary,
    /// Many in one call.
    Batch,
    /// Many in a call that stays open.
    Stream,
}

/// The place in a request that `--each-new` writes over: this many zeros, the digits of a counter.
pub const PLACE: &[u8] = b"0000000000";

/// Bodies, ready to be sent.
#[derive(Clone, Debug, Default)]
pub struct Bodies {
    bytes: Vec<u8>,
    /// Where each body ends.
    ends: Vec<usize>,
    /// For each request in order, where its [`PLACE`] is in its body; no entries if it has none.
    places: Vec<usize>,
    /// For each request, which decisions are right ([`Decision::bit`]); 0 for any.
    pub expected: Vec<u8>,
    /// Requests in a body.
    pub per_body: usize,
}

impl Bodies {
    /// Frames `messages` for a method. A batch takes `per_body` of them; what does not fill one is left out.
    pub fn new(messages: &[Vec<u8>], expected: Vec<u8>, service: Service, method: Method, per_body: usize) -> Self {
        let per_body = if method == Method::Batch { per_body } else { 1 };
        let mut bodies = Self { per_body, expected, ..Self::default() };
        for group in messages.chunks_exact(per_body) {
            let start = bodies.bytes.len();
            match (service, method) {
                (Service::Opa, _) => bodies.bytes.extend_from_slice(&group[0]),
                (_, Method::Unary) => frame(&mut bodies.bytes, &group[0]),
                (_, Method::Batch) => frame(&mut bodies.bytes, &in_field(1, group)),
                // The id and gRPC's frame are written when it is sent.
                (_, Method::Stream) => bodies.bytes.extend_from_slice(&in_field(2, group)),
            }
            bodies.ends.push(bodies.bytes.len());
            bodies.find_places(start, per_body);
        }
        if bodies.places.len() != bodies.ends.len() * per_body {
            bodies.places.clear();
        }
        bodies
    }

    /// Reads a file of requests and the decisions that are expected, if a file beside it (`.decisions`) says.
    pub fn read(file: &Path, service: Service, method: Method, per_body: usize) -> Result<Self, String> {
        Self::read_expecting(file, &file.with_extension("decisions"), service, method, per_body)
    }

    /// The same, with the decisions from another file.
    pub fn read_expecting(
        file: &Path,
        decisions: &Path,
        service: Service,
        method: Method,
        per_body: usize,
    ) -> Result<Self, String> {
        let name = file.display();
        let bytes = std::fs::read(file).map_err(|error| format!("cannot read {name}: {error}"))?;
        let messages =
            split(&bytes).ok_or_else(|| format!("{name} does not hold messages with their lengths before them"))?;
        let expected = match std::fs::read_to_string(decisions) {
            Ok(letters) => letters.lines().map(expected).collect(),
            Err(_) => Vec::new(),
        };
        if !expected.is_empty() && expected.len() != messages.len() {
            return Err(format!("{} and {name} hold different numbers of requests", decisions.display()));
        }
        let bodies = Self::new(&messages, expected, service, method, per_body);
        if bodies.count() == 0 {
            return Err(format!("{name} holds {} requests, too few for one call", messages.len()));
        }
        Ok(bodies)
    }

    /// Different bodies.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether `--each-new` is possible.
    pub fn can_be_new(&self) -> bool {
        !self.places.is_empty()
    }

    /// A body as it is.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Writes a body to `out` with `counter` in the place of each of its requests; gives the next counter.
    pub fn write_new(&self, index: usize, out: &mut Vec<u8>, mut counter: u64) -> u64 {
        let start = out.len();
        out.extend_from_slice(self.get(index));
        for place in &self.places[index * self.per_body..(index + 1) * self.per_body] {
            let mut rest = counter;
            for digit in out[start + place..start + place + PLACE.len()].iter_mut().rev() {
                *digit = b'0' + (rest % 10).to_le_bytes()[0];
                rest /= 10;
            }
            counter += 1;
        }
        counter
    }

    fn find_places(&mut self, start: usize, wanted: usize) {
        let body = &self.bytes[start..];
        let mut from = 0;
        for _ in 0..wanted {
            let Some(place) = body[from..].windows(PLACE.len()).position(|window| window == PLACE) else { return };
            self.places.push(from + place);
            from += place + PLACE.len();
        }
    }
}

/// A letter for each decision that is right.
fn expected(letters: &str) -> u8 {
    letters.chars().filter_map(Decision::from_letter).map(Decision::bit).sum()
}

fn in_field(number: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        out.push(number << 3 | 2);
        write_varint(&mut out, message.len() as u64);
        out.extend_from_slice(message);
    }
    out
}

/// gRPC's frame: not compressed, and the length.
pub fn frame(out: &mut Vec<u8>, message: &[u8]) {
    out.push(0);
    out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(message);
}

/// Messages with their lengths before them.
pub fn split(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = bytes;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let (message, after) = rest.split_at_checked(length)?;
        messages.push(message.to_vec());
        rest = after;
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::iamd;

    fn request(resource: &str) -> Vec<u8> {
        iamd::IsAuthorizedRequest { resource: resource.to_owned(), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn a_batch_is_one_message_and_each_request_in_it_can_be_new() {
        let messages = [request("a/0000000000"), request("b/0000000000x"), request("c/0000000000")];
        let bodies = Bodies::new(&messages, Vec::new(), Service::Iamd, Method::Batch, 2);
        assert_eq!((bodies.count(), bodies.can_be_new()), (1, true), "the third fills no batch");
        let mut out = Vec::new();
        assert_eq!(bodies.write_new(0, &mut out, 41), 43);
        let batch = iamd::BatchIsAuthorizedRequest::decode(&out[5..]).unwrap();
        let resources: Vec<_> = batch.requests.iter().map(|request| request.resource.as_str()).collect();
        assert_eq!(resources, ["a/0000000041", "b/0000000042x"]);
        assert_eq!(out.len(), bodies.get(0).len());
    }

    #[test]
    fn requests_without_the_place_cannot_be_new() {
        let bodies = Bodies::new(&[request("a/0000000000"), request("b")], Vec::new(), Service::Iamd, Method::Unary, 1);
        assert!(!bodies.can_be_new());
        assert_eq!(bodies.get(1), [0, 0, 0, 0, 3, 0x1a, 1, b'b']);
    }

    #[test]
    fn reads_files_and_the_decisions_beside_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("requests.bin");
        let mut bytes = Vec::new();
        for message in [request("a"), request("b")] {
            write_varint(&mut bytes, message.len() as u64);
            bytes.extend(message);
        }
        std::fs::write(&file, &bytes).unwrap();
        std::fs::write(file.with_extension("decisions"), "A\nDI\n").unwrap();
        let bodies = Bodies::read(&file, Service::Iamd, Method::Unary, 1).unwrap();
        assert_eq!(
            bodies.expected,
            [Decision::Allow.bit(), Decision::ExplicitDeny.bit() | Decision::ImplicitDeny.bit()]
        );
        std::fs::write(file.with_extension("decisions"), "A\n").unwrap();
        assert!(Bodies::read(&file, Service::Iamd, Method::Unary, 1).unwrap_err().contains("different numbers"));
        assert_eq!(split(&bytes[..bytes.len() - 1]), None, "cut off");
    }
}
