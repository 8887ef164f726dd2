//! Requests as clients send them, in the same bytes at each run.

use iamd::proto::v1;
use prost::Message as _;

/// A request with this context, entry by entry: a map is written in another order each time.
pub(crate) fn message(request: &v1::IsAuthorizedRequest, context: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| {
        let values = v1::ContextValues { values: vec![(*value).to_owned()] };
        v1::IsAuthorizedRequest { context: [((*key).to_owned(), values)].into(), ..Default::default() }
    };
    let mut out = request.encode_to_vec();
    context.iter().map(entry).for_each(|entry| out.extend(entry.encode_to_vec()));
    out
}
