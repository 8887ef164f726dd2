//! The three methods of AuthorizationService: a request's body in, an answer out.
//!
//! Written on HTTP itself rather than on tonic's server: a decision takes less time than tonic's way to a handler and back,
//! and requests can be looked up as they lie in their bytes.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use arrayvec::ArrayVec;
use prost::Message as _;
use prost::bytes::{Bytes, BytesMut};
use tokio::time::Sleep;
use tonic::Status;

use super::State;
use super::answers::{self, Form};
use super::convert::{self, Refusal};
use super::decide::Decider;
use super::logging::{self, Asked, Hearers};
use super::messages::{self, HEAD_BYTES, Messages, RequestBody, begin};
use super::rarely::Rarely;
use super::traced::Notes;
use crate::access::Outcome;
use crate::cache::{Key, Keys, Place as CachePlace};
use crate::config::RequestLimits;
use crate::decision_log::Place;
use crate::engine::{Active, Answer, Engine};
use crate::proto::view::{Field, Fields};

/// How many requests of a batch or stream are decided before other calls get their turn: 64 decisions take tens of
/// microseconds.
const TURN: usize = 64;

/// And so many bytes of a stream's requests are taken at a time, or one that is longer: what cannot be answered yet, since nobody
/// takes the answers, is held beside what HTTP/2's windows hold.
const TURN_BYTES: usize = 64 * 1024;

/// Answers of a stream are handed over when they have so many bytes, or when no more requests are there.
const FRAME_BYTES: usize = 16 * 1024;

/// Unary calls of a connection that are fetched for together: as many as it may have under way by default. The others wait for
/// memory one by one.
const FETCHED: usize = 128;

/// Of longer messages nothing is fetched: to hash them takes time, which a call that is refused must not cost.
const FETCHED_BYTES: usize = 4096;

thread_local! {
    /// Places in the cache of the unary calls that this thread has read. What a fault leaves here is fetched in vain.
    static READ: RefCell<ArrayVec<CachePlace, FETCHED>> = const { RefCell::new(ArrayVec::new_const()) };
}

/// The service.
#[derive(Debug)]
pub struct Authorization {
    engine: Arc<Engine>,
    state: Arc<State>,
    limits: RequestLimits,
}

impl Authorization {
    /// The service, on what decides.
    pub fn new(engine: Arc<Engine>, state: Arc<State>, limits: RequestLimits) -> Self {
        Self { engine, state, limits }
    }

    /// Fetches from memory what the unary calls that this thread has read, and will answer now, look at first in the cache.
    pub fn fetch(&self) {
        READ.with_borrow_mut(|places| {
            if places.len() > 1 {
                self.engine.load().cache.fetch(places.drain(..));
            }
            places.clear();
        });
    }

    /// Where the decision of a message belongs in the cache.
    fn place(&self, message: &[u8]) -> CachePlace {
        self.engine.load().cache.key(message).place()
    }

    fn decider<'s, 'm>(&'s self, active: &'s Active) -> Decider<'s, 'm> {
        Decider::new(active, &self.limits)
    }

    /// The key of a request's message in, and what the cache has of it; what was decided out.
    fn answer<'m>(
        &self,
        decider: &mut Decider<'_, 'm>,
        key: &Key<'m>,
        known: impl FnOnce() -> Option<Outcome>,
        asked: Asked<'_>,
    ) -> Result<Answer, Refusal> {
        let answered = guarded(|| {
            let answer = match (&self.state.decision_log, &asked.hearers.origin) {
                // Looked up in the time that the log tells, whether it was before or not.
                (Some(log), Some(origin)) => logging::decide(log, decider, key, origin, asked.place)?,
                _ => known().map_or_else(|| decider.decide(key), |outcome| Ok(Answer::remembered(outcome)))?,
            };
            if let Some(notes) = &asked.hearers.notes {
                notes.decided(decider.active(), &answer);
            }
            Ok(answer)
        });
        answered.inspect_err(|refusal| self.refused(refusal, asked.hearers))
    }

    /// A request, alone or one of many, gets no decision.
    fn refused(&self, refusal: &Refusal, hearers: &Hearers) {
        self.state.metrics.refused(refusal.code());
        hearers.notes.iter().for_each(Notes::refused);
    }
}

