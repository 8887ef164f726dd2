//! What every call passes: the limit of calls in flight, the deadline, and the metrics of its end.
//!
//! One service in front of all, so that a call is looked at once. The answer's body carries the call along: a call ends
//! when its last frame has been handed over, or when its peer goes away.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;

use super::grpc::{Answers, Authorization, Batch, Unary};
use super::logging::Hearers;
use super::messages::RequestBody;
use super::traced::CallSpan;
use super::unread::Unread;
use super::{State, convert, limits, patience, queue};
use crate::metrics::{Rpc, Shed};

/// A large answer is handed over in pieces of this size: that of an HTTP/2 frame.
const PIECE_BYTES: usize = 16 * 1024;

/// How a call ended, as a number.
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How long the rest of a request is waited for whose time is up; not longer than it had.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);

/// Health gets in past `--max-in-flight`. Whoever asks and does not say what would fill memory by that, at 12 KiB for each call; past
/// so many more, only those are answered that have come whole, which wait for nothing.
const WAITING_CHECKS: usize = 1024;

/// All services, behind limits and metrics.
#[derive(Clone, Debug)]
pub struct Calls {
    authorization: Arc<Authorization>,
    others: Routes,
    state: Arc<State>,
    /// Who is at the other end, if it has said so.
    peer: Option<Arc<str>>,
}

impl Calls {
    /// `authorization` is reached directly, everything else through its routes.
    pub fn new(authorization: Authorization, others: Routes, state: Arc<State>) -> Self {
        Self { authorization: Arc::new(authorization), others, state, peer: None }
    }

    /// For the calls of this peer.
    #[must_use]
    pub fn with_peer(&self, peer: Option<Arc<str>>) -> Self {
        Self { peer, ..self.clone() }
    }

    /// What answers the calls of AuthorizationService.
    pub fn authorization(&self) -> &Arc<Authorization> {
        &self.authorization
    }

    /// What the listeners share.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// A call, from its head on.
    pub fn call<B: RequestBody>(&self, request: Request<B>) -> CallFuture<B> {
        let rpc = Rpc::of(request.uri().path());
        if let Some(reason) = self.reason_to_refuse(rpc) {
            return self.refuse(rpc, reason, request.into_body());
        }
        let timeout = self.timeout(rpc, request.headers());
        let started = Instant::now();
        queue::now(started);
        let traces = self.state.traces.as_ref();
        let span = traces.and_then(|traces| CallSpan::begin(traces, rpc, request.headers(), self.peer.as_ref()));
        let call = Call { state: Arc::clone(&self.state), rpc, started, timeout, code: None, span };
        CallFuture { answer: self.answer(&call, request), timer: None, call: Some(call), waited: false }
    }

    fn answer<B: RequestBody>(&self, call: &Call, request: Request<B>) -> Answer<B> {
        let Call { rpc, timeout, .. } = *call;
        if let (true, Some(status)) = (rpc.is_authorization(), unknown_encoding(request.headers())) {
            return Answer::Refused(Some(status));
        }
        let authorization = Arc::clone(&self.authorization);
        let hearers = self.hearers(call, request.headers());
        match rpc {
            Rpc::IsAuthorized => Answer::Unary(Unary::new(authorization, request.into_body(), hearers)),
            Rpc::BatchIsAuthorized => Answer::Batch(Box::new(Batch::new(authorization, request.into_body(), hearers))),
            Rpc::StreamIsAuthorized => {
                let answers = Answers::new(authorization, request.into_body(), timeout, hearers);
                Answer::Stream(Some(Box::new(answers)))
            }
            Rpc::Unknown if request.method() == Method::CONNECT => Answer::Tunnel,
            Rpc::HealthCheck | Rpc::HealthWatch | Rpc::ReflectionV1 | Rpc::ReflectionV1Alpha | Rpc::Unknown => {
                let (mut head, body) = request.into_parts();
                head.headers = bare(&head.headers);
                Answer::Other(Box::new(self.others.clone().call(Request::from_parts(head, Body::new(body)))))
            }
        }
    }

    fn hearers(&self, call: &Call, headers: &HeaderMap) -> Hearers {
        let log = self.state.decision_log.as_ref().filter(|_| call.rpc.is_authorization());
        let span = call.span.as_ref();
        Hearers {
            origin: log.map(|log| log.origin(headers, self.peer.as_ref(), span.and_then(|span| span.root()))),
            notes: span.map(|span| span.notes()),
        }
    }

