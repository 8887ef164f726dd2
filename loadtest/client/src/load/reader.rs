//! Answers, as they arrive: which request each belongs to, what it decided, and how long it took.

use std::collections::VecDeque;

use super::answer::{self, Decision, Service};
use super::bodies::{Bodies, Method};
use super::record::Recorder;
use crate::http2::connection::{Call, End, Reader};

/// Messages of a stream on their way: ids only grow, answers may come in any order.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    /// For each id from `first` on: since when, and which request.
    waiting: VecDeque<Option<(u64, usize)>>,
    first: u64,
    /// How many wait.
    pub open: usize,
}

impl Pipeline {
    /// The id of a message that is about to be sent.
    pub fn push(&mut self, since: u64, request: usize) -> u64 {
        self.waiting.push_back(Some((since, request)));
        self.open += 1;
        self.first + self.waiting.len() as u64 - 1
    }

    fn take(&mut self, id: u64) -> Option<(u64, usize)> {
        let place = usize::try_from(id.checked_sub(self.first)?).ok()?;
        let taken = self.waiting.get_mut(place)?.take()?;
        self.open -= 1;
        while matches!(self.waiting.front(), Some(None)) {
            self.waiting.pop_front();
            self.first += 1;
        }
        Some(taken)
    }
}

/// Reads answers into a [`Recorder`].
#[derive(Debug)]
pub struct Answers<'a> {
    pub service: Service,
    pub method: Method,
    pub bodies: &'a Bodies,
    pub recorder: Recorder,
    /// When what is being read has arrived.
    pub now: u64,
    /// Of each stream, by the tag of its call.
    pub pipelines: Vec<Pipeline>,
}

impl Answers<'_> {
    fn right(&self, request: usize) -> u8 {
        self.bodies.expected.get(request).copied().unwrap_or(0)
    }

    fn decided(&mut self, decision: Option<Decision>, request: usize) {
        let mut right = self.right(request);
        // Cerbos and a boolean know one kind of denial.
        if self.service == Service::Cerbos && right & !Decision::Allow.bit() != 0 {
            right |= Decision::ImplicitDeny.bit();
        }
        self.recorder.decision(self.now, decision, right);
    }

    fn message(&mut self, call: &mut Call, message: &[u8]) {
        call.messages += 1;
        match (self.service, self.method) {
            (Service::Cerbos, _) => self.decided(answer::cerbos(message), call.tag),
            (_, Method::Unary) => self.decided(answer::unary(message), call.tag),
            (_, Method::Batch) => {
                let first = call.tag * self.bodies.per_body;
                for (place, decision) in answer::batch(message).enumerate() {
                    self.decided(decision, first + place);
                }
            }
            (_, Method::Stream) => {
                let (id, decision) = answer::streamed(message);
                match self.pipelines.get_mut(call.tag).and_then(|pipeline| pipeline.take(id)) {
                    Some((since, request)) => {
                        self.decided(decision, request);
                        self.recorder.call(self.now, since);
                    }
                    None => self.recorder.failed(1, "an answer to nothing", None),
                }
            }
        }
    }

    /// Hands on every message that is complete; gives what is left.
    fn messages<'b>(&mut self, call: &mut Call, mut bytes: &'b [u8]) -> &'b [u8] {
        while let [_, a, b, c, d, rest @ ..] = bytes {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some((message, after)) = rest.split_at_checked(length) else { break };
            self.message(call, message);
            bytes = after;
        }
        bytes
    }
}

impl Reader for Answers<'_> {
    fn data(&mut self, call: &mut Call, bytes: &[u8]) {
        if self.service == Service::Opa {
            call.partial.extend_from_slice(bytes);
        } else if call.partial.is_empty() {
            let left = self.messages(call, bytes);
            call.partial.extend_from_slice(left);
        } else {
            let mut all = std::mem::take(&mut call.partial);
            all.extend_from_slice(bytes);
            let left = self.messages(call, &all).len();
            all.drain(..all.len() - left);
            call.partial = all;
        }
    }

    fn end(&mut self, mut call: Call, end: End, message: Option<String>) {
        if self.service == Service::Opa && end == End::Status(0) {
            call.messages = 1;
            self.decided(answer::opa(&call.partial), call.tag);
        }
        let lost = match self.method {
            // What a stream had not answered when it ended.
            Method::Stream => {
                self.pipelines.get_mut(call.tag).map_or(0, |pipeline| std::mem::take(pipeline).open as u64)
            }
            Method::Unary | Method::Batch => u64::from(end != End::Status(0) || call.messages == 0),
        };
        match (lost, end) {
            (0, _) if self.method == Method::Stream => {}
            (0, _) => self.recorder.call(self.now, call.since),
            (_, End::Status(0)) => self.recorder.failed(lost, "OK without an answer", None),
            _ => self.recorder.failed(lost, &end.to_string(), message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_knows_each_message_by_its_id() {
        let mut pipeline = Pipeline::default();
        let ids: Vec<u64> = (0..4).map(|request| pipeline.push(100 + request as u64, request)).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
        assert_eq!(pipeline.take(2), Some((102, 2)));
        assert_eq!(pipeline.take(2), None, "answered twice");
        assert_eq!((pipeline.take(0), pipeline.take(1)), (Some((100, 0)), Some((101, 1))));
        assert_eq!(pipeline.push(9, 9), 4);
        assert_eq!((pipeline.take(3), pipeline.take(4), pipeline.open), (Some((103, 3)), Some((9, 9)), 0));
        assert_eq!(pipeline.take(77), None);
    }
}