/// A fault of ours in one request is the answer to that request alone, in a batch or a stream too; the panic hook has
/// logged it.
fn guarded<T>(decide: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    // What requests share is immutable, or made for being left at any point: atomics, locks that are only tried, and the decider.
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or(Err(Refusal::Internal))
}

// --- IsAuthorized ---------------------------------------------------------------------------------------------------

/// The request of a call with one message each way: waits for the message, and for the end behind it.
#[derive(Debug)]
struct OneMessage<B> {
    messages: Messages<B>,
    message: Option<Bytes>,
}

impl<B: RequestBody> OneMessage<B> {
    fn new(body: B, limit: usize) -> Self {
        Self { messages: Messages::new(body, limit), message: None }
    }

    fn into_body(self) -> B {
        self.messages.into_body()
    }

    fn poll(&mut self, context: &mut Context<'_>, state: &State) -> Poll<Result<Bytes, Status>> {
        while self.message.is_none() || !self.messages.is_at_end() {
            match ready!(self.messages.poll_next(context, || state.room())) {
                Some(Ok(message)) if self.message.is_none() => self.message = Some(message),
                Some(Ok(_)) => return Poll::Ready(Err(convert::second_message())),
                Some(Err(status)) => return Poll::Ready(Err(status)),
                None => break,
            }
        }
        Poll::Ready(self.message.take().ok_or_else(convert::no_message))
    }
}

/// A call of `IsAuthorized`.
#[derive(Debug)]
pub struct Unary<B> {
    authorization: Arc<Authorization>,
    request: OneMessage<B>,
    /// Its message, if that has come with the head, as most do.
    read: Option<Result<Bytes, Status>>,
    /// Where its decision belongs in the cache, if that is known.
    place: Option<CachePlace>,
    hearers: Hearers,
}

impl<B: RequestBody> Unary<B> {
    /// With the body of its request, and who hears what was decided.
    pub fn new(authorization: Arc<Authorization>, body: B, hearers: Hearers) -> Self {
        let request = OneMessage::new(body, authorization.state.request_bytes);
        let mut call = Self { authorization, request, read: None, place: None, hearers };
        // A fault here would end the connection, and not this call alone.
        let read = guarded(|| {
            call.read();
            Ok(())
        });
        if let Err(fault) = read {
            call.read = Some(Err(fault.status()));
        }
        call
    }

    /// Takes the message, if it is there: else it is waited for when the call is polled.
    fn read(&mut self) {
        let mut nobody = Context::from_waker(Waker::noop());
        let Poll::Ready(read) = self.request.poll(&mut nobody, &self.authorization.state) else { return };
        if let Some(message) = read.as_ref().ok().filter(|message| message.len() <= FETCHED_BYTES) {
            let place = self.authorization.place(message);
            self.place = Some(place);
            READ.with_borrow_mut(|places| {
                if !places.is_full() {
                    places.push(place);
                }
            });
        }
        self.read = Some(read);
    }

    /// What is left of its request.
    pub fn into_body(self) -> B {
        self.request.into_body()
    }

    /// The answer, framed; or what `refuse` says when the request has come.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        refuse: impl FnOnce() -> Result<(), Status>,
    ) -> Poll<Result<Bytes, Status>> {
        let message = match self.read.take() {
            Some(read) => read?,
            None => ready!(self.request.poll(context, &self.authorization.state))?,
        };
        refuse()?;
        let place = self.place.unwrap_or_else(|| self.authorization.place(&message));
        let active = self.authorization.engine.load();
        let asked = Asked { hearers: &self.hearers, place: Place::Alone };
        let mut decider = self.authorization.decider(&active);
        let key = Key::at(place, &message);
        let known = || active.cache.get(&key);
        let answer = self.authorization.answer(&mut decider, &key, known, asked);
        let answer = answer.map_err(|refusal| refusal.status())?;
        self.authorization.state.metrics.decided(&answer);
        Poll::Ready(Ok(answers::with(&answer.outcome, active.snapshot.version, Form::Framed, Bytes::clone)))
    }
}

// --- BatchIsAuthorized ----------------------------------------------------------------------------------------------

