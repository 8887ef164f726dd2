//! Tracing of the real program: spans that a collector gets, and what collectors do to it.

mod collectors;
mod spans;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use tonic::Request;
use tonic::transport::Channel;

use crate::operator::{alice_reads, client, quickstart, serve};
use crate::program::{Program, iamd};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A service with these variables; spans are sent soon.
fn start(variables: &[(&str, &str)]) -> Program {
    let store = quickstart();
    let words = serve(store.path(), &["--listen", "127.0.0.1:0", "--drain-delay", "0s", "--drain-timeout", "20s"]);
    let mut command = iamd(&words);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "10").envs(variables.iter().copied());
    Program::spawn(command, store)
}

/// One that sends its spans there.
async fn traced(url: &str, variables: &[(&str, &str)]) -> (Program, AuthorizationServiceClient<Channel>) {
    let program = start(&[&[("OTEL_EXPORTER_OTLP_ENDPOINT", url)], variables].concat());
    let client = client(&program).await;
    (program, client)
}

/// A message from the span of [`PARENT`] with these flags.
fn child<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-{flags}").parse().unwrap());
    request
}

/// Alice is asked about; what the answer's head says of its trace.
async fn ask(client: &mut AuthorizationServiceClient<Channel>, flags: Option<&str>) -> Option<String> {
    let request = flags.map_or_else(|| Request::new(alice_reads()), |flags| child(alice_reads(), flags));
    let answer = client.is_authorized(request).await.unwrap();
    Some(answer.metadata().get("traceresponse")?.to_str().unwrap().to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
