//! Metrics, probes and status over TLS.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::authority::{Authority, Files};
use crate::caller::{Caller, eventually, start};
use crate::program::Program;

pub async fn get(caller: &Caller, program: &Program, path: &str) -> Result<String, String> {
    let caller = caller.clone().alpn("http/1.1");
    let mut stream = caller.tls(&program.admin).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_and_probes_over_tls() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let flags = files.flags("admin-tls", true);
    let program = start(&flags, &["--admin-tls-allowed-san", "prometheus.example", "--admin-tls-min-version", "1.3"]);
    let scraper = Caller::new(&authority.pem, Some(&authority.issue("", &["prometheus.example"])));
    let other = Caller::new(&authority.pem, Some(&authority.issue("", &["other.example"])));
    assert!(get(&scraper, &program, "/readyz").await.unwrap().ends_with("ready\n"));
    // Silent peers do not keep others out.
    let silent = tokio::net::TcpStream::connect(&program.admin).await.unwrap();
    get(&other, &program, "/metrics").await.unwrap_err();
    get(&Caller::new(&authority.pem, None), &program, "/metrics").await.unwrap_err();
    let expected = [
        "iamd_tls_handshakes_total{listener=\"admin\",result=\"refused\"} 1",
        "iamd_tls_handshakes_total{listener=\"admin\",result=\"failed\"} 1",
        "iamd_tls_certificate_expiry_timestamp_seconds{listener=\"admin\"} 4070908800",
        "iamd_tls_last_reload_successful{listener=\"admin\"} 1",
    ];
    eventually("handshakes are counted", async || {
        let metrics = get(&scraper, &program, "/metrics").await.unwrap();
        expected.iter().all(|line| metrics.lines().any(|l| l == *line)).then_some(())
    })
    .await;
    let status = get(&scraper, &program, "/status").await.unwrap();
    let status: serde_json::Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(status["tls"][0]["listener"], "admin");
    assert_eq!(
        (&status["tls"][0]["min_version"], &status["tls"][0]["client_certificates"]),
        (&"1.3".into(), &true.into())
    );
    assert_eq!(status["tls"].as_array().unwrap().len(), 1);
    drop(silent);
}
