//! The request of a call that is refused.
//!
//! It is read, and thrown away. HTTP/2 has no other way to say that nothing more is wanted than a reset; what the client has
//! sent meanwhile is an error then, and with many of those its connection is closed, although it did nothing wrong.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;
use tonic::Status;

use super::convert;
use super::messages::RequestBody;

/// A request that nobody wants, and what is said when it has come.
#[derive(Debug)]
pub struct Unread<B> {
    body: B,
    status: Option<Status>,
    patience: Duration,
    /// While it has yet to come.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B: RequestBody> Unread<B> {
    /// A request that may take so long to come.
    pub fn new(body: B, status: Status, patience: Duration) -> Self {
        Self { body, status: Some(status), patience, timer: None }
    }

    /// The refusal, once.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        while !self.body.is_end_stream() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None | Some(Err(_))) => break,
                Poll::Pending => {
                    let patience = self.patience;
                    let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                    ready!(timer.as_mut().poll(context));
                    break;
                }
            }
        }
        Poll::Ready(self.status.take().unwrap_or_else(convert::stopping))
    }
}
