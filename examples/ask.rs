//! Asks a running service one question: `cargo run --example ask -- PRINCIPAL ACTION RESOURCE [KEY=VALUE]...`.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::error::Error;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use iamd::proto::v1::{ContextValues, Decision, Detail, IsAuthorizedRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or(format!("expected {name}"));
    let mut request = IsAuthorizedRequest {
        principal: next("PRINCIPAL")?,
        action: next("ACTION")?,
        resource: next("RESOURCE")?,
        detail: Detail::Statements.into(),
        ..IsAuthorizedRequest::default()
    };
    for pair in arguments {
        let (key, value) = pair.split_once('=').ok_or("a condition key is given as KEY=VALUE")?;
        let values: &mut ContextValues = request.context.entry(key.to_owned()).or_default();
        values.values.push(value.to_owned());
    }

    let address = std::env::var("IAMD_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let mut client = AuthorizationServiceClient::connect(format!("http://{address}")).await?;
    let response = client.is_authorized(request).await?.into_inner();
    // A client that cannot read the decision must deny.
    let decision = Decision::try_from(response.decision).unwrap_or(Decision::Unspecified);
    println!("{} by {}", decision.as_str_name(), response.decided_by().as_str_name());
    for statement in &response.statements {
        println!("  {}:{}:{} {}", statement.file, statement.line, statement.column, statement.sid);
    }
    Ok(())
}
