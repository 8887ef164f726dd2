//! Certificates that change while calls go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use iamd::tls::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::admin;
use crate::authority::{Authority, Files, Pair};
use crate::caller::{Caller, ask, eventually, metric, start, status};
use crate::program::Program;

fn fingerprint(pair: &Pair) -> String {
    let der = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
    Certificate::parse(&der).unwrap().fingerprint
}

/// How a pair is written, whether by links, and how often the files are looked at.
type Way = (fn(&Path, &Pair), bool, &'static str);

const WAYS: [Way; 5] =
    [(rewrite, false, "1h"), (rewrite, false, "20ms"), (rename, false, "1h"), (swap, true, "1h"), (swap, true, "20ms")];

async fn shown(caller: &Caller, program: &Program) -> String {
    Certificate::parse(&caller.shown(&program.grpc[0]).await).unwrap().fingerprint
}

async fn becomes(caller: &Caller, program: &Program, pair: &Pair) {
    let expected = fingerprint(pair);
    let is_shown = async || (shown(caller, program).await == expected).then_some(());
    eventually("the new certificate is shown", is_shown).await;
    let tls = &status(program)["tls"][0];
    assert_eq!((&tls["fingerprint_sha256"], &tls["last_error"]), (&expected.into(), &serde_json::Value::Null));
}

/// Calls over one connection, and over new ones, until told to stop; none may fail.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(caller: &Caller, program: &Program) -> Self {
        let mut load = Self { stop: Arc::default(), calls: Arc::default(), tasks: Vec::new() };
        let mut held = caller.connect(&program.grpc[0]).await.unwrap();
        let (stop, calls) = (Arc::clone(&load.stop), Arc::clone(&load.calls));
        load.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                ask(&mut held).await.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (stop, caller, address) = (Arc::clone(&load.stop), caller.clone(), program.grpc[0].clone());
        load.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                caller.asks(&address).await.unwrap();
            }
        }));
        load
    }

    /// The same of the admin port: probes in place of calls.
    async fn of_probes(caller: &Caller, program: &Program) -> Self {
        let mut load = Self { stop: Arc::default(), calls: Arc::default(), tasks: Vec::new() };
        let mut held = caller.tls(&program.admin).await.unwrap();
        let (stop, calls) = (Arc::clone(&load.stop), Arc::clone(&load.calls));
        load.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                probe(&mut held).await;
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (stop, caller, address) = (Arc::clone(&load.stop), caller.clone(), program.admin.clone());
        load.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                probe(&mut caller.tls(&address).await.unwrap()).await;
            }
        }));
        load
    }

    async fn end(self) {
        let before = self.calls.load(Ordering::Relaxed);
        let more = async || (self.calls.load(Ordering::Relaxed) > before).then_some(());
        eventually("the old connection still answers", more).await;
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Asks whether the service is ready; the connection is left open.
async fn probe(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nready\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
}

fn rewrite(folder: &Path, pair: &Pair) {
    fs::write(folder.join("tls.crt"), &pair.cert).unwrap();
    fs::write(folder.join("tls.key"), &pair.key).unwrap();
}

fn rename(folder: &Path, pair: &Pair) {
    for (name, content) in [("tls.key", &pair.key), ("tls.crt", &pair.cert)] {
        fs::write(folder.join("new"), content).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
}

/// What the kubelet does: files in a folder of their own, then the link `..data` swapped by a rename.
fn swap(volume: &Path, pair: &Pair) {
    static GENERATION: AtomicU64 = AtomicU64::new(0);
    let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
    let folder = format!("..2026_01_01_00_00_00.{generation}");
    fs::create_dir(volume.join(&folder)).unwrap();
    rewrite(&volume.join(&folder), pair);
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(&folder, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        if !volume.join(name).is_symlink() {
            fs::remove_file(volume.join(name)).unwrap();
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_they_are_written_no_call_fails() {
    let authority = Authority::new();
    let caller = Caller::new(&authority.pem, Some(&authority.issue("cart", &["cart.example"])));
    for (write, links, poll_interval) in WAYS {
        let first = authority.server();
        let files = Files::new(&first, &authority.pem);
        if links {
            swap(files.path(), &first);
        }
        let program = start(&files.flags("tls", true), &["--poll-interval", poll_interval, "--debounce", "20ms"]);
        becomes(&caller, &program, &first).await;
        let load = Load::start(&caller, &program).await;
        for _ in 0..3 {
            let next = authority.server();
            write(files.path(), &next);
            becomes(&caller, &program, &next).await;
        }
        load.end().await;
        let activated = "iamd_tls_reloads_total{listener=\"grpc\",result=\"activated\"}";
        assert_eq!(metric(&program, activated), Some(3.0));
    }
}

/// The admin port shows this pair, and says so.
async fn admin_becomes(scraper: &Caller, program: &Program, pair: &Pair) {
    let expected = fingerprint(pair);
    let is_shown = async || {
        let shown = Certificate::parse(&scraper.shown(&program.admin).await).unwrap();
        (shown.fingerprint == expected).then_some(())
    };
    eventually("the new certificate is shown", is_shown).await;
    let answer = admin::get(scraper, program, "/status").await.unwrap();
    let status: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let tls = &status["tls"][0];
    let found = (&tls["listener"], &tls["fingerprint_sha256"], &tls["last_error"]);
    assert_eq!(found, (&"admin".into(), &expected.into(), &serde_json::Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn however_those_of_the_admin_port_are_written_no_probe_fails() {
    let authority = Authority::new();
    let scraper = Caller::new(&authority.pem, Some(&authority.issue("prometheus", &["prometheus.example"])));
    let scraper = scraper.alpn("http/1.1");
    for (write, links, poll_interval) in WAYS {
        let first = authority.server();
        let files = Files::new(&first, &authority.pem);
        if links {
            swap(files.path(), &first);
        }
        let flags = files.flags("admin-tls", true);
        let program = start(&flags, &["--poll-interval", poll_interval, "--debounce", "20ms"]);
        admin_becomes(&scraper, &program, &first).await;
        let load = Load::of_probes(&scraper, &program).await;
        for _ in 0..3 {
            let next = authority.server();
            write(files.path(), &next);
            admin_becomes(&scraper, &program, &next).await;
        }
        load.end().await;
        let metrics = admin::get(&scraper, &program, "/metrics").await.unwrap();
        let activated = "iamd_tls_reloads_total{listener=\"admin\",result=\"activated\"} 3";
        assert!(metrics.lines().any(|line| line == activated), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_times_in_a_row() {
    let authority = Authority::new();
    let caller = Caller::new(&authority.pem, Some(&authority.issue("cart", &["cart.example"])));
    let first = authority.server();
    let files = Files::new(&first, &authority.pem);
    swap(files.path(), &first);
    let program = start(&files.flags("tls", true), &["--poll-interval", "10ms", "--debounce", "0s"]);
    let load = Load::start(&caller, &program).await;
    for _ in 0..100 {
        let next = authority.server();
        swap(files.path(), &next);
        becomes(&caller, &program, &next).await;
    }
    load.end().await;
    assert_eq!(metric(&program, "iamd_tls_reloads_total{listener=\"grpc\",result=\"activated\"}"), Some(100.0));
    assert_eq!(metric(&program, "iamd_tls_reloads_total{listener=\"grpc\",result=\"rejected\"}"), Some(0.0));
    assert_eq!(metric(&program, "iamd_tls_handshakes_total{listener=\"grpc\",result=\"failed\"}"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pair_is_refused_and_mended() {
    let authority = Authority::new();
    let caller = Caller::new(&authority.pem, None);
    let (first, second) = (authority.server(), authority.issue_until("second", &["iamd.example"], 2098));
    let files = Files::new(&first, &authority.pem);
    let mut program = start(&files.flags("tls", false), &["--poll-interval", "20ms", "--debounce", "5ms"]);
    let expiry = "iamd_tls_certificate_expiry_timestamp_seconds{listener=\"grpc\"}";
    let successful = "iamd_tls_last_reload_successful{listener=\"grpc\"}";
    assert_eq!((metric(&program, expiry), metric(&program, successful)), (Some(4_070_908_800.0), Some(1.0)));
    let tls = &status(&program)["tls"][0];
    assert_eq!(tls["listener"], "grpc");
    assert_eq!(tls["subject"], "CN=iamd");
    assert_eq!(tls["sans"], serde_json::json!(["iamd.example", "127.0.0.1"]));
    assert_eq!(tls["not_after"], "2099-01-01T00:00:00Z");
    assert_eq!(tls["fingerprint_sha256"], fingerprint(&first));

    // The certificate comes, its key does not.
    fs::write(files.at("tls.crt"), &second.cert).unwrap();
    let logged = program.logged("certificate refused, the last good one goes on");
    let message = format!("not the key of the certificate in `{}`", files.name("tls.crt"));
    assert_eq!((&logged["file"], &logged["error"]), (&files.name("tls.key").into(), &message.clone().into()));
    let error = &status(&program)["tls"][0]["last_error"];
    assert_eq!((&error["file"], &error["message"]), (&files.name("tls.key").into(), &message.into()));
    assert_eq!(error["hint"], "write both files; the service looks at them again until they fit");
    assert_eq!((metric(&program, expiry), metric(&program, successful)), (Some(4_070_908_800.0), Some(0.0)));
    let rejected = "iamd_tls_reloads_total{listener=\"grpc\",result=\"rejected\"}";
    assert_eq!(metric(&program, rejected), Some(1.0));
    assert_eq!(shown(&caller, &program).await, fingerprint(&first));

    fs::write(files.at("tls.key"), &second.key).unwrap();
    becomes(&caller, &program, &second).await;
    assert_eq!((metric(&program, expiry), metric(&program, successful)), (Some(4_039_372_800.0), Some(1.0)));

    // Gone, and back again.
    fs::remove_file(files.at("tls.key")).unwrap();
    assert_eq!(program.logged("certificate refused, the last good one goes on")["file"], files.name("tls.key"));
    caller.asks(&program.grpc[0]).await.unwrap();
    fs::write(files.at("tls.key"), &second.key).unwrap();
    program.logged("certificate looked at, it is the active one");
    becomes(&caller, &program, &second).await;

    // A pipe that nobody writes to.
    fs::remove_file(files.at("tls.key")).unwrap();
    assert!(Command::new("mkfifo").arg(files.at("tls.key")).status().unwrap().success());
    while program.logged("certificate refused, the last good one goes on")["error"]
        != "cannot read the file: it is a pipe"
    {}
    caller.asks(&program.grpc[0]).await.unwrap();
    fs::remove_file(files.at("tls.key")).unwrap();
    fs::write(files.at("tls.key"), &second.key).unwrap();
    program.logged("certificate looked at, it is the active one");

    // Expired already.
    let old = authority.issue_until("old", &["iamd.example"], 2020);
    rename(files.path(), &old);
    let logged = program.logged("certificate refused, the last good one goes on");
    assert_eq!(logged["error"], "the certificate has expired at 2020-01-01T00:00:00Z");
    assert_eq!(shown(&caller, &program).await, fingerprint(&second));

    // Not valid yet.
    let early = authority.issue_between("early", &["iamd.example"], 2098, 2099);
    rename(files.path(), &early);
    let logged = program.logged("certificate refused, the last good one goes on");
    assert_eq!(logged["error"], "the certificate is not valid before 2098-01-01T00:00:00Z");
    assert_eq!(shown(&caller, &program).await, fingerprint(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn client_authorities_change_too() {
    let (authority, next) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(), &authority.pem);
    let program = start(&files.flags("tls", true), &["--poll-interval", "20ms", "--debounce", "5ms"]);
    let address = &program.grpc[0];
    let old = Caller::new(&authority.pem, Some(&authority.issue("old", &["old.example"])));
    let new = Caller::new(&authority.pem, Some(&next.issue("new", &["new.example"])));
    let mut held = old.connect(address).await.unwrap();
    ask(&mut held).await.unwrap();
    new.asks(address).await.unwrap_err();
    fs::write(files.at("ca.crt"), &next.pem).unwrap();
    eventually("the new authority's clients get in", async || new.asks(address).await.ok()).await;
    old.asks(address).await.unwrap_err();
    ask(&mut held).await.unwrap();
    fs::write(files.at("ca.crt"), "no certificate").unwrap();
    let is_rejected = async || (!status(&program)["tls"][0]["last_error"].is_null()).then_some(());
    eventually("nonsense is rejected", is_rejected).await;
    assert_eq!(status(&program)["tls"][0]["last_error"]["message"], "no certificate in the file");
    new.asks(address).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn client_authorities_of_the_admin_port_change_too() {
    let (authority, next) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(), &authority.pem);
    let program = start(&files.flags("admin-tls", true), &["--poll-interval", "20ms", "--debounce", "5ms"]);
    let caller = |pair: &Pair| Caller::new(&authority.pem, Some(pair)).alpn("http/1.1");
    let old = caller(&authority.issue("old", &["old.example"]));
    let new = caller(&next.issue("new", &["new.example"]));
    let mut held = old.tls(&program.admin).await.unwrap();
    probe(&mut held).await;
    admin::get(&new, &program, "/readyz").await.unwrap_err();
    fs::write(files.at("ca.crt"), &next.pem).unwrap();
    eventually("the new authority's probes get in", async || admin::get(&new, &program, "/readyz").await.ok()).await;
    admin::get(&old, &program, "/readyz").await.unwrap_err();
    probe(&mut held).await;
    fs::write(files.at("ca.crt"), "no certificate").unwrap();
    let rejected = "iamd_tls_reloads_total{listener=\"admin\",result=\"rejected\"} 1";
    let is_rejected = async || {
        let metrics = admin::get(&new, &program, "/metrics").await.unwrap();
        metrics.lines().any(|line| line == rejected).then_some(())
    };
    eventually("nonsense is rejected", is_rejected).await;
    admin::get(&old, &program, "/readyz").await.unwrap_err();
    probe(&mut held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_is_answered() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let mut program = start(&files.flags("tls", false), &["--poll-interval", "1h"]);
    program.signal("HUP");
    program.logged("certificate looked at, it is the active one");
    assert_eq!(metric(&program, "iamd_tls_reloads_total{listener=\"grpc\",result=\"unchanged\"}"), Some(1.0));
}