    /// None: the call is in. Health gets in always: a full service is not a dead one.
    fn reason_to_refuse(&self, rpc: Rpc) -> Option<Shed> {
        if rpc.is_health() {
            self.state.in_flight.enter_always();
            return None;
        }
        if self.state.memory.tightness().refuses(rpc) {
            return Some(Shed::Memory);
        }
        (!self.state.in_flight.enter()).then_some(Shed::InFlight)
    }

    #[cold]
    fn refuse<B: RequestBody>(&self, rpc: Rpc, reason: Shed, body: B) -> CallFuture<B> {
        self.state.metrics.shed(reason);
        self.state.metrics.rpc_finished(rpc, Code::ResourceExhausted, Duration::ZERO);
        let status = match reason {
            Shed::Memory => convert::memory_is_tight(),
            Shed::InFlight | Shed::Connections | Shed::Queue => convert::overloaded(self.state.in_flight.limit()),
        };
        let answer = if rpc.is_unary() {
            Answer::Unread(Box::new(Unread::new(body, status, self.state.request_timeout)))
        } else {
            Answer::Refused(Some(status))
        };
        CallFuture { answer, timer: None, call: None, waited: false }
    }

    /// The client's deadline, or for a unary call the service's own if that is sooner.
    fn timeout(&self, rpc: Rpc, headers: &HeaderMap) -> Option<Duration> {
        let of_client = limits::client_timeout(headers);
        // Of a watch, only the head of its answer has to come in time; and for that, its request.
        if !rpc.is_unary() && rpc != Rpc::HealthWatch {
            return of_client;
        }
        let longest = self.state.request_timeout;
        Some(of_client.map_or(longest, |timeout| timeout.min(longest)))
    }
}

impl<B: RequestBody> hyper::service::Service<Request<B>> for Calls {
    type Response = Response<CallBody<B>>;
    type Error = Infallible;
    type Future = CallFuture<B>;

    fn call(&self, request: Request<B>) -> CallFuture<B> {
        Self::call(self, request)
    }
}

static ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What other services look at of the headers, which they keep until a message has come: that may be 40 KiB for each call, of a few
/// hundred bytes that were sent.
fn bare(headers: &HeaderMap) -> HeaderMap {
    let copy = |name: &HeaderName| Some((name.clone(), headers.get(name)?.clone()));
    [&CONTENT_TYPE, &ENCODING].into_iter().filter_map(copy).collect()
}

/// Messages come as they are: the service knows no compression.
fn unknown_encoding(headers: &HeaderMap) -> Option<Status> {
    let encoding = headers.get(&ENCODING).filter(|encoding| *encoding != "identity")?;
    Some(convert::unknown_encoding(encoding.to_str().unwrap_or("?")))
}

/// A call that was admitted, from its first byte to its last. Dropped without a code, its peer has gone away.
#[derive(Debug)]
struct Call {
    state: Arc<State>,
    rpc: Rpc,
    started: Instant,
    timeout: Option<Duration>,
    code: Option<Code>,
    /// None unless it is traced.
    span: Option<Box<CallSpan>>,
}

impl Call {
    fn finish(mut self, code: Code) {
        self.code = Some(code);
    }

    /// An error if its turn comes too late: it is refused, or its time is up already.
    fn in_time(&self, waited: bool) -> Result<(), Status> {
        let since = waited.then_some(self.started);
        if self.state.queue_time.is_some_and(|limit| queue::is_too_long(limit, since)) {
            self.state.metrics.shed(Shed::Queue);
            return Err(convert::queue_is_long());
        }
        let waited = queue::last_seen().map(|now| now.saturating_duration_since(self.started));
        match self.timeout {
            Some(timeout) if waited >= Some(timeout) => Err(self.time_is_up(timeout)),
            _ => Ok(()),
        }
    }

    /// An error for a question about health of which not all has come, if so many are waited for already.
    fn no_place_to_wait(&self) -> Option<Status> {
        let in_flight = &self.state.in_flight;
        if !self.rpc.is_health() || in_flight.held() <= in_flight.limit().saturating_add(WAITING_CHECKS) {
            return None;
        }
        self.state.metrics.shed(Shed::InFlight);
        Some(convert::overloaded(in_flight.limit()))
    }

