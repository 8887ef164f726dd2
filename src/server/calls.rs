//! What every call passes: the limit of calls in flight, the deadline, and the metrics of its end.
//!
//! One service in front of all, so that a call is looked at once. The answer's body carries the call along: a call ends
//! when its last frame has been handed over, or when its peer goes away.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use super::grpc::Authorization;
use super::{State, convert, limits};
use crate::metrics::{Rpc, Shed};
use crate::proto::v1::authorization_service_server::AuthorizationServiceServer;

/// All services, behind limits and metrics.
#[derive(Clone, Debug)]
pub struct Calls {
    authorization: AuthorizationServiceServer<Authorization>,
    others: Routes,
    state: Arc<State>,
    request_timeout: Duration,
}

impl Calls {
    /// `authorization` is reached directly, everything else through its routes.
    pub fn new(
        authorization: AuthorizationServiceServer<Authorization>,
        others: Routes,
        state: Arc<State>,
        request_timeout: Duration,
    ) -> Self {
        Self { authorization, others, state, request_timeout }
    }

    /// Health gets in always: a full service is not a dead one.
    fn admit(&self, rpc: Rpc) -> bool {
        if rpc.is_health() {
            self.state.in_flight.enter_always();
            return true;
        }
        self.state.in_flight.enter()
    }

    fn refuse(&self, rpc: Rpc) -> CallFuture {
        self.state.metrics.shed(Shed::InFlight);
        self.state.metrics.rpc_finished(rpc, Code::ResourceExhausted, Duration::ZERO);
        let response = convert::overloaded(self.state.in_flight.limit()).into_http();
        CallFuture { answer: Answer::Refused(Some(response)), timer: None, call: None }
    }

    /// The client's deadline, or for a unary call the service's own if that is sooner.
    fn timeout(&self, rpc: Rpc, headers: &HeaderMap) -> Option<Duration> {
        let of_client = limits::client_timeout(headers);
        if !rpc.is_unary() {
            return of_client;
        }
        Some(of_client.map_or(self.request_timeout, |timeout| timeout.min(self.request_timeout)))
    }
}

impl Service<Request<Body>> for Calls {
    type Response = Response<CallBody>;
    type Error = Infallible;
    type Future = CallFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The services behind are always ready: they queue nothing.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> CallFuture {
        let rpc = Rpc::of(request.uri().path());
        if !self.admit(rpc) {
            return self.refuse(rpc);
        }
        let timeout = self.timeout(rpc, request.headers());
        let call = Call { state: Arc::clone(&self.state), rpc, started: Instant::now(), timeout, code: None };
        let answer = if rpc.is_authorization() {
            Answer::Authorization(self.authorization.call(request))
        } else {
            Answer::Other(self.others.call(request))
        };
        CallFuture { answer, timer: None, call: Some(call) }
    }
}

/// A call that was admitted, from its first byte to its last. Dropped without a code, its peer has gone away.
#[derive(Debug)]
struct Call {
    state: Arc<State>,
    rpc: Rpc,
    started: Instant,
    timeout: Option<Duration>,
    code: Option<Code>,
}

impl Call {
    fn finish(mut self, code: Code) {
        self.code = Some(code);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let late = self.timeout.is_some_and(|timeout| took >= timeout);
        let code = match self.code {
            Some(code) => code,
            None if std::thread::panicking() => Code::Internal,
            None if late => Code::DeadlineExceeded,
            None => Code::Cancelled,
        };
        self.state.metrics.rpc_finished(self.rpc, code, took);
        self.state.in_flight.leave();
    }
}

enum Answer {
    Refused(Option<Response<Body>>),
    Authorization(BoxFuture<Response<Body>, Infallible>),
    Other(<Routes as Service<Request<Body>>>::Future),
}

/// The answer to come.
pub struct CallFuture {
    answer: Answer,
    /// Made only when the answer is not there at once, which is rare: a decision does not wait.
    timer: Option<Pin<Box<Sleep>>>,
    call: Option<Call>,
}

impl std::fmt::Debug for CallFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallFuture").field("call", &self.call).finish_non_exhaustive()
    }
}

impl CallFuture {
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Response<Body>> {
        let Poll::Ready(answer) = (match &mut self.answer {
            // INVARIANT: refused answers are taken once, a future is not polled after its end.
            Answer::Refused(response) => return Poll::Ready(response.take().unwrap_or_default()),
            Answer::Authorization(future) => future.as_mut().poll(context),
            Answer::Other(future) => Pin::new(future).poll(context),
        }) else {
            return Poll::Pending;
        };
        match answer {
            Ok(response) => Poll::Ready(response),
            Err(never) => match never {},
        }
    }

    /// DEADLINE_EXCEEDED, once it is.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Response<Body>> {
        let Some((started, timeout)) = self.call.as_ref().and_then(|call| Some((call.started, call.timeout?))) else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((started + timeout).into())));
        timer.as_mut().poll(context).map(|()| convert::deadline_exceeded(timeout).into_http())
    }

    /// An answer without a body says at its head how it ended; any other carries the call along.
    fn respond(&mut self, mut response: Response<Body>) -> Response<CallBody> {
        let mut call = self.call.take();
        let mut code = code_in(response.headers());
        if let (Some(Code::OutOfRange), Some(call)) = (code, call.as_ref().filter(|call| call.rpc.is_authorization())) {
            let status = convert::too_large(call.state.request_bytes);
            (code, response) = (Some(status.code()), status.into_http());
        }
        if let Some(code) = code {
            finish(&mut call, code);
        }
        response.map(|inner| CallBody { inner, call })
    }
}

impl Future for CallFuture {
    type Output = Result<Response<CallBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut polled = self.poll_answer(context);
        if polled.is_pending() {
            polled = self.poll_deadline(context);
        }
        polled.map(|response| Ok(self.respond(response)))
    }
}

/// The answer's frames; the last one ends the call.
#[derive(Debug)]
pub struct CallBody {
    inner: Body,
    call: Option<Call>,
}

impl http_body::Body for CallBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    finish(&mut self.call, code_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Poll::Ready(Some(Err(status))) => finish(&mut self.call, status.code()),
            Poll::Ready(None) => finish(&mut self.call, Code::Unknown),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn finish(call: &mut Option<Call>, code: Code) {
    if let Some(call) = call.take() {
        call.finish(code);
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}