/// A call of `BatchIsAuthorized`.
#[derive(Debug)]
pub struct Batch<B> {
    authorization: Arc<Authorization>,
    request: OneMessage<B>,
    deciding: Option<Deciding>,
    hearers: Hearers,
}

/// A batch that has arrived.
#[derive(Debug)]
struct Deciding {
    active: Arc<Active>,
    message: Bytes,
    /// Where the next of its requests begins.
    next: usize,
    /// How many were decided.
    decided: u32,
    out: BytesMut,
    start: usize,
}

impl<B: RequestBody> Batch<B> {
    /// With the body of its request, and who hears what was decided.
    pub fn new(authorization: Arc<Authorization>, body: B, hearers: Hearers) -> Self {
        let request = OneMessage::new(body, authorization.state.request_bytes);
        Self { authorization, request, deciding: None, hearers }
    }

    /// What is left of its request.
    pub fn into_body(self) -> B {
        self.request.into_body()
    }

    /// The answer, framed; or what `refuse` says when the request has come.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        refuse: impl FnOnce() -> Result<(), Status>,
    ) -> Poll<Result<Bytes, Status>> {
        let deciding = match &mut self.deciding {
            Some(deciding) => deciding,
            None => {
                let message = ready!(self.request.poll(context, &self.authorization.state))?;
                refuse()?;
                self.deciding.insert(Deciding::new(&self.authorization, message).map_err(|refusal| refusal.status())?)
            }
        };
        let answered = deciding.turn(&self.authorization, &self.hearers);
        if matches!(answered, Ok(None)) {
            context.waker().wake_by_ref();
        }
        match answered {
            Ok(None) => Poll::Pending,
            Ok(Some(answer)) => Poll::Ready(Ok(answer)),
            Err(refusal) => Poll::Ready(Err(refusal.status())),
        }
    }
}

impl Deciding {
    fn new(authorization: &Authorization, message: Bytes) -> Result<Self, Refusal> {
        let active = authorization.engine.load_full();
        let requests = convert::batch_size(&message, &authorization.limits)?;
        let mut out = BytesMut::with_capacity(requests * ANSWER_BYTES);
        let start = begin(&mut out);
        Ok(Self { active, message, next: 0, decided: 0, out, start })
    }

    /// Decides some of the requests; None if some are left.
    fn turn(&mut self, authorization: &Authorization, hearers: &Hearers) -> Result<Option<Bytes>, Refusal> {
        let mut fields = Fields::of(self.message.get(self.next..).unwrap_or_default());
        let cache = &self.active.cache;
        let mut keys = cache.keys();
        let keys: ArrayVec<_, TURN> =
            fields.by_ref().take(TURN).filter_map(|field| request_key(&mut keys, field)).collect();
        let mut decider = authorization.decider(&self.active);
        let mut tally = authorization.state.metrics.tally();
        for (key, known) in keys.iter().zip(cache.get_all(&keys)) {
            let asked = Asked { hearers, place: Place::Batch(self.decided) };
            self.decided = self.decided.saturating_add(1);
            let answer = authorization.answer(&mut decider, key, || known, asked);
            let answer = answer.inspect(|answer| tally.decided(answer));
            put_result(answer, self.active.snapshot.version, &mut self.out)?;
        }
        self.next = self.message.len() - fields.rest().len();
        if self.next < self.message.len() {
            return Ok(None);
        }
        prost::encoding::uint64::encode(2, &self.active.snapshot.version, &mut self.out);
        messages::end(&mut self.out, self.start);
        Ok(Some(self.out.split().freeze()))
    }
}

/// The key of a request, if this field of a batch is one.
fn request_key<'m>(keys: &mut Keys<'_, 'm>, field: (u32, Field<'m>)) -> Option<Key<'m>> {
    if let (1, Field::Bytes(request)) = field { Some(keys.of(request)) } else { None }
}

/// Writes one result of a batch; an error if that ends the whole call.
fn put_result(answer: Result<Answer, Refusal>, version: u64, out: &mut BytesMut) -> Result<(), Refusal> {
    let outcome = match answer {
        Ok(answer) => answer.outcome,
        Err(refusal) => {
            prost::encoding::message::encode(1, &convert::batch_error(refusal)?, out);
            return Ok(());
        }
    };
    answers::with(&outcome, version, Form::Batched, |result| out.extend_from_slice(result));
    Ok(())
}