    /// DEADLINE_EXCEEDED; but if it is the service's own limit, and the service that had too much to do, then it says so.
    fn time_is_up(&self, timeout: Duration) -> Status {
        let is_own = timeout >= self.state.request_timeout && self.state.queue_time.is_some();
        if !is_own || !queue::is_overworked_since(self.started) {
            return convert::deadline_exceeded(timeout);
        }
        self.state.metrics.shed(Shed::Queue);
        convert::queue_is_long()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let now = Instant::now();
        queue::now(now);
        let took = now.saturating_duration_since(self.started);
        let late = self.timeout.is_some_and(|timeout| took >= timeout);
        let code = match self.code {
            Some(code) => code,
            None if std::thread::panicking() => Code::Internal,
            None if late => Code::DeadlineExceeded,
            None => Code::Cancelled,
        };
        self.state.metrics.rpc_finished(self.rpc, code, took);
        self.state.in_flight.leave();
        if let Some(span) = self.span.take() {
            span.end(code, took);
        }
    }
}

enum Answer<B> {
    /// A status, taken once.
    Refused(Option<Status>),
    /// The same, when the request has come.
    Unread(Box<Unread<B>>),
    Unary(Unary<B>),
    Batch(Box<Batch<B>>),
    /// Taken once: it begins at once.
    Stream(Option<Box<Answers<B>>>),
    Other(Box<<Routes as tower::Service<Request<Body>>>::Future>),
    /// What is asked for is no call. An answer of HTTP's that is not good, or there would be a tunnel, and a task for it.
    Tunnel,
}

/// The answer to come.
pub struct CallFuture<B> {
    answer: Answer<B>,
    /// Made only when the answer is not there at once, which is rare: a decision does not wait.
    timer: Option<Pin<Box<Sleep>>>,
    call: Option<Call>,
    /// Whether it did not come with all that it needs.
    waited: bool,
}

impl<B> std::fmt::Debug for CallFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallFuture").field("call", &self.call).finish_non_exhaustive()
    }
}

impl<B: RequestBody> CallFuture<B> {
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Response<CallBody<B>>> {
        let (call, waited) = (self.call.as_ref(), self.waited);
        let in_time = || call.map_or(Ok(()), |call| call.in_time(waited));
        let answered = match &mut self.answer {
            Answer::Refused(status) => Err(status.take().unwrap_or_else(convert::stopping)),
            Answer::Unread(refused) => Err(ready!(refused.poll(context))),
            Answer::Unary(unary) => ready!(unary.poll(context, in_time)).map(Content::Message),
            Answer::Batch(batch) => ready!(batch.poll(context, in_time)).map(Content::Message),
            // INVARIANT: a future is not polled after its end.
            Answer::Stream(stream) => stream.take().map(Content::Stream).ok_or_else(convert::stopping),
            Answer::Tunnel => return Poll::Ready(self.no_tunnel()),
            Answer::Other(future) => match ready!(Pin::new(future).poll(context)) {
                Ok(response) => return Poll::Ready(self.pass_on(response)),
                Err(never) => match never {},
            },
        };
        Poll::Ready(match answered {
            Ok(content) => self.begin(content),
            Err(status) => self.end(status),
        })
    }

    /// That time is up, once it is, and of what time.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<(Status, Duration)> {
        if matches!(self.answer, Answer::Unread(_)) {
            return Poll::Pending;
        }
        let Some((call, timeout)) = self.call.as_ref().and_then(|call| Some((call, call.timeout?))) else {
            return Poll::Pending;
        };
        let end = call.started + timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
        timer.as_mut().poll(context).map(|()| (call.time_is_up(timeout), timeout))
    }

    /// Time is up. What is on its way of a request is waited for nevertheless, for a while: see [`Unread`].
    fn give_up(
        &mut self,
        status: Status,
        patience: Duration,
        context: &mut Context<'_>,
    ) -> Poll<Response<CallBody<B>>> {
        let body = match std::mem::replace(&mut self.answer, Answer::Refused(None)) {
            Answer::Unary(unary) => unary.into_body(),
            Answer::Batch(batch) => batch.into_body(),
            Answer::Refused(_) | Answer::Unread(_) | Answer::Stream(_) | Answer::Other(_) | Answer::Tunnel => {
                return Poll::Ready(self.end(status));
            }
        };
        self.answer = Answer::Unread(Box::new(Unread::new(body, status, patience)));
        self.poll_answer(context)
    }

    /// The head of an answer; its body carries the call along.
    fn begin(&mut self, content: Content<B>) -> Response<CallBody<B>> {
        let mut response = Response::new(CallBody { content, call: None });
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        self.tell_trace(response.headers_mut());
        response.body_mut().call = self.call.take();
        response
    }

    /// An answer that consists of a head, which says how the call ended.
    fn end(&mut self, status: Status) -> Response<CallBody<B>> {
        let code = status.code();
        let mut response = status.into_http::<Body>().map(|_| CallBody { content: Content::Nothing, call: None });
        self.tell_trace(response.headers_mut());
        finish(&mut self.call, code);
        response
    }

    fn no_tunnel(&mut self) -> Response<CallBody<B>> {
        let mut response = Response::new(CallBody { content: Content::Nothing, call: None });
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        finish(&mut self.call, Code::Unimplemented);
        response
    }

    fn tell_trace(&self, headers: &mut HeaderMap) {
        if let Some(span) = self.call.as_ref().and_then(|call| call.span.as_ref()) {
            span.tell(headers);
        }
    }

    fn pass_on(&mut self, response: Response<Body>) -> Response<CallBody<B>> {
        if let Some(code) = code_in(response.headers()) {
            finish(&mut self.call, code);
        }
        response.map(|body| CallBody { content: Content::Other(body), call: self.call.take() })
    }
}

