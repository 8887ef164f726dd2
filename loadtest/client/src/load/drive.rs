//! A run: one thread, all connections, until time or count is reached.

use std::num::NonZero;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::answer::{Service, write_varint};
use super::bodies::{Bodies, Method};
use super::pace::{Pace, Schedule};
use super::progress::Progress;
use super::reader::{Answers, Pipeline};
use super::record::{Measured, Recorder};
use crate::host;
use crate::http2::connection::{Connection, End, Protocol};
use crate::http2::hpack::RequestHead;
use crate::http2::socket::{Address, Socket};
use crate::http2::tls::Trust;

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// As [`Address`] reads it.
    pub address: String,
    /// With TLS, for whom to trust.
    #[serde(skip)]
    pub tls: Option<Trust>,
    pub service: Service,
    pub method: Method,
    pub connections: usize,
    /// Calls at a time on a connection.
    pub streams: usize,
    /// Requests in a batch.
    pub batch: usize,
    /// Of a stream: messages sent together, and messages on their way at most.
    pub pack: usize,
    pub window: usize,
    /// Requests (of a stream) or calls a second; without it, as fast as answers come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub seconds: f64,
    /// Ends after so many calls, or messages of streams, if that is sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Calls or messages before it counts.
    pub warm_up: u64,
    /// Writes a counter into each request, so that none is like another.
    pub each_new: bool,
    /// Length of the intervals that are reported.
    pub interval_seconds: f64,
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// From now on it counts.
    Began,
    /// What is answered from now on does not count.
    Ended,
}

/// How long answers are waited for after the end.
const DRAIN: u64 = 10_000_000_000;

/// How long a warm-up may take.
const LONGEST_WARM_UP: u64 = 120_000_000_000;

const MILLISECOND: u64 = 1_000_000;

/// How long a stream that was refused stays away.
const PAUSE: u64 = 500 * MILLISECOND;

/// Runs a plan.
pub fn drive(plan: &Plan, bodies: &Bodies, name: &str, moment: &mut dyn FnMut(Moment)) -> Result<Measured, String> {
    if plan.each_new && !bodies.can_be_new() {
        return Err("the requests have no place for a counter: `generate` makes such that have one".to_owned());
    }
    // Waking up 50 us late, as is usual, would be measured as latency of the service.
    let _ = rustix::thread::set_current_timer_slack(NonZero::new(1));
    let mut run = Run::open(plan, bodies)?;
    let mut progress = Progress::new(name, plan.seconds);
    let outcome = run.go(&mut progress, moment);
    progress.clear();
    outcome
}

struct Run<'a> {
    plan: &'a Plan,
    lanes: Vec<Lane>,
    answers: Answers<'a>,
    pace: Pace,
    clock: Instant,
    /// When what counts began.
    origin: u64,
    /// Which body is next, and which number a new request gets.
    next: usize,
    counter: u64,
    scratch: Vec<u8>,
    /// How many more may be sent.
    left: u64,
    /// The lane whose turn it is, in an open loop.
    turn: usize,
}

/// A connection, and its streams if they stay open.
struct Lane {
    connection: Connection,
    streams: Vec<Held>,
}

/// A stream that stays open.
struct Held {
    /// Its number on the connection.
    stream: u32,
    tag: usize,
    /// If the service ended it, when it may begin anew.
    again: Option<u64>,
}

impl Lane {
    /// Streams that the service ended begin anew after a while; what it had not answered was counted when they ended.
    fn open_again(&mut self, now: u64) {
        for held in &mut self.streams {
            match held.again {
                Some(again) if again <= now && self.connection.takes_calls() => {
                    held.stream = self.connection.begin(held.tag, 0);
                    held.again = None;
                }
                None if !self.connection.is_open(held.stream) => held.again = Some(now + PAUSE),
                _ => {}
            }
        }
    }
}

