//! A request's message in, its answer out: past HTTP and metrics, no await on the way.

use super::convert::{self, Refusal};
use crate::cache::key;
use crate::config::RequestLimits;
use crate::engine::{self, Active, Answer};
use crate::proto::codec;
use crate::proto::view::RequestView;

/// What is usual is answered as it lies there: looked up by its key, or else read from its key. What is not, and what is
/// wrong, is read as prost does.
pub fn decide(active: &Active, limits: &RequestLimits, message: &[u8]) -> Result<Answer, Refusal> {
    engine::with_key(|key| {
        let mut view = RequestView::default();
        let read = view.read(message).and_then(|()| key::write_view(&mut view, key));
        let Some(detail) = read else { return decide_unusual(active, limits, message) };
        if let Some(answer) = active.remembered(key) {
            return Ok(answer);
        }
        if convert::is_within(&view, limits)
            && let Some(request) = key::read(key)
        {
            return Ok(active.decide_and_remember(&request, detail, key)?);
        }
        decide_unusual(active, limits, message)
    })
}

fn decide_unusual(active: &Active, limits: &RequestLimits, message: &[u8]) -> Result<Answer, Refusal> {
    let message = codec::decode(message)?;
    let detail = convert::detail(&message)?;
    let request = convert::access_request(&message, limits)?;
    Ok(active.is_authorized(&request, detail)?)
}
