//! What is said of a store that cannot be served from the start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cgroup::{Cgroup, Version};
use crate::operator::{ALICE, Nobody, metric, quickstart, serve, skip};
use crate::program::{Program, iamd, run_to_end, without_settings};

/// Exit code, and what is said on stderr.
fn refused(store: &Path) -> (i32, String) {
    let nobody = Nobody::new();
    let output = nobody.iamd(&serve(store, &["--listen", "127.0.0.1:0"])).output().unwrap();
    assert_eq!(output.stdout, b"");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_missing_directory() {
    let expected = "error: --policies: /nowhere/store: no such file or directory\n  \
                    hint: is the path right, and the volume mounted?\n";
    assert_eq!(refused(Path::new("/nowhere/store")), (1, expected.to_owned()));
}

#[test]
fn switches_whose_variables_are_wrong() {
    let (store, nobody) = (quickstart(), Nobody::new());
    let mut command = nobody.iamd(&serve(store.path(), &["--max-batch", "0"]));
    command.envs([("IAMD_STRICT", "ture"), ("IAMD_HUGE_PAGES", ""), ("IAMD_INSECURE_LISTEN", "2")]);
    command.env("IAMD_DECISION_LOG_STATEMENTS", "all");
    let output = command.output().unwrap();
    let expected = "\
error: --strict (IAMD_STRICT): `ture` is not known; write `true` or `false`, or unset it
error: --insecure-listen (IAMD_INSECURE_LISTEN): `2` is not known; write `true` or `false`, or unset it
error: --max-batch: `0` is not allowed; write a whole number from 1 to 1000000
error: --huge-pages (IAMD_HUGE_PAGES): `` is not known; write `true` or `false`, or unset it
error: --decision-log-statements (IAMD_DECISION_LOG_STATEMENTS): `all` is not known; write `true` or `false`, or unset it
";
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), expected.to_owned()));
}

/// A variable is set in another file than the flags are, which is where to look.
#[test]
fn values_that_are_from_variables() {
    let (store, folder) = (quickstart(), tempfile::tempdir().unwrap());
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    let refused = |flags: &[&str], variables: &[(&str, &str)]| {
        let mut command = iamd(&serve(store.path(), &[&["--listen", "127.0.0.1:0"], flags].concat()));
        command.envs(variables.iter().copied());
        run_to_end(command)
    };
    let variables = [("IAMD_MAX_BATCH", "-1"), ("IAMD_CACHE_SIZE", "-1"), ("IAMD_DRAIN_DELAY", "")];
    let expected = "\
error: --cache-size: `1TB` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as `64MiB`
error: --drain-delay (IAMD_DRAIN_DELAY): `` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`
error: --max-batch (IAMD_MAX_BATCH): `-1` is not allowed; write a whole number from 1 to 1000000
";
    assert_eq!(refused(&["--cache-size", "1TB"], &variables), (2, expected.to_owned()));

    let (code, stderr) = refused(&[], &[("IAMD_TLS_CERT", missing), ("IAMD_TLS_KEY", missing)]);
    let expected = format!("error: --tls-cert (IAMD_TLS_CERT): {missing}: cannot read the file: no such file");
    assert!(code == 1 && stderr.starts_with(&expected), "{stderr}");

    // Refused before flags are looked at one by one.
    let tip = "  tip: the value is that of `IAMD_TLS_CLIENT_CA`; set another, or unset it\n";
    let (code, stderr) = refused(&[], &[("IAMD_TLS_CLIENT_CA", "")]);
    let expected = "error: a value is required for '--tls-client-ca <FILE>' but none was supplied\n";
    assert!(code == 2 && stderr.starts_with(expected) && stderr.contains(tip), "{stderr}");
    let (code, stderr) = refused(&["--tls-client-ca", ""], &[("IAMD_TLS_CLIENT_CA", "x")]);
    assert!(code == 2 && stderr.starts_with(expected) && !stderr.contains("tip"), "{stderr}");
}

#[test]
fn values_that_begin_with_a_dash() {
    let store = quickstart();
    let refused = |flags: &[&str]| run_to_end(iamd(&serve(store.path(), flags)));
    let flags = ["--max-connections", "-1", "--cache-size", "-1", "--drain-delay", "-5s"];
    let expected = "\
error: --cache-size: `-1` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as `64MiB`
error: --drain-delay: `-5s` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`
error: --max-connections: `-1` is not allowed; write a whole number from 1 to 1000000
";
    assert_eq!(refused(&flags), (2, expected.to_owned()));
    // What begins with two was a flag, whose value is not the one that is missing.
    let (code, stderr) = refused(&["--max-connections", "--strict"]);
    let expected = "error: a value is required for '--max-connections <N>' but none was supplied\n";
    assert!(code == 2 && stderr.starts_with(expected), "{stderr}");
}

