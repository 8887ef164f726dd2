//! Starting: what is refused, in which words, with which exit code.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::program::{Program, iamd, run, store, unix};

#[test]
fn usage_errors_end_with_2() {
    let cases: [(&[&str], &str); 5] = [
        (&[], "Usage: iamd <COMMAND>"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["serve"], "--policies <DIR>"),
        (&["serve", "--polices", "x"], "a similar argument exists: '--policies'"),
        (&["healthcheck", "--address", "nowhere"], "--address: `nowhere` is not an address"),
    ];
    for (words, expected) in cases {
        let (code, stderr) = run(words);
        assert_eq!(code, 2, "{words:?}: {stderr}");
        assert!(stderr.contains(expected), "{words:?}: {stderr}");
    }
}

#[test]
fn wrong_flags_are_reported_all_at_once_and_nothing_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = ["serve", "--policies", "/nowhere", "--listen", &address, "--max-batch", "0", "--debounce", "1"];
    let expected = "error: --debounce: `1` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`\n\
                    error: --max-batch: `0` is not allowed; write a whole number from 1 to 1000000\n";
    assert_eq!(run(&words), (2, expected.to_owned()));
}

#[test]
fn a_port_in_use_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let store = store();
    let policies = store.path().to_str().unwrap();
    let expected = format!(
        "error: cannot listen on {address}: address already in use; hint: stop the process that listens there, or \
         choose another address\n"
    );
    let free = "127.0.0.1:0";
    for (listen, admin) in [(address.as_str(), free), (free, address.as_str())] {
        let words = ["serve", "--policies", policies, "--listen", listen, "--admin-listen", admin];
        assert_eq!(run(&words), (1, expected.clone()));
    }
}

#[test]
fn every_flag_has_a_variable() {
    let store = store();
    let mut command = iamd(&["serve"]);
    command
        .env("IAMD_POLICIES", store.path())
        .env("IAMD_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .env("IAMD_ADMIN_LISTEN", "127.0.0.1:0")
        .env("IAMD_STRICT", "1");
    let program = Program::spawn(command, store);
    assert_eq!(program.grpc.len(), 2);
    for address in &program.grpc {
        assert_eq!(run(&["healthcheck", "--address", address]), (0, String::new()));
    }
}

#[test]
fn help_names_the_variable_of_every_flag() {
    for (command, least_flags) in [("serve", 20), ("check", 10), ("validate", 4), ("test", 5), ("healthcheck", 2)] {
        check_variables(command, least_flags);
    }
}

fn check_variables(command: &str, least_flags: usize) {
    let output = iamd(&[command, "--help"]).output().unwrap();
    assert!(output.status.success());
    // The terminal's width decides where lines break, and how spaces fall.
    let help = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = help.split_whitespace().collect();
    let flags: Vec<_> =
        words.iter().filter_map(|word| word.strip_prefix("--")).filter(|name| *name != "help").collect();
    assert!(flags.len() >= least_flags, "{help}");
    for flag in flags {
        let variable = format!("IAMD_{}=", flag.to_uppercase().replace('-', "_"));
        let named = words.iter().any(|word| word.trim_start_matches('[').starts_with(&variable));
        assert!(named, "{command} --{flag}: {variable} in\n{help}");
    }
}

#[test]
fn the_first_load_stands_in_status_log_and_metrics() {
    let mut command = iamd(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policies"]);
    let store = store();
    command.arg(store.path());
    let mut program = Program::new(command, store);
    let logged = program.logged("policy store activated");
    program.wait_until_serving();
    let status: serde_json::Value = serde_json::from_str(&program.get("/status").1).unwrap();
    let last = &status["last_reload"];
    assert_eq!((&last["result"], &last["errors"]), (&"activated".into(), &serde_json::json!([])), "{status}");
    assert!(last["duration_seconds"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!(logged["revision"], status["snapshot"]["revision"]);
    let metrics = program.get("/metrics").1;
    for line in ["iamd_reloads_total{result=\"activated\"} 1", "iamd_last_reload_successful 1"] {
        assert!(metrics.lines().any(|l| l == line), "`{line}` is missing in:\n{metrics}");
    }
}

#[test]
fn healthcheck_of_nobody_ends_with_1() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, stderr) = run(&["healthcheck", "--address", &free]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with(&format!("error: {free}: cannot connect: Connection refused")), "{stderr}");

    // Somebody listens, but does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (code, stderr) = run(&["healthcheck", "--address", &address, "--timeout", "50ms"]);
    assert_eq!((code, stderr), (1, format!("error: {address}: no answer within 50ms\n")));
}

#[test]
fn a_unix_socket_serves_and_is_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("iamd.sock");
    // A process that was killed left its socket behind.
    drop(UnixListener::bind(&path).unwrap());
    let mut program = Program::start_on(&["--listen", &unix(&path)], &["--drain-delay", "0s"]);
    assert_eq!(program.grpc, [unix(&path)]);
    assert_eq!(run(&["healthcheck", "--address", &unix(&path)]), (0, String::new()));
    program.signal("TERM");
    assert_eq!(program.ended().0, 0);
    assert!(!path.exists());
}

#[test]
fn a_socket_in_use_and_other_files_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = store();
    let live = directory.path().join("live.sock");
    let _listener = UnixListener::bind(&live).unwrap();
    let file = directory.path().join("notes.txt");
    std::fs::write(&file, "mine").unwrap();
    let missing = directory.path().join("missing/iamd.sock");
    let cases = [
        (&live, "address already in use"),
        (&file, "the file exists and is not a socket"),
        (&missing, "no such directory"),
    ];
    for (path, reason) in cases {
        let policies = store.path().to_str().unwrap();
        let listen = unix(path);
        let words = ["serve", "--policies", policies, "--listen", &listen, "--admin-listen", "127.0.0.1:0"];
        let (code, stderr) = run(&words);
        assert_eq!(code, 1);
        assert!(stderr.starts_with(&format!("error: cannot listen on {listen}: {reason}; hint: ")), "{stderr}");
    }
    assert!(live.exists());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}