/// Writes one answer of a stream; an error if that ends the whole call.
fn put_streamed(id: u64, answer: Result<Answer, Refusal>, version: u64, out: &mut BytesMut) -> Result<(), Refusal> {
    let answer = answer.map(Ok).or_else(|refusal| convert::stream_error(id, refusal).map(Err))?;
    let start = begin(out);
    match answer {
        Ok(answer) => {
            if id != 0 {
                prost::encoding::uint64::encode(1, &id, out);
            }
            answers::with(&answer.outcome, version, Form::Streamed, |response| out.extend_from_slice(response));
        }
        Err(error) => error.encode_raw(out),
    }
    messages::end(out, start);
    Ok(())
}

/// An answer of a batch without explanation takes so many bytes, or fewer.
const ANSWER_BYTES: usize = 16;

// --- StreamIsAuthorized ---------------------------------------------------------------------------------------------

/// A call of `StreamIsAuthorized`: the answers of a stream, each as soon as its request is there, each from the snapshot
/// that is active then. Answers to requests that arrive together are handed over together.
pub struct Answers<B> {
    authorization: Arc<Authorization>,
    messages: Messages<B>,
    /// Why it ends before its client ends it.
    interruption: Rarely<Interrupted>,
    interrupted: Option<Interrupted>,
    /// While a request has arrived in part.
    rest: Option<Pin<Box<Sleep>>>,
    /// Whether others get their turn before the next request is looked at.
    yields: bool,
    /// What has arrived, and was too much to be answered at once.
    unanswered: Vec<Bytes>,
    /// How it ends, when that is answered.
    end: Option<Status>,
    hearers: Hearers,
}

/// Why a stream ends before its client ends it.
#[derive(Clone, Debug)]
struct Interrupted {
    status: Status,
    /// Of what its client sends, so many bytes are answered first. Bounded, since a client need never pause. 0: nothing more is
    /// answered, not even what has been taken.
    rest: usize,
}

/// Waits until the service stops (what has arrived is answered then), or the client's time is up.
fn interruption(state: &State, timeout: Option<Duration>) -> Rarely<Interrupted> {
    let stopped = state.stopped();
    let window = state.window_bytes;
    // Without a runtime there is no clock; with one, it runs from here on.
    let deadline = timeout.map(|timeout| (tokio::time::sleep(timeout), timeout));
    Rarely::new(async move {
        let late = async {
            match deadline {
                Some((sleep, timeout)) => {
                    sleep.await;
                    Interrupted { status: convert::deadline_exceeded(timeout), rest: 0 }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped => Interrupted { status: convert::stopping(), rest: window },
            late = late => late,
        }
    })
}

impl<B> std::fmt::Debug for Answers<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("end", &self.end).finish_non_exhaustive()
    }
}

impl<B: RequestBody> Answers<B> {
    /// With the body of its requests, and who hears what was decided; `timeout` is the client's.
    pub fn new(authorization: Arc<Authorization>, body: B, timeout: Option<Duration>, hearers: Hearers) -> Self {
        let messages = Messages::new(body, authorization.state.request_bytes);
        let interruption = interruption(&authorization.state, timeout);
        Self {
            authorization,
            messages,
            interruption,
            interrupted: None,
            rest: None,
            yields: false,
            unanswered: Vec::new(),
            end: None,
            hearers,
        }
    }