/// Opening one waits until somebody writes, and there is nobody: not even SIGTERM would be heard.
#[test]
fn pipes_in_the_place_of_files() {
    let (store, folder) = (quickstart(), tempfile::tempdir().unwrap());
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    let expected = |name: &str, what: &str| {
        let hint =
            "name a regular file, or a link to one: nothing else can be read again, or without waiting for others";
        (1, format!("error: {name}: {pipe}: {what}\n  hint: {hint}\n"))
    };

    let flags =
        ["--decision-log", "-", "--decision-log-hash-key", "aws:sourceip", "--decision-log-hash-key-file", pipe];
    let refused = run_to_end(iamd(&serve(store.path(), &flags)));
    assert_eq!(refused, expected("--decision-log-hash-key-file", "it is a pipe"));

    let mut command = iamd(&serve(store.path(), &["--listen", "127.0.0.1:0"]));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1").env("OTEL_EXPORTER_OTLP_CERTIFICATE", pipe);
    let refused = run_to_end(command);
    assert_eq!(refused, expected("OTEL_EXPORTER_OTLP_CERTIFICATE", "cannot read the file: it is a pipe"));
}

#[test]
fn an_empty_directory() {
    let store = tempfile::tempdir().unwrap();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = store.path().display();
    let expected = format!(
        "{path}:1:1: no `*.json` files under `{path}`, expected the policy store\n  \
         hint: is the volume mounted, and are the names such as `users.json`?\n\
         error: the policy store `{path}` cannot be loaded: 1 error, no warnings in 1 file\n"
    );
    assert_eq!(refused(store.path()), (1, expected));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let store = quickstart();
    let at = |path: &str| store.path().join(path);
    fs::set_permissions(at(ALICE), fs::Permissions::from_mode(0o000)).unwrap();
    let policy = "{\"Version\": \"2012-10-17\", \"Statement\": [\n\
                  {\"Effect\": \"Permit\", \"Action\": \"s3:GetObject\", \"Resource\": \"*\"},\n\
                  {\"Effect\": \"Allow\", \"Action\": \"s3:GetObject\", \"Resource\": \"*\", \"Condition\": {\n\
                  \"StringEqual\": {\"aws:username\": \"x\"}}}]}\n";
    fs::write(at("123456789012/policies/Wrong.json"), policy).unwrap();
    fs::write(at("210987654321/broken.json"), "{\n").unwrap();
    let expected = format!(
        "{path}/123456789012/policies/Wrong.json:2:12: `Effect` is `Allow` or `Deny`, not `Permit`\n\
         {path}/123456789012/policies/Wrong.json:4:1: unknown operator `StringEqual`\n  \
         hint: did you mean `StringEquals`?\n\
         {path}/123456789012/users/alice.json:1:1: cannot read the file: permission denied\n  \
         hint: let the user that the service runs as read it\n\
         {path}/210987654321/broken.json:2:1: expected a key in double quotes, but the file ends here\n\
         error: the policy store `{path}` cannot be loaded: 4 errors, no warnings in 3 files\n",
        path = store.path().display()
    );
    assert_eq!(refused(store.path()), (1, expected));
}

/// What resident memory is must not depend on what the kernel makes of it behind the service's back.
#[cfg(target_os = "linux")]
#[test]
fn huge_pages_are_refused_unless_they_are_asked_for() {
    let nobody = Nobody::new();
    for (flag, enabled) in [(&[][..], "0"), (&["--huge-pages"], "1")] {
        let store = quickstart();
        let words = [&["--listen", "127.0.0.1:0"], flag].concat();
        let command = nobody.iamd(&serve(store.path(), &words));
        let program = Program::spawn(command, store);
        let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
        // A kernel without huge pages has no such line.
        let said = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        assert!(said.is_none_or(|said| said.trim() == enabled), "{flag:?}: {said:?}");
    }
}

