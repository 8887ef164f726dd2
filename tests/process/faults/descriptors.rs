//! No file descriptor is left, for real: the limit is lowered while the service runs.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{becomes, connects_anew, refusals_until_answered, start};
use crate::operator::{alice_reads, cpu_seconds, skip, threads};
use crate::program::Program;

/// Sets the soft limit of open files; whether that could be done.
fn limit(program: &Program, files: usize) -> bool {
    let pid = program.pid().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}:")]).status();
    set.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_left() {
    let mut program = start(&[]);
    let channel = Channel::from_shared(format!("http://{}", program.grpc[0])).unwrap().connect().await.unwrap();
    let (mut asking, mut health) = (Client::new(channel.clone()), HealthClient::new(channel));
    asking.is_authorized(alice_reads()).await.unwrap();
    // Fewer than are open already.
    if !limit(&program, 8) {
        return skip("file descriptors that run out: there is no `prlimit` (util-linux) here, or it may not be used");
    }
    let waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(&program.grpc[0]).unwrap()).collect();
    let said = program.logged("cannot accept connections; trying again soon");
    assert!(said["error"].as_str().unwrap().starts_with("Too many open files"), "{said}");
    let (cpu, count) = (cpu_seconds(&program), threads(&program).len());
    for _ in 0..100 {
        refusals_until_answered(&mut asking).await;
        let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cpu = cpu_seconds(&program) - cpu;
    assert!(cpu < 0.4, "{cpu} s of the processor for half a second of waiting");
    assert!(threads(&program).len() <= count + 1);
    drop(waiting);
    assert!(limit(&program, 1_024));
    connects_anew(&format!("http://{}", program.grpc[0])).await;
    drop((asking, health));
    becomes(&program, "iamd_connections", 0.0).await;
}