    /// The next answers in their frames, or how the stream ended.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        if let Some(end) = self.end.take_if(|_| self.unanswered.is_empty()) {
            return Poll::Ready(Err(end));
        }
        // Asked at each turn: a stream that its client keeps full never waits for anything.
        if self.interrupted.is_none()
            && let Poll::Ready(interrupted) = self.interruption.poll(context)
        {
            if interrupted.rest == 0 {
                (self.unanswered, self.end) = (Vec::new(), None);
            }
            self.interrupted = Some(interrupted);
        }
        if std::mem::take(&mut self.yields) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut out = BytesMut::new();
        self.gather(&mut out, context);
        if !out.is_empty() {
            self.rest = None;
            return Poll::Ready(Ok(out.freeze()));
        }
        match self.end.take() {
            Some(end) => Poll::Ready(Err(end)),
            None => self.poll_silence(context).map(Err),
        }
    }

    /// Answers what has arrived, for a turn.
    fn gather(&mut self, out: &mut BytesMut, context: &mut Context<'_>) {
        let mut arrived: ArrayVec<Bytes, TURN> = self.unanswered.drain(..).collect();
        if !arrived.is_empty() {
            self.yields = true;
        } else if let Poll::Ready(end) = self.collect(&mut arrived, context) {
            self.end = Some(end);
        }
        match self.answer(&arrived, out) {
            Ok(answered) => {
                self.yields |= answered < arrived.len();
                self.unanswered.extend(arrived.drain(answered..));
            }
            Err(refusal) => self.end = Some(refusal.status()),
        }
    }

    /// Takes what has arrived, as much as is answered in a turn; how the stream ends, if it does.
    fn collect(&mut self, arrived: &mut ArrayVec<Bytes, TURN>, context: &mut Context<'_>) -> Poll<Status> {
        let mut bytes = 0;
        while !arrived.is_full() && bytes < TURN_BYTES {
            if let Some(Interrupted { status, rest: 0 }) = &self.interrupted {
                return Poll::Ready(status.clone());
            }
            let message = match ready!(self.messages.poll_next(context, || self.authorization.state.room())) {
                Some(Ok(message)) => message,
                Some(Err(status)) => return Poll::Ready(status),
                None => return Poll::Ready(Status::ok("")),
            };
            if let Some(interrupted) = &mut self.interrupted {
                // Its length is sent, too: that an empty message takes nothing must not make it go on for ever.
                interrupted.rest = interrupted.rest.saturating_sub(HEAD_BYTES + message.len());
            }
            bytes += message.len();
            arrived.push(message);
        }
        self.yields = true;
        Poll::Pending
    }

    /// Answers messages until there is enough to be handed over; how many. An error ends the stream.
    fn answer(&self, messages: &ArrayVec<Bytes, TURN>, out: &mut BytesMut) -> Result<usize, Refusal> {
        let active = self.authorization.engine.load();
        let requests: ArrayVec<_, TURN> =
            messages.iter().map_while(|message| convert::streamed(message).ok()).collect();
        // What is no request has the key of an empty one, of which nothing is known.
        let parts = requests.iter().map(|(_, request)| request.as_deref().unwrap_or_default());
        let mut keys = active.cache.keys();
        let keys: ArrayVec<_, TURN> = parts.map(|request| keys.of(request)).collect();
        let mut decider = self.authorization.decider(&active);
        let mut tally = self.authorization.state.metrics.tally();
        for (answered, ((key, known), (id, request))) in
            keys.iter().zip(active.cache.get_all(&keys)).zip(&requests).enumerate()
        {
            if out.len() >= FRAME_BYTES {
                return Ok(answered);
            }
            let answer = match request {
                Ok(_) => {
                    let asked = Asked { hearers: &self.hearers, place: Place::Stream(*id) };
                    let answer = self.authorization.answer(&mut decider, key, || known, asked);
                    answer.inspect(|answer| tally.decided(answer))
                }
                Err(invalid) => Err(Refusal::Invalid(invalid.clone()))
                    .inspect_err(|refusal| self.authorization.refused(refusal, &self.hearers)),
            };
            put_streamed(*id, answer, active.snapshot.version, out)?;
        }
        match messages.get(requests.len()) {
            Some(malformed) => convert::streamed(malformed).map(|_| requests.len()).map_err(Refusal::from),
            None => Ok(requests.len()),
        }
    }

    /// How it ends though nothing has arrived: it was interrupted, or the rest of a request does not come.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if let Some(Interrupted { status, .. }) = self.interrupted.take() {
            return Poll::Ready(status);
        }
        if !self.messages.is_in_the_middle() {
            self.rest = None;
            return Poll::Pending;
        }
        // A stream may be silent, but not in the middle of a request: that would keep what has come of it.
        let timeout = self.authorization.state.request_timeout;
        let rest = self.rest.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        rest.as_mut().poll(context).map(|()| convert::cut_short(timeout))
    }
}

#[cfg(test)]
mod tests;
