//! Probes by `iamd healthcheck`, from outside and from the service's own environment.

use crate::authority::{Authority, Files};
use crate::caller::start;
use crate::program::{Program, iamd, run};

struct Scene {
    authority: Authority,
    files: Files,
    program: Program,
}

fn scene() -> Scene {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let flags = [files.flags("tls", true), files.flags("admin-tls", false)].concat();
    let program = start(&flags, &["--tls-allowed-san", "spiffe://acme/ns/shop/*"]);
    Scene { authority, files, program }
}

impl Scene {
    /// Writes a client's certificate: its flags.
    fn client(&self, name: &str) -> Vec<String> {
        let pair = self.authority.issue("", &[name]);
        std::fs::write(self.files.at("client.crt"), pair.cert).unwrap();
        std::fs::write(self.files.at("client.key"), pair.key).unwrap();
        let flag = |flag: &str, file: &str| [flag.to_owned(), self.files.name(file)];
        [flag("--tls-cert", "client.crt"), flag("--tls-key", "client.key")].concat()
    }
}

fn check(address: &str, flags: &[String], more: &[&str]) -> (i32, String) {
    let words = ["healthcheck", "--timeout", "10s", "--address", address];
    run(&words.into_iter().chain(flags.iter().map(String::as_str)).chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn from_outside_with_a_certificate() {
    let scene = scene();
    let address = &scene.program.grpc[0];
    let ca = scene.files.name("ca.crt");
    let allowed = scene.client("spiffe://acme/ns/shop/sa/probe");
    let fine = (0, String::new());
    assert_eq!(check(address, &allowed, &["--tls-ca", &ca]), fine);
    assert_eq!(check(address, &allowed, &["--tls-ca", &ca, "--tls-server-name", "iamd.example"]), fine);
    assert_eq!(check(address, &allowed, &["--tls-ca", &ca, "--tls-server-name", "127.0.0.1"]), fine);
    assert_eq!(check(address, &allowed, &[]), fine);
    let (code, stderr) = check(address, &allowed, &["--tls-ca", &ca, "--tls-server-name", "spiffe://acme/iamd"]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with(&format!("error: {address}: no TLS: invalid peer certificate: ")), "{stderr}");
    let stranger = Authority::new();
    std::fs::write(scene.files.at("stranger"), &stranger.pem).unwrap();
    assert_eq!(check(address, &allowed, &["--tls-ca", &scene.files.name("stranger")]).0, 1);
    assert_eq!(check(address, &[], &["--tls-ca", &ca]).0, 1, "no certificate");
    assert_eq!(check(address, &scene.client("other.example"), &["--tls-ca", &ca]).0, 1, "not an allowed name");
    assert_eq!(check(address, &[], &[]).0, 1, "no TLS");
}

#[test]
fn a_service_by_its_spiffe_id() {
    let authority = Authority::new();
    for (names, expected) in [
        (&["spiffe://acme/iamd"][..], 0),
        (&["spiffe://acme/other"], 1),
        // One that has two is nobody's.
        (&["spiffe://acme/iamd", "spiffe://acme/other"], 1),
    ] {
        let files = Files::new(&authority.issue("iamd", names), &authority.pem);
        let program = start(&files.flags("tls", false), &[]);
        let more = ["--tls-ca", &files.name("ca.crt"), "--tls-server-name", "spiffe://acme/iamd"];
        assert_eq!(check(&program.grpc[0], &[], &more).0, expected, "{names:?}");
    }
}

#[test]
fn of_the_admin_listener() {
    let scene = scene();
    let admin = &scene.program.admin;
    let fine = (0, String::new());
    assert_eq!(check(&format!("https://{admin}"), &[], &[]), fine);
    assert_eq!(check(&format!("https://{admin}"), &[], &["--tls-ca", &scene.files.name("ca.crt")]), fine);
    let (code, stderr) = check(&format!("http://{admin}"), &[], &[]);
    assert_eq!(code, 1, "{stderr}");
    let plain = Program::start(&["--drain-delay", "1h", "--drain-timeout", "2h"]);
    let address = format!("http://{}", plain.admin);
    assert_eq!(check(&address, &[], &[]), fine);
    plain.signal("TERM");
    let expected = format!("error: {address}: not serving: draining: the service is stopping\n");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while check(&address, &[], &[]) != (1, expected.clone()) {
        assert!(std::time::Instant::now() < deadline, "it never says that it stops");
    }
}

#[test]
fn in_the_services_own_environment_nothing_needs_to_be_said() {
    let scene = scene();
    let port = scene.program.grpc[0].rsplit_once(':').unwrap().1;
    let ask = |listen: &str| {
        let output = iamd(&["healthcheck", "--timeout", "10s"])
            .env("IAMD_LISTEN", listen)
            .env("IAMD_TLS_CERT", scene.files.at("tls.crt"))
            .env("IAMD_TLS_KEY", scene.files.at("tls.key"))
            .env("IAMD_TLS_CLIENT_CA", scene.files.at("ca.crt"))
            .env("IAMD_TLS_ALLOWED_SAN", "spiffe://acme/ns/shop/*")
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(ask(&format!("127.0.0.1:{port}")), (0, String::new()));
    assert_eq!(ask(&format!("0.0.0.0:{port},127.0.0.1:1")), (0, String::new()));
}

#[test]
fn what_the_environment_says_of_tls_concerns_those_who_use_it() {
    let store = crate::program::store();
    let program = Program::start(&[]);
    let admin = format!("http://{}", program.admin);
    let output = iamd(&["healthcheck", "--timeout", "10s", "--address", &admin])
        .envs([("IAMD_TLS_CERT", "a"), ("IAMD_TLS_KEY", "b"), ("IAMD_TLS_CA", "c"), ("IAMD_TLS_SERVER_NAME", "d")])
        .output()
        .unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
    // But whoever sets a probe's authorities for the service may mean those of clients.
    let output =
        iamd(&["serve", "--policies", store.path().to_str().unwrap()]).env("IAMD_TLS_CA", "a").output().unwrap();
    let expected = "error: `IAMD_TLS_CA` is a variable of `iamd healthcheck`: it asks no client for a certificate\n  hint: for \
                    clients set `IAMD_TLS_CLIENT_CA`; for a probe alone, write `iamd healthcheck --tls-ca FILE`\n";
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), expected.to_owned()));
}