impl<'a> Run<'a> {
    fn open(plan: &'a Plan, bodies: &'a Bodies) -> Result<Self, String> {
        let address: Address = plan.address.parse()?;
        let (protocol, mut head) = head(plan.service, plan.method, &address);
        if plan.tls.is_some() {
            head = head.secured();
        }
        let mut lanes = Vec::new();
        let mut pipelines = Vec::new();
        for _ in 0..plan.connections {
            let socket = match &plan.tls {
                Some(trust) => Socket::connect_secured(&address, trust),
                None => Socket::connect(&address),
            };
            let socket = socket.map_err(|error| format!("cannot connect to {address}: {error}"))?;
            let connection = Connection::open(socket, protocol, head.clone());
            let mut lane = Lane { connection, streams: Vec::new() };
            if plan.method == Method::Stream {
                for _ in 0..plan.streams {
                    let tag = pipelines.len();
                    lane.streams.push(Held { stream: lane.connection.begin(tag, 0), tag, again: None });
                    pipelines.push(Pipeline::default());
                }
            }
            lanes.push(lane);
        }
        let recorder = Recorder::new(nanoseconds(plan.interval_seconds));
        let (service, method) = (plan.service, plan.method);
        Ok(Self {
            plan,
            lanes,
            answers: Answers { service, method, bodies, recorder, now: 0, pipelines },
            pace: plan.rate.map_or(Pace::Closed, |rate| Pace::Open(Schedule::new(rate))),
            clock: Instant::now(),
            origin: 0,
            next: 0,
            counter: 0,
            scratch: Vec::new(),
            left: u64::MAX,
            turn: 0,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn go(&mut self, progress: &mut Progress, moment: &mut dyn FnMut(Moment)) -> Result<Measured, String> {
        self.warm_up()?;
        moment(Moment::Began);
        let busy_before = host::own_cpu_nanoseconds();
        self.origin = self.now();
        self.answers.recorder.begin(self.origin);
        self.pace = self.plan.rate.map_or(Pace::Closed, |rate| Pace::Open(Schedule::new(rate)));
        self.left = self.plan.count.unwrap_or(u64::MAX);
        let planned = self.origin + nanoseconds(self.plan.seconds);
        let end =
            self.until(progress, |run, now| now >= planned || (run.left == 0 && run.on_their_way() == 0))?.min(planned);
        moment(Moment::Ended);
        let busy = host::own_cpu_nanoseconds().saturating_sub(busy_before);
        if self.plan.rate.is_none() {
            self.answers.recorder.end(end);
        }
        self.drain(end, progress)?;
        let recorder = std::mem::replace(&mut self.answers.recorder, Recorder::new(1));
        let mut measured = recorder.finish(end);
        measured.generator_busy = 100.0 * busy as f64 / (end - self.origin).max(1) as f64;
        Ok(measured)
    }

    /// As fast as answers come, whatever the pace will be.
    fn warm_up(&mut self) -> Result<(), String> {
        if self.plan.warm_up == 0 {
            return Ok(());
        }
        self.pace = Pace::Closed;
        let wanted = self.plan.warm_up;
        let mut silent = Progress::new("", 1.0);
        self.until(&mut silent, |run, now| run.answers.recorder.all_calls() >= wanted || now > LONGEST_WARM_UP)?;
        if self.plan.rate.is_some() {
            // Nothing that was not due may count, or delay what is.
            self.left = 0;
            self.until(&mut silent, |run, now| run.on_their_way() == 0 || now > LONGEST_WARM_UP)?;
        }
        match self.answers.recorder.all_calls() {
            0 => Err("nothing was answered while warming up".to_owned()),
            _ => Ok(()),
        }
    }

    /// Sends what an open loop still owes, waits for what is on its way, ends streams.
    fn drain(&mut self, end: u64, progress: &mut Progress) -> Result<(), String> {
        let (deadline, origin) = (end + DRAIN, self.origin);
        if matches!(self.pace, Pace::Closed) {
            self.left = 0;
        }
        self.until(progress, |run, now| {
            if !run.pace.owes(end - origin) {
                run.left = 0;
            }
            now >= deadline || (run.left == 0 && run.on_their_way() == 0)
        })?;
        self.left = 0;
        for lane in &mut self.lanes {
            for held in &lane.streams {
                lane.connection.send(held.stream, &[], true);
            }
        }
        let soon = self.now() + DRAIN / 10;
        self.until(progress, |run, now| now >= soon || run.lanes.iter().all(|lane| lane.connection.open_calls() == 0))?;
        self.answers.now = self.now();
        for lane in &mut self.lanes {
            lane.connection.abandon(End::Unanswered, &mut self.answers);
        }
        Ok(())
    }

    /// Requests on their way.
    fn on_their_way(&self) -> usize {
        match self.plan.method {
            Method::Stream => self.answers.pipelines.iter().map(|pipeline| pipeline.open).sum(),
            Method::Unary | Method::Batch => self.lanes.iter().map(|lane| lane.connection.open_calls()).sum(),
        }
    }

    /// Sends and receives until `done`; gives the time.
    fn until(&mut self, progress: &mut Progress, mut done: impl FnMut(&mut Self, u64) -> bool) -> Result<u64, String> {
        loop {
            let now = self.now();
            if done(self, now) {
                return Ok(now);
            }
            let length = self.plan.interval_seconds;
            let errors = self.answers.recorder.errors();
            if let Some(interval) = self.answers.recorder.roll(now) {
                progress.show(interval, length, errors);
            }
            self.fill(now);
            let wait = self.pace.idle(now - self.origin).unwrap_or(u64::MAX).min(20 * MILLISECOND);
            // Nothing is due while all places are taken: only an answer can change that.
            let wait = if wait == 0 { MILLISECOND } else { wait };
            self.exchange(wait)?;
        }
    }

    /// Sends what is due.
    fn fill(&mut self, now: u64) {
        let open_loop = matches!(self.pace, Pace::Open(_));
        let mut full = 0;
        while full < self.lanes.len() {
            let lane = self.turn % self.lanes.len();
            self.turn = lane + 1;
            let mut sent = false;
            while self.left > 0 && self.send(lane, now) {
                sent = true;
                if open_loop {
                    break;
                }
            }
            full = if sent && open_loop { 0 } else { full + 1 };
        }
    }

    /// Whether something was due, and there was room for it.
    fn send(&mut self, lane: usize, now: u64) -> bool {
        match self.plan.method {
            Method::Stream => self.send_packed(lane, now),
            Method::Unary | Method::Batch => self.send_call(lane, now),
        }
    }

    fn send_call(&mut self, lane: usize, now: u64) -> bool {
        let connection = &self.lanes[lane].connection;
        if connection.open_calls() >= self.plan.streams || !connection.takes_calls() {
            return false;
        }
        let Some(since) = self.pace.take(now - self.origin) else { return false };
        let body = self.take_body();
        let connection = &mut self.lanes[lane].connection;
        let stream = connection.begin(body, since + self.origin);
        if self.plan.each_new {
            self.scratch.clear();
            self.counter = self.answers.bodies.write_new(body, &mut self.scratch, self.counter);
            connection.send(stream, &self.scratch, true);
        } else {
            connection.send(stream, self.answers.bodies.get(body), true);
        }
        true
    }

    /// On the stream with the fewest messages on their way: several messages as one piece.
    fn send_packed(&mut self, lane: usize, now: u64) -> bool {
        self.lanes[lane].open_again(now);
        let pipelines = &self.answers.pipelines;
        let open = self.lanes[lane].streams.iter().filter(|held| held.again.is_none());
        let Some(&Held { stream, tag, .. }) = open.min_by_key(|held| pipelines[held.tag].open) else { return false };
        if pipelines[tag].open + self.plan.pack > self.plan.window {
            return false;
        }
        let mut piece = std::mem::take(&mut self.scratch);
        piece.clear();
        for _ in 0..self.plan.pack {
            if self.left == 0 {
                break;
            }
            let Some(since) = self.pace.take(now - self.origin) else { break };
            let body = self.take_body();
            let id = self.answers.pipelines[tag].push(since + self.origin, body);
            let start = piece.len();
            piece.extend_from_slice(&[0; 5]);
            piece.push(1 << 3);
            write_varint(&mut piece, id);
            if self.plan.each_new {
                self.counter = self.answers.bodies.write_new(body, &mut piece, self.counter);
            } else {
                piece.extend_from_slice(self.answers.bodies.get(body));
            }
            let length = u32::try_from(piece.len() - start - 5).unwrap_or(u32::MAX);
            piece[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        }
        let sent = !piece.is_empty();
        if sent {
            self.lanes[lane].connection.send(stream, &piece, false);
        }
        self.scratch = piece;
        sent
    }

    fn take_body(&mut self) -> usize {
        let body = self.next;
        self.next = if body + 1 == self.answers.bodies.count() { 0 } else { body + 1 };
        self.left -= 1;
        body
    }

    /// Writes what waits, waits for answers, reads them.
    fn exchange(&mut self, wait: u64) -> Result<(), String> {
        let mut lost: Vec<(usize, String)> = Vec::new();
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            if let Err(error) = lane.connection.flush() {
                lost.push((place, error.to_string()));
            }
        }
        let flags = |lane: &Lane| match lane.connection.wants_to_write() {
            true => PollFlags::IN | PollFlags::OUT,
            false => PollFlags::IN,
        };
        let mut ready: Vec<PollFd<'_>> =
            self.lanes.iter().map(|lane| PollFd::new(&lane.connection, flags(lane))).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait.min(999_999_999)).unwrap_or(0) };
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("cannot wait for answers: {error}")),
        }
        let ready: Vec<bool> = ready.iter().map(|lane| lane.revents().intersects(!PollFlags::OUT)).collect();
        for (place, _) in ready.into_iter().enumerate().filter(|(_, ready)| *ready) {
            self.answers.now = self.now();
            if let Err(error) = self.lanes[place].connection.receive(&mut self.answers) {
                lost.push((place, error.to_string()));
            }
        }
        self.lose(lost)
    }

    /// Connections that ended take their calls with them; the others go on.
    fn lose(&mut self, mut lost: Vec<(usize, String)>) -> Result<(), String> {
        lost.dedup_by_key(|(place, _)| *place);
        lost.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        lost.dedup_by_key(|(place, _)| *place);
        for (place, error) in lost {
            let mut lane = self.lanes.remove(place);
            self.answers.now = self.now();
            lane.connection.abandon(End::Lost, &mut self.answers);
            if self.lanes.is_empty() {
                return Err(format!("every connection was lost, the last by: {error}"));
            }
        }
        Ok(())
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// What every request says before its body.
fn head(service: Service, method: Method, address: &Address) -> (Protocol, RequestHead) {
    let authority = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    };
    let path = match (service, method) {
        (Service::Iamd, Method::Unary) => "/iamd.v1.AuthorizationService/IsAuthorized",
        (Service::Iamd, Method::Batch) => "/iamd.v1.AuthorizationService/BatchIsAuthorized",
        (Service::Iamd, Method::Stream) => "/iamd.v1.AuthorizationService/StreamIsAuthorized",
        (Service::Cerbos, _) => "/cerbos.svc.v1.CerbosService/CheckResources",
        (Service::Opa, _) => "/v1/data/iam/decision",
    };
    match service {
        Service::Opa => (Protocol::Http, RequestHead::new(&authority, path, &[("content-type", "application/json")])),
        Service::Iamd | Service::Cerbos => {
            let others = [("content-type", "application/grpc"), ("te", "trailers")];
            (Protocol::Grpc, RequestHead::new(&authority, path, &others))
        }
    }
}

#[cfg(test)]
mod tests;
