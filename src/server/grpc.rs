//! The three methods of AuthorizationService.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::convert::Refusal;
use super::{State, convert, limits};
use crate::access::InvalidField;
use crate::config::RequestLimits;
use crate::engine::{Active, Engine};
use crate::proto::v1;
use crate::proto::v1::authorization_service_server::AuthorizationService;

/// How many requests of a batch are decided before other calls get their turn: 64 decisions take tens of microseconds.
const BATCH_TURN: usize = 64;

/// The service.
#[derive(Clone, Debug)]
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

    /// Message in, answer out; no await on the way.
    fn answer(&self, active: &Active, message: &v1::IsAuthorizedRequest) -> Result<v1::IsAuthorizedResponse, Refusal> {
        guarded(|| self.decide(active, message))
    }

    fn decide(
        &self,
        active: &Active,
        message: &v1::IsAuthorizedRequest,
    ) -> Result<v1::IsAuthorizedResponse, InvalidField> {
        let detail = convert::detail(message)?;
        let request = convert::access_request(message, &self.limits)?;
        let answer = active.is_authorized(&request, detail)?;
        let outcome = &answer.outcome;
        self.state.metrics.decided(outcome.decision, outcome.decided_by, answer.cache, answer.evaluation);
        Ok(convert::response(outcome, active.snapshot.version))
    }
}

/// A fault of ours in one request is the answer to that request alone, in a batch or a stream too; the panic hook has
/// logged it.
fn guarded<T>(decide: impl FnOnce() -> Result<T, InvalidField>) -> Result<T, Refusal> {
    // What requests share is immutable, or made for being left at any point: atomics, and locks that are only tried.
    match catch_unwind(AssertUnwindSafe(decide)) {
        Ok(decided) => decided.map_err(Refusal::Invalid),
        Err(_) => Err(Refusal::Internal),
    }
}

#[tonic::async_trait]
impl AuthorizationService for Authorization {
    async fn is_authorized(
        &self,
        request: Request<v1::IsAuthorizedRequest>,
    ) -> Result<Response<v1::IsAuthorizedResponse>, Status> {
        let message = request.into_inner();
        let active = self.engine.load();
        self.answer(&active, &message).map(Response::new).map_err(|refusal| refusal.status())
    }

    async fn batch_is_authorized(
        &self,
        request: Request<v1::BatchIsAuthorizedRequest>,
    ) -> Result<Response<v1::BatchIsAuthorizedResponse>, Status> {
        let message = request.into_inner();
        convert::check_batch(&message, &self.limits).map_err(|invalid| Refusal::Invalid(invalid).status())?;
        let active = self.engine.load_full();
        let mut results = Vec::with_capacity(message.requests.len());
        for turn in message.requests.chunks(BATCH_TURN) {
            if !results.is_empty() {
                tokio::task::yield_now().await;
            }
            results.extend(turn.iter().map(|item| convert::batch_result(self.answer(&active, item))));
        }
        Ok(Response::new(v1::BatchIsAuthorizedResponse { results, snapshot_version: active.snapshot.version }))
    }

    type StreamIsAuthorizedStream = Answers;

    async fn stream_is_authorized(
        &self,
        request: Request<Streaming<v1::StreamIsAuthorizedRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let timeout = limits::client_timeout(request.metadata().as_ref());
        Ok(Response::new(Answers {
            requests: request.into_inner(),
            authorization: self.clone(),
            stopped: Box::pin(self.state.stopped()),
            deadline: timeout.map(|timeout| (timeout, Box::pin(tokio::time::sleep(timeout)))),
            ended: false,
        }))
    }
}

/// The answers of a stream, each as soon as its request is there, each from the snapshot that is active then.
pub struct Answers {
    requests: Streaming<v1::StreamIsAuthorizedRequest>,
    authorization: Authorization,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    deadline: Option<(Duration, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Answers {
    fn answer(&self, message: &v1::StreamIsAuthorizedRequest) -> v1::StreamIsAuthorizedResponse {
        let active = self.authorization.engine.load();
        let request = convert::streamed(message).map_err(Refusal::Invalid);
        convert::stream_response(message.id, request.and_then(|request| self.authorization.answer(&active, request)))
    }

    /// Why nothing more is waited for: the service stops (what has arrived is answered by then), or time is up.
    fn interruption(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(convert::stopping());
        }
        match &mut self.deadline {
            Some((timeout, sleep)) => sleep.as_mut().poll(context).map(|()| convert::deadline_exceeded(*timeout)),
            None => Poll::Pending,
        }
    }
}

impl Stream for Answers {
    type Item = Result<v1::StreamIsAuthorizedResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = match Pin::new(&mut self.requests).poll_next(context) {
            Poll::Ready(Some(Ok(message))) => return Poll::Ready(Some(Ok(self.answer(&message)))),
            Poll::Ready(Some(Err(status))) if status.code() == Code::OutOfRange => {
                Some(Err(convert::too_large(self.authorization.state.request_bytes)))
            }
            Poll::Ready(Some(Err(status))) => Some(Err(status)),
            Poll::Ready(None) => None,
            Poll::Pending => match self.interruption(context) {
                Poll::Ready(status) => Some(Err(status)),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.ended = true;
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_answer_to_one_request() {
        let refusal = guarded(|| -> Result<(), _> { panic!("a fault, on purpose") }).unwrap_err();
        let status = refusal.status();
        let expected = "a fault in the service, not in the request; its log says more";
        assert_eq!((status.code(), status.message()), (Code::Internal, expected));
        let refusal = guarded(|| -> Result<(), _> { Err(InvalidField::new("action", "is wrong")) }).unwrap_err();
        assert_eq!(refusal.status().code(), Code::InvalidArgument);
        assert!(guarded(|| Ok(())).is_ok());
    }
}