#[test]
fn systemd_hears_when_it_serves_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hears = || {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let store = quickstart();
    let words = serve(store.path(), &["--listen", "127.0.0.1:0", "--drain-delay", "0s"]);
    let mut command = iamd(&words);
    command.env("NOTIFY_SOCKET", &path);
    let mut program = Program::new(command, quickstart());
    assert_eq!(hears(), "READY=1\n");
    program.wait_until_serving();
    assert_eq!(program.get("/readyz").0, 200);
    program.signal("TERM");
    assert_eq!(hears(), "STOPPING=1\n");
    assert_eq!(program.ended().0, 0);

    // Where it cannot be heard, it serves all the same.
    drop(manager);
    let mut command = iamd(&words);
    command.env("NOTIFY_SOCKET", &path);
    let mut program = Program::spawn(command, quickstart());
    program.logged("cannot tell the service manager, which NOTIFY_SOCKET names");
    assert_eq!(program.get("/readyz").0, 200);
}

#[test]
fn sockets_of_other_users() {
    let (store, folder, nobody) = (quickstart(), tempfile::tempdir().unwrap(), Nobody::new());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = |path: &Path, more: &[&str]| {
        let listen = format!("unix:{}", path.display());
        let words = [&["--listen", &listen][..], more].concat();
        let output = nobody.iamd(&serve(store.path(), &words)).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap().replace(&listen, "LISTEN")
    };
    // Whoever may not connect cannot know whether anybody would answer, and leaves the file alone.
    let theirs = folder.path().join("theirs.sock");
    let _listener = UnixListener::bind(&theirs).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
    let expected = "error: cannot listen on LISTEN: address already in use; hint: stop the process that listens there, or \
                    choose another address\n";
    assert_eq!(refused(&theirs, &[]), expected);
    let expected = "error: cannot listen on LISTEN: the socket cannot be given to --unix-socket-owner; hint: only root can \
                    give files to other users, and to groups that it is not in; run as that user instead, and leave \
                    --unix-socket-owner out\n";
    assert_eq!(refused(&folder.path().join("mine.sock"), &["--unix-socket-owner", "0:0"]), expected);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [theirs]);
}

#[test]
fn threads_are_as_many_as_the_cores_that_may_be_used() {
    if Command::new("taskset").arg("-V").output().is_err() {
        return skip("cores that may not be used: there is no `taskset` (util-linux) here");
    }
    let store = quickstart();
    let mut command = without_settings(Command::new("taskset"));
    command.args(["-c", "0", env!("CARGO_BIN_EXE_iamd")]).args(serve(store.path(), &["--listen", "127.0.0.1:0"]));
    let program = Program::spawn(command, store);
    assert_eq!(metric(&program, "iamd_worker_threads"), 1.0);
}

/// A cgroup that has so many microseconds of the cores' time in 100 ms; None where the kernel does not let us.
fn with_quota(microseconds: &str) -> Option<Cgroup> {
    let cgroup = Cgroup::new("cpu")?;
    let set = match (cgroup.version(), microseconds) {
        (Version::One, "max") => cgroup.set("cpu.cfs_quota_us", "-1"),
        (Version::One, _) => cgroup.set("cpu.cfs_period_us", "100000") && cgroup.set("cpu.cfs_quota_us", microseconds),
        (Version::Two, _) => cgroup.set("cpu.max", &format!("{microseconds} 100000")),
    };
    set.then_some(cgroup)
}

#[test]
fn threads_are_as_many_as_the_cores_that_a_cgroup_pays_for() {
    let cores = std::thread::available_parallelism().unwrap().get();
    if cores == 1 {
        return skip("a cgroup's quota of processors: there is one core here, which is as many threads without any");
    }
    for (quota, is_one) in [("max", false), ("100000", true), ("190000", true), ("50000", true)] {
        let Some(cgroup) = with_quota(quota) else {
            return skip(
                "a cgroup's quota of processors: it takes privileges, and a hierarchy that hands the controller down",
            );
        };
        let store = quickstart();
        let program = Program::spawn(cgroup.iamd(&serve(store.path(), &["--listen", "127.0.0.1:0"])), store);
        let threads = metric(&program, "iamd_worker_threads");
        assert_eq!(threads == 1.0, is_one, "{threads} threads for {quota}");
    }
}