#[test]
fn wrong_flags() {
    let cases: [(&[&str], &str); 11] = [
        (&["--address", "https://nowhere"], "--address: `https://nowhere` is not an address"),
        (&["--tls-cert", "a"], "--tls-cert: needs --tls-key, too"),
        (&["--address", "https://127.0.0.1:1", "--tls-key", "a"], "--tls-key: needs --tls-cert, too"),
        (&["--address", "https://10.0.0.1:1"], "--tls-ca: needed to know the service at `10.0.0.1`"),
        (&["--address", "https://127.0.0.1:1", "--tls-server-name", "a"], "--tls-server-name: needs --tls-ca"),
        (&["--tls-ca", "a", "--tls-server-name", "a b"], "--tls-server-name: `a b` is not a DNS name"),
        (&["--tls-key", "a"], "--tls-key: needs --tls-cert, too"),
        (&["--tls-server-name", "a"], "--tls-server-name: needs --tls-ca"),
        (&["--address", "http://127.0.0.1:1", "--tls-ca", "a"], "--tls-ca: `http://127.0.0.1:1` is asked without TLS"),
        (&["--address", "http://[::1]:1", "--tls-key", "a"], "--tls-key: `http://[::1]:1` is asked without TLS"),
        (&["--address", "unix:/a", "--tls-server-name", "a"], "--tls-server-name: `unix:/a` is asked without TLS"),
    ];
    for (flags, expected) in cases {
        let (code, stderr) = run(&[&["healthcheck"], flags].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.starts_with(&format!("error: {expected}")), "{stderr}");
    }
    for (timeout, why) in
        [("soon", "`soon` is not a duration; write a number with a unit"), ("0s", "`0s` is too short; at least 1ms")]
    {
        let (code, stderr) = run(&["healthcheck", "--timeout", timeout]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("--timeout") && stderr.contains(why), "{stderr}");
    }
    let (code, stderr) = run(&["healthcheck", "--tls-ca", "/nowhere/ca"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("/nowhere/ca: cannot read the file: no such file or directory\n  hint: "), "{stderr}");
}