impl<B: RequestBody> Future for CallFuture<B> {
    type Output = Result<Response<CallBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut polled = self.poll_answer(context);
        if polled.is_pending() {
            self.waited = true;
            if let Some(status) = self.call.as_ref().and_then(Call::no_place_to_wait) {
                return Poll::Ready(Ok(self.end(status)));
            }
            if let Poll::Ready((status, timeout)) = self.poll_deadline(context) {
                polled = self.give_up(status, timeout.min(LONGEST_PATIENCE), context);
            }
            patience::nothing_to_say();
        }
        polled.map(Ok)
    }
}

/// The answer's frames; the last one ends the call.
#[derive(Debug)]
pub struct CallBody<B> {
    content: Content<B>,
    call: Option<Call>,
}

#[derive(Debug)]
enum Content<B> {
    /// One message, then how the call ended: well.
    Message(Bytes),
    Stream(Box<Answers<B>>),
    /// What another service answers.
    Other(Body),
    /// How the call ended well.
    End,
    Nothing,
}

impl<B: RequestBody> CallBody<B> {
    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let (frame, next) = match &mut self.content {
            // In pieces: all of what is handed over is kept until the peer takes it.
            Content::Message(message) if message.len() > PIECE_BYTES => {
                return Poll::Ready(Some(Ok(Frame::data(message.split_to(PIECE_BYTES)))));
            }
            Content::Message(message) => (Frame::data(std::mem::take(message)), Content::End),
            Content::End => {
                finish(&mut self.call, Code::Ok);
                (Frame::trailers(well()), Content::Nothing)
            }
            Content::Stream(answers) => match ready!(answers.poll(context)) {
                Ok(messages) => return Poll::Ready(Some(Ok(Frame::data(messages)))),
                Err(status) => {
                    finish(&mut self.call, status.code());
                    (Frame::trailers(trailers(&status)), Content::Nothing)
                }
            },
            Content::Other(body) => {
                let polled = ready!(Pin::new(body).poll_frame(context));
                if let Some(code) = end_in(polled.as_ref()) {
                    finish(&mut self.call, code);
                }
                return Poll::Ready(polled);
            }
            Content::Nothing => return Poll::Ready(None),
        };
        self.content = next;
        Poll::Ready(Some(Ok(frame)))
    }
}

/// The end of an answer: how the call ended.
fn trailers(status: &Status) -> HeaderMap {
    if status.code() == Code::Ok {
        return well();
    }
    let mut trailers = HeaderMap::with_capacity(1);
    if status.add_header(&mut trailers).is_err() {
        // What cannot be said in a header is left out.
        trailers.insert(&GRPC_STATUS, (status.code() as i32).into());
    }
    trailers
}

/// The end of an answer of a call that ended well, as most do.
fn well() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(&GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

impl<B: RequestBody> http_body::Body for CallBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = self.poll_content(context);
        if polled.is_pending() {
            patience::nothing_to_say();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Other(body) => body.is_end_stream(),
            Content::Nothing => true,
            Content::Message(_) | Content::Stream(_) | Content::End => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn finish(call: &mut Option<Call>, code: Code) {
    if let Some(call) = call.take() {
        call.finish(code);
    }
}

/// How the call ended, if another service's answer ends here.
fn end_in(polled: Option<&Result<Frame<Bytes>, Status>>) -> Option<Code> {
    match polled {
        Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code_in(trailers).unwrap_or(Code::Unknown)),
        Some(Err(status)) => Some(status.code()),
        None => Some(Code::Unknown),
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(&GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}
