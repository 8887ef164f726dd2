//! What is wrong is said before any port is open.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::authority::{Authority, Files};
use crate::program::{Program, iamd, run, store};

fn said(flags: &[&str]) -> (i32, String) {
    said_of(store().path().to_str().unwrap(), flags)
}

/// Starts on a port that is taken, so that binding it would be what is complained about.
fn said_of(policies: &str, flags: &[&str]) -> (i32, String) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = ["serve", "--policies", policies, "--listen", &address];
    run(&words.iter().chain(flags).copied().collect::<Vec<_>>())
}

#[test]
fn a_store_that_is_no_directory() {
    let hint = "  hint: is the path right, and the volume mounted?\n";
    for (policies, what) in [("/nowhere", "no such file or directory"), ("Cargo.toml", "it is no directory")] {
        let (code, stderr) = said_of(policies, &[]);
        assert_eq!((code, stderr), (1, format!("error: --policies: {policies}: {what}\n{hint}")));
    }
}

#[test]
fn files_that_cannot_be_used() {
    let authority = Authority::new();
    let pair = authority.server();
    let files = Files::new(&pair, &authority.pem);
    let write = |name: &str, content: &str| fs::write(files.at(name), content).unwrap();
    write("other.key", &authority.server().key);
    write("empty", "");
    write("cut", pair.cert.trim_end().strip_suffix("-----END CERTIFICATE-----").unwrap());
    write("odd", &pair.cert.replace("MII", "!!!"));
    write("not-der", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    write("not-a-key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    write("upside-down", &format!("{}{}", authority.pem, pair.cert));
    write("expired", &authority.issue_until("old", &[], 2020).cert);
    assert!(Command::new("mkfifo").arg(files.at("pipe")).status().unwrap().success());
    write("early", &authority.issue_between("new", &[], 2098, 2099).cert);
    let cases = [
        (
            "missing",
            "tls.key",
            "ca.crt",
            "missing: cannot read the file: no such file or directory\n  hint: is the path",
        ),
        (".", "tls.key", "ca.crt", ".: cannot read the file: it is a folder\n  hint: name a regular file"),
        ("pipe", "tls.key", "ca.crt", "pipe: cannot read the file: it is a pipe\n  hint: name a regular file"),
        ("tls.crt", "pipe", "ca.crt", "pipe: cannot read the file: it is a pipe\n  hint: name a regular file"),
        ("tls.crt", "tls.key", "pipe", "pipe: cannot read the file: it is a pipe\n  hint: name a regular file"),
        ("empty", "tls.key", "ca.crt", "empty: no certificate in the file\n  hint: write it in PEM"),
        ("tls.key", "tls.crt", "ca.crt", "tls.key: no certificate in the file\n  hint: this is a private key: are"),
        ("cut", "tls.key", "ca.crt", "cut: cannot be read: the line `-----END CERTIFICATE-----` is missing\n"),
        ("odd", "tls.key", "ca.crt", "odd: cannot be read: between its lines of dashes"),
        ("not-der", "tls.key", "ca.crt", "not-der: certificate 1 cannot be read: "),
        (
            "expired",
            "tls.key",
            "ca.crt",
            "expired: the certificate has expired at 2020-01-01T00:00:00Z\n  hint: renew it",
        ),
        (
            "early",
            "tls.key",
            "ca.crt",
            "early: the certificate is not valid before 2098-01-01T00:00:00Z\n  hint: until then keep the one before",
        ),
        ("upside-down", "tls.key", "ca.crt", "upside-down: the certificate of `"),
        ("tls.crt", "ca.crt", "ca.crt", "ca.crt: no private key in the file\n  hint: this is a certificate: are"),
        ("tls.crt", "locked", "ca.crt", "locked: no private key in the file\n  hint: it is encrypted, and nobody"),
        ("tls.crt", "not-a-key", "ca.crt", "not-a-key: a key that cannot be used\n  hint: use RSA"),
        ("tls.crt", "other.key", "ca.crt", "other.key: not the key of the certificate in `"),
        ("tls.crt", "tls.key", "empty", "empty: no certificate in the file\n"),
        ("tls.crt", "tls.key", "not-der", "not-der: certificate 1 cannot be used: "),
    ];
    for (cert, key, ca, expected) in cases {
        for family in ["tls", "admin-tls"] {
            let flag = |name: &str| format!("--{family}-{name}");
            let at_fault = expected.split(':').next().unwrap();
            let which =
                [(cert, "cert"), (key, "key"), (ca, "client-ca")].into_iter().find(|(name, _)| *name == at_fault);
            let [cert, key, ca] = [cert, key, ca].map(|name| files.name(name));
            let flags = [&flag("cert"), &cert, &flag("key"), &key, &flag("client-ca"), &ca];
            let (code, stderr) = said(&flags.map(String::as_str));
            assert_eq!(code, 1, "{stderr}");
            let expected = format!("error: {}: {}", flag(which.unwrap().1), files.name(expected));
            assert!(stderr.starts_with(&expected), "{stderr}\n{expected}");
        }
    }
}

#[test]
fn both_listeners_are_reported() {
    let flags = ["--tls-cert", "/nowhere/a", "--tls-key", "/nowhere/b", "--admin-tls-cert", "/nowhere/c"];
    let (code, stderr) = said(&[&flags[..], &["--admin-tls-key", "/nowhere/d"]].concat());
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let expected = ["--tls-cert: /nowhere/a", "--admin-tls-cert: /nowhere/c"]
        .map(|file| format!("error: {file}: cannot read the file: no such file or directory"));
    assert_eq!((code, errors), (1, expected.iter().map(String::as_str).collect()));
}

#[test]
fn plaintext_beyond_loopback_is_insisted_on() {
    let (code, stderr) = said(&["--listen", "0.0.0.0:0", "--admin-listen", "[::]:0"]);
    let expected = "error: --listen: `0.0.0.0:0` is not loopback, and has no TLS; give --tls-cert and --tls-key, listen on \
                    `127.0.0.1:50051`, or allow it with --insecure-listen\n\
                    error: --admin-listen: `[::]:0` is not loopback, and has no TLS; give --admin-tls-cert and \
                    --admin-tls-key, listen on `127.0.0.1:9090`, or allow it with --insecure-listen\n";
    assert_eq!((code, stderr.as_str()), (2, expected));

    // Said however little is logged.
    for level in ["info", "error", "error,iamd::always=error"] {
        let store = store();
        let mut command = iamd(&["serve", "--admin-listen", "0.0.0.0:0", "--insecure-listen", "--policies"]);
        command.arg(store.path()).args(["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0", "--log-level", level]);
        let mut program = Program::new(command, store);
        for (listener, address) in [("grpc", "0.0.0.0:0"), ("admin", "0.0.0.0:0")] {
            let logged = program.logged("no TLS beyond loopback, as --insecure-listen allows: others can read along");
            assert_eq!((&logged["listener"], &logged["address"]), (&listener.into(), &address.into()));
            assert_eq!(logged["level"], "WARN");
        }
        if level == "info" {
            program.wait_until_serving();
        }
    }
}

#[test]
fn with_tls_nothing_need_be_insisted_on() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let store = store();
    let mut command = iamd(&["serve", "--admin-listen", "0.0.0.0:0", "--listen", "0.0.0.0:0", "--policies"]);
    command.arg(store.path()).args(files.flags("tls", false)).args(files.flags("admin-tls", false));
    Program::spawn(command, store);
}

#[test]
fn variables_that_nobody_reads() {
    let expected = "error: no flag has the environment variable `IAMD_TLS_CLIENTCA`\n  hint: did you mean \
                    `IAMD_TLS_CLIENT_CA`?\n";
    for words in [&["serve", "--policies", "/nowhere"][..], &["healthcheck"], &["validate", "/nowhere"]] {
        let output = iamd(words).env("IAMD_TLS_CLIENTCA", "x").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected, "{words:?}");
    }
    // Empty is not the same as not set.
    for (name, expected) in [
        ("IAMD_TLS_CLIENT_CA", "'--tls-client-ca <FILE>'"),
        ("IAMD_TLS_ALLOWED_SAN", "--tls-allowed-san (IAMD_TLS_ALLOWED_SAN): `` is not a name"),
        ("IAMD_TLS_MIN_VERSION", "--tls-min-version (IAMD_TLS_MIN_VERSION): `` is not a version"),
    ] {
        let output = iamd(&["serve", "--policies", "/nowhere"]).env(name, "").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(expected), "{name}: {stderr}");
    }
    // What is missing is misspelt.
    let output = iamd(&["serve"]).env("IAMD_POLICY", "x").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("--policies <DIR>") && stderr.contains("`IAMD_POLICY`"), "{stderr}");
    assert!(iamd(&["--help"]).env("IAMD_POLICY", "x").output().unwrap().status.success());
}
